package dns

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// admit reserves room for an outbound query; it returns false if there is none. The caller must call leave if admit
// returned true.
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
	if out.hosts != nil {
		return s.packed(&out.req, s.withHosts(ctx, &out.req, *out.hosts))
	}
	reply, err := s.complete(ctx, out)
	if err == nil {
		if packed, packErr := s.fit(reply, &out.req); packErr == nil {
			return packed
		}
	}
	failure := plan{rcode: dns.RcodeServerFailure}
	if !errors.Is(err, errChain) {
		failure.extended = dns.ExtendedErrorCodeNoReachableAuthority
	}
	return s.packed(&out.req, failure)
}

// packed packs a plan into a new buffer.
func (s *Server) packed(req *request, a plan) []byte {
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	return slices.Clone(w.pack(req, &a))
}

func (s *Server) complete(ctx context.Context, out *outbound) (*dns.Msg, error) {
	reply, err := s.opening(ctx, out)
	if err != nil {
		return nil, err
	}
	return s.follow(ctx, reply, &out.req, true)
}

// opening returns the reply at the start of the chain: the answer so far, or the reply of the upstream resolvers.
func (s *Server) opening(ctx context.Context, out *outbound) (*dns.Msg, error) {
	if out.base != nil {
		reply := new(dns.Msg)
		return reply, reply.Unpack(out.base)
	}
	question, err := out.req.question()
	if err != nil {
		return nil, err
	}
	return s.ask(ctx, question, &out.req)
}

// question returns the request's question in the form of the message library.
func (r *request) question() (dns.Question, error) {
	text, _, err := dns.UnpackDomainName(r.qname, 0)
	return dns.Question{Name: text, Qtype: r.qtype, Qclass: r.qclass}, err
}

// ask asks the upstream resolvers. Of the client's EDNS only DO is passed on: the rest is between the client and this
// server.
func (s *Server) ask(ctx context.Context, question dns.Question, req *request) (*dns.Msg, error) {
	query := &dns.Msg{Question: []dns.Question{question}}
	query.RecursionDesired = true
	query.CheckingDisabled = req.flags&flagCD != 0
	query.SetEdns0(offeredUDP, req.do)
	key := cacheKey{name: question.Name, qtype: question.Qtype, do: req.do, cd: query.CheckingDisabled}
	reply, result, err := s.cache.get(ctx, key, func() (*dns.Msg, error) {
		reply, err := s.upstream.exchange(ctx, query)
		s.metrics.forwarded(err)
		if err == nil {
			if reply.Rcode == dns.RcodeFormatError { // the client's query was well formed
				reply.Rcode = dns.RcodeServerFailure
			}
			scrub(reply, s.answersFor)
		}
		return reply, err
	})
	s.metrics.cache[result].Inc()
	if err != nil {
		s.log.Debug("forward dns query", "name", question.Name, "error", err)
		return nil, err
	}
	if req.tcp && reply.Truncated {
		return nil, errCut
	}
	reply.Authoritative = false
	return reply, nil
}

// fit packs a reply from elsewhere for this client: with its ID, its question unchanged, within its size, and with its
// EDNS.
func (s *Server) fit(reply *dns.Msg, req *request) ([]byte, error) {
	question, err := req.question()
	if err != nil {
		return nil, err
	}
	reply.Id, reply.Question = req.id, []dns.Question{question}
	reply.Response, reply.Opcode = true, dns.OpcodeQuery
	reply.RecursionDesired, reply.RecursionAvailable = req.flags&flagRD != 0, s.upstream.forwards()
	reply.CheckingDisabled, reply.AuthenticatedData, reply.Zero = req.flags&flagCD != 0, false, false
	reply.Extra = slices.DeleteFunc(reply.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	if req.edns {
		reply.SetEdns0(req.mostUDP, req.do)
		s.addCookie(reply.IsEdns0(), req)
	} else if reply.Rcode > 0xf {
		reply.Rcode = dns.RcodeServerFailure
	}
	cut := reply.Truncated
	reply.Truncate(req.limit())
	reply.Truncated = reply.Truncated || cut
	return reply.Pack()
}

// addCookie adds the answer to the client's cookie to the OPT record of a reply.
func (s *Server) addCookie(opt *dns.OPT, req *request) {
	if req.cookie.size > 0 {
		data := s.cookies.appendReply(nil, req.client.ip, &req.cookie, time.Now())
		opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(data)})
	}
}
