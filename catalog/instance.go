package catalog

import (
	"encoding/json"
	"net/netip"
	"slices"
)

// Instance is one running copy of a service.
type Instance struct {
	// ID is unique on its node.
	ID string `json:"id"`
	// Node is the name of the node that the instance runs on.
	Node string `json:"node"`
	// Service is the name under which the instance is found. Names compare without regard to letter case.
	Service string `json:"service"`
	// Ports are all of its ports; the first is the main one, for clients that name none.
	Ports []Port `json:"ports,omitempty"`
	// Addresses are all of its addresses in order of preference. Empty means the addresses of its node.
	Addresses []Address `json:"addresses,omitempty"`
	// Tags are in the order in which they were given.
	Tags []string `json:"tags,omitempty"`
	// Meta is free text by key.
	Meta map[string]string `json:"meta,omitempty"`
	// Weight is the share of traffic relative to other instances of the service; 0 means 1.
	Weight int32 `json:"weight,omitempty"`
	// MinHealthy is the service's floor in percent. While the healthy share of the instances that take traffic is below
	// it, clients get all of them, because a mass failure is more likely a failure of the checks. The largest floor
	// among the instances counts.
	MinHealthy int16 `json:"min_healthy,omitempty"`
	// DNSLimit is the most addresses, and the most SRV records, that an answer of DNS about the service may have; 0 means as many
	// as there are. The smallest limit among the instances counts.
	DNSLimit int16 `json:"dns_limit,omitempty"`
	// Locality is its place; empty means its node's place.
	Locality Locality `json:"locality,omitzero"`
	// Source is the origin of the registration: "docker", "file", "http", …
	Source string `json:"source"`
	// Owner keeps it alive.
	Owner Owner `json:"owner"`
	// Origin names the client that registered it; nil if it is declared with its node: see Endpoint.Author.
	Origin *Origin `json:"origin,omitempty"`
	// Drain is the reason why the instance takes no new traffic; empty while it does.
	Drain string `json:"drain,omitempty"`
	// Extras are data that a protocol must read back exactly as it wrote them, by the protocol's name.
	Extras map[string]json.RawMessage `json:"extras,omitempty"`
}

// Port is a port that an instance listens on.
type Port struct {
	// Name is the port's role, "http" say; it may be empty.
	Name string `json:"name,omitempty"`
	// Number is the port on the instance's own addresses.
	Number uint16 `json:"number"`
	// Protocol is "tcp", "udp" or "sctp"; empty means "tcp".
	Protocol string `json:"protocol,omitempty"`
	// Published is the port on those of the host's addresses that Bindings does not cover; 0 if it is not published there.
	Published uint16 `json:"published,omitempty"`
	// Bindings are pairs of an address of the host and the port there, if it is not the same on all of them. An unspecified
	// address stands for all addresses of its family that no other binding names.
	Bindings []netip.AddrPort `json:"bindings,omitempty"`
}

// Equal reports whether two ports are the same in every field.
func (p Port) Equal(q Port) bool {
	return p.Name == q.Name && p.Number == q.Number && p.Protocol == q.Protocol && p.Published == q.Published &&
		slices.Equal(p.Bindings, q.Bindings)
}

// Transport returns the port's protocol, "tcp" if none was given.
func (p Port) Transport() string {
	if p.Protocol == "" {
		return "tcp"
	}
	return p.Protocol
}

// NetworkHost is the network name of an address of the host itself, where ports answer under their published number.
const NetworkHost = "host"

// Address is one address of an instance or a node, tagged with the network on which it can be reached.
type Address struct {
	// Network is the network's name, NetworkHost for an address of the host; it may be empty.
	Network string `json:"network,omitempty"`
	// NetworkID is the network's identity, because names can repeat.
	NetworkID string `json:"network_id,omitempty"`
	// IP is the address; the zero Addr if Host is set.
	IP netip.Addr `json:"ip,omitzero"`
	// Host is a host name, for instances that are known by name only.
	Host string `json:"host,omitempty"`
	// Routed reports that the address belongs to the network around the host, so that clients elsewhere reach it, too.
	Routed bool `json:"routed,omitempty"`
	// Names are the bare names under which others on the network find the address: those of the container, its aliases.
	Names []string `json:"names,omitempty"`
}

// Equal reports whether two addresses are the same in every field.
func (a Address) Equal(b Address) bool {
	return a.Network == b.Network && a.NetworkID == b.NetworkID && a.IP == b.IP && a.Host == b.Host && a.Routed == b.Routed &&
		slices.Equal(a.Names, b.Names)
}

// String returns the address as a client would write it.
func (a Address) String() string {
	if a.Host != "" {
		return a.Host
	}
	if !a.IP.IsValid() {
		return ""
	}
	return a.IP.String()
}

// Locality is the place of a node or an instance.
type Locality struct {
	Region string `json:"region,omitempty"`
	Zone   string `json:"zone,omitempty"`
}

// OwnerKind is the kind of thing that keeps a record alive.
type OwnerKind string

// The kinds of owner. A record of a session or a container belongs to its node's declared state (see NodeState); a
// record of a lease ends with the lease; a permanent record ends only when it is removed.
const (
	OwnerSession   OwnerKind = "session"
	OwnerContainer OwnerKind = "container"
	OwnerLease     OwnerKind = "lease"
	OwnerPermanent OwnerKind = "permanent"
)

// Owner keeps a record alive: once the owner is gone, the record is not passing anywhere.
type Owner struct {
	Kind OwnerKind `json:"kind"`
	// ID names the owner within its kind: a container's id, a lease's id.
	ID string `json:"id,omitempty"`
	// TTL is the lifetime of a lease or a session without a renewal.
	TTL Duration `json:"ttl,omitzero"`
}

// Declared reports whether records of this owner belong to their node's declared state, so that a sync of the node adds
// and removes them.
func (o Owner) Declared() bool {
	return o.Kind == OwnerSession || o.Kind == OwnerContainer
}

// Registration is an instance with its checks, as one provider declares it.
type Registration struct {
	Instance Instance `json:"instance"`
	Checks   []Check  `json:"checks,omitempty"`
}
