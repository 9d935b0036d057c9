package catalog

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Network is a network of this host that containers are attached to.
type Network struct {
	// ID and Name are the network's in the addresses of its instances. Short is the name by which those who made it know it,
	// which need not be unique: that in a Compose file. It may be empty.
	ID, Name, Short string
	// Interface is the name of the host's interface on it, "" if there is none.
	Interface string
	// Subnets are its address ranges.
	Subnets []netip.Prefix
	// Gateways are the host's own addresses on it. A network without one, such as an overlay or a macvlan, cannot be
	// reached from the host.
	Gateways []netip.Addr
	// Isolated reports that its members reach the host and are reached from it, but do not reach one another.
	Isolated bool
	// Internal reports that nothing beyond the host is reached from it.
	Internal bool
}

// Scope is the reach of a client. Scopes are interned: while the host's networks stay the same, the same client gets the
// same pointer, so that it may serve as the key of values derived for all clients with that scope. A Scope is immutable.
type Scope struct {
	// Networks are the IDs of the networks on which the client reaches others, sorted.
	Networks []string
	// Host reports that the client is the host itself.
	Host bool
	// Node is the name of the host's node if the client is the host, in lower case: only a host reaches its loopback
	// addresses.
	Node string
	// Everything reports that the client's networks are unknown, or that it wants to see all addresses.
	Everything bool
	// Confined reports that all networks of the client are internal ones. Unsure reports that this is not known: none of its
	// networks is known to lead outside, and one of them is not known at all.
	Confined, Unsure bool
	// Project is the Compose project or the Swarm stack that the client belongs to; empty if it belongs to none.
	Project string
}

// AllNetworks is the scope of a client that wants every address, whether it can be reached or not.
var AllNetworks = &Scope{Everything: true}

// On reports whether the client is on a network, given by its ID.
func (s *Scope) On(network string) bool {
	_, on := slices.BinarySearch(s.Networks, network)
	return on
}

// unsure is the scope of a client that may be a container on a network that is not known yet.
var unsure = &Scope{Everything: true, Unsure: true}

// networkKey identifies the network of an address: by its ID, or by its name if it has none.
func networkKey(a Address) string {
	if a.NetworkID != "" {
		return a.NetworkID
	}
	return a.Network
}

// networks are the networks of a View's host.
type networks struct {
	list []Network
	// isolated are the IDs of the networks on which only the host reaches the others.
	isolated map[string]bool
	// internal reports of each network, given by its ID, whether it is an internal one. A network that is not in it is not known.
	internal map[string]bool
	// gateways are the host's own addresses on all of them.
	gateways map[netip.Addr]struct{}
	// pending reports that the networks are not known yet.
	pending bool
	// host are the networks on which the host itself has an address: it reaches all of them. They are sorted.
	host []string

	// mu is held while interned is replaced; a map in it never changes.
	mu       sync.Mutex
	interned atomic.Pointer[map[string]*Scope]
}

// maxScopes bounds the interned scopes; past it new ones are not interned.
const maxScopes = 4096

func newNetworks(list []Network) *networks {
	n := &networks{
		list: list, isolated: make(map[string]bool), internal: make(map[string]bool), gateways: make(map[netip.Addr]struct{}),
	}
	n.interned.Store(new(map[string]*Scope))
	for _, network := range list {
		n.isolated[network.ID], n.internal[network.ID] = network.Isolated, network.Internal
		for _, ip := range network.Gateways {
			n.gateways[ip] = struct{}{}
		}
		if len(network.Gateways) > 0 {
			n.host = append(n.host, network.ID)
		}
	}
	slices.Sort(n.host)
	return n
}

// bounds reports whether nothing beyond the host is reached from any of some networks, given by their IDs, or whether this is not
// known.
func (n *networks) bounds(ids []string) (confined, unsure bool) {
	for _, id := range ids {
		internal, known := n.internal[id]
		if known && !internal {
			return false, false
		}
		unsure = unsure || !known
	}
	return len(ids) > 0 && !unsure, unsure
}

// foreign reports whether an address is on a network that is no engine's: it has a name only, which none of this host's networks
// has, and no internal network of this host holds it.
func (n *networks) foreign(a Address) bool {
	return a.Network != "" && a.Network != NetworkHost && a.NetworkID == "" && !slices.ContainsFunc(n.list, func(network Network) bool {
		return strings.EqualFold(network.Name, a.Network) || network.Internal && network.holds(a.IP.Unmap(), "")
	})
}

// scopeOf returns the interned scope for the addresses of a container and its project. It uses the room of ids.
func (n *networks) scopeOf(ids []string, addresses []Address, project string) *Scope {
	ids = appendNetworkKeys(ids[:0], addresses)
	confined, unsure := n.bounds(ids)
	if unsure && slices.ContainsFunc(addresses, n.foreign) {
		unsure = false
	}
	return n.scope(ids, project, confined, unsure)
}

