package catalog

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Equal reports whether two instances are the same in every field but their origin.
func (i *Instance) Equal(j *Instance) bool {
	return i.ID == j.ID && i.Node == j.Node && i.Service == j.Service && i.Weight == j.Weight && i.MinHealthy == j.MinHealthy &&
		i.DNSLimit == j.DNSLimit && i.Locality == j.Locality && i.Source == j.Source && i.Owner == j.Owner && i.Drain == j.Drain &&
		slices.EqualFunc(i.Ports, j.Ports, Port.Equal) && slices.EqualFunc(i.Addresses, j.Addresses, Address.Equal) &&
		slices.Equal(i.Tags, j.Tags) &&
		maps.Equal(i.Meta, j.Meta) &&
		maps.EqualFunc(i.Extras, j.Extras, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

// Equal reports whether two nodes are the same in every field but their origin.
func (n *Node) Equal(m *Node) bool {
	return n.Name == m.Name && n.ID == m.ID && n.Locality == m.Locality && n.Owner == m.Owner &&
		n.PurgeAfter == m.PurgeAfter && n.RunsChecks == m.RunsChecks &&
		slices.EqualFunc(n.Addresses, m.Addresses, Address.Equal) && maps.Equal(n.Meta, m.Meta)
}

// Equal reports whether two definitions run the same check.
func (d *Definition) Equal(e *Definition) bool {
	return d.Type == e.Type && d.HTTP == e.HTTP && d.Method == e.Method && d.Body == e.Body &&
		d.DisableRedirects == e.DisableRedirects && d.TLSServerName == e.TLSServerName && d.TLSSkipVerify == e.TLSSkipVerify &&
		d.TCP == e.TCP && d.TCPUseTLS == e.TCPUseTLS && d.TTL == e.TTL &&
		d.Interval == e.Interval && d.Timeout == e.Timeout && d.SuccessBeforePassing == e.SuccessBeforePassing &&
		d.FailuresBeforeWarning == e.FailuresBeforeWarning && d.FailuresBeforeCritical == e.FailuresBeforeCritical &&
		d.InitialStatus == e.InitialStatus && slices.Equal(d.Args, e.Args) && d.Container == e.Container &&
		d.UDP == e.UDP && d.UDPPayload == e.UDPPayload && d.UDPReply == e.UDPReply &&
		d.GRPC == e.GRPC && d.GRPCUseTLS == e.GRPCUseTLS && d.H2Ping == e.H2Ping && d.H2PingPlain == e.H2PingPlain &&
		d.AliasService == e.AliasService && d.AliasNode == e.AliasNode &&
		d.FlapThreshold == e.FlapThreshold && d.DeregisterAfter == e.DeregisterAfter &&
		maps.EqualFunc(d.Header, e.Header, slices.Equal[[]string])
}

// probe returns the part of a definition that says what is probed and how. The rest sets the timetable and how results
// are judged.
func (d *Definition) probe() *Definition {
	p := *d
	p.TTL, p.Interval, p.Timeout, p.InitialStatus = 0, 0, 0, ""
	p.SuccessBeforePassing, p.FailuresBeforeWarning, p.FailuresBeforeCritical = 0, 0, 0
	p.FlapThreshold, p.DeregisterAfter = 0, 0
	return &p
}

// SameTarget reports whether two checks probe the same thing in the same way, so that the outcome of one is the other's.
func (c *Check) SameTarget(d *Check) bool {
	return c.Instance == d.Instance && c.probe().Equal(d.probe())
}

// SameDeclaration reports whether two checks are declared alike, whatever their outcomes.
func (c *Check) SameDeclaration(d *Check) bool {
	return c.ID == d.ID && strings.EqualFold(c.Node, d.Node) && c.Instance == d.Instance && c.Name == d.Name &&
		c.Definition.Equal(&d.Definition)
}

// looksLike reports whether watchers of an instance on the host see no difference.
func (h *Host) looksLike(g *Host) bool {
	if h.Alive != g.Alive || h.Status != g.Status || (h.Node == nil) != (g.Node == nil) {
		return false
	}
	if h.Node != nil && h.Node != g.Node && !h.Node.Equal(g.Node) {
		return false
	}
	return sameOutcomes(h.Checks, g.Checks)
}

// visible reports whether watchers of the service are woken by the change.
func (c endpointChange) visible() bool {
	if c.old == nil || c.new == nil {
		return true
	}
	return c.old.Status != c.new.Status || c.old.Drained != c.new.Drained ||
		c.old.Instance != c.new.Instance && !c.old.Instance.Equal(c.new.Instance) ||
		c.old.Host != c.new.Host && !c.old.Host.looksLike(c.new.Host) ||
		!sameOutcomes(c.old.Checks, c.new.Checks)
}

// listed reports whether the change shows in the list of services: in the tags or in the number of healthy instances.
func (c endpointChange) listed() bool {
	return c.old == nil || c.new == nil || c.old.Healthy() != c.new.Healthy() || !slices.Equal(c.old.Tags, c.new.Tags)
}

// sameOutcomes reports whether two lists hold the same checks with the same status; outputs and times do not count.
func sameOutcomes(a, b []*Check) bool {
	return slices.EqualFunc(a, b, func(c, d *Check) bool {
		return c == d || c.ID == d.ID && c.Name == d.Name && c.Status == d.Status
	})
}
