package dns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// TestPermits holds which clients' queries for other names are forwarded.
func TestPermits(t *testing.T) {
	a, err := newAccess([]string{"203.0.113.0/28", " 198.51.100.9", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	own := []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("fe80::/64")}
	a.own.Store(&own)
	docker := []netip.Prefix{netip.MustParsePrefix("172.18.0.0/16")}
	a.docker.Store(&docker)
	for from, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"192.168.7.200": true, "::ffff:192.168.7.200": true, "192.168.8.1": false, "fe80::1%eth0": true, "fe80:0:0:1::1": false,
		"172.18.3.4": true, "172.19.3.4": false,
		"203.0.113.15": true, "203.0.113.16": false, "198.51.100.9": true, "198.51.100.10": false,
		"2001:db8::1": true, "2001:db9::1": false, "8.8.8.8": false,
	} {
		if got := a.permits(netip.MustParseAddr(from)); got != want {
			t.Errorf("%s: %v, want %v", from, got, want)
		}
	}
	all, err := newAccess([]string{AllowAny})
	if err != nil || !all.permits(netip.MustParseAddr("8.8.8.8")) {
		t.Errorf("any: %v", err)
	}
	for _, bad := range []string{"", "all", "10.0.0.0/33", "10.0.0.0/-1", "fe80::1%eth0", "::ffff:10.0.0.0/104", "example.com"} {
		if _, err := newAccess([]string{bad}); catalog.KindOf(err) != catalog.KindInvalid {
			t.Errorf("%q: %v, want a mistake of the user", bad, err)
		}
	}
}

// TestOwnSubnets holds that this host's subnets are known from the start, and are read again while the server runs.
func TestOwnSubnets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, nil)
		loopback := netip.MustParsePrefix("127.0.0.0/8")
		known := func() bool { return slices.Contains(*s.access.own.Load(), loopback) }
		if !known() {
			t.Fatalf("subnets at the start: %v", *s.access.own.Load())
		}
		s.access.own.Store(new([]netip.Prefix))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.keepUp(ctx)
		time.Sleep(upkeep - time.Second)
		if known() {
			t.Error("the subnets are read before it is time")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !known() {
			t.Error("the subnets are not read again")
		}
	})
}

func TestSubnets(t *testing.T) {
	got := subnets([]net.Addr{
		&net.IPNet{IP: net.IPv4(192, 168, 7, 9), Mask: net.CIDRMask(24, 32)},
		&net.IPNet{IP: net.ParseIP("2001:db8::9"), Mask: net.CIDRMask(64, 128)},
		&net.IPNet{IP: net.IPv4(192, 0, 2, 9), Mask: net.CIDRMask(0, 32)},
		&net.UnixAddr{Name: "/no/ip"},
	})
	if len(got) != 2 || got[0] != netip.MustParsePrefix("192.168.7.0/24") || got[1] != netip.MustParsePrefix("2001:db8::/64") {
		t.Errorf("%v", got)
	}
}

// TestInternalNetworksStayClosed holds that no name of a client whose networks are all internal reaches a resolver, whether or
// not its container is known, and that such a client finds its neighbours.
func TestInternalNetworksStayClosed(t *testing.T) {
	networks := bridges()
	networks[1].Internal = true
	for _, open := range []bool{false, true} {
		asked := make(chan string, 100)
		u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
			asked <- q.Question[0].Name
			return one(reply(q, "www.example.com. 300 IN A 192.0.2.1"))
		})
		view := catalog.NewView()
		view.SetNetworks(networks)
		cfg := Config{View: view, Upstreams: []string{u.addr}, Allow: []string{AllowAny}, ForwardInternal: open}
		w := seeded(newTestServer(t, cfg, neighbourhood()), 1)
		for from, closed := range map[string]bool{
			fromFront: false, fromBoth: false, fromFresh: false, fromAfar: false, fromBack: true, "10.2.0.99": true,
		} {
			w.req.client = w.server.clientAt(netip.MustParseAddr(from))
			name := strings.ReplaceAll(from, ".", "-") + ".example.com."
			m := ask(t, w, query(name, dns.TypeTXT), false)
			out := len(asked) > 0
			for len(asked) > 0 {
				<-asked
			}
			if want := open || !closed; out != want || (m.Rcode == refused) == want {
				t.Errorf("open %v, from %s: passed on %v, want %v; answer %v", open, from, out, want, m)
			}
			if from == fromAfar {
				continue
			}
			if m := ask(t, w, query("web.", dns.TypeA), false); len(m.Answer) == 0 {
				t.Errorf("open %v, from %s: web: %v", open, from, m)
			}
		}
	}
}

