package dns

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// newcomerWait is how long a query waits for its sender to become known.
	newcomerWait = 200 * time.Millisecond
	// maxWaiting bounds the queries that wait on one network, maxWaitingEach those of one address.
	maxWaiting     = 64
	maxWaitingEach = 8
	// strangerAfter is the time after which an address is no container's that is being started, but one that the engine does
	// not know: that of a virtual machine, or one that a container has given itself. It counts as on the network that holds it.
	strangerAfter = 10 * time.Second
	// strangerFor is how long an address is remembered after its last query, unless a known container has it meanwhile. The
	// View remembers for longer that one had it.
	strangerFor = time.Hour
	// maxStrangers bounds the addresses of one network of which this is remembered, maxLobbies the networks.
	maxStrangers = 256
	maxLobbies   = 256
)

// newcomers are the clients whose address is on a bridge of this host, and is no known container's. Most are containers
// that ask as soon as they run, before the engine has told of them: an answer as to a client on that network alone could
// be empty out of ignorance. Networks do not share their limits, so that a container can only block its neighbours.
type newcomers struct {
	mu      sync.Mutex
	lobbies map[string]*lobby
}

// lobby has the newcomers of one network.
type lobby struct {
	waiting map[netip.Addr]int
	total   int
	// seen has the addresses that are not known. One that becomes known is removed: its next container is a newcomer again.
	seen map[netip.Addr]seen
}

// seen is when an unknown address was first seen, and last, with no pause of strangerFor and no container in between.
type seen struct{ first, last time.Time }

// isStranger reports whether a newcomer has been one for so long that it is no container, and remembers it if it is new. An address
// that a container had until vacated is new since then.
func (n *newcomers) isStranger(c client, vacated, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lobby(c.bridge)
	before, known := l.seen[c.ip]
	if !known && len(l.seen) >= maxStrangers {
		l.forgetOldest()
	}
	if !known || now.Sub(before.last) >= strangerFor || before.first.Before(vacated) {
		before.first = now
	}
	l.seen[c.ip] = seen{before.first, now}
	return now.Sub(before.first) >= strangerAfter
}

// known forgets that an address was not.
func (n *newcomers) known(c client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.lobby(c.bridge).seen, c.ip)
}

// enter lets a query wait, until leave is called. It returns false if too many wait already.
func (n *newcomers) enter(c client) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lobby(c.bridge)
	if l.total >= maxWaiting || l.waiting[c.ip] >= maxWaitingEach {
		return false
	}
	l.total++
	l.waiting[c.ip]++
	return true
}

func (n *newcomers) leave(c client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lobby(c.bridge)
	l.total--
	if l.waiting[c.ip]--; l.waiting[c.ip] <= 0 {
		delete(l.waiting, c.ip)
	}
}

// lobby is called with mu held.
func (n *newcomers) lobby(network string) *lobby {
	if l, ok := n.lobbies[network]; ok {
		return l
	}
	if n.lobbies == nil {
		n.lobbies = make(map[string]*lobby)
	}
	for id, l := range n.lobbies {
		if len(n.lobbies) >= maxLobbies && l.total == 0 {
			delete(n.lobbies, id)
		}
	}
	l := &lobby{waiting: make(map[netip.Addr]int), seen: make(map[netip.Addr]seen)}
	n.lobbies[network] = l
	return l
}

func (l *lobby) forgetOldest() {
	var oldest netip.Addr
	for ip, at := range l.seen {
		if !oldest.IsValid() || at.last.Before(l.seen[oldest].last) {
			oldest = ip
		}
	}
	delete(l.seen, oldest)
}

// len returns the number of queries that wait.
func (n *newcomers) len() (total int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lobbies {
		total += l.total
	}
	return total
}

// awaits reports whether a query has to wait for its sender to become known.
func (s *Server) awaits(c client) bool {
	return c.bridge != "" && s.view.Ready() && !s.newcomers.isStranger(c, s.view.VacatedAt(c.ip), time.Now())
}

// awaitKnown waits until a newcomer is known, for newcomerWait at most.
func (s *Server) awaitKnown(ctx context.Context, c client) {
	timer := time.NewTimer(newcomerWait)
	defer timer.Stop()
	for {
		replaced := s.view.ResidentsReplaced()
		if _, unknown := s.view.Nameless(s.node, c.ip); !unknown {
			return
		}
		select {
		case <-replaced:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// settle answers a query that has waited, or cannot, from the View. For a sender that is still not known only names that
// belong elsewhere are resolved: SERVFAIL makes it ask again.
func (w *worker) settle(out *outbound) ([]byte, *outbound) {
	req, before := &out.req, out.req.client
	if req.client = w.server.clientAt(before.ip); req.client.bridge == "" {
		w.server.newcomers.known(before)
	}
	req.fresh = false // its texts are not the worker's
	a := w.server.resolve(req)
	if !a.forward && w.server.awaits(req.client) {
		a = plan{rcode: dns.RcodeServerFailure, extended: dns.ExtendedErrorCodeNotReady, reason: "no container is known to have this address yet"}
	}
	reply, more := w.respond(req, a)
	if more != nil {
		more.since = out.since
	}
	return reply, more
}

// begin admits a query that cannot be answered at once, and returns the function that finishes it. If it is not admitted, or
// does not have to wait any more, begin returns the reply.
func (s *Server) begin(w *worker, out *outbound) (finish func(context.Context) []byte, reply []byte) {
	if out.newcomer {
		if s.newcomers.enter(out.req.client) {
			return func(ctx context.Context) []byte { return s.finishNewcomer(ctx, out) }, nil
		}
		if reply, out = w.settle(out); out == nil {
			return nil, reply
		}
	}
	if !s.admit() {
		return nil, w.failure(&out.req, 0)
	}
	return func(ctx context.Context) []byte {
		defer s.leave()
		reply := s.finish(ctx, out)
		s.metrics.fromUpstream.Observe(time.Since(out.since).Seconds())
		return reply
	}, nil
}

func (s *Server) finishNewcomer(ctx context.Context, waiting *outbound) []byte {
	s.awaitKnown(ctx, waiting.req.client)
	s.newcomers.leave(waiting.req.client)
	reply, out := s.settled(waiting)
	switch {
	case out == nil:
		return reply
	case !s.admit():
		return s.packed(&out.req, plan{rcode: dns.RcodeServerFailure})
	}
	defer s.leave()
	return s.finish(ctx, out)
}

// settled is settle with a worker of its own.
func (s *Server) settled(out *outbound) ([]byte, *outbound) {
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	reply, more := w.settle(out)
	return append([]byte(nil), reply...), more
}
