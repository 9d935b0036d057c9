package dns

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxHosts is how many host names of a service's instances are resolved for one answer.
	maxHosts = 16
	// hostWait is how long an answer waits for the addresses of host names. What comes later is kept for the next.
	hostWait = time.Second
)

// withHosts adds to the addresses of a service those of its instances that are known by a host name: one CNAME cannot stand
// beside addresses (RFC 1034 §3.6.2), and programs that ask for addresses are not to miss instances. What cannot be resolved
// is left out.
func (s *Server) withHosts(ctx context.Context, req *request, a plan) plan {
	if len(a.hosts) == 0 {
		return a
	}
	hosts := a.hosts
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
	for _, resolved := range s.resolveHosts(ctx, req, hosts) {
		for _, r := range resolved.records {
			b.add(r)
		}
		a.ttl = min(a.ttl, max(resolved.ttl, 1)) // for 0 is the server's
	}
	a.set = newRecordSet(req.qtype, b.records)
	return a
}

// resolved is the addresses of a host name, and for how long they may be kept.
type resolved struct {
	records []record
	ttl     uint32
}

// resolveHosts returns the addresses of host names, as far as they are there in time.
func (s *Server) resolveHosts(ctx context.Context, req *request, hosts []record) (list []resolved) {
	results, wanted := make(chan resolved, len(hosts)), *req // the request's memory may be used again before the last is there
	asked := 0
	for _, host := range hosts {
		if !s.admit() {
			break // too much is with the upstreams already
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
	if err != nil || reply == nil {
		return r
	}
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

// addressIn returns the data of a record of a type of address; nil if it is none.
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
