package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// maxPointers bounds the PTR records of an address: no client needs more, and thousands of hosts may share an address.
const maxPointers = 100

// pointers returns the PTR records of an address: the name of the node that has it, or of the services whose instances
// have it, or, for a client on the address's network, the containers' own names there. Unhealthy instances count only
// if no healthy one has the address. It returns nil if the address is not in the View.
func (s *Server) pointers(ip netip.Addr, scope *catalog.Scope) *recordSet {
	if set := s.neighbourPointers(ip, scope); set != nil {
		return set
	}
	z := s.zones[0]
	var b setBuilder
	for _, node := range s.view.NodesAt(s.node, ip, maxPointers) {
		b.add(record{rdata: append(wireLabels(strings.ToLower(node.Name), "node"), z.below...), weight: 1})
	}
	if len(b.records) > 0 {
		return newRecordSet(dns.TypePTR, b.records)
	}
	endpoints := s.view.At(s.node, ip, maxPointers)
	anyHealthy := slices.ContainsFunc(endpoints, (*catalog.Endpoint).Healthy)
	for _, e := range endpoints {
		if e.Healthy() || !anyHealthy {
			b.add(record{rdata: append(wireLabels(strings.ToLower(e.Service), "service"), z.below...), weight: 1})
		}
	}
	return newRecordSet(dns.TypePTR, b.records)
}
