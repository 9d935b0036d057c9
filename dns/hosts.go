package dns

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxHosts bounds the host names that are resolved for one answer.
	maxHosts = 16
	// hostWait bounds how long an answer waits for the addresses of host names. Later ones are in the cache for the next query.
	hostWait = time.Second
)

// withHosts resolves the host names of a service's instances and adds their addresses to those of the others. A CNAME
// cannot stand next to addresses (RFC 1034 §3.6.2), and no instance may be missing. Names that cannot be resolved are
// left out; if no address is known for that, the answer is SERVFAIL, because there may be one.
func (s *Server) withHosts(ctx context.Context, req *request, a plan) plan {
	if len(a.hosts) == 0 {
		return a
	}
	hosts, total := a.hosts, len(a.hosts)
	if len(hosts) > maxHosts {
		chosen := make([]record, maxHosts)
		for i, k := range rand.Perm(len(hosts))[:maxHosts] {
			chosen[i] = hosts[k]
		}
		hosts = chosen
	}
	var b setBuilder
	if a.set != nil {
		for _, r := range a.set.records {
			b.add(r)
		}
	}
	a.hosts, a.ttl = nil, s.ttl
	list := s.resolveHosts(ctx, req, hosts)
	known := len(list) == total
	for _, resolved := range list {
		known = known && !resolved.unknown
		for _, r := range resolved.records {
			b.add(r)
		}
		a.ttl = min(a.ttl, max(resolved.ttl, 1)) // 0 would mean the server's own
	}
	if len(b.records) == 0 && !known {
		return plan{rcode: dns.RcodeServerFailure, extended: dns.ExtendedErrorCodeNoReachableAuthority}
	}
	a.set = newRecordSet(req.qtype, b.records)
	return a
}

// resolved is the addresses of a host name, and their TTL in seconds.
type resolved struct {
	records []record
	ttl     uint32
	// unknown is set if no resolver could say which they are.
	unknown bool
}

// resolveHosts returns the addresses of those host names that are resolved within hostWait.
func (s *Server) resolveHosts(ctx context.Context, req *request, hosts []record) (list []resolved) {
	results, wanted := make(chan resolved, len(hosts)), *req // req is reused before the last host is resolved
	asked := 0
	for _, host := range hosts {
		if !s.admit() {
			break // the upstreams are at their limit
		}
		asked++
		s.running.Go(func() {
			defer s.leave()
			results <- s.resolveHost(ctx, &wanted, host)
		})
	}
	late := time.NewTimer(hostWait)
	defer late.Stop()
	for range asked {
		select {
		case one := <-results:
			list = append(list, one)
		case <-late.C:
			return list
		}
	}
	return list
}

// resolveHost returns the addresses of one host name. They share the weight of its instance.
func (s *Server) resolveHost(ctx context.Context, req *request, host record) (r resolved) {
	r.ttl = s.ttl
	name, _, err := dns.UnpackDomainName(host.rdata, 0)
	if err != nil {
		return r
	}
	of := *req
	of.qname = host.rdata
	reply, err := s.lookup(ctx, name, &of, false)
	if err == nil && reply != nil {
		reply, err = s.follow(ctx, reply, &of, false)
	}
	if err != nil || reply == nil { // no reply means that there is no resolver for the name
		r.unknown = err != nil
		return r
	}
	r.unknown = unhelpful(reply.Rcode)
	for _, rr := range reply.Answer {
		r.ttl = min(r.ttl, rr.Header().Ttl)
		if rdata := addressIn(rr, req.qtype); rdata != nil {
			r.records = append(r.records, record{rdata: rdata})
		}
	}
	for i := range r.records {
		r.records[i].weight = max(host.weight/uint32(len(r.records)), 1)
	}
	return r
}

// addressIn returns the address in an A or AAAA record of the type asked for; nil for other records.
func addressIn(rr dns.RR, qtype uint16) net.IP {
	switch rr := rr.(type) {
	case *dns.A:
		if qtype == dns.TypeA {
			return rr.A.To4()
		}
	case *dns.AAAA:
		if qtype == dns.TypeAAAA && rr.AAAA.To4() == nil {
			return rr.AAAA.To16()
		}
	}
	return nil
}
