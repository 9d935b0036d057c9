package dns

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// guests are further addresses that the server listens on while they are wanted, such as those of bridges.
type guests struct {
	mu     sync.Mutex
	wanted []netip.AddrPort
	// wake has room for one signal that wanted has changed.
	wake chan struct{}
}

func newGuests() guests { return guests{wake: make(chan struct{}, 1)} }

// guestRetry is the time between two attempts at an address that cannot be bound: the interface is not up yet, or
// another program has the port.
const guestRetry = time.Second

// ListenAlso sets the addresses to listen on besides those of Listen, in place of those set before. It may be called at
// any time and does not wait. An address that cannot be bound is logged once, and retried until it can.
func (s *Server) ListenAlso(addrs []netip.AddrPort) {
	s.guests.mu.Lock()
	s.guests.wanted = slices.Clone(addrs)
	s.guests.mu.Unlock()
	select {
	case s.guests.wake <- struct{}{}:
	default:
	}
}

// guest is a server at a wanted address.
type guest struct {
	stop  context.CancelFunc
	ended chan struct{}
}

// guestRun is the state of runGuests.
type guestRun struct {
	server *Server
	open   map[netip.AddrPort]guest
	// failing are the addresses whose failure has been logged.
	failing map[netip.AddrPort]bool
}

// runGuests opens and closes listeners as they are wanted, until the context ends.
func (s *Server) runGuests(ctx context.Context) {
	run := guestRun{server: s, open: make(map[netip.AddrPort]guest), failing: make(map[netip.AddrPort]bool)}
	retry := time.NewTicker(guestRetry)
	defer retry.Stop()
	for {
		select {
		case <-s.guests.wake:
			run.settle(ctx)
		case <-retry.C:
			if run.due() {
				run.settle(ctx)
			}
		case <-ctx.Done():
			run.closeAllBut(nil)
			return
		}
	}
}

// due reports whether an address is still to be bound, or a listener has ended by itself.
func (r *guestRun) due() bool {
	for _, g := range r.open {
		select {
		case <-g.ended:
			return true
		default:
		}
	}
	return len(r.failing) > 0
}

// settle closes the listeners that are not wanted any more and opens those that are.
func (r *guestRun) settle(ctx context.Context) {
	r.server.guests.mu.Lock()
	wanted := r.server.guests.wanted
	r.server.guests.mu.Unlock()
	r.closeAllBut(wanted)
	maps.DeleteFunc(r.failing, func(addr netip.AddrPort, _ bool) bool { return !slices.Contains(wanted, addr) })
	for _, addr := range wanted {
		if _, open := r.open[addr]; !open {
			r.start(ctx, addr)
		}
	}
}

// closeAllBut closes the listeners at addresses that are not wanted, and forgets those that have ended.
func (r *guestRun) closeAllBut(wanted []netip.AddrPort) {
	for addr, g := range r.open {
		select {
		case <-g.ended:
			delete(r.open, addr)
			continue
		default:
		}
		if !slices.Contains(wanted, addr) {
			g.stop()
			<-g.ended
			delete(r.open, addr)
			r.server.log.Info("dns listens no more", "address", addr)
		}
	}
}

func (r *guestRun) start(ctx context.Context, addr netip.AddrPort) {
	at := &Server{shared: r.server.shared}
	if err := at.bind(addr.String()); err != nil {
		if !r.failing[addr] {
			r.server.log.Warn("dns cannot listen: retrying", "address", addr, "error", err)
		}
		r.failing[addr] = true
		return
	}
	delete(r.failing, addr)
	ctx, stop := context.WithCancel(ctx)
	g := guest{stop: stop, ended: make(chan struct{})}
	r.open[addr] = g
	r.server.log.Info("dns listens", "address", addr)
	r.server.opened(addr)
	go func() {
		defer close(g.ended)
		defer r.server.closed(addr)
		defer stop()
		if err := at.serve(ctx); err != nil {
			r.server.log.Warn("dns listener failed", "address", addr, "error", err)
		}
	}()
}
