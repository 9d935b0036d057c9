package dns

import (
	"context"
	"slices"

	"github.com/miekg/dns"
)

// maxChain is how many CNAME records are followed through the server's own domains.
const maxChain = 8

// admit takes a place for an outbound query; it returns false if there is none. Who got one calls leave.
func (s *Server) admit() bool {
	select {
	case s.outbound <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Server) leave() { <-s.outbound }

// finish makes the reply to a query that cannot be answered from the View alone.
func (s *Server) finish(ctx context.Context, out *outbound) []byte {
	reply, err := s.complete(ctx, out)
	if err == nil {
		if packed, packErr := s.fit(reply, &out.req); packErr == nil {
			return packed
		}
	}
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	return slices.Clone(w.failure(&out.req, dns.ExtendedErrorCodeNoReachableAuthority))
}

func (s *Server) complete(ctx context.Context, out *outbound) (*dns.Msg, error) {
	question, err := out.req.question()
	if err != nil {
		return nil, err
	}
	if out.base == nil {
		return s.ask(ctx, question, &out.req)
	}
	var base dns.Msg
	if err := base.Unpack(out.base); err != nil {
		return nil, err
	}
	return s.follow(ctx, &base, &out.req, maxChain)
}

// question returns the request's question in the form of the message library.
func (r *request) question() (dns.Question, error) {
	text, _, err := dns.UnpackDomainName(r.qname, 0)
	return dns.Question{Name: text, Qtype: r.qtype, Qclass: r.qclass}, err
}

// ask asks the upstream resolvers. Of the asker's EDNS only DO goes with it: the rest is between the asker and us.
func (s *Server) ask(ctx context.Context, question dns.Question, req *request) (*dns.Msg, error) {
	query := &dns.Msg{Question: []dns.Question{question}}
	query.RecursionDesired = true
	query.CheckingDisabled = req.flags&flagCD != 0
	query.SetEdns0(offeredUDP, req.do)
	key := cacheKey{name: question.Name, qtype: question.Qtype, do: req.do, cd: query.CheckingDisabled}
	reply, result, err := s.cache.get(ctx, key, func() (*dns.Msg, error) {
		reply, err := s.upstream.exchange(ctx, query)
		s.metrics.forwarded(err)
		return reply, err
	})
	s.metrics.cache[result].Inc()
	if err != nil {
		s.log.Debug("forward dns query", "name", question.Name, "error", err)
		return nil, err
	}
	reply.Authoritative = false
	return reply, nil
}

// follow adds to a reply what the CNAME at its end leads to: in the server's own domains from the View, elsewhere from
// the upstream resolvers. A chain that is too long, or leads nowhere that can be asked, stays as it is.
func (s *Server) follow(ctx context.Context, reply *dns.Msg, req *request, depth int) (*dns.Msg, error) {
	if len(reply.Answer) == 0 {
		return reply, nil
	}
	alias, ok := reply.Answer[len(reply.Answer)-1].(*dns.CNAME)
	if !ok || depth == 0 {
		return reply, nil
	}
	rest, err := s.lookup(ctx, alias.Target, req, depth-1)
	if err != nil || rest == nil {
		return reply, err
	}
	reply.Answer = append(reply.Answer, rest.Answer...)
	reply.Ns, reply.Extra = rest.Ns, nil
	reply.Rcode = rest.Rcode
	reply.Truncated = reply.Truncated || rest.Truncated
	return reply, nil
}

// lookup asks for the request's type at another name. It returns nil if nobody can be asked.
func (s *Server) lookup(ctx context.Context, target string, req *request, depth int) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(target, req.qtype)
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	w.req.tcp, w.req.asker = true, req.asker
	if _, ok := w.req.parse(packed); !ok {
		return nil, nil
	}
	if z, _ := s.ownZone(w.req.labels); z == nil {
		if s.upstream == nil {
			return nil, nil
		}
		return s.ask(ctx, query.Question[0], req)
	}
	a := s.resolve(&w.req)
	var reply dns.Msg
	if err := reply.Unpack(w.pack(&w.req, &a)); err != nil {
		return nil, err
	}
	return s.follow(ctx, &reply, req, depth)
}

// fit packs a reply that came from elsewhere for this asker: its ID, its question as it came, its size, its EDNS.
func (s *Server) fit(reply *dns.Msg, req *request) ([]byte, error) {
	question, err := req.question()
	if err != nil {
		return nil, err
	}
	reply.Id, reply.Question = req.id, []dns.Question{question}
	reply.Response, reply.Opcode = true, dns.OpcodeQuery
	reply.RecursionDesired, reply.RecursionAvailable = req.flags&flagRD != 0, s.upstream != nil
	reply.CheckingDisabled, reply.AuthenticatedData, reply.Zero = req.flags&flagCD != 0, false, false
	reply.Extra = slices.DeleteFunc(reply.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	if req.edns {
		reply.SetEdns0(req.mostUDP, req.do)
	} else if reply.Rcode > 0xf {
		reply.Rcode = dns.RcodeServerFailure
	}
	cut := reply.Truncated
	reply.Truncate(req.limit())
	reply.Truncated = reply.Truncated || cut
	return reply.Pack()
}
