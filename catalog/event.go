package catalog

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// EventType is the kind of an event, of an instance or, if the event names none, of a node.
type EventType string

// The types of event.
const (
	// EventPresent begins a history: the instance already existed.
	EventPresent      EventType = "present"
	EventRegistered   EventType = "registered"
	EventDeregistered EventType = "deregistered"
	// EventReplaced is another owner's registration of the same id.
	EventReplaced EventType = "replaced"
	// EventChanged is a change of the declaration; the reason names the fields.
	EventChanged EventType = "changed"
	// EventPassing, EventWarning and EventCritical are changes of status, From one To another.
	EventPassing   EventType = "passing"
	EventWarning   EventType = "warning"
	EventCritical  EventType = "critical"
	EventDrained   EventType = "drained"
	EventUndrained EventType = "undrained"
	EventNodeUp    EventType = "node_up"
	EventNodeDown  EventType = "node_down"
	// EventGap stands for changes that are no longer known; Missing counts them.
	EventGap EventType = "gap"
)

// Event is something that happened in the catalog.
type Event struct {
	// Revision is the revision at which it happened.
	Revision uint64 `json:"revision"`
	// Time is the time of the event.
	Time time.Time `json:"time"`
	Type EventType `json:"type"`
	// Service is the name in lower case; empty for an event of a node.
	Service  string `json:"service,omitempty"`
	Instance string `json:"instance,omitempty"`
	Node     string `json:"node,omitempty"`
	// From and To are the statuses before and after.
	From Status `json:"from,omitempty"`
	To   Status `json:"to,omitempty"`
	// Reason is the cause of the event, for people.
	Reason string `json:"reason,omitempty"`
	// Missing is the number of changes that a gap stands for, each of one instance or node; 0 if unknown.
	Missing uint64 `json:"missing,omitempty"`
}

// Concerns reports whether an event is about a service, an instance or a node of that name. A gap concerns every name.
func (e *Event) Concerns(name string) bool {
	return e.Type == EventGap || strings.EqualFold(e.Service, name) || e.Instance == name || strings.EqualFold(e.Node, name)
}

// EndpointEvents returns the events of an instance between two of its snapshots, either of which may be nil. The
// reason is that of its deletion, if it was deleted. The caller sets Revision and Time. Outputs of checks are no event.
func EndpointEvents(before, after *Endpoint, reason string) []Event {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return []Event{after.event(EventRegistered, "", after.Status, after.howItCame())}
	case after == nil:
		return []Event{before.event(EventDeregistered, before.Status, "", reason)}
	case !strings.EqualFold(before.Service, after.Service):
		return append(EndpointEvents(before, nil, movedTo(after)), EndpointEvents(nil, after, "")...)
	}
	var events []Event
	if replaced(before, after) {
		events = append(events, after.event(EventReplaced, "", "", strings.TrimSpace("registered "+after.Author().String())))
	}
	if fields := changedFields(before, after); len(fields) > 0 {
		events = append(events, after.event(EventChanged, "", "", strings.Join(fields, ", ")))
	}
	if before.Drained != after.Drained {
		what, why := EventDrained, after.Drained
		if why == "" {
			what, why = EventUndrained, before.Drained
		}
		if why == "drained" {
			why = ""
		}
		events = append(events, after.event(what, "", "", strings.TrimPrefix(why, "drained: ")))
	}
	if before.Status != after.Status {
		events = append(events, after.event(EventType(after.Status), before.Status, after.Status, whyStatus(before, after)))
	}
	return events
}

// movedTo returns the reason why an instance has left its former service.
func movedTo(e *Endpoint) string { return "moved to service " + e.Service }

// replaced reports whether another owner has taken an instance's place.
func replaced(before, after *Endpoint) bool {
	return before.Author().registrant() != after.Author().registrant() || before.Owner.Declared() != after.Owner.Declared()
}

func (e *Endpoint) event(what EventType, from, to Status, reason string) Event {
	return Event{
		Type: what, Service: fold(e.Service), Instance: e.ID, Node: e.Instance.Node, From: from, To: to, Reason: reason,
	}
}

// howItCame returns the registrant of an endpoint, and why clients do not get it from the first moment on.
func (e *Endpoint) howItCame() string {
	parts := []string{e.Author().String(), e.notWell()}
	if e.Instance.Moved() {
		parts = append(parts, e.Host.renamed())
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "; ")
}

// renamed names the last former name of a node, for people; "" if it has none.
func (h *Host) renamed() string {
	if h == nil || h.Node == nil || len(h.Node.Former) == 0 {
		return ""
	}
	return WhyRenamed(h.Node.Former[len(h.Node.Former)-1], h.Node.Name)
}

// WhyRenamed is the reason of what happens because a node has another name than before.
func WhyRenamed(from, to string) string { return "node " + from + " was renamed " + to }

// notWell returns the reason why clients do not get an endpoint, or a warning.
func (e *Endpoint) notWell() string {
	if e.Drained != "" {
		return e.WhyNot()
	}
	return e.whyStatus()
}

// whyStatus returns the reason why an endpoint's status is worse than passing; it is empty if it is not.
func (e *Endpoint) whyStatus() string {
	if e.Status == Passing {
		return ""
	}
	if !e.Host.Alive {
		return "node " + e.Instance.Node + " is not alive"
	}
	if c := firstOf(e.Host.Checks, e.Status); c != nil {
		return c.said(" of node " + e.Instance.Node)
	}
	if c := firstOf(e.Checks, e.Status); c != nil {
		return c.said("")
	}
	return ""
}

