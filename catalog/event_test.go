package catalog

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told puts an event into a line.
func told(e Event) string {
	line := string(e.Type)
	for _, word := range []string{e.Service, e.Instance, e.Node} {
		if word != "" {
			line += " " + word
		}
	}
	if e.From != "" || e.To != "" {
		line += fmt.Sprintf(" %s>%s", e.From, e.To)
	}
	if e.Missing > 0 {
		line += fmt.Sprint(" missing ", e.Missing)
	}
	if e.Reason != "" {
		line += ": " + e.Reason
	}
	return line
}

func toldAll(events []Event) (lines []string) {
	for _, e := range events {
		lines = append(lines, told(e))
	}
	return lines
}

func TestEndpointEvents(t *testing.T) {
	alive := &Host{Alive: true, Status: Passing}
	dead := &Host{Status: Critical}
	checks := func(status Status, output string) []*Check {
		return []*Check{{ID: "c", Status: status, Output: output}, {ID: "ok", Status: Passing}}
	}
	is := func(status Status, edit ...func(*Endpoint)) *Endpoint {
		e := &Endpoint{
			Instance: &Instance{ID: "a", Node: "n1", Service: "Web", Ports: []Port{{Number: 80}}},
			Host:     alive, Status: status, Checks: checks(status, ""),
		}
		for _, f := range edit {
			f(e)
		}
		return e
	}
	drained := func(why string) func(*Endpoint) { return func(e *Endpoint) { e.Drained = why } }
	of := func(edit func(*Instance)) func(*Endpoint) { return func(e *Endpoint) { edit(e.Instance) } }
	by := func(registrant string) func(*Instance) {
		return func(i *Instance) {
			i.Origin = &Origin{Registrant: registrant, From: netip.MustParseAddr("10.0.0.9"), Listener: "http 10.0.0.1:8500"}
		}
	}
	said := func(text string) func(*Endpoint) {
		return func(e *Endpoint) { e.Checks = checks(e.Status, text) }
	}
	on := func(h *Host) func(*Endpoint) {
		return func(e *Endpoint) { e.Host, e.Checks = h, checks(Passing, "") }
	}
	hostCheck := &Host{Alive: true, Status: Warning, Checks: []*Check{{ID: "disk", Status: Warning, Output: "90 %"}}}

	for _, tt := range []struct {
		name          string
		before, after *Endpoint
		want          []string
	}{
		{"nothing", nil, nil, nil},
		{"the same", is(Passing), is(Passing), nil},
		{"another output", is(Critical, said("x")), is(Critical, said("y")), nil},
		{"it comes", nil, is(Passing), []string{"registered web a n1 >passing"}},
		{"it comes sick", nil, is(Critical), []string{"registered web a n1 >critical: check c is critical"}},
		{"it comes unchecked", nil, is(Critical, func(e *Endpoint) {
			e.Checks = []*Check{{ID: "c", Definition: Definition{Type: CheckHTTP}, Status: Critical}}
		}),
			[]string{"registered web a n1 >critical: check c has not run yet"}},
		{"it comes drained", nil, is(Passing, drained("paused")), []string{"registered web a n1 >passing: draining: paused"}},
		{"a registrant adds it", nil, is(Passing, of(by("r1"))), []string{"registered web a n1 >passing: by r1 over HTTP from 10.0.0.9"}},
		{"a registrant adds it, critical", nil, is(Critical, of(by(""))),
			[]string{"registered web a n1 >critical: over HTTP from 10.0.0.9; check c is critical"}},
		{"it goes", is(Passing), nil, []string{"deregistered web a n1 passing>: ttl 30s ran out"}},
		{"it goes sick", is(Critical), nil, []string{"deregistered web a n1 critical>: ttl 30s ran out"}},
		{"another owner comes", is(Passing, of(by("r1"))), is(Passing, of(by("r2"))),
			[]string{"replaced web a n1: registered by r2 over HTTP from 10.0.0.9"}},
		{"another owner comes with another port", is(Passing, of(by("r1"))),
			is(Passing, of(by("r2")), of(func(i *Instance) { i.Ports, i.Owner.ID = []Port{{Number: 81}}, "7" })),
			[]string{"replaced web a n1: registered by r2 over HTTP from 10.0.0.9", "changed web a n1: ports"}},
		{"the same owner from elsewhere", is(Passing, of(by("r1"))),
			is(Passing, of(by("r1")), of(func(i *Instance) { i.Origin.From = netip.Addr{} })), nil},
		{"a check fails", is(Passing), is(Critical, said("refused\nat line 2")),
			[]string{"critical web a n1 passing>critical: check c is critical: refused"}},
		{"a check warns", is(Critical), is(Warning), []string{"warning web a n1 critical>warning: check c is warning"}},
		{"a check passes", is(Warning), is(Passing, said("200 OK")), []string{"passing web a n1 warning>passing: check c is passing: 200 OK"}},
		{"its node dies", is(Passing), is(Critical, on(dead)), []string{"critical web a n1 passing>critical: node n1 is not alive"}},
		{"its node comes back", is(Critical, on(dead)), is(Passing), []string{"passing web a n1 critical>passing: node n1 is alive"}},
		{"a check of its node", is(Passing), is(Warning, on(hostCheck)),
			[]string{"warning web a n1 passing>warning: check disk of node n1 is warning: 90 %"}},
		{"drained by order", is(Passing), is(Passing, drained("drained: new disk")), []string{"drained web a n1: new disk"}},
		{"drained for no reason", is(Passing), is(Passing, drained("drained")), []string{"drained web a n1"}},
		{"drained", is(Passing), is(Passing, drained("new disk")), []string{"drained web a n1: new disk"}},
		{"undrained", is(Passing, drained("new disk")), is(Passing), []string{"undrained web a n1: new disk"}},
		{"drained otherwise", is(Passing, drained("x")), is(Passing, drained("y")), []string{"drained web a n1: y"}},
		{"drained by its owner", is(Passing),
			is(Passing, drained("paused"), of(func(i *Instance) { i.Drain = "paused" })), []string{"drained web a n1: paused"}},
		{"drained by its owner, with a note", is(Passing),
			is(Passing, drained("paused"), of(func(i *Instance) {
				i.Drain, i.Extras = "paused", map[string]json.RawMessage{"docker": json.RawMessage(`{}`)}
			})), []string{"drained web a n1: paused"}},
		{"another port and tag", is(Passing),
			is(Passing, of(func(i *Instance) { i.Ports, i.Tags = []Port{{Number: 81}}, []string{"blue"} })),
			[]string{"changed web a n1: ports, tags"}},
		{"what has no name", is(Passing), is(Passing, of(func(i *Instance) { i.Source = "file" })),
			[]string{"changed web a n1: declaration"}},
		{"a check more", is(Passing), is(Passing, func(e *Endpoint) { e.Checks = e.Checks[:1] }), []string{"changed web a n1: checks"}},
		{"drained and sick at once", is(Passing), is(Critical, drained("x")),
			[]string{"drained web a n1: x", "critical web a n1 passing>critical: check c is critical"}},
		{"another service", is(Passing), is(Passing, of(func(i *Instance) { i.Service = "api" })),
			[]string{"deregistered web a n1 passing>: moved to service api", "registered api a n1 >passing"}},
		{"another spelling of its service", is(Passing), is(Passing, of(func(i *Instance) { i.Service = "WEB" })),
			[]string{"changed web a n1: declaration"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, toldAll(EndpointEvents(tt.before, tt.after, "ttl 30s ran out"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHostEvents(t *testing.T) {
	node := &Node{Name: "n1"}
	up := &Host{Node: node, Alive: true, Status: Passing}
	for _, tt := range []struct {
		name          string
		before, after *Host
		want          []string
	}{
		{"nothing", up, up, nil},
		{"unknown and dead", nil, &Host{Node: node}, nil},
		{"it comes", nil, up, []string{"node_up n1"}},
		{"it comes back", &Host{Node: node}, up, []string{"node_up n1"}},
		{"its session ends", up, &Host{Node: node}, []string{"node_down n1: its session has ended"}},
		{"it is removed", up, &Host{}, []string{"node_down n1: it was removed"}},
		{"it moves", up, &Host{Node: &Node{Name: "n1", ID: "x"}, Alive: true, Status: Passing}, []string{"changed n1"}},
		{"a check fails", up, &Host{Node: node, Alive: true, Status: Critical, Checks: []*Check{{ID: "disk", Status: Critical}}},
			[]string{"critical n1 passing>critical: check disk is critical"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, toldAll(HostEvents("n1", tt.before, tt.after, ""))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReasonsAreShort(t *testing.T) {
	c := Check{ID: "c", Status: Critical, Output: strings.Repeat("é", 400)}
	if said := c.said(""); len(said) > maxSaid+60 || !strings.HasSuffix(said, "é…") {
		t.Errorf("said %q", said)
	}
}

// eventsFrom returns the View's events from a position on.
func eventsFrom(v *View, position uint64) (lines []string, next uint64) {
	list, next := v.Events(position)
	for e := range list {
		lines = append(lines, fmt.Sprint(e.Revision, " ", told(e)))
	}
	return lines, next
}

func TestEventsOfTheView(t *testing.T) {
	v := loaded(put("n1", "a", "web"))
	if lines, next := eventsFrom(v, 0); len(lines) != 0 || next != 0 {
		t.Errorf("the first load is %v (next %d), want no events", lines, next)
	}
	before := time.Now()
	v.Apply(11, []Change{put("n1", "c", "web"), put("n1", "b", "api")})
	v.Apply(12, []Change{check("n1", "k", "a", Passing)}) // new checks are a change
	v.Apply(13, []Change{put("n1", "a", "web"), check("n1", "k", "a", Passing)})
	v.Apply(14, []Change{session("n1", "")})
	lines, next := eventsFrom(v, 0)
	want := []string{
		"11 registered api b n1 >passing", "11 registered web c n1 >passing",
		"12 changed web a n1: checks",
		"14 node_down n1: its session has ended",
		"14 critical api b n1 passing>critical: node n1 is not alive",
		"14 critical web a n1 passing>critical: node n1 is not alive",
		"14 critical web c n1 passing>critical: node n1 is not alive",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	list, _ := v.Events(0)
	for e := range list {
		if e.Time.Before(before.Truncate(0)) || e.Time.After(time.Now()) {
			t.Errorf("event at %v", e.Time)
		}
	}
	if lines, again := eventsFrom(v, next); len(lines) != 0 || again != next || v.EventPosition() != next {
		t.Errorf("after the last: %v, next %d", lines, again)
	}
	position, ok := v.EventPositionAfter(12)
	if lines, _ = eventsFrom(v, position); !ok || len(lines) != 4 || lines[0] != want[3] {
		t.Errorf("after revision 12 (%v): %v", ok, lines)
	}
	for _, revision := range []uint64{9, 15} {
		if _, ok := v.EventPositionAfter(revision); ok {
			t.Errorf("all is known since revision %d, want not", revision)
		}
	}
}

func TestForgottenEventsAreCounted(t *testing.T) {
	v := loaded(put("n1", "a", "web"))
	for n := range recentSize + 5 {
		v.Apply(uint64(11+n), []Change{put("n1", "a", "web", func(i *Instance) { i.Weight = int32(n + 2) })})
	}
	lines, next := eventsFrom(v, 2)
	if want := []string{"15 gap missing 3", "16 changed web a n1: weight"}; len(lines) != 1+recentSize || !slices.Equal(lines[:2], want) {
		t.Errorf("%d events, the first are %v; want %v", len(lines), lines[:2], want)
	}
	if next != recentSize+5 {
		t.Errorf("next is %d", next)
	}
	if _, ok := v.EventPositionAfter(15); !ok {
		t.Error("revision 15 was forgotten, but the View claims to know everything after it")
	}
	if _, ok := v.EventPositionAfter(14); ok {
		t.Error("the changes after revision 14 are unknown")
	}
}

func TestARestoredStoreBreaksTheEvents(t *testing.T) {
	v := loaded(put("n1", "a", "web"))
	v.Apply(20, []Change{put("n1", "b", "web")})
	_, next := eventsFrom(v, 0)
	v.Load(15, []Change{putNode("n1"), session("n1", "s1")})
	v.Apply(16, []Change{put("n1", "c", "web")})
	lines, _ := eventsFrom(v, next)
	want := []string{"15 gap: the store was restored to an older state", "16 registered web c n1 >passing"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	v.Load(30, []Change{putNode("n1"), session("n1", "s1"), put("n1", "d", "web")}) // after a compaction
	lines, _ = eventsFrom(v, next+2)                                                // behind the gap and c
	if want = []string{"30 deregistered web c n1 passing>", "30 registered web d n1 >passing"}; !slices.Equal(lines, want) {
		t.Errorf("another load: %v, want %v", lines, want)
	}
}

func TestConcerns(t *testing.T) {
	e := Event{Type: EventPassing, Service: "web", Instance: "web-1", Node: "n1"}
	for name, want := range map[string]bool{"WEB": true, "web-1": true, "WEB-1": false, "N1": true, "api": false} {
		if e.Concerns(name) != want {
			t.Errorf("concerns %s: %v", name, !want)
		}
	}
	if !(&Event{Type: EventGap}).Concerns("web") {
		t.Error("a gap must concern every name")
	}
}

// TestAuthorOfADeclaredInstance holds that an instance which is declared with its node is that of the client that declared the
// node, also if its record is of a version that stored an author in each, and that a change of the author is an event.
func TestAuthorOfADeclaredInstance(t *testing.T) {
	endpoint := func(stored, node string, weight int32) *Endpoint {
		i := &Instance{ID: "web-1", Node: "n1", Service: "web", Weight: weight, Owner: Owner{Kind: OwnerSession}}
		if stored != "" {
			i.Origin = &Origin{Registrant: stored}
		}
		return &Endpoint{Instance: i, Host: &Host{Node: &Node{Name: "n1", Origin: &Origin{Registrant: node}}}}
	}
	if got := endpoint("first", "second", 1).Author(); got.Registrant != "second" {
		t.Errorf("author %+v", got)
	}
	told := func(before, after *Endpoint) bool {
		isReplaced := func(e Event) bool { return e.Type == EventReplaced }
		return slices.ContainsFunc(EndpointEvents(before, after, ""), isReplaced)
	}
	if !told(endpoint("", "first", 1), endpoint("", "second", 2)) {
		t.Error("another client's declaration is no event")
	}
	if told(endpoint("first", "first", 1), endpoint("", "first", 2)) {
		t.Error("a change by the same client counts as one of its owner")
	}
}