// TestNothingIsPassedOnFromUnknownNetworks holds that a container on a network that the engine has not told of yet gets SERVFAIL for
// names of other domains, and its neighbours as ever.
func TestNothingIsPassedOnFromUnknownNetworks(t *testing.T) {
	networks := bridges()
	networks[0].Internal = true
	for _, open := range []bool{false, true} {
		asked := make(chan string, 100)
		u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
			asked <- q.Question[0].Name
			return one(reply(q, "www.example.com. 300 IN A 192.0.2.1"))
		})
		view := catalog.NewView()
		view.SetNetworks(networks)
		view.SetResidents(residents(catalog.Resident{ID: "new", Addresses: []catalog.Address{named("10.7.0.9", "new", "new")}},
			catalog.Resident{ID: "both", Addresses: []catalog.Address{named("10.1.0.60", "Front", "both"), named("10.7.0.60", "new", "both")}}))
		cfg := Config{View: view, Upstreams: []string{u.addr}, Allow: []string{AllowAny}, ForwardInternal: open}
		w := seeded(newTestServer(t, cfg, neighbourhood()), 1)
		for from, want := range map[string]string{
			"10.7.0.9": "SERVFAIL", "10.1.0.60": "SERVFAIL", "10.7.0.60": "SERVFAIL", fromFront: "REFUSED", fromBack: "NOERROR", fromAfar: "NOERROR", fromHost: "NOERROR",
		} {
			if open {
				want = "NOERROR"
			}
			w.req.client = w.server.clientAt(netip.MustParseAddr(from))
			m := ask(t, w, query(strings.ReplaceAll(from, ".", "-")+".example.com.", dns.TypeTXT), false)
			if rcode := dns.RcodeToString[m.Rcode]; rcode != want || len(asked) > 0 != (want == "NOERROR") {
				t.Errorf("open %v, from %s: %s and %d questions, want %s", open, from, rcode, len(asked), want)
			}
			for len(asked) > 0 {
				<-asked
			}
		}
		if got := askAs(t, w.server, "10.7.0.60", "web2.", dns.TypeA); got != "NOERROR 10.1.0.3" {
			t.Errorf("a neighbour: %s", got)
		}
	}
}

// TestNothingIsPassedOnBeforeNetworksAreKnown holds that a client that may be on an internal network gets SERVFAIL until that is
// known, and nothing reaches a resolver; the host itself is served.
func TestNothingIsPassedOnBeforeNetworksAreKnown(t *testing.T) {
	asked := make(chan string, 100)
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		asked <- q.Question[0].Name
		return one(reply(q, "www.example.com. 300 IN A 192.0.2.1"))
	})
	view := catalog.NewView()
	view.AwaitNetworks()
	w := seeded(newTestServer(t, Config{View: view, Upstreams: []string{u.addr}, Allow: []string{AllowAny}}, neighbourhood()), 1)
	get := func(from string) int {
		w.req.client = w.server.clientAt(netip.MustParseAddr(from))
		return ask(t, w, query(strings.NewReplacer(".", "-", ":", "-", "%", "-").Replace(from)+".example.com.", dns.TypeTXT), false).Rcode
	}
	for _, from := range []string{fromBack, "fe80::7%br-back"} {
		if got := get(from); got != dns.RcodeServerFailure || len(asked) > 0 {
			t.Errorf("from %s: %s, %d questions", from, dns.RcodeToString[got], len(asked))
		}
	}
	if got := get("127.0.0.1"); got != ok || len(asked) != 1 {
		t.Errorf("from the host: %s, %d questions", dns.RcodeToString[got], len(asked))
	}
	networks := bridges()
	networks[1].Internal, networks[1].Interface = true, "br-back"
	view.SetNetworks(networks)
	for from, want := range map[string]int{fromBack: refused, "fe80::8%br-back": refused, fromFront: ok, "fe80::8%br-front": ok} {
		if got := get(from); got != want {
			t.Errorf("from %s, with the networks known: %s", from, dns.RcodeToString[got])
		}
	}
}

