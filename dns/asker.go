package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// asker is the sender of a message.
type asker struct {
	ip netip.Addr
	// scope is what it can reach.
	scope *catalog.Scope
}

func (s *Server) askerAt(ip netip.Addr) asker {
	return asker{ip: ip, scope: s.view.ScopeOf(s.node, ip)}
}

// kindOf returns the kind of asker by whom answers are kept. Where the asker is only counts if it asks for what is near.
func (s *Server) kindOf(a asker, nearest bool) kind {
	k := kind{scope: a.scope, nearest: nearest}
	if nearest {
		k.at = s.view.PlaceOf(s.node, a.ip)
	}
	return k
}

// kind is all that an answer depends on beside the name and the type: askers of one kind get the same one.
type kind struct {
	scope *catalog.Scope
	// nearest tells that the asker wants what is near to at.
	nearest bool
	at      catalog.Locality
}

// hasNeighbours tells whether bare names mean something to an asker: it is on networks, and is not the host.
func hasNeighbours(asker *catalog.Scope) bool {
	return !asker.Host && !asker.Everything && len(asker.Networks) > 0
}

// tierOf returns how near an instance is, where that was asked for.
func (k *kind) tierOf(e *catalog.Endpoint) catalog.Tier {
	if !k.nearest {
		return 0
	}
	return k.at.TierOf(e.Place())
}

// priorityOf returns the priority of an instance's SRV records: by how near it is, 0, 1 and 2.
func (k *kind) priorityOf(e *catalog.Endpoint) uint8 {
	if !k.nearest {
		return srvPriority
	}
	return uint8(k.tierOf(e))
}

// resolveNeighbour answers an asker on a network for what Docker's own name server would: the names of containers there,
// bare or followed by the network's, and beyond that the bare names of services. It returns false for names that are
// somebody else's.
func (s *Server) resolveNeighbour(req *request) (plan, bool) {
	if !hasNeighbours(req.asker.scope) || len(req.labels) == 0 {
		return plan{}, false
	}
	bare := len(req.labels) == 1
	if !s.view.Ready() {
		// Whose a longer name is cannot be told yet. Most are not ours.
		return plan{rcode: dns.RcodeServerFailure, extended: dns.ExtendedErrorCodeNotReady}, bare
	}
	if found := s.neighbours(strings.Join(req.labels, "."), req.asker.scope); len(found) > 0 {
		return plan{zone: s.bare, set: neighbourSets(found).find(req.qtype)}, true
	}
	if !bare {
		return plan{}, false
	}
	if service := s.view.Service(req.labels[0]); service != nil && len(service.Endpoints) > 0 {
		return s.bareService(s.resolveService(name{service: req.labels[0]}, req)), true
	}
	if !ofNeighbour(req.qtype) {
		return plan{}, false
	}
	return plan{zone: s.bare, rcode: dns.RcodeNameError}, true
}

// bareService has SRV targets stand below the first domain.
func (s *Server) bareService(a plan) plan {
	a.zone = s.zones[0]
	if a.set == nil {
		a.zone = s.bare
	}
	return a
}

// ofNeighbour tells whether a type is one that is asked of a host. Questions of another type about a name of one label
// are about a top-level domain, and a resolver that validates needs their answers.
func ofNeighbour(qtype uint16) bool {
	switch qtype {
	case dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeRRSIG:
		return false
	default:
		return true
	}
}

// neighbour is a container with its addresses under a name, on a network that the asker shares.
type neighbour struct {
	endpoint  *catalog.Endpoint
	addresses []catalog.Address
}

// neighbours returns the containers that an asker finds under a name: as it is on any of its networks, and, where the
// name ends in a network's, without that on that network. The healthy ones count; if there is none, those that are not
// told to stop, for a container must find itself and what it is to wait for while it starts.
func (s *Server) neighbours(name string, asker *catalog.Scope) (found []neighbour) {
	for _, id := range asker.Networks {
		found = s.appendNeighbours(found, id, name)
		network, ok := s.view.Network(id)
		if front, cut := strings.CutSuffix(name, "."+strings.ToLower(network.Name)); ok && cut {
			found = s.appendNeighbours(found, id, front)
		}
	}
	healthy := slices.ContainsFunc(found, func(n neighbour) bool { return n.endpoint.Healthy() })
	if healthy {
		return slices.DeleteFunc(found, func(n neighbour) bool { return !n.endpoint.Healthy() })
	}
	for i, n := range found {
		if n.endpoint.Drained != "" {
			found[i].addresses = nil // the name is there, but nobody is to come
		}
	}
	return found
}

func (s *Server) appendNeighbours(found []neighbour, network, name string) []neighbour {
	for e := range s.view.ByName(network, name) {
		if slices.ContainsFunc(found, func(n neighbour) bool { return n.endpoint == e }) {
			continue // by its first network
		}
		n := neighbour{endpoint: e}
		for _, a := range e.Instance.Addresses {
			if networkOf(a) == network && hasName(a, name) {
				n.addresses = append(n.addresses, a)
			}
		}
		found = append(found, n)
	}
	return found
}

// networkOf identifies an address's network as the scopes of askers do.
func networkOf(a catalog.Address) string { return cmp.Or(a.NetworkID, a.Network) }

func hasName(a catalog.Address, name string) bool {
	return slices.ContainsFunc(a.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

func neighbourSets(found []neighbour) *addressSets {
	var b addressBuilder
	for _, n := range found {
		b.add(reachOf(n.addresses), weightOf(n.endpoint))
	}
	sets := b.build()
	return &sets
}

// neighbourPointers returns the names of the containers that have an address on a network of the asker, as "name.network".
func (s *Server) neighbourPointers(ip netip.Addr, asker *catalog.Scope) *recordSet {
	if !hasNeighbours(asker) {
		return nil
	}
	var b setBuilder
	for _, e := range s.view.At(s.node, ip, maxPointers) {
		for _, a := range e.Instance.Addresses {
			if a.IP.Unmap() != ip || len(a.Names) == 0 || !asker.On(networkOf(a)) {
				continue
			}
			if wire, err := wireName(strings.ToLower(a.Names[0] + "." + a.Network)); err == nil {
				b.add(record{rdata: wire, weight: 1})
			}
		}
	}
	return newRecordSet(dns.TypePTR, b.records)
}
