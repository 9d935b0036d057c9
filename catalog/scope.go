package catalog

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Network is a network of this host that containers are attached to.
type Network struct {
	// ID and Name are those that the addresses of instances on it carry.
	ID, Name string
	// Subnets are its address ranges.
	Subnets []netip.Prefix
	// Gateways are the host's own addresses on it. A network without one, an overlay or a macvlan, cannot be reached
	// from the host.
	Gateways []netip.Addr
}

// Scope is what an asker can reach. Scopes are interned: as long as the host's networks stay, the same asker gets the
// same pointer, so that it may serve as the key of what is derived for its kind of asker. A Scope is immutable.
type Scope struct {
	// Networks are the IDs of the networks that the asker is on, sorted.
	Networks []string
	// Everything says that nothing is known of the asker's networks, or that it wants to see all addresses.
	Everything bool
}

// AllNetworks is the scope of who wants every address, whether it can be reached or not.
var AllNetworks = &Scope{Everything: true}

// Reach returns the addresses of an endpoint that an asker can reach: those on a network that it is on, in the order of
// the instance's preference, then those that anybody can reach, then the host's, where its ports are published. It is
// nil if there is none.
func (s *Scope) Reach(e *Endpoint) []Address {
	all := e.Reach()
	if s.Everything || !slices.ContainsFunc(all, s.beyond) {
		return all
	}
	var reached []Address
	for _, a := range all {
		if !s.beyond(a) {
			reached = append(reached, a)
		}
	}
	return reached
}

// beyond tells whether an address is on a network that the asker is not on.
func (s *Scope) beyond(a Address) bool {
	if a.Network == "" || a.Network == NetworkHost {
		return false
	}
	_, on := slices.BinarySearch(s.Networks, networkKey(a))
	return !on
}

// networkKey identifies the network of an address: by its ID, or its name where it has none.
func networkKey(a Address) string {
	if a.NetworkID != "" {
		return a.NetworkID
	}
	return a.Network
}

// networks is what a View knows of the networks of its host.
type networks struct {
	list []Network
	// host is the scope of the host itself: it reaches all networks on which it has an address.
	host *Scope
	// outside is the scope of an asker on no known network.
	outside *Scope

	mu       sync.RWMutex
	interned map[string]*Scope
}

// maxScopes bounds how many kinds of asker are told apart at a time; past it they are not interned any more.
const maxScopes = 4096

func newNetworks(list []Network) *networks {
	n := &networks{list: list, interned: make(map[string]*Scope)}
	var own []string
	for _, network := range list {
		if len(network.Gateways) > 0 {
			own = append(own, network.ID)
		}
	}
	n.outside = n.scope(nil)
	n.host = n.scope(own)
	return n
}

// scope returns the one scope of a set of networks.
func (n *networks) scope(ids []string) *Scope {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	key := strings.Join(ids, "\x00")
	n.mu.RLock()
	scope, ok := n.interned[key]
	n.mu.RUnlock()
	if ok {
		return scope
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if scope, ok := n.interned[key]; ok {
		return scope
	}
	scope = &Scope{Networks: ids}
	if len(n.interned) < maxScopes {
		n.interned[key] = scope
	}
	return scope
}

// SetNetworks tells the View of the networks of its host. It may be called at any time.
func (v *View) SetNetworks(list []Network) { v.networks.Store(newNetworks(slices.Clone(list))) }

// HostScope is the scope of the host itself.
func (v *View) HostScope() *Scope {
	n := v.networks.Load()
	if len(n.list) == 0 {
		return AllNetworks // nobody has told of any network: nothing can be ruled out
	}
	return n.host
}

// ScopeOf returns what an asker can reach, going by its source address as seen on the given node: that of the host
// itself, of a container on it, or of anybody else on one of its networks. A container counts as on all of its networks,
// one that is not registered yet as on the network that its address is of.
func (v *View) ScopeOf(node string, ip netip.Addr) *Scope {
	ip = ip.Unmap()
	if ip.IsLoopback() {
		return v.HostScope()
	}
	n := v.networks.Load()
	if len(n.list) == 0 {
		return AllNetworks
	}
	if v.isHost(n, node, ip) {
		return n.host
	}
	if e := v.containerAt(node, ip); e != nil {
		return n.scope(networkKeys(e))
	}
	var ids []string
	for _, network := range n.list {
		if slices.ContainsFunc(network.Subnets, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			ids = append(ids, network.ID)
		}
	}
	return n.scope(ids)
}

// networkKeys returns the networks that an instance is on itself.
func networkKeys(e *Endpoint) (ids []string) {
	for _, a := range e.Instance.Addresses {
		if a.Network != "" && a.Network != NetworkHost {
			ids = append(ids, networkKey(a))
		}
	}
	return ids
}

// isHost tells whether an address is one of the node's own.
func (v *View) isHost(n *networks, node string, ip netip.Addr) bool {
	for _, network := range n.list {
		if slices.Contains(network.Gateways, ip) {
			return true
		}
	}
	snapshot := v.Node(node)
	return snapshot != nil && snapshot.Node != nil &&
		slices.ContainsFunc(snapshot.Node.Addresses, func(a Address) bool { return a.IP.Unmap() == ip })
}

// containerAt returns the instance on a node that has an address of its own there; several hosts may use the same ones.
func (v *View) containerAt(node string, ip netip.Addr) *Endpoint {
	own := func(a Address) bool { return a.IP.Unmap() == ip && a.Network != "" && a.Network != NetworkHost }
	for _, e := range v.ByIP(ip) {
		if fold(e.Instance.Node) == fold(node) && slices.ContainsFunc(e.Instance.Addresses, own) {
			return e
		}
	}
	return nil
}

// nameOn is a bare name on a network.
type nameOn struct{ network, name string }

// ByName returns the instances that have a bare name on a network, given by its ID, in no order.
func (v *View) ByName(network, name string) []*Endpoint {
	endpoints, _ := v.byName.get(nameOn{network, fold(name)})
	return endpoints
}

// Network returns the network of this host with a name or an ID; false if there is none.
func (v *View) Network(name string) (Network, bool) {
	list := v.networks.Load().list
	i := slices.IndexFunc(list, func(n Network) bool { return n.ID == name || strings.EqualFold(n.Name, name) })
	if i < 0 {
		return Network{}, false
	}
	return list[i], true
}
