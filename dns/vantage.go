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
	// bridge is the network of a client that must be a container, but none that is known; empty for any other client.
	bridge string
}

func (s *Server) clientAt(ip netip.Addr) client {
	// In this order: a container that becomes known in between is no newcomer, but its scope may be that of one.
	bridge, _ := s.view.Nameless(s.node, ip)
	return client{ip: ip, scope: s.view.ScopeOf(s.node, ip), bridge: bridge}
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
	// bare restricts the instances for a client that asks for the service by its bare name.
	bare bareness
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
	}
	for front, id := range s.onNetworks(name, scope) {
		found = s.appendNeighbours(found, id, front)
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

// limitFor returns the smallest limit of the services of some containers; 0 if none has one.
func (s *Server) limitFor(found []neighbour) (limit int) {
	for _, n := range found {
		if service := s.view.Service(n.endpoint.Service); service != nil {
			limit = catalog.StricterLimit(limit, service.DNSLimit)
		}
	}
	return limit
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