// scope returns the interned scope for a set of networks and a project. It sorts ids, and allocates only for a new set.
func (n *networks) scope(ids []string, project string, confined, unsure bool) *Scope {
	ids = slices.DeleteFunc(ids, func(id string) bool { return n.isolated[id] })
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var room [512]byte
	key := room[:0]
	for _, id := range ids {
		key = append(append(key, id...), 0)
	}
	switch { // no network's ID begins with these
	case confined:
		key = append(key, 1)
	case unsure:
		key = append(key, 4)
	}
	key = append(append(key, 3), project...)
	if scope := n.known(key); scope != nil {
		return scope
	}
	return n.intern(key, &Scope{Networks: slices.Clone(ids), Confined: confined, Unsure: unsure, Project: project})
}

// hostScope returns the interned scope of the host itself, given its node.
func (n *networks) hostScope(node string) *Scope {
	node = fold(node)
	var room [512]byte
	key := append(append(room[:0], 2), node...) // no network's ID begins with 2
	if scope := n.known(key); scope != nil {
		return scope
	}
	return n.intern(key, &Scope{Networks: n.host, Host: true, Node: node})
}

// known returns the scope interned under a key, nil if there is none.
func (n *networks) known(key []byte) *Scope {
	return (*n.interned.Load())[string(key)]
}

// intern keeps a scope under a key, and returns the one that is kept there.
func (n *networks) intern(key []byte, scope *Scope) *Scope {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := *n.interned.Load()
	if first, ok := before[string(key)]; ok {
		return first
	}
	if len(before) >= maxScopes {
		return scope
	}
	after := make(map[string]*Scope, len(before)+1)
	maps.Copy(after, before)
	after[string(key)] = scope
	n.interned.Store(&after)
	return scope
}

// SetNetworks sets the networks of the View's host. It may be called at any time.
func (v *View) SetNetworks(list []Network) { v.networks.Store(newNetworks(slices.Clone(list))) }

// AwaitNetworks says that SetNetworks will be called. Until then a client that is not the host may be on any network.
func (v *View) AwaitNetworks() {
	n := newNetworks(nil)
	n.pending = true
	v.networks.Store(n)
}

// Interfaces are the interfaces of this host: its addresses, and the names of the interfaces by their index, as text.
type Interfaces struct {
	Addresses []netip.Addr
	Names     map[string]string
}

// interfaces are Interfaces as they are looked up for each query.
type interfaces struct {
	addresses map[netip.Addr]struct{}
	names     map[string]string
}

// SetInterfaces sets the interfaces of the View's host. It may be called at any time; the value must not change afterwards. Nil
// leaves them as they were.
func (v *View) SetInterfaces(i *Interfaces) {
	if i == nil { // they could not be read
		return
	}
	next := &interfaces{addresses: make(map[netip.Addr]struct{}, len(i.Addresses)), names: i.Names}
	for _, ip := range i.Addresses {
		next.addresses[ip] = struct{}{}
	}
	v.interfaces.Store(next)
}

// has reports whether an address is one of the host's.
func (i *interfaces) has(ip netip.Addr) bool {
	if i == nil {
		return false
	}
	_, has := i.addresses[ip]
	return has
}

// name returns the name of an interface, given by the zone of an address: its name or its index.
func (i *interfaces) name(zone string) string {
	if i != nil && i.names[zone] != "" {
		return i.names[zone]
	}
	return zone
}

// HostScope returns the scope of the host itself, given its node.
func (v *View) HostScope(node string) *Scope {
	n := v.networks.Load()
	if len(n.list) == 0 {
		return AllNetworks // no networks are known: nothing can be ruled out
	}
	return n.hostScope(node)
}

// ScopeOf returns the scope of a client, going by its source address as seen on the given node: that of the host
// itself, of a container on it, or of another client on one of its networks. A container counts as on all of its
// networks. A container that is not known counts as on the network whose subnet holds its address.
func (v *View) ScopeOf(node string, ip netip.Addr) *Scope {
	zone := ip.Zone()
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return v.HostScope(node)
	}
	n, own := v.networks.Load(), v.interfaces.Load()
	on, _ := v.nodes.get(fold(node))
	isHost := n.isGateway(ip) || on.hasAddress(ip) || own.has(ip)
	switch {
	case len(n.list) == 0 && !isHost && (n.pending || v.residentAt(ip) != nil): // an engine has containers, and does not list their networks
		return unsure
	case len(n.list) == 0:
		return AllNetworks
	case isHost:
		return n.hostScope(node)
	}
	var room [8]string
	ids := room[:0]
	if r := v.residentAt(ip); r != nil { // before the catalog, which hears of a change later
		return n.scopeOf(ids, r.Addresses, r.Project)
	}
	if e := v.containerAt(on, ip); e != nil {
		return n.scopeOf(ids, e.Instance.Addresses, e.Project())
	}
	for _, network := range n.list {
		if network.holds(ip, own.name(zone)) {
			ids = append(ids, network.ID)
		}
	}
	confined, unsure := n.bounds(ids)
	return n.scope(ids, "", confined, unsure)
}

