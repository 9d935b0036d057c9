package dns

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/internal/eventually"
)

// TestBurst sends more queries at once than one system call reads, from several sockets: each gets the replies to its
// own queries, and all of them.
func TestBurst(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	addr := start(t, s, "127.0.0.1:0")
	const perSocket = 2 * batchSize // more would overflow the socket of a server that gets no processor time
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
	if err := conn.SetReadDeadline(time.Now().Add(eventually.Patience)); err != nil {
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

// TestRepliesAreTimed holds that each reply's duration is observed once, under its origin.
func TestRepliesAreTimed(t *testing.T) {
	registry := prometheus.NewRegistry()
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg { return one(reply(q, q.Question[0].Name+" 60 IN A 192.0.2.1")) })
	s := newTestServer(t, Config{Upstreams: []string{u.addr}, Metrics: registry}, estate())
	addr := start(t, s, "127.0.0.1:0").String()
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"web.service.koine.", "nosuch.koine.", "www.example.com."} {
			if _, _, err := (&dns.Client{Net: network, Timeout: eventually.Patience}).Exchange(query(name, dns.TypeA), addr); err != nil {
				t.Fatal(err)
			}
		}
	}
	counts := func() (catalog, upstream uint64) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "koine_dns_reply_seconds" {
				return family.Metric[0].GetHistogram().GetSampleCount(), family.Metric[1].GetHistogram().GetSampleCount()
			}
		}
		return 0, 0
	}
	await(t, "all replies are timed", func() bool {
		catalog, upstream := counts()
		return catalog == 4 && upstream == 2
	})
}
