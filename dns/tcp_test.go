package dns

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/internal/eventually"
)

// TestConnectionsAreBounded holds which connection gives way to which.
func TestConnectionsAreBounded(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	c := newConns(16) // two of one client
	names := map[*tcpConn]string{nil: "nobody"}
	admit := func(name, from string, seconds int, want string) *tcpConn {
		t.Helper()
		conn := &tcpConn{client: clientOf(netip.MustParseAddr(from))}
		names[conn] = name
		met, closing := c.admit(conn, at(seconds))
		if got := [...]string{"", "all: ", "client: "}[met] + names[closing]; got != want {
			t.Errorf("%s from %s closes %s, want %s", name, from, got, want)
		}
		return conn
	}
	a := admit("a", "10.0.0.1", 0, "nobody")
	b := admit("b", "10.0.0.1", 1, "nobody")
	c.begin(a)
	admit("c", "10.0.0.1", 2, "client: b")
	_ = b
	c.begin(a)
	c.end(a, at(3))
	admit("d", "::ffff:10.0.0.1", 4, "client: c")
	c.end(a, at(5)) // its last query
	admit("e", "10.0.0.1", 6, "client: d")
	admit("f", "10.0.0.1", 7, "client: a")

	// Of IPv6 a whole network is one client, but not those of one link.
	admit("g", "2001:db8::1", 8, "nobody")
	g2 := admit("h", "2001:db8::2", 8, "nobody")
	c.begin(g2)
	admit("i", "2001:db8::3", 9, "client: g")
	admit("j", "2001:db8:0:1::1", 9, "nobody")
	for _, from := range []string{"fe80::1%eth0", "fe80::2%eth0", "fe80::3%eth0"} {
		admit(from, from, 10, "nobody")
	}

	// Loopback may have all connections; at the bound the one idle longest gives way, whatever its client.
	var local []*tcpConn
	for range 8 {
		local = append(local, admit("local", "127.0.0.1", 11, "nobody"))
	}
	if c.len() != 16 {
		t.Fatalf("%d connections", c.len())
	}
	admit("k", "127.0.0.1", 12, "all: e")
	admit("l", "10.0.0.2", 13, "all: f")
	for _, conn := range local {
		c.remove(conn)
		c.remove(conn)
	}
	if c.len() != 8 {
		t.Errorf("%d connections after eight have ended", c.len())
	}

	// If none is idle, the new one is closed.
	full := newConns(2)
	for range 2 {
		conn := &tcpConn{client: netip.MustParseAddr("127.0.0.1")}
		full.admit(conn, at(0))
		full.begin(conn)
	}
	fresh := &tcpConn{client: netip.MustParseAddr("127.0.0.1")}
	if met, closing := full.admit(fresh, at(1)); met != limitAll || closing != fresh || full.len() != 2 {
		t.Errorf("while all are busy: limit %d, closing %p of %p", met, closing, fresh)
	}
}

func TestSpell(t *testing.T) {
	var s spell
	start := time.Now()
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, false}, {calm, false}, {2 * calm, false}, {3*calm + 1, true}, {3*calm + 2, false}} {
		if got := s.begins(start.Add(step.after)); got != step.want {
			t.Errorf("after %v: %v", step.after, got)
		}
	}
}

// dialTCP opens a connection to a server that ends with the test.
func dialTCP(t *testing.T, addr netip.AddrPort) *dns.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return &dns.Conn{Conn: raw}
}

// send sends questions over a connection.
func send(t *testing.T, conn *dns.Conn, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := conn.WriteMsg(query(name, dns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
}

// receive expects replies in this order.
func receive(t *testing.T, conn *dns.Conn, names ...string) {
	t.Helper()
	for _, name := range names {
		if m, err := conn.ReadMsg(); err != nil || m.Question[0].Name != name {
			t.Fatalf("want the reply to %s: %v, %v", name, m, err)
		}
	}
}

// syncBuffer is a log that is safe for concurrent use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) count(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.b.String(), what)
}

// idle reports whether no connection has a query that is being answered.
func (c *conns) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(func(one *tcpConn) bool { return one.queries > 0 }) == 0
}

