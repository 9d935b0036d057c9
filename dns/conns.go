package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// calm is how long an event must not have happened before it is logged again.
const calm = time.Minute

// conns is the TCP connections of all of a server's addresses. There is one bound on all connections and one on those
// of each client that is not on loopback. When a bound is met, the connection that has been idle the longest is closed
// (RFC 7766 §6.2.3): its client has to open another, but no answer is lost.
type conns struct {
	most, perClient int

	mu   sync.Mutex
	open map[*tcpConn]struct{}
}

// tcpConn is one connection. Its other fields are guarded by the lock of conns.
type tcpConn struct {
	net.Conn
	// client is the source address; for IPv6 its /64 network, because a host may use any address there.
	client netip.Addr
	// queries counts the queries that are being answered. At 0 the connection has been idle since idleSince.
	queries   int
	idleSince time.Time
}

// limit is a bound on connections.
type limit uint8

const (
	limitNone limit = iota
	limitAll
	limitClient
	limits
)

func newConns(most int) *conns {
	return &conns{most: most, perClient: max(most/8, 2), open: make(map[*tcpConn]struct{})}
}

// clientOf returns the client under which the connections from an address are counted.
func clientOf(from netip.Addr) netip.Addr {
	from = from.Unmap().WithZone("")
	if from.Is4() || from.IsLoopback() || from.IsLinkLocalUnicast() {
		return from
	}
	prefix, _ := from.Prefix(64)
	return prefix.Addr()
}

// admit adds a connection. If a bound is met it returns the bound and the connection that the caller must close: the one idle
// longest, or, if none is idle, the new one.
func (c *conns) admit(fresh *tcpConn, now time.Time) (met limit, closing *tcpConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh.idleSince = now
	mine := func(other *tcpConn) bool { return other.client == fresh.client }
	switch {
	case !fresh.client.IsLoopback() && c.count(mine) >= c.perClient:
		met, closing = limitClient, c.idlest(mine)
	case len(c.open) >= c.most:
		met, closing = limitAll, c.idlest(func(*tcpConn) bool { return true })
	default:
		c.open[fresh] = struct{}{}
		return limitNone, nil
	}
	if closing == nil {
		return met, fresh
	}
	delete(c.open, closing)
	c.open[fresh] = struct{}{}
	return met, closing
}

func (c *conns) count(which func(*tcpConn) bool) (n int) {
	for one := range c.open {
		if which(one) {
			n++
		}
	}
	return n
}

// idlest returns the connection that has been idle the longest; nil if none is idle.
func (c *conns) idlest(which func(*tcpConn) bool) (found *tcpConn) {
	for one := range c.open {
		if one.queries == 0 && which(one) && (found == nil || one.idleSince.Before(found.idleSince)) {
			found = one
		}
	}
	return found
}

// remove removes a connection that has ended.
func (c *conns) remove(ended *tcpConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, ended)
}

// begin counts a query that is being answered on a connection; the caller must call end once the reply is written.
func (c *conns) begin(on *tcpConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	on.queries++
}

func (c *conns) end(on *tcpConn, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	on.queries--
	on.idleSince = now
}

// len returns the number of open connections.
func (c *conns) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// spell is an event that repeats, and is logged only when it begins.
type spell struct{ last time.Time }

// begins records an event. It reports whether the last one was longer ago than calm.
func (s *spell) begins(now time.Time) bool {
	begins := now.Sub(s.last) > calm
	s.last = now
	return begins
}