// TestStrangersAreNotForwardedFor asks from an unknown address: names of the server's own domains are answered, others
// refused, even those whose answers are in the cache.
func TestStrangersAreNotForwardedFor(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg { return one(reply(q, "www.example.com. 300 IN A 192.0.2.1")) })
	s := newTestServer(t, Config{Upstreams: []string{u.addr}}, estate())
	w := seeded(s, 1)
	if m := ask(t, w, query("www.example.com.", dns.TypeA), false); len(m.Answer) != 1 {
		t.Fatalf("the host: %v", m)
	}
	from := func(text string) { w.req.client = s.clientAt(netip.MustParseAddr(text)) }
	from(fromAfar)
	for range 2 {
		q := query("www.example.com.", dns.TypeA)
		q.SetEdns0(1232, false)
		m := ask(t, w, q, false)
		if m.Rcode != refused || len(m.Answer) != 0 || len(m.IsEdns0().Option) != 1 {
			t.Fatalf("a stranger: %v", m)
		}
		if ede, ok := m.IsEdns0().Option[0].(*dns.EDNS0_EDE); !ok || ede.InfoCode != dns.ExtendedErrorCodeProhibited {
			t.Errorf("extended error %v", m.IsEdns0().Option)
		}
		if m := ask(t, w, query("www.example.com.", dns.TypeA), true); m.Rcode != refused || m.IsEdns0() != nil {
			t.Errorf("without EDNS, by TCP: %v", m)
		}
	}
	if m := ask(t, w, query("pub.service.koine.", dns.TypeA), false); len(m.Answer) != 1 {
		t.Errorf("our own name: %v", m)
	}
	s.AllowNetworks(bridges())
	from(fromFresh)
	if m := ask(t, w, query("www.example.com.", dns.TypeA), false); len(m.Answer) != 1 {
		t.Errorf("a container: %v", m)
	}
	s.AllowNetworks(nil)
	if m := ask(t, w, query("www.example.com.", dns.TypeA), false); m.Rcode != refused {
		t.Errorf("a container of a network that has gone: %v", m)
	}
	if asked := u.asked.Load(); asked != 1 {
		t.Errorf("upstream was asked %d times", asked)
	}
}

func TestPasses(t *testing.T) {
	u := silent(t)
	for allow, want := range map[string]string{
		"":               "loopback, this host's subnets, Docker's networks",
		"10.0.0.0/8,::1": "loopback, this host's subnets, Docker's networks, 10.0.0.0/8, ::1/128",
		"10.0.0.0/8,any": "all clients",
	} {
		var list []string
		if allow != "" {
			list = strings.Split(allow, ",")
		}
		s := newTestServer(t, Config{Upstreams: []string{u}, Allow: list}, nil)
		if got := s.Passes(); got != want {
			t.Errorf("%s: %q, want %q", allow, got, want)
		}
	}
	if got := newTestServer(t, Config{}, nil).Passes(); got != "" {
		t.Errorf("without upstreams: %q", got)
	}
}
