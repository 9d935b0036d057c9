package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// client is the sender of a message.
type client struct {
	ip netip.Addr
	// scope is what the client can reach.
	scope *catalog.Scope
}

func (s *Server) clientAt(ip netip.Addr) client {
	return client{ip: ip, scope: s.view.ScopeOf(s.node, ip)}
}

// vantageOf returns the vantage under which a client's answers are kept. The client's place counts only if it asks for
// the nearest instances.
func (s *Server) vantageOf(c client, nearest bool) vantage {
	v := vantage{scope: c.scope, nearest: nearest}
	if nearest {
		v.at = s.view.PlaceOf(s.node, c.ip)
	}
	return v
}

// vantage is what an answer depends on besides the name and the type: what the client can reach and, if it asks for the
// nearest instances, where it is. One vantage, one answer.
type vantage struct {
	scope *catalog.Scope
	// nearest reports whether the client asks for the instances nearest to at.
	nearest bool
	at      catalog.Locality
}

// hasNeighbours reports whether bare names have a meaning for a client: it is on networks, and is not the host.
func hasNeighbours(scope *catalog.Scope) bool {
	return !scope.Host && !scope.Everything && len(scope.Networks) > 0
}

// tierOf returns the tier of an instance, or 0 if nearness was not asked for.
func (v *vantage) tierOf(e *catalog.Endpoint) catalog.Tier {
	if !v.nearest {
		return 0
	}
	return v.at.TierOf(e.Place())
}

// priorityOf returns the priority of an instance's SRV records: the tier of the instance, 0, 1 or 2, if nearness was
// asked for.
func (v *vantage) priorityOf(e *catalog.Endpoint) uint8 {
	if !v.nearest {
		return srvPriority
	}
	return uint8(v.tierOf(e))
}

// resolveNeighbour answers a client on a network for the names that Docker's own name server would answer: the names of
// containers there, bare or followed by the network's, and besides these the bare names of services. It returns false
// for names that belong elsewhere.
func (s *Server) resolveNeighbour(req *request) (plan, bool) {
	if !hasNeighbours(req.client.scope) || len(req.labels) == 0 {
		return plan{}, false
	}
	bare := len(req.labels) == 1
	if !s.view.Ready() {
		// The owner of a longer name is not known yet. Most are not ours.
		return plan{rcode: dns.RcodeServerFailure, extended: dns.ExtendedErrorCodeNotReady}, bare
	}
	if found := s.neighbours(strings.Join(req.labels, "."), req.client.scope); len(found) > 0 {
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

// bareService puts SRV targets below the first domain.
func (s *Server) bareService(a plan) plan {
	a.zone = s.zones[0]
	if a.set == nil {
		a.zone = s.bare
	}
	return a
}

// ofNeighbour reports whether a type is one that clients ask of a host. Questions of another type about a name of one
// label concern a top-level domain, and a validating resolver needs their answers.
func ofNeighbour(qtype uint16) bool {
	switch qtype {
	case dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeRRSIG:
		return false
	default:
		return true
	}
}

// neighbour is a container with its addresses under a name, on a network that the client shares.
type neighbour struct {
	endpoint  *catalog.Endpoint
	addresses []catalog.Address
}

// neighbours returns the containers that a client finds under a name: the whole name on any of its networks, and, if
// the name ends in a network's name, the rest of it on that network. Only healthy containers count; if there is none,
// all that have not been asked to stop, because a container must find itself and what it waits for during its start.
func (s *Server) neighbours(name string, scope *catalog.Scope) (found []neighbour) {
	for _, id := range scope.Networks {
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
			found[i].addresses = nil // NODATA: the name exists, but takes no new clients
		}
	}
	return found
}

func (s *Server) appendNeighbours(found []neighbour, network, name string) []neighbour {
	for e := range s.view.ByName(network, name) {
		if slices.ContainsFunc(found, func(n neighbour) bool { return n.endpoint == e }) {
			continue // found on an earlier network
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

// networkOf identifies an address's network in the same way as scopes do.
func networkOf(a catalog.Address) string { return cmp.Or(a.NetworkID, a.Network) }

func hasName(a catalog.Address, name string) bool {
	return slices.ContainsFunc(a.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

func neighbourSets(found []neighbour) *addressSets {
	var b addressBuilder
	for _, n := range found {
		b.add(targetOf(n.addresses), weightOf(n.endpoint))
	}
	sets := b.build()
	return &sets
}

// neighbourPointers returns the names of the containers that have an address on one of the client's networks, as
// "name.network".
func (s *Server) neighbourPointers(ip netip.Addr, scope *catalog.Scope) *recordSet {
	if !hasNeighbours(scope) {
		return nil
	}
	var b setBuilder
	for _, e := range s.view.At(s.node, ip, maxPointers) {
		for _, a := range e.Instance.Addresses {
			if a.IP.Unmap() != ip || len(a.Names) == 0 || !scope.On(networkOf(a)) {
				continue
			}
			if wire, err := wireName(strings.ToLower(a.Names[0] + "." + a.Network)); err == nil {
				b.add(record{rdata: wire, weight: 1})
			}
		}
	}
	return newRecordSet(dns.TypePTR, b.records)
}