// whyStatus returns the reason why an endpoint's status changed.
func whyStatus(before, after *Endpoint) string {
	if why := after.whyStatus(); why != "" {
		return why
	}
	if !before.Host.Alive {
		return "node " + after.Instance.Node + " is alive"
	}
	for _, list := range [][]*Check{after.Host.Checks, after.Checks} {
		for _, c := range list {
			was := checkBefore(before, c.ID)
			if was != nil && was.Status != c.Status {
				return c.said("")
			}
		}
	}
	return ""
}

func checkBefore(e *Endpoint, id string) *Check {
	for _, list := range [][]*Check{e.Host.Checks, e.Checks} {
		for _, c := range list {
			if c.ID == id {
				return c
			}
		}
	}
	return nil
}

func firstOf(checks []*Check, status Status) *Check {
	for _, c := range checks {
		if c.Status == status || status == Critical && !c.Status.Valid() {
			return c
		}
	}
	return nil
}

// maxSaid bounds the bytes of a check's output in a reason.
const maxSaid = 200

// said returns a check's status and its reason, in one line.
func (c *Check) said(of string) string {
	why := "check " + c.ID + of + " is " + string(c.Status)
	line, _, _ := strings.Cut(strings.TrimSpace(c.Output), "\n")
	if len(line) > maxSaid {
		line = strings.ToValidUTF8(line[:maxSaid], "") + "…"
	}
	switch {
	case line == "" && c.Status == Critical && c.Type != CheckTTL && c.Type != "":
		return "check " + c.ID + of + " has not run yet"
	case line == "":
		return why
	default:
		return why + ": " + line
	}
}

// changedFields names the declared fields that differ. A drain is an event of its own.
func changedFields(before, after *Endpoint) (fields []string) {
	sameChecks := slices.EqualFunc(before.Checks, after.Checks, func(c, d *Check) bool { return c == d || c.ID == d.ID && c.Name == d.Name })
	if !sameChecks {
		fields = append(fields, "checks")
	}
	a, b := *before.Instance, *after.Instance
	if a.Drain != b.Drain { // an event of its own, and what its source notes of it in the extras is no other change
		a.Drain, a.Extras = b.Drain, b.Extras
	}
	if replaced(before, after) {
		a.Owner = b.Owner // an event of its own
	}
	if before.Instance == after.Instance || a.Equal(&b) {
		return fields
	}
	fields = nil
	// Each line makes one field equal; the other differences are still to be named.
	for _, field := range []struct {
		name  string
		equal func()
	}{
		{"ports", func() { a.Ports = b.Ports }}, {"addresses", func() { a.Addresses = b.Addresses }},
		{"tags", func() { a.Tags = b.Tags }}, {"meta", func() { a.Meta = b.Meta }},
		{"weight", func() { a.Weight = b.Weight }}, {"min_healthy", func() { a.MinHealthy = b.MinHealthy }},
		{"dns_limit", func() { a.DNSLimit = b.DNSLimit }},
		{"locality", func() { a.Locality = b.Locality }}, {"owner", func() { a.Owner = b.Owner }},
	} {
		was := a
		field.equal()
		if !was.Equal(&a) {
			fields = append(fields, field.name)
		}
	}
	if !sameChecks {
		fields = append(fields, "checks")
	}
	if len(fields) == 0 {
		fields = []string{"declaration"}
	}
	return fields
}

// HostEvents returns the events of a node between two of its snapshots, either of which may be nil. The reason is that of its
// removal, if it was removed.
func HostEvents(name string, before, after *Host, reason string) []Event {
	wasAlive, alive := before != nil && before.Alive, after != nil && after.Alive
	event := Event{Node: name}
	switch {
	case !wasAlive && alive:
		event.Type = EventNodeUp
		if before == nil {
			event.Reason = after.renamed()
		}
		return []Event{event}
	case wasAlive && !alive:
		event.Type, event.Reason = EventNodeDown, "its session has ended"
		if after == nil || after.Node == nil {
			event.Reason = cmp.Or(reason, "it was removed")
		}
		return []Event{event}
	case !alive:
		return nil
	}
	var events []Event
	if before.Node != nil && after.Node != nil && !before.Node.Equal(after.Node) {
		event.Type = EventChanged
		events = append(events, event)
	}
	if before.Status != after.Status {
		event.Type, event.From, event.To = EventType(after.Status), before.Status, after.Status
		if c := firstOf(after.Checks, after.Status); c != nil {
			event.Reason = c.said("")
		}
		events = append(events, event)
	}
	return events
}

// History is the events of a service or an instance, as far back as the store remembers.
type History struct {
	Name string `json:"name"`
	// Since is the time, and Revision the revision, from which the history is whole. The events begin with the
	// instances that existed then.
	Since    time.Time `json:"since"`
	Revision uint64    `json:"revision"`
	// Until is the revision at which the history ends.
	Until uint64 `json:"until"`
	// Whole reports whether the history goes back as far as requested. If not, the store has forgotten the rest.
	Whole bool `json:"whole"`
	// Left is the number of events, the oldest, that were left out because of the bound on events.
	Left   int     `json:"left_out,omitempty"`
	Events []Event `json:"events"`
}
