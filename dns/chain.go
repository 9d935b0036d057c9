package dns

import (
	"context"
	"errors"
	"strings"

	"github.com/miekg/dns"
)

// maxChain bounds the CNAME records of a chain. Resolvers give up after about as many.
const maxChain = 16

// errChain is returned for a chain of CNAME records that never ends. The client gets SERVFAIL.
var errChain = errors.New("chain of CNAME records is a loop, or too long")

// trace follows the CNAME records of an answer, starting at a name, up to the first target for which ends is true. It returns
// the records, and whether the answer has records of the type at the end of the chain. It stops after maxChain+1 records.
func trace(answer []dns.RR, name string, qtype uint16, ends func(target string) bool) (links []*dns.CNAME, complete bool) {
	for len(links) <= maxChain {
		link, found := at(answer, name, qtype)
		if link == nil {
			return links, found
		}
		links, name = append(links, link), link.Target
		if ends(name) {
			return links, false
		}
	}
	return links, false
}

// at returns the CNAME record of a name, and whether it has a record of the type.
func at(answer []dns.RR, name string, qtype uint16) (link *dns.CNAME, found bool) {
	for _, rr := range answer {
		if !strings.EqualFold(rr.Header().Name, name) {
			continue
		}
		if rr.Header().Rrtype == qtype {
			return nil, true
		}
		if cname, ok := rr.(*dns.CNAME); ok && link == nil {
			link = cname
		}
	}
	return link, false
}

// ofLinks returns the records of an answer that belong to the links of a chain: the links, the DNAME records behind them (RFC
// 6672), and the signatures of both.
func ofLinks(answer []dns.RR, links []*dns.CNAME) (kept []dns.RR) {
	for _, rr := range answer {
		belongs := rr.Header().Rrtype == dns.TypeDNAME
		for _, link := range links {
			belongs = belongs || strings.EqualFold(rr.Header().Name, link.Hdr.Name)
		}
		if belongs {
			kept = append(kept, rr)
		}
	}
	return kept
}

// follow completes a reply whose CNAME records lead to a name that the source of the reply does not answer for. Names
// in the server's own domains are answered from the View, others by the upstream resolvers of their zone. Upstream
// records for names in the server's own domains are dropped, because there the answer depends on the client. If no
// source answers for the target, the chain is answered as it is. hosts reports whether the host names of instances are
// resolved.
func (s *Server) follow(ctx context.Context, reply *dns.Msg, req *request, hosts bool) (*dns.Msg, error) {
	question, err := req.question()
	if err != nil || req.qtype == dns.TypeCNAME || req.qtype == dns.TypeANY {
		return reply, err
	}
	var head []dns.RR
	name, authoritative, cut := question.Name, reply.Authoritative, false
	seen := map[string]bool{strings.ToLower(name): true}
	for {
		links, complete := trace(reply.Answer, name, req.qtype, s.answersFor)
		if !unseen(seen, links) || len(seen) > maxChain+1 {
			return nil, errChain
		}
		if complete || len(links) == 0 || !s.leadsOn(name, links[len(links)-1].Target) {
			break
		}
		target := links[len(links)-1].Target
		rest, err := s.lookup(ctx, target, req, hosts)
		if err != nil {
			return nil, err
		}
		if rest == nil {
			break
		}
		head = append(head, ofLinks(reply.Answer, links)...)
		cut = cut || reply.Truncated
		reply, name = rest, target
		reply.Extra = nil
	}
	reply.Answer = append(head, reply.Answer...)
	reply.Authoritative, reply.Truncated = authoritative, reply.Truncated || cut
	return reply, nil
}

// unseen adds the targets of links to the names of a chain. It returns false if one is already among them.
func unseen(seen map[string]bool, links []*dns.CNAME) bool {
	for _, link := range links {
		target := strings.ToLower(link.Target)
		if seen[target] {
			return false
		}
		seen[target] = true
	}
	return true
}

// answersFor reports whether a name is in one of the server's own zones.
func (s *Server) answersFor(name string) bool {
	z, _ := s.ownZone(labelsOf(name))
	return z != nil
}

// leadsOn reports whether the target of a name must be looked up. The View answers one link at a time; a resolver has already
// followed the chain through all names that it answers for.
func (s *Server) leadsOn(name, target string) bool {
	if s.answersFor(target) || s.answersFor(name) {
		return true
	}
	return s.upstream.zoneOf(labelsOf(name)) != s.upstream.zoneOf(labelsOf(target))
}

func labelsOf(name string) []string { return dns.SplitDomainName(strings.ToLower(name)) }

// resolveHere answers for a target in the server's own or in a special domain. It returns false for names that belong
// to the upstreams.
func (s *Server) resolveHere(req *request) (plan, bool) {
	if z, _ := s.ownZone(req.labels); z != nil {
		return s.resolve(req), true
	}
	return s.resolveSpecial(req)
}

// lookup asks for the request's type at another name. It returns nil if there is no source to ask.
func (s *Server) lookup(ctx context.Context, target string, req *request, hosts bool) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(target, req.qtype)
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	w.req.tcp, w.req.client = true, req.client
	if rcode, ok := w.req.parse(packed); !ok || rcode != dns.RcodeSuccess {
		return nil, nil
	}
	a, here := s.resolveHere(&w.req)
	switch {
	case !here && !s.upstream.serves(w.req.labels):
		return nil, nil
	case !here:
		return s.ask(ctx, query.Question[0], req)
	case hosts:
		a = s.withHosts(ctx, &w.req, a)
	}
	reply := new(dns.Msg)
	return reply, reply.Unpack(w.pack(&w.req, &a))
}
