// Package conns bounds the connections of an http.Server: in all, and for each client. Where a bound is met, the connection
// that has been idle the longest makes room; where none is idle, the new one is refused.
package conns

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// silent is the time that a connection may carry no request before it counts as idle.
	silent = time.Second
	// tellers bounds the clients that get a refusal at a time, tellTime each refusal; connections beyond are closed at once.
	tellers  = 8
	tellTime = time.Second
	// lastChance is the time that connections without a request have to send one once the server stops.
	lastChance = 200 * time.Millisecond
	// lastAccepts bounds the time to accept the connections that wait at the stop, and glance is the time between two looks.
	lastAccepts = time.Second
	glance      = time.Millisecond
	// calm is the time without an event after which the next one counts as one that begins.
	calm = time.Minute
	// The first and the longest pause after an error of accept.
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Limit is a bound on connections.
type Limit uint8

// The bounds: none, on all connections, and on those of one client.
const (
	None Limit = iota
	All
	Client
	limits
)

// spell is an event that repeats.
type spell struct{ last time.Time }

// begins records an event, and reports whether the last one was longer ago than calm.
func (s *spell) begins(now time.Time) bool {
	begins := now.Sub(s.last) > calm
	s.last = now
	return begins
}

// Config configures a Listener. All of its functions are called from the goroutine that accepts, and must return soon.
type Config struct {
	// Most bounds all connections, PerClient those of one client.
	Most, PerClient int
	// Exempt reports whether the connections from an address are exempt from the bound for each client.
	Exempt func(netip.Addr) bool
	// Refusal returns the answer to a refused client.
	Refusal func() []byte
	// Met is called for each connection that is closed or refused because of a bound, with the client that met it; begins is
	// set if that has not happened for a minute.
	Met func(limit Limit, client netip.Addr, begins bool)
	// Failed is called with an error of accept, if there has been none for a minute; accepting is tried again.
	Failed func(error)
}

// Listener accepts connections within bounds. Its server must report their states to State.
type Listener struct {
	net.Listener
	cfg Config
	// closed is closed by Close, to end a pause.
	closed chan struct{}
	// stopping is set by Stop.
	stopping atomic.Bool
	close    func() error
	telling  chan struct{}
	tellers  sync.WaitGroup
	// failing and met belong to the goroutine that accepts.
	failing spell
	met     [limits]spell

	mu   sync.Mutex
	open map[*conn]struct{}
	// clients counts the open connections of each client that is bounded.
	clients map[netip.Addr]int
}

// New returns a Listener on top of another one, which it closes with itself.
func New(l net.Listener, cfg Config) *Listener {
	bounded := &Listener{
		Listener: l, cfg: cfg, closed: make(chan struct{}), telling: make(chan struct{}, tellers), open: make(map[*conn]struct{}),
		clients: make(map[netip.Addr]int),
	}
	bounded.close = sync.OnceValue(func() error {
		close(bounded.closed)
		return l.Close()
	})
	return bounded
}

// conn is one connection.
type conn struct {
	net.Conn
	listener *Listener
	client   netip.Addr
	bounded  bool // for its client
	// state is the http.ConnState, and since the time of its last change in nanoseconds since 1970. They change twice with each
	// request, so without a lock.
	state atomic.Int32
	since atomic.Int64
}

// Close takes the connection out of those that count.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// SetReadDeadline sets the deadline of reads. After Stop, that of a connection without a request is at most lastChance away.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.listener.stopping.Load() && c.is(http.StateNew) {
		if last := time.Now().Add(lastChance); t.IsZero() || t.After(last) {
			t = last
		}
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) is(state http.ConnState) bool { return http.ConnState(c.state.Load()) == state }

// CloseWrite ends the sending side. net/http does so before it closes a connection whose client may still be sending.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Accept returns the next connection within the bounds. It goes on after errors that pass.
func (l *Listener) Accept() (net.Conn, error) {
	rest, failing := firstPause, &l.failing
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			if !passes(err) {
				return nil, err
			}
			if failing.begins(time.Now()) {
				l.cfg.Failed(err)
			}
			select {
			case <-l.closed:
			case <-time.After(rest):
			}
			rest = min(2*rest, lastPause)
			continue
		}
		rest = firstPause
		if c := l.admit(raw); c != nil {
			return c, nil
		}
	}
}