// TestIdleConnectionsMakeRoom fills a server of three places.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	var log syncBuffer
	registry := prometheus.NewRegistry()
	s := newTestServer(t, Config{MaxConns: 3, Metrics: registry, Logger: slog.New(slog.NewTextHandler(&log, nil))}, estate())
	addr := start(t, s, "127.0.0.1:0")
	var open []*dns.Conn
	exchange := func(conn *dns.Conn, name string) {
		t.Helper()
		send(t, conn, name)
		receive(t, conn, name)
		await(t, "the connection is idle", func() bool { return s.conns.idle() })
	}
	for range 3 {
		open = append(open, dialTCP(t, addr))
		exchange(open[len(open)-1], "web.service.koine.")
	}
	exchange(open[0], "pub.service.koine.") // so the second is idle longest
	for range 2 {
		open = append(open, dialTCP(t, addr))
		exchange(open[len(open)-1], "web.service.koine.")
	}
	for _, gone := range []int{1, 2} {
		if _, err := open[gone].Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d is still open", gone)
		}
	}
	exchange(open[0], "pub.service.koine.")
	if n := log.count("level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	if got := gather(t, registry)["koine_dns_connections_closed_total"]; got != 2 {
		t.Errorf("%v connections are counted", got)
	}
}

// TestQueriesOvertake holds that a question with a slow upstream does not delay those after it on one connection.
func TestQueriesOvertake(t *testing.T) {
	release := make(chan struct{})
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		if strings.HasPrefix(q.Question[0].Name, "slow.") {
			<-release
		}
		return one(reply(q, q.Question[0].Name+" 60 IN A 192.0.2.1"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}, UpstreamTimeout: eventually.Patience}, estate())
	conn := dialTCP(t, start(t, s, "127.0.0.1:0"))
	send(t, conn, "slow.example.", "web.service.koine.", "nosuch.koine.", "fast.example.")
	receive(t, conn, "web.service.koine.", "nosuch.koine.", "fast.example.")
	close(release)
	receive(t, conn, "slow.example.")
}

// TestLastQueriesAreAnswered closes the client's side of a connection while its question is with an upstream.
func TestLastQueriesAreAnswered(t *testing.T) {
	release, reached := make(chan struct{}), make(chan struct{}, maxSends)
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		reached <- struct{}{}
		<-release
		return one(reply(q, q.Question[0].Name+" 60 IN A 192.0.2.1"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}, UpstreamTimeout: eventually.Patience}, estate())
	conn := dialTCP(t, start(t, s, "127.0.0.1:0"))
	send(t, conn, "slow.example.")
	<-reached
	if err := conn.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(release)
	receive(t, conn, "slow.example.")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last reply: %v, want the end", err)
	}
}

// TestPipelinesAreBounded sends more questions for slow upstreams over a connection than may be in flight, and one for
// the server itself: that one waits until another is answered.
func TestPipelinesAreBounded(t *testing.T) {
	release := make(chan struct{})
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		<-release
		return one(reply(q, q.Question[0].Name+" 60 IN A 192.0.2.1"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}, UpstreamTimeout: eventually.Patience}, estate())
	conn := dialTCP(t, start(t, s, "127.0.0.1:0"))
	for i := range maxPipelined + 4 {
		send(t, conn, string(rune('a'+i))+".example.")
	}
	await(t, "as many as may be are under way", func() bool { return len(s.outbound) == maxPipelined })
	send(t, conn, "web.service.koine.")
	close(release)
	for range maxPipelined + 4 {
		if m, err := conn.ReadMsg(); err != nil || m.Rcode != ok {
			t.Fatalf("%v, %v", m, err)
		}
	}
}

// brokenListener fails until its context ends.
type brokenListener struct{ failed int }

func (l *brokenListener) Accept() (net.Conn, error) {
	l.failed++
	return nil, errors.New("too many open files")
}

// TestAcceptErrorsAreLoggedOnce has a listener fail for three minutes without a break.
func TestAcceptErrorsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		s := newTestServer(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		broken := &brokenListener{}
		if err := s.serveTCP(ctx, broken); err != nil || broken.failed < 1000 || log.count("level=WARN") != 1 {
			t.Errorf("%v after %d failures, with %d warnings", err, broken.failed, log.count("level=WARN"))
		}
	})
}
