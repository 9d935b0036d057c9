package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// maxPointers is how many names an address is said to have: nobody reads more, and hosts may share addresses by the
// thousand.
const maxPointers = 100

// pointers returns the PTR records of an address: the node's that has it, or those of the services whose instances
// have it, or for an asker on its network the containers' own names there. Unhealthy instances count only if no other has the address. It returns nil if the View does not know it.
func (s *Server) pointers(ip netip.Addr, asker *catalog.Scope) *recordSet {
	if set := s.neighbourPointers(ip, asker); set != nil {
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
