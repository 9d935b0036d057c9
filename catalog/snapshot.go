package catalog

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// Endpoint is an instance with all that the catalog knows of it at one revision. It is immutable.
type Endpoint struct {
	*Instance
	// Host is the node that it runs on; its Node is nil if only the instance's record exists.
	Host *Host
	// Checks are the instance's own checks, by ID.
	Checks []*Check
	// Status is the worst of its own checks, its node's checks, and critical if its node is not alive.
	Status Status
	// Drained is the reason why the instance takes no new traffic: its owner's, or that of an order; empty while it does.
	Drained string
	// CreateRevision and ModRevision are those of the instance's record.
	CreateRevision, ModRevision uint64
}

// Healthy reports whether the instance is given to clients: it is not critical and takes traffic.
func (e *Endpoint) Healthy() bool { return e.Status != Critical && e.Drained == "" }

// Reach returns the addresses at which the endpoint is reached: its own, or its node's if it has none; and behind them
// those that only the bindings of its ports name.
func (e *Endpoint) Reach() []Address {
	addresses := e.Instance.Addresses
	if len(addresses) == 0 && e.Host != nil && e.Host.Node != nil {
		addresses = e.Host.Node.Addresses
	}
	for _, p := range e.Ports {
		for _, b := range p.Bindings {
			addresses = withBound(addresses, b.Addr())
		}
	}
	return addresses
}

// withBound returns addresses with one of the host's that a port is bound to. The list given stays as it is.
func withBound(addresses []Address, ip netip.Addr) []Address {
	known := func(a Address) bool { return a.Network == NetworkHost && a.IP.Unmap() == ip.Unmap() }
	if ip.IsUnspecified() || slices.ContainsFunc(addresses, known) {
		return addresses
	}
	return append(slices.Clip(addresses), Address{Network: NetworkHost, IP: ip.Unmap()})
}

// WhyNot returns the reason why the endpoint is not given to clients; it is empty if it is.
func (e *Endpoint) WhyNot() string {
	if e.Drained != "" {
		return "draining: " + e.Drained
	}
	if e.Status != Critical {
		return ""
	}
	if !e.Host.Alive {
		return "node " + e.Instance.Node + " is not alive"
	}
	for _, c := range e.Host.Checks {
		if c.Status == Critical {
			return "check " + c.ID + " of node " + e.Instance.Node + " is critical"
		}
	}
	for _, c := range e.Checks {
		if c.Status.Worse(Warning) == Critical || !c.Status.Valid() {
			return "check " + c.ID + " is critical"
		}
	}
	return ""
}

// Host is a node with all that the catalog knows of it, without its instances. It is immutable.
type Host struct {
	// Node is nil for a node that is known only by the records that stand on it.
	Node *Node
	// Session is the id of the session that keeps the node alive; empty if there is none.
	Session string
	// Alive reports whether the node's session lives, or the node needs none.
	Alive bool
	// Checks are the node's own checks, by ID.
	Checks []*Check
	// Status is the worst of the node's checks, and critical if it is not alive.
	Status Status
	// CreateRevision and ModRevision are those of the node's record.
	CreateRevision, ModRevision uint64
}

// Agentless reports whether no agent looks after the node, so that one of the living nodes runs its checks: it is permanent, or a
// client has declared it that runs no checks.
func (h *Host) Agentless() bool {
	n := h.Node
	return n != nil && (n.Owner.Kind == OwnerPermanent || n.Origin != nil && !n.RunsChecks)
}

// NodeSnapshot is a node and everything on it as they stood at one revision. It is immutable.
type NodeSnapshot struct {
	// Name is the node's name.
	Name string
	*Host
	// Index is the last revision at which anything of the node changed, outputs of checks included.
	Index uint64
	// Endpoints are the instances on the node.
	Endpoints EndpointList
	// places has the place of each check, whether its instance exists or not; nil for none.
	places *chunked[checkPlace]
}

// slots is the number of protocols that can hang derived values on a snapshot.
const slots = 8

// Service is a service as it stood at one revision. It is immutable, except for what protocols derive from it.
type Service struct {
	// Name is the service's name in lower case.
	Name string
	// Index is the last revision at which the service changed in a way that watchers see: its members, their
	// registration or their status. The output of a check never moves it.
	Index uint64
	// Endpoints are all of its instances, by node and ID.
	Endpoints []*Endpoint
	// Healthy are those of Endpoints that are given to clients, in the same order. Below the floor they are all that take
	// traffic.
	Healthy []*Endpoint
	// BelowFloor is set if fewer instances are healthy than the service's floor asks for.
	BelowFloor bool
	// DNSLimit is the smallest limit of its instances, healthy or not; 0 if none has one.
	DNSLimit int

	derived [slots]atomic.Pointer[any]
}

// Spelling returns the service's name in the letter case in which its first instance has it.
func (s *Service) Spelling() string {
	if len(s.Endpoints) == 0 {
		return s.Name
	}
	return s.Endpoints[0].Service
}

// Slot is a place on every Service for the values that one protocol derives from it; View.Slot hands them out.
type Slot int

// Derived returns the value that a protocol derived from the snapshot before, or makes it. The value dies with the
// snapshot, so it needs no expiry. Two callers at once may both make it; all get the same one.
func (s *Service) Derived(slot Slot, derive func(*Service) any) any {
	place := &s.derived[slot]
	if value := place.Load(); value != nil {
		return *value
	}
	value := derive(s)
	if !place.CompareAndSwap(nil, &value) {
		return *place.Load()
	}
	return value
}

// fold returns a name as it is compared: in lower case. It does not allocate if the name is in lower case already.
func fold(name string) string { return strings.ToLower(name) }
