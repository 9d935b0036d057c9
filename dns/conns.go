package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// calm is for how long something must not happen until it is news again.
const calm = time.Minute

// conns is the TCP connections of all of a server's addresses: so many in all, and so many of one client, unless it is on
// loopback. Where a place is missing, the connection that has been idle
// the longest makes room (RFC 7766 §6.2.3): it costs its client a new one, and nobody an answer.
type conns struct {
	most, perClient int

	mu   sync.Mutex
	open map[*tcpConn]struct{}
}

// tcpConn is one connection. Its other fields are guarded by the lock of conns.
type tcpConn struct {
	net.Conn
	// client is the address that it is from, of IPv6 the network: whoever has one address there has all of them.
	client netip.Addr
	// queries are those that are being answered; the connection is idle, since then, while there are none.
	queries   int
	idleSince time.Time
}

// limit is the bound that a connection has met.
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

// clientOf returns what the connections from an address are counted under.
func clientOf(from netip.Addr) netip.Addr {
	from = from.Unmap().WithZone("")
	if from.Is4() || from.IsLoopback() || from.IsLinkLocalUnicast() {
		return from
	}
	prefix, _ := from.Prefix(64)
	return prefix.Addr()
}

// admit takes a connection in. If a bound is met it returns which, and the connection that is to be closed: one that is idle
// and makes room, or, if there is none, the new one itself.
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

// idlest returns the connection that has been idle the longest; nil if none is.
func (c *conns) idlest(which func(*tcpConn) bool) (found *tcpConn) {
	for one := range c.open {
		if one.queries == 0 && which(one) && (found == nil || one.idleSince.Before(found.idleSince)) {
			found = one
		}
	}
	return found
}

// remove forgets a connection that has ended.
func (c *conns) remove(ended *tcpConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, ended)
}

// begin notes that a connection has a query more to answer, end that it has one less.
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

// len is how many connections are open.
func (c *conns) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// spell is something that may happen again and again, and is logged when it begins.
type spell struct{ last time.Time }

// begins notes that it has happened, and reports whether it has not for a while.
func (s *spell) begins(now time.Time) bool {
	begins := now.Sub(s.last) > calm
	s.last = now
	return begins
}
