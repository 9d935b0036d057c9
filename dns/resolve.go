package dns

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// plan is the answer to a question before it is packed.
type plan struct {
	rcode int
	// zone is the zone that the answer is authoritative for; nil if there is none.
	zone *zone
	// set is the answer; nil if there is none, and the reply then carries the zone's SOA.
	set *recordSet
	// hosts are the host names, in wire form, whose addresses are missing from set, with their weights.
	hosts []record
	// limit is the most addresses or SRV records of the answer, drawn by weight each time; 0 means as many as fit.
	limit int
	// ttl, if not 0, is the TTL of the answer's records in place of the server's.
	ttl uint32
	// extended is an RFC 8914 code, sent if it is not 0 and the client supports EDNS.
	extended uint16
	// reason, if set, is the text that goes with extended in place of the code's own.
	reason string
	// forward reports that the question is for the upstream resolvers.
	forward bool
}

// resolve answers a well-formed question from the View.
func (s *Server) resolve(req *request) plan {
	if z, below := s.ownZone(req.labels); z != nil {
		if !s.view.Ready() {
			return notReady()
		}
		if len(below) == 0 {
			if a, ok := s.resolveNeighbourApex(z, req); ok {
				return a
			}
		}
		a := s.resolveName(z, parseName(below, s.datacenter), req)
		if a.rcode == dns.RcodeNameError {
			if n, limited := parseLimited(below, s.datacenter); limited {
				a = s.resolveName(z, n, req)
			}
		}
		a.zone = z
		return a
	}
	if ip, ok := parseReverse(req.labels); ok && (req.qtype == dns.TypePTR || req.qtype == dns.TypeANY) {
		if !s.view.Ready() {
			return notReady()
		}
		if set := s.pointers(ip, req.client.scope); set != nil {
			return plan{zone: s.zones[0], set: set}
		}
	}
	if n := len(req.labels); n > 0 && req.labels[n-1] == localhost { // even if a container has that name
		if a, ok := s.resolveSpecial(req); ok {
			return a
		}
	}
	if a, ok := s.resolveNeighbour(req); ok {
		return a
	}
	if a, ok := s.resolveSpecial(req); ok {
		return a
	}
	if !s.upstream.serves(req.labels) || req.flags&flagRD == 0 {
		return plan{rcode: dns.RcodeRefused}
	}
	if !s.access.permits(req.client.ip) {
		return plan{rcode: dns.RcodeRefused, extended: dns.ExtendedErrorCodeProhibited}
	}
	if req.client.scope.Unsure && !s.forwardInternal {
		return notReady()
	}
	if req.client.scope.Confined && !s.forwardInternal { // a name can carry data out
		return plan{rcode: dns.RcodeRefused, extended: dns.ExtendedErrorCodeProhibited}
	}
	return plan{forward: true}
}

func notReady() plan {
	return plan{rcode: dns.RcodeServerFailure, extended: dns.ExtendedErrorCodeNotReady}
}

// ownZone returns the innermost of the server's zones that a name is in, and the labels below it; nil if the name is in none,
// or in a zone below it that has resolvers of its own.
func (s *Server) ownZone(labels []string) (*zone, []string) {
	z, below := findZone(s.zones, labels)
	if z == nil {
		return nil, nil
	}
	if theirs := s.upstream.zoneOf(labels); theirs != nil && len(theirs.labels) > len(z.labels) {
		return nil, nil
	}
	return z, below
}

// resolveName answers for a name below a zone; the caller sets the zone. No set with RcodeSuccess means that the name
// exists with other types.
func (s *Server) resolveName(z *zone, n name, req *request) plan {
	qtype := req.qtype
	switch n.kind {
	case nameApex:
		return plan{set: s.resolveApex(z, qtype)}
	case nameEmpty:
		return plan{}
	case nameServer:
		return plan{set: addressesOf(s.ownAddresses()).find(qtype)}
	case nameService, nameProtocol:
		return s.resolveService(n, req)
	case nameNode:
		return s.resolveNode(n.node, qtype)
	case nameAddress:
		return plan{set: addressesOf([]catalog.Address{{IP: n.addr}}).find(qtype)}
	default:
		return plan{rcode: dns.RcodeNameError}
	}
}

func (s *Server) resolveApex(z *zone, qtype uint16) *recordSet {
	switch qtype {
	case dns.TypeSOA, dns.TypeANY:
		rdata := z.appendSOA(nil, s.view.Revision(), s.ttl)
		return newRecordSet(dns.TypeSOA, []record{{rdata: rdata, weight: 1}})
	case dns.TypeNS:
		at := targetOf(s.ownAddresses())
		glue := slices.DeleteFunc([]netip.Addr{at.v4, at.v6}, func(ip netip.Addr) bool { return !ip.IsValid() })
		return newRecordSet(dns.TypeNS, []record{{rdata: z.ns, weight: 1, glue: glue}})
	default:
		return nil
	}
}

func (s *Server) resolveService(n name, req *request) plan {
	service := s.view.Service(n.service)
	if service == nil || len(service.Endpoints) == 0 {
		// A lone label that begins with '_' is also the parent of RFC 2782 names.
		if n.want == (selector{}) && underscored(n.service) {
			return plan{}
		}
		return plan{rcode: dns.RcodeNameError}
	}
	if n.kind == nameProtocol {
		return plan{}
	}
	v := s.vantageOf(req.client, n.nearest)
	v.bare = n.bare
	sets := service.Derived(s.slot, s.deriveService).(*serviceAnswers).find(v, n.want)
	if sets == nil {
		return plan{rcode: dns.RcodeNameError}
	}
	return plan{
		set: sets.find(req.qtype), hosts: sets.hostsFor(req.qtype), limit: catalog.StricterLimit(service.DNSLimit, n.limit),
	}
}

func (s *Server) resolveNode(node string, qtype uint16) plan {
	snapshot := s.view.Node(node)
	if snapshot == nil || snapshot.Node == nil {
		return plan{rcode: dns.RcodeNameError}
	}
	if qtype == dns.TypeTXT {
		var b setBuilder
		b.addMeta(snapshot.Node.Meta)
		return plan{set: b.finishTXT()}
	}
	return plan{set: addressesOf(snapshot.Node.Addresses).find(qtype)}
}

// ownAddresses returns the addresses of the node that this server runs on.
func (s *Server) ownAddresses() []catalog.Address {
	if len(s.own) > 0 {
		return s.own
	}
	if node := s.view.Node(s.node); node != nil && node.Node != nil {
		return node.Node.Addresses
	}
	return nil
}

func addressesOf(addresses []catalog.Address) *addressSets {
	var b addressBuilder
	b.add(targetOf(addresses), 1)
	sets := b.build()
	return &sets
}