// holds reports whether an address belongs to the network. A link-local one belongs to that of its zone's interface.
func (n *Network) holds(ip netip.Addr, zone string) bool {
	if ip.IsLinkLocalUnicast() && zone != "" {
		return n.Interface == zone
	}
	return slices.ContainsFunc(n.Subnets, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// appendNetworkKeys appends the networks of a container's addresses.
func appendNetworkKeys(ids []string, addresses []Address) []string {
	for _, a := range addresses {
		if a.Network != "" && a.Network != NetworkHost {
			ids = append(ids, networkKey(a))
		}
	}
	return ids
}

// isGateway reports whether an address is the host's own on one of the networks.
func (n *networks) isGateway(ip netip.Addr) bool {
	_, is := n.gateways[ip]
	return is
}

// hasAddress reports whether an address is one of the node's own. An unknown node has none.
func (n *nodeState) hasAddress(ip netip.Addr) bool {
	if n == nil {
		return false
	}
	node := n.snapshot.Load().Node
	return node != nil && slices.ContainsFunc(node.Addresses, func(a Address) bool { return a.IP.Unmap() == ip })
}

// containerAt returns the instance on a node that has an address of its own there; several hosts may use the same
// addresses.
func (v *View) containerAt(node *nodeState, ip netip.Addr) (found *Endpoint) {
	v.containersAt(node, ip, func(e *Endpoint) bool {
		found = e
		return false
	})
	return found
}

// containersAt visits the instances on a node that have an address on a network of containers, until visit returns
// false. An unknown node has none.
func (v *View) containersAt(node *nodeState, ip netip.Addr, visit func(*Endpoint) (goOn bool)) {
	if node == nil {
		return
	}
	own := func(a Address) bool { return a.IP.Unmap() == ip && a.Network != "" && a.Network != NetworkHost }
	seek := func(i *instanceState) int { return cmp.Compare(i.number, node.number) }
	v.byIP.from(ip.As16(), seek, func(i *instanceState) bool {
		if i.number != node.number {
			return false
		}
		e := i.endpoint.Load()
		return i.node != node || e == nil || !slices.ContainsFunc(e.Instance.Addresses, own) || visit(e)
	})
}

// At returns the instances that have an address, as seen on a node: the containers there, if any has it, because other
// hosts may give the same address to theirs; or else those on all nodes, at most limit of them. A loopback address is that
// of the given node alone.
func (v *View) At(node string, ip netip.Addr, limit int) (list []*Endpoint) {
	ip = ip.Unmap().WithZone("")
	on, _ := v.nodes.get(fold(node))
	v.containersAt(on, ip, func(e *Endpoint) bool {
		list = append(list, e)
		return len(list) < limit
	})
	if len(list) > 0 {
		return list
	}
	for e := range v.ByIP(ip) {
		if ip.IsLoopback() && fold(e.Instance.Node) != fold(node) {
			continue // each host has that address
		}
		if list = append(list, e); len(list) == limit {
			break
		}
	}
	return list
}

// NodesAt returns the nodes that have an address, by name and at most limit of them. A loopback address is that of the
// given node alone.
func (v *View) NodesAt(node string, ip netip.Addr, limit int) (list []*NodeSnapshot) {
	ip = ip.Unmap()
	if ip.IsLoopback() {
		if on, _ := v.nodes.get(fold(node)); on.hasAddress(ip) {
			list = append(list, on.snapshot.Load())
		}
		return list
	}
	for state := range v.nodesByIP.all(ip.As16()) {
		if s := state.snapshot.Load(); s.Node != nil {
			list = append(list, s)
		}
		if len(list) == limit {
			break
		}
	}
	return list
}

// nameOn is a bare name on a network, nameIn one in a project.
type (
	nameOn struct{ network, name string }
	nameIn struct{ project, name string }
)

// ByName yields the instances that have a bare name on a network, given by its ID, those of one node together.
func (v *View) ByName(network, name string) iter.Seq[*Endpoint] {
	return endpointsOf(v.byName.all(nameOn{network, fold(name)}))
}

// Network returns the network of this host with a name or an ID, or else a short name; false if there is none.
func (v *View) Network(name string) (Network, bool) {
	list := v.networks.Load().list
	i := slices.IndexFunc(list, func(n Network) bool { return n.ID == name || strings.EqualFold(n.Name, name) })
	if i < 0 {
		i = slices.IndexFunc(list, func(n Network) bool { return name != "" && strings.EqualFold(n.Short, name) })
	}
	if i < 0 {
		return Network{}, false
	}
	return list[i], true
}
