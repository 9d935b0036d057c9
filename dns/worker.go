package dns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// worker answers one message at a time. Its buffers are reused, so that an answer from the View allocates next to
// nothing; a reply is valid until the next one.
type worker struct {
	server *Server
	picker
	req          request
	out, scratch []byte
	order        []int32
	marks        []int
	glued        map[netip.Addr]struct{}
}

// outbound is a query that cannot be answered from the View alone. It owns its memory.
type outbound struct {
	req request
	// base is the reply so far, which ends in a CNAME to be followed; nil if there is none.
	base []byte
	// hosts is an answer with host names to resolve; nil if there are none. If base is nil, too, the query goes upstream.
	hosts *plan
	// newcomer reports that the query waits for its sender to become known, and has not been looked at.
	newcomer bool
	// since is when the query was read.
	since time.Time
}

func (s *Server) newWorker() *worker {
	return &worker{
		server: s,
		picker: picker{rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))},
		out:    make([]byte, 0, maxUDP),
		glued:  make(map[netip.Addr]struct{}),
		req:    request{client: client{scope: catalog.AllNetworks}, mostUDP: s.udpSize, names: make(nameTable)},
	}
}

// answer answers a message from the View. If the View does not suffice, it returns no reply but an outbound query, for
// Server.finish. For a message that deserves no reply both are nil.
func (w *worker) answer(msg []byte, tcp bool) ([]byte, *outbound) {
	req := &w.req
	req.tcp = tcp
	rcode, ok := req.parse(msg)
	if !ok {
		return nil, nil
	}
	if req.size > req.mostUDP {
		req.local = w.server.view.OnHost(w.server.node, req.client.ip)
	}
	a := plan{rcode: rcode}
	if rcode == dns.RcodeSuccess {
		if w.server.awaits(req.client) {
			return nil, &outbound{req: req.clone(), newcomer: true}
		}
		a = w.server.resolve(req)
	}
	return w.respond(req, a)
}

// respond packs the reply to a request, or returns what has to be asked for first.
func (w *worker) respond(req *request, a plan) ([]byte, *outbound) {
	if a.forward {
		return nil, &outbound{req: req.clone()}
	}
	if len(a.hosts) > 0 {
		lacking := a // so that only this copy is on the heap, not every plan
		return nil, &outbound{req: req.clone(), hosts: &lacking}
	}
	reply := w.pack(req, &a)
	if req.fresh && a.zone != nil && a.rcode == dns.RcodeSuccess {
		req.names.keep(req.text)
	}
	if w.server.follows(req, &a) {
		return nil, &outbound{req: req.clone(), base: slices.Clone(reply)}
	}
	return reply, nil
}

// failure packs SERVFAIL.
func (w *worker) failure(req *request, extended uint16) []byte {
	return w.pack(req, &plan{rcode: dns.RcodeServerFailure, extended: extended})
}

// follows reports whether the client wants more than the CNAME that it is given.
func (s *Server) follows(req *request, a *plan) bool {
	return a.set != nil && a.set.rtype == dns.TypeCNAME && (req.qtype == dns.TypeA || req.qtype == dns.TypeAAAA) &&
		req.flags&flagRD != 0
}

func (r *request) clone() request {
	c := *r
	c.qname = slices.Clone(r.qname)
	c.labels = slices.Clone(r.labels)
	c.names = nil // they belong to the worker
	return c
}
