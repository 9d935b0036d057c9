package dns

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

// transports are the ways to read and write datagrams.
var transports = map[string]func(*net.UDPConn) (datagrams, error){
	"batches":    newDatagrams,
	"one by one": func(conn *net.UDPConn) (datagrams, error) { return newOneByOne(conn), nil },
}

func bound(t testing.TB, addr string) []*net.UDPConn {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	if at.Addr().Is6() {
		needs.IPv6(t)
	}
	conns, err := bindUDP(net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
	})
	return conns
}

// alone returns the first socket of a port and closes the others, so that all datagrams arrive there.
func alone(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	conns := bound(t, addr)
	for _, conn := range conns[1:] {
		conn.Close()
	}
	if err := conns[0].SetReadDeadline(time.Now().Add(eventually.Patience)); err != nil {
		t.Fatal(err)
	}
	return conns[0]
}

func dial(t testing.TB, addr netip.Addr, conn *net.UDPConn) net.Conn {
	t.Helper()
	to := netip.AddrPortFrom(addr, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	client, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.SetDeadline(time.Now().Add(eventually.Patience)); err != nil {
		t.Fatal(err)
	}
	return client
}

// TestDatagrams sends from several sockets to each of the addresses that one is bound to. Each socket must get its own
// words and address back, from the address that it asked: a connected socket accepts nothing else.
func TestDatagrams(t *testing.T) {
	for name, open := range transports {
		for _, at := range []struct{ bind, ask string }{
			{"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.7"},
			{"[::1]:0", "::1"}, {"[::]:0", "::1"}, {"[::]:0", "127.0.0.1"}, {"[::]:0", "127.0.0.7"},
		} {
			t.Run(fmt.Sprint(name, " ", at.bind, " ", at.ask), func(t *testing.T) {
				conn := alone(t, at.bind)
				d, err := open(conn)
				if err != nil {
					t.Fatal(err)
				}
				clients := make([]net.Conn, 5)
				for i := range clients {
					clients[i] = dial(t, netip.MustParseAddr(at.ask), conn)
					fmt.Fprint(clients[i], "client ", i)
				}
				echo(t, d, len(clients))
				for i, client := range clients {
					buf := make([]byte, 100)
					n, err := client.Read(buf)
					port := client.LocalAddr().(*net.UDPAddr).Port
					if want := fmt.Sprintf("client %d at %d", i, port); err != nil || string(buf[:n]) != want {
						t.Errorf("%q, %v, want %q", buf[:n], err, want)
					}
				}
			})
		}
	}
}

// echo replies to a number of datagrams with their text and the port that they come from.
func echo(t *testing.T, d datagrams, count int) {
	t.Helper()
	for count > 0 {
		n, err := d.read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			msg, from := d.message(i)
			d.reply(i, fmt.Appendf(nil, "%s at %d", msg, from.Port()))
		}
		d.flush(slog.New(slog.DiscardHandler))
		count -= n
	}
}

// TestSocketsShareAPort holds that every socket of a port receives, and that a port in use is an error.
func TestSocketsShareAPort(t *testing.T) {
	conns := bound(t, "127.0.0.1:0")
	if len(conns) != udpSockets() {
		t.Errorf("%d sockets, want %d", len(conns), udpSockets())
	}
	local := func(conn *net.UDPConn) string { return conn.LocalAddr().String() }
	if slices.ContainsFunc(conns, func(c *net.UDPConn) bool { return local(c) != local(conns[0]) }) {
		t.Errorf("the sockets are at different addresses")
	}
	if _, err := bindUDP(conns[0].LocalAddr().(*net.UDPAddr)); err == nil {
		t.Error("a port that is taken was bound")
	}
}

// TestQueriesCostNoGarbage holds that a query by UDP is read, answered and replied to without allocating.
func TestQueriesCostNoGarbage(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	for _, bind := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		conn := alone(t, bind)
		d, err := newDatagrams(conn)
		if err != nil {
			t.Fatal(err)
		}
		if _, plain := d.(*oneByOne); plain {
			needs.Kernel(t, "this system reads and writes no batches of datagrams")
		}
		client, w, reply := dial(t, netip.MustParseAddr("127.0.0.1"), conn), seeded(s, 1), make([]byte, maxUDP)
		packed, err := query("web.service.koine.", dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		got := testing.AllocsPerRun(100, func() {
			if _, err := client.Write(packed); err != nil {
				t.Fatal(err)
			}
			if _, err := d.read(); err != nil {
				t.Fatal(err)
			}
			since := time.Now()
			s.answerDatagram(t.Context(), w, d, 0, conn, since)
			d.flush(s.log)
			s.metrics.took(1, since)
			if n, err := client.Read(reply); err != nil || n < headerSize {
				t.Fatal(n, err)
			}
		})
		if got != 0 {
			t.Errorf("bound to %s: %v allocations for each query", bind, got)
		}
	}
}

// BenchmarkDatagrams reads batches of queries from a socket, answers them, and sends the replies.
func BenchmarkDatagrams(b *testing.B) {
	s := newTestServer(b, Config{}, estate())
	conn := alone(b, "127.0.0.1:0")
	d, err := newDatagrams(conn)
	if err != nil {
		b.Fatal(err)
	}
	client, w, reply := dial(b, netip.MustParseAddr("127.0.0.1"), conn), seeded(s, 1), make([]byte, maxUDP)
	packed, err := query("web.service.koine.", dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	var replies [batchSize][]byte
	for i := range replies {
		replies[i] = make([]byte, 0, maxUDP)
	}
	b.ReportAllocs()
	for b.Loop() {
		for range batchSize {
			if _, err := client.Write(packed); err != nil {
				b.Fatal(err)
			}
		}
		for left := batchSize; left > 0; {
			n, err := d.read()
			if err != nil {
				b.Fatal(err)
			}
			since := time.Now()
			for i := range n {
				w.out = replies[i]
				s.answerDatagram(b.Context(), w, d, i, conn, since)
			}
			d.flush(s.log)
			s.metrics.took(n, since)
			left -= n
		}
		for range batchSize {
			if _, err := client.Read(reply); err != nil {
				b.Fatal(err)
			}
		}
	}
}
