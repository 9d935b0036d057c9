package dns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// guests are further addresses that the server listens on while they are wanted, such as those of bridges.
type guests struct {
	mu     sync.Mutex
	wanted []netip.AddrPort
	// settled is closed once each of the wanted addresses has been tried.
	settled chan struct{}
	// open are those that the server listens on.
	open []netip.AddrPort
	// wake has room for one signal that wanted has changed.
	wake chan struct{}
}

func newGuests() guests {
	settled := make(chan struct{})
	close(settled)
	return guests{wake: make(chan struct{}, 1), settled: settled}
}

const (
	// guestRetry is the time between two attempts at an address that cannot be bound: the interface is not up yet, or
	// another program has the port.
	guestRetry = time.Second
	// guestRetell is the time after which the reason for a failure is looked for again: another program may have the port by now.
	guestRetell = 10 * time.Second
	// guestGrace is the time that a new network's address may take until it can be bound: an IPv6 address cannot be before the kernel has
	// looked for a duplicate of it.
	guestGrace = 5 * time.Second
)

// ListenAlso sets the addresses to listen on besides those of Listen, in place of those set before. It may be called at
// any time and does not wait. An address that cannot be bound is retried until it can; the log and /health say why it cannot.
func (s *Server) ListenAlso(addrs []netip.AddrPort) {
	s.guests.mu.Lock()
	s.guests.wanted = slices.Clone(addrs)
	select {
	case <-s.guests.settled:
		s.guests.settled = make(chan struct{})
	default:
	}
	s.guests.mu.Unlock()
	select {
	case s.guests.wake <- struct{}{}:
	default:
	}
}

// AlsoListens returns those of the addresses of ListenAlso that the server listens on, once it has tried each of them or the context has
// ended. Run must have been called.
func (s *Server) AlsoListens(ctx context.Context) []netip.AddrPort {
	s.guests.mu.Lock()
	settled := s.guests.settled
	s.guests.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
	}
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	return slices.Clone(s.guests.open)
}

// guest is a server at a wanted address.
type guest struct {
	stop  context.CancelFunc
	ended chan struct{}
}

// failing is an address that cannot be bound.
type failing struct {
	since time.Time
	// why is the reason that was logged last, at the time of looked.
	why    string
	looked time.Time
	// report reports it in /health; "" withdraws that.
	report func(string)
}

// guestRun is the state of runGuests.
type guestRun struct {
	server  *Server
	open    map[netip.AddrPort]guest
	failing map[netip.AddrPort]*failing
}

// runGuests opens and closes listeners as they are wanted, until the context ends.
func (s *Server) runGuests(ctx context.Context) {
	run := guestRun{server: s, open: make(map[netip.AddrPort]guest), failing: make(map[netip.AddrPort]*failing)}
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
	wanted, settled := r.server.guests.wanted, r.server.guests.settled
	r.server.guests.mu.Unlock()
	r.closeAllBut(wanted)
	for addr := range r.failing {
		if !slices.Contains(wanted, addr) {
			r.recover(addr)
		}
	}
	for _, addr := range wanted {
		if _, open := r.open[addr]; !open {
			r.start(ctx, addr)
		}
	}
	r.publish(wanted, settled)
}

// publish makes known what the server listens on, unless other addresses are wanted by now.
func (r *guestRun) publish(wanted []netip.AddrPort, settled chan struct{}) {
	guests := &r.server.guests
	guests.mu.Lock()
	defer guests.mu.Unlock()
	guests.open = slices.SortedFunc(maps.Keys(r.open), netip.AddrPort.Compare)
	select {
	case <-settled:
	default:
		if slices.Equal(wanted, guests.wanted) {
			close(settled)
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
		r.fail(ctx, addr, err)
		return
	}
	r.recover(addr)
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

// fail records that an address cannot be bound, and says so when that or its reason is new.
func (r *guestRun) fail(ctx context.Context, addr netip.AddrPort, err error) {
	f := r.failing[addr]
	if f == nil {
		f = &failing{since: time.Now(), report: r.server.view.ProblemSetter()}
		r.failing[addr] = f
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) && time.Since(f.since) < guestGrace {
		return
	}
	if time.Since(f.looked) < guestRetell {
		return
	}
	why := r.server.whyTaken(ctx, addr, err)
	f.looked = time.Now()
	if why == f.why {
		return
	}
	f.why = why
	r.server.log.Warn("dns cannot listen: retrying", "address", addr, "error", why)
	f.report(fmt.Sprintf("DNS does not listen on %s: %s", addr, why))
}

// recover forgets that an address could not be bound.
func (r *guestRun) recover(addr netip.AddrPort) {
	if f := r.failing[addr]; f != nil {
		f.report("")
		delete(r.failing, addr)
	}
}

// whyTaken says why an address cannot be bound and, if another program has the port, which one.
func (s *shared) whyTaken(ctx context.Context, addr netip.AddrPort, err error) string {
	if !errors.Is(err, syscall.EADDRINUSE) || s.holder == nil {
		return err.Error()
	}
	network := "tcp"
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		network = failed.Net
	}
	if why := s.holder(ctx, network, addr); why != "" {
		return why
	}
	return fmt.Sprintf("another program has %s port %d", strings.ToUpper(network), addr.Port())
}
