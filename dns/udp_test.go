package dns

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestBurst sends more queries at once than one system call reads, from several sockets: each gets the replies to its
// own queries, and all of them.
func TestBurst(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	addr := start(t, s, "127.0.0.1:0")
	const perSocket = 2 * batchSize // more would overflow the socket of a server that is kept from its work
	names := []string{"web.service.koine.", "none.service.koine.", "pub.service.koine."}
	conns := make([]net.Conn, len(names))
	for i, name := range names {
		conn, err := net.Dial("udp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
		for id := range perSocket {
			q := query(name, dns.TypeA)
			q.Id = uint16(id)
			packed, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(packed); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, name := range names {
		expectReplies(t, conns[i], name, perSocket)
	}
}

func expectReplies(t *testing.T, conn net.Conn, name string, count int) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf, seen := make([]byte, maxUDP), make(map[uint16]bool)
	for range count {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%s: after %d replies: %v", name, len(seen), err)
		}
		m := parse(t, buf[:n])
		if m.Question[0].Name != name || seen[m.Id] || (m.Rcode == dns.RcodeNameError) != (name[0] == 'n') {
			t.Errorf("reply to %s: %v", name, m)
		}
		seen[m.Id] = true
	}
}
