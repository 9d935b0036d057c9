package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// mixed are services with instances that have addresses, and instances that have host names.
func mixed() []catalog.Change {
	n := 0
	at := func(service string, addresses ...catalog.Address) catalog.Change {
		n++
		return instance(catalog.Instance{ID: fmt.Sprint("m", n), Node: "n1", Service: service, Ports: []catalog.Port{http80}, Addresses: addresses})
	}
	host := func(name string) catalog.Address { return catalog.Address{Host: name} }
	list := []catalog.Change{
		node("n1", ip("10.0.0.1", "")),
		at("both", ip("10.0.0.77", "")), at("both", host("db.example.net")),
		at("dead", ip("10.0.0.78", "")), at("dead", host("dead.example.net")),
		at("local", ip("10.0.0.79", "")), at("local", host("both.service.koine")),
		at("circle", ip("10.0.0.80", "")), at("circle", host("Circle.service.koine")),
		at("short", ip("10.0.0.81", "")), at("short", host("short.example.net")),
		at("hosts", host("db.example.net")), at("hosts", host("short.example.net")),
		at("many", ip("10.0.0.82", "")),
		at("alias", host("both.service.koine")),
	}
	for i := range 2 * maxHosts {
		list = append(list, at("many", host(fmt.Sprintf("many%d.example.net", i))))
	}
	return list
}

// TestHostsAreResolved holds that answers hold instances with host names as well as those with addresses. The resolvers
// of the host names are slow, or never answer.
func TestHostsAreResolved(t *testing.T) {
	answers := func(n int, q *dns.Msg, _ string) (*dns.Msg, error) {
		name := strings.ToLower(q.Question[0].Name)
		switch four := q.Question[0].Qtype == dns.TypeA; {
		case name == "dead.example.net.":
			return nil, nil
		case strings.HasPrefix(name, "many"):
			return reply(q, name+" 60 IN A 192.0.2."+strings.TrimSuffix(name[4:], ".example.net.")), nil
		case name == "db.example.net." && four:
			time.Sleep(100 * time.Millisecond)
			return reply(q, name+" 60 IN CNAME db2.example.net.", "db2.example.net. 60 IN A 192.0.2.100", "db2.example.net. 60 IN A 192.0.2.101"), nil
		case name == "db.example.net.":
			return reply(q, name+" 60 IN CNAME db2.example.net.", "db2.example.net. 60 IN AAAA 2001:db8::100"), nil
		case name == "short.example.net.":
			return reply(q, name+" 0 IN A 192.0.2.102"), nil
		}
		return nil, nil
	}
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
		ttl   uint32
		took  time.Duration
	}{
		{"both", dns.TypeA, "10.0.0.77 192.0.2.100 192.0.2.101", 5, 100 * time.Millisecond},
		{"both", dns.TypeAAAA, "2001:db8::100", 5, 0},
		{"both", dns.TypeSRV, "1 1 80 0a00004d.addr.dc1.koine. 1 1 80 db.example.net.", 5, 0},
		{"dead", dns.TypeA, "10.0.0.78", 5, hostWait},
		{"dead", dns.TypeAAAA, "", 0, hostWait},
		{"local", dns.TypeA, "10.0.0.77 10.0.0.79", 5, 0}, // not the hosts of hosts
		{"circle", dns.TypeA, "10.0.0.80", 5, 0},
		{"short", dns.TypeA, "10.0.0.81 192.0.2.102", 1, 0},
		{"alias", dns.TypeA, "10.0.0.77 192.0.2.100 192.0.2.101 both.service.koine.", 5, 100 * time.Millisecond},
	} {
		t.Run(test.name+" "+dns.TypeToString[test.qtype], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wires{start: time.Now(), counts: make(map[string]int)}
				w.servers = map[string]func(int, *dns.Msg, string) (*dns.Msg, error){"192.0.2.53": answers}
				s := hostServer(t, w, Config{})
				m := ask(t, seeded(s, 1), query(test.name+".service.koine.", test.qtype), false)
				took := time.Since(w.start)
				rcode := ok
				if test.want == "" {
					rcode = dns.RcodeServerFailure // there may be an address
				}
				if got := dataOf(m); got != test.want || took != test.took || m.Authoritative != (rcode == ok) || m.Rcode != rcode {
					t.Errorf("%s after %v, want %s after %v: %v", got, took, test.want, test.took, m)
				}
				for _, rr := range m.Answer {
					if rr.Header().Ttl != test.ttl && rr.Header().Rrtype != dns.TypeCNAME {
						t.Errorf("%v, want a TTL of %d", rr, test.ttl)
					}
				}
				s.running.Wait()
				w.serving.Wait()
			})
		})
	}

	// A resolver that has not answered is not waited for again at once.
	synctest.Test(t, func(t *testing.T) {
		w := &wires{start: time.Now(), counts: make(map[string]int)}
		w.servers = map[string]func(int, *dns.Msg, string) (*dns.Msg, error){"192.0.2.53": answers}
		s := hostServer(t, w, Config{})
		question := func(want time.Duration) {
			t.Helper()
			begin := time.Now()
			if got := dataOf(ask(t, seeded(s, 1), query("dead.service.koine.", dns.TypeA), false)); got != "10.0.0.78" {
				t.Errorf("%s", got)
			}
			if took := time.Since(begin); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
		}
		question(hostWait)
		s.running.Wait() // the question stays in flight until its timeout
		question(0)
		time.Sleep(failureLife)
		question(hostWait)
		s.running.Wait()
		w.serving.Wait()
	})

	// At most maxHosts are resolved, over a transport that has room for them.
	synctest.Test(t, func(t *testing.T) {
		w := &wires{start: time.Now(), counts: make(map[string]int)}
		w.servers = map[string]func(int, *dns.Msg, string) (*dns.Msg, error){"192.0.2.53": answers}
		s := hostServer(t, w, Config{})
		if m := ask(t, seeded(s, 1), query("many.service.koine.", dns.TypeA), true); len(m.Answer) != 1+maxHosts || w.counts["192.0.2.53"] != maxHosts {
			t.Errorf("%d answers, %d asked", len(m.Answer), w.counts["192.0.2.53"])
		}
		for range cap(s.outbound) {
			s.outbound <- struct{}{} // the outbound queries are at their limit
		}
		if m := ask(t, seeded(s, 1), query("many.service.koine.", dns.TypeA), true); len(m.Answer) != 1 {
			t.Errorf("%d answers without a place", len(m.Answer))
		}
		s.running.Wait()
		w.serving.Wait()
	})

	// Without resolvers the addresses are answered, and those of host names in the server's own domains.
	s := newTestServer(t, Config{}, mixed())
	for name, want := range map[string]string{"both": "10.0.0.77", "local": "10.0.0.77 10.0.0.79"} {
		if got := dataOf(ask(t, seeded(s, 1), query(name+".service.koine.", dns.TypeA), false)); got != want {
			t.Errorf("%s without resolvers: %s, want %s", name, got, want)
		}
	}
}

