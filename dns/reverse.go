package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// nodeAddresses finds nodes by their addresses. Its map is made anew by the first reader after the nodes changed.
type nodeAddresses struct {
	view    *catalog.View
	current atomic.Pointer[nodeMap]
}

type nodeMap struct {
	index uint64
	names map[netip.Addr][]string
}

// names returns the names of the nodes that have an address.
func (n *nodeAddresses) names(ip netip.Addr) []string {
	// The index is read before the nodes: a change between the two makes the map too new, never too old.
	index := n.view.NodesIndex()
	current := n.current.Load()
	if current == nil || current.index != index {
		current = &nodeMap{index: index, names: make(map[netip.Addr][]string)}
		for _, node := range n.view.Nodes() {
			current.add(node)
		}
		n.current.Store(current)
	}
	return current.names[ip]
}

func (m *nodeMap) add(node *catalog.NodeSnapshot) {
	if node.Node == nil {
		return
	}
	for _, a := range node.Node.Addresses {
		if ip := a.IP.Unmap().WithZone(""); ip.IsValid() && !slices.Contains(m.names[ip], node.Name) {
			m.names[ip] = append(m.names[ip], node.Name)
		}
	}
}

// pointers returns the PTR records of an address: the node's that has it, or those of the services whose instances
// have it, or for an asker on its network the containers' own names there. Unhealthy instances count only if no other has the address. It returns nil if the View does not know it.
func (s *Server) pointers(ip netip.Addr, asker *catalog.Scope) *recordSet {
	if set := s.neighbourPointers(ip, asker); set != nil {
		return set
	}
	z := s.zones[0]
	var b setBuilder
	for _, node := range s.nodes.names(ip) {
		b.add(record{rdata: append(wireLabels(strings.ToLower(node), "node"), z.below...), weight: 1})
	}
	if len(b.records) > 0 {
		return newRecordSet(dns.TypePTR, b.records)
	}
	endpoints := slices.Collect(s.view.ByIP(ip))
	anyHealthy := slices.ContainsFunc(endpoints, (*catalog.Endpoint).Healthy)
	for _, e := range endpoints {
		if e.Healthy() || !anyHealthy {
			b.add(record{rdata: append(wireLabels(strings.ToLower(e.Service), "service"), z.below...), weight: 1})
		}
	}
	return newRecordSet(dns.TypePTR, b.records)
}