// passes reports whether accepting may succeed again: a resource that ran out may be freed.
func passes(err error) bool {
	for _, passing := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EPERM,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// admit returns the connection to serve; nil if it is refused.
func (l *Listener) admit(raw net.Conn) net.Conn {
	from := addressOf(raw)
	c := &conn{Conn: raw, listener: l, client: clientOf(from), bounded: from.IsValid() && !l.cfg.Exempt(from)}
	c.since.Store(time.Now().UnixNano())
	met, closing := l.add(c)
	if met != None {
		l.cfg.Met(met, c.client, l.met[met].begins(time.Now()))
	}
	if closing == c {
		l.refuse(raw)
		return nil
	}
	if closing != nil {
		_ = closing.Conn.Close() // its server sees that it has ended
	}
	return c
}

// add adds a connection. If a bound is met it returns that, and the connection to close: the one that has been idle the
// longest, or the new one.
func (l *Listener) add(c *conn) (met Limit, closing *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.bounded && l.clients[c.client] >= l.cfg.PerClient:
		met, closing = Client, l.idlest(c, func(other *conn) bool { return other.bounded && other.client == c.client })
	case len(l.open) >= l.cfg.Most:
		met, closing = All, l.idlest(c, func(*conn) bool { return true })
	}
	if met != None && closing == nil {
		return met, c
	}
	if closing != nil {
		l.remove(closing)
	}
	l.open[c] = struct{}{}
	if c.bounded {
		l.clients[c.client]++
	}
	return met, closing
}

// remove takes a connection out of those that count, if it is among them. The caller holds the lock.
func (l *Listener) remove(c *conn) {
	if _, counts := l.open[c]; !counts {
		return
	}
	delete(l.open, c)
	if !c.bounded {
		return
	}
	if l.clients[c.client]--; l.clients[c.client] == 0 {
		delete(l.clients, c.client)
	}
}

// idlest returns the connection that has been idle the longest when another one comes; nil if none is.
func (l *Listener) idlest(newcomer *conn, which func(*conn) bool) (found *conn) {
	now := newcomer.since.Load()
	for c := range l.open {
		since := c.since.Load()
		if c.idle(now-since) && which(c) && (found == nil || since < found.since.Load()) {
			found = c
		}
	}
	return found
}

// idle reports whether a connection carries no request, in a state that has lasted for some nanoseconds.
func (c *conn) idle(lasted int64) bool {
	state := http.ConnState(c.state.Load())
	return state == http.StateIdle || state == http.StateNew && lasted > int64(silent)
}

// refuse answers a client that it is not served.
func (l *Listener) refuse(raw net.Conn) {
	select {
	case l.telling <- struct{}{}:
	default:
		_ = raw.Close()
		return
	}
	refusal := l.cfg.Refusal()
	l.tellers.Go(func() {
		defer func() { <-l.telling }()
		tell(raw, refusal)
	})
}

// tell answers the first request of a connection, and closes it. An answer before the request would be an error to clients.
func tell(raw net.Conn, refusal []byte) {
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(tellTime))
	buffer := make([]byte, 32<<10)
	if _, err := raw.Read(buffer); err != nil {
		return
	}
	if _, err := raw.Write(refusal); err != nil {
		return
	}
	if half, ok := raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = raw.Read(buffer) // the rest of its request, or its end: closing before loses what was sent
}

// State takes the states of connections: it must be the ConnState of the http.Server.
func (l *Listener) State(nc net.Conn, state http.ConnState) {
	if c, ok := nc.(*conn); ok && state != http.StateNew {
		c.state.Store(int32(state))
		c.since.Store(time.Now().UnixNano())
	}
}

// Stop waits until no connection waits to be accepted, and no accepted one waits for its first request: at a shutdown the
// system resets the former, and the server closes the latter without an answer. A connection gets little time for its request.
func (l *Listener) Stop() {
	l.stopping.Store(true)
	within(lastAccepts, func() bool { return !queued(l.Listener) })
	l.mu.Lock()
	for c := range l.open {
		if c.is(http.StateNew) {
			_ = c.SetReadDeadline(time.Now().Add(lastChance))
		}
	}
	l.mu.Unlock()
	within(lastChance+lastAccepts, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.open {
			if c.is(http.StateNew) {
				return false
			}
		}
		return true
	})
}

// within waits until a condition holds, at most for a time.
func within(most time.Duration, holds func() bool) {
	for begun := time.Now(); !holds() && time.Since(begun) < most; {
		time.Sleep(glance)
	}
}

// Len returns the number of open connections.
func (l *Listener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Close closes the listener. It does not close connections that were accepted.
func (l *Listener) Close() error { return l.close() }

// Wait waits for the refusals that are being sent. It must be called after Close.
func (l *Listener) Wait() { l.tellers.Wait() }

// addressOf returns the address that a connection comes from; invalid if it is not an IP address.
func addressOf(raw net.Conn) netip.Addr {
	from, ok := raw.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return from.AddrPort().Addr().Unmap().WithZone("")
}

// clientOf returns the client that the connections from an address are counted for: the address or, for IPv6, its network of
// 64 bits, because a host may use any address there.
func clientOf(from netip.Addr) netip.Addr {
	if !from.Is6() || from.IsLoopback() || from.IsLinkLocalUnicast() {
		return from
	}
	network, _ := from.Prefix(64)
	return network.Addr()
}