// hostServer is a server of mixed services whose resolver is in memory.
func hostServer(t *testing.T, w *wires, cfg Config) *Server {
	t.Helper()
	cfg.Upstreams = []string{"192.0.2.53"}
	s := newTestServer(t, cfg, mixed())
	s.upstream.dial = w.dial
	return s
}

// dataOf returns the data of a reply's answers, sorted.
func dataOf(m *dns.Msg) string {
	var data []string
	for _, rr := range m.Answer {
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(data)
	return strings.Join(data, " ")
}

// TestHostsOverSockets asks as clients do, by both transports, and ends the server while an answer is pending.
func TestHostsOverSockets(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		if strings.HasPrefix(q.Question[0].Name, "dead.") {
			return nil
		}
		return one(reply(q, q.Question[0].Name+" 60 IN A 192.0.2.100"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}}, mixed())
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for _, network := range []string{"udp", "tcp"} {
		m, _, err := (&dns.Client{Net: network, Timeout: eventually.Patience}).Exchange(query("both.service.koine.", dns.TypeA), s.Addr().String())
		if err != nil || dataOf(m) != "10.0.0.77 192.0.2.100" {
			t.Errorf("%s: %v, %v", network, m, err)
		}
	}
	conn := dialTCP(t, netip.MustParseAddrPort(s.Addr().String()))
	send(t, conn, "dead.service.koine.")
	await(t, "the dead host is asked for", func() bool { return len(s.outbound) > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
