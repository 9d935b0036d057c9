package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// named is an address on a network, whose ID is "id-" and its name, with the names that it is found by there.
func named(text, network string, names ...string) catalog.Address {
	a := ip(text, network)
	a.NetworkID, a.Names = "id-"+network, names
	return a
}

// bridges are two separate networks, the first with IPv6.
func bridges() []catalog.Network {
	subnet, addr := netip.MustParsePrefix, netip.MustParseAddr
	return []catalog.Network{
		{ID: "id-Front", Name: "Front", Subnets: []netip.Prefix{subnet("10.1.0.0/16"), subnet("fd01::/64")},
			Gateways: []netip.Addr{addr("10.1.0.1")}},
		{ID: "id-back", Name: "back", Short: "rear", Subnets: []netip.Prefix{subnet("10.2.0.0/16")}, Gateways: []netip.Addr{addr("10.2.0.1")}},
	}
}

// neighbourhood is containers on one, the other and both of the bridges, and one on the host's network.
func neighbourhood() []catalog.Change {
	front := func(id string, drain string, addresses ...catalog.Address) catalog.Change {
		return instance(catalog.Instance{ID: id, Node: "n1", Service: "svc-" + id, Ports: []catalog.Port{http80},
			Addresses: addresses, Drain: drain})
	}
	return []catalog.Change{
		node("n1", ip("192.0.2.1", catalog.NetworkHost)),
		front("web1", "", named("10.1.0.2", "Front", "web1", "Web", "web.internal"), named("fd01::2", "Front", "web1", "web")),
		front("web2", "", named("10.1.0.3", "Front", "web2", "web")),
		front("db", "", named("10.2.0.2", "back", "db", "web"), ip("192.0.2.1", catalog.NetworkHost)),
		front("both", "", named("10.1.0.4", "Front", "both"), named("10.2.0.4", "back", "both", "other")),
		front("ill", "", named("10.1.0.5", "Front", "ill", "shared")), critical("n1", "ill"),
		front("well", "", named("10.1.0.6", "Front", "well", "shared")),
		front("sick", "", named("10.1.0.7", "Front", "sick")), critical("n1", "sick"),
		front("ends", "stop signal", named("10.1.0.8", "Front", "ends")),
		instance(catalog.Instance{ID: "hosted", Node: "n1", Service: "hosted", Ports: []catalog.Port{{Number: 9000}},
			Addresses: []catalog.Address{ip("192.0.2.1", catalog.NetworkHost)}}),
	}
}

// askAs answers a question as for a client with a source address; it returns the code, the answers and AA.
func askAs(t *testing.T, s *Server, from, name string, qtype uint16) string {
	t.Helper()
	w := seeded(s, 1)
	w.req.client = s.clientAt(netip.MustParseAddr(from))
	reply := ask(t, w, query(name, qtype), true)
	data := []string{}
	for _, rr := range reply.Answer {
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(data)
	return strings.TrimSpace(dns.RcodeToString[reply.Rcode] + " " + strings.Join(data, " "))
}

// The clients of the tests below.
const (
	fromHost  = "127.0.0.1"
	fromFront = "10.1.0.3"
	fromFresh = "10.1.0.99" // not registered yet
	fromBack  = "10.2.0.2"
	fromBoth  = "10.2.0.4"
	fromAfar  = "198.51.100.1"
)

func TestAnswersDependOnWhoAsks(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view}, neighbourhood())
	for _, test := range []struct {
		from, name string
		qtype      uint16
		want       string
	}{
		{fromFront, "web.", dns.TypeA, "NOERROR 10.1.0.2 10.1.0.3"},
		{fromFresh, "WEB.", dns.TypeA, "NOERROR 10.1.0.2 10.1.0.3"},
		{fromBack, "web.", dns.TypeA, "NOERROR 10.2.0.2"},
		{fromBoth, "web.", dns.TypeA, "NOERROR 10.1.0.2 10.1.0.3 10.2.0.2"},
		{fromBoth, "web.front.", dns.TypeA, "NOERROR 10.1.0.2 10.1.0.3"},
		{fromBoth, "both.", dns.TypeA, "NOERROR 10.1.0.4"},
		{fromBoth, "both.rear.", dns.TypeA, "NOERROR 10.2.0.4"},
		{fromBoth, "both.back.", dns.TypeA, "NOERROR 10.2.0.4"},
		{fromFront, "both.back.", dns.TypeA, "REFUSED"},
		{fromFront, "other.", dns.TypeA, "NXDOMAIN"},
		{fromFront, "web.internal.", dns.TypeA, "NOERROR 10.1.0.2"},
		{fromBack, "web.internal.", dns.TypeA, "REFUSED"},
		{fromFront, "web.", dns.TypeAAAA, "NOERROR fd01::2"},
		{fromFront, "web2.", dns.TypeAAAA, "NOERROR"},
		{fromFront, "web2.", dns.TypeSRV, "NOERROR"},
		{fromFront, "web2.", dns.TypeANY, "NOERROR 10.1.0.3"},
		{fromFront, "nosuch.", dns.TypeA, "NXDOMAIN"},
		{fromFront, "com.", dns.TypeDS, "REFUSED"},
		{fromFront, ".", dns.TypeNS, "REFUSED"},
		{fromFront, "example.com.", dns.TypeA, "REFUSED"},
		{fromHost, "web.", dns.TypeA, "REFUSED"},
		{fromAfar, "web.", dns.TypeA, "REFUSED"},

		// Health: the healthy ones and, if there are none, those that start. No client is sent to those that stop.
		{fromFront, "shared.", dns.TypeA, "NOERROR 10.1.0.6"},
		{fromFront, "sick.", dns.TypeA, "NOERROR 10.1.0.7"},
		{fromFront, "ends.", dns.TypeA, "NOERROR"},

		// Services.
		{fromFront, "svc-web1.service.koine.", dns.TypeA, "NOERROR 10.1.0.2"},
		{fromBack, "svc-web1.service.koine.", dns.TypeA, "NOERROR"},
		{fromBack, "svc-web1.service.koine.", dns.TypeSRV, "NOERROR"},
		{fromBack, "svc-nosuch.service.koine.", dns.TypeA, "NXDOMAIN"},
		{fromBack, "svc-both.service.koine.", dns.TypeA, "NOERROR 10.2.0.4"},
		{fromHost, "svc-both.service.koine.", dns.TypeA, "NOERROR 10.1.0.4"},
		{fromBack, "svc-db.service.koine.", dns.TypeSRV, "NOERROR 1 1 80 0a020002.addr.dc1.koine."},
		{fromFront, "svc-db.service.koine.", dns.TypeSRV, "NOERROR 1 1 30080 c0000201.addr.dc1.koine."},
		{fromAfar, "svc-db.service.koine.", dns.TypeSRV, "NOERROR 1 1 30080 c0000201.addr.dc1.koine."},
		{fromAfar, "svc-both.service.koine.", dns.TypeA, "NOERROR"},
		{fromAfar, "hosted.service.koine.", dns.TypeSRV, "NOERROR 1 1 9000 c0000201.addr.dc1.koine."},
		{fromFront, "svc-db.", dns.TypeA, "NOERROR 192.0.2.1"},
		{fromFront, "svc-db.", dns.TypeSRV, "NOERROR 1 1 30080 c0000201.addr.dc1.koine."},
		{fromBack, "svc-web1.", dns.TypeA, "NOERROR"},

		// Addresses.
		{fromFront, "2.0.1.10.in-addr.arpa.", dns.TypePTR, "NOERROR web1.front."},
		{fromBack, "2.0.1.10.in-addr.arpa.", dns.TypePTR, "NOERROR svc-web1.service.dc1.koine."},
		{fromHost, "2.0.1.10.in-addr.arpa.", dns.TypePTR, "NOERROR svc-web1.service.dc1.koine."},
		{fromBack, "0a010002.addr.koine.", dns.TypeA, "NOERROR 10.1.0.2"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", test.from, test.name, dns.TypeToString[test.qtype]), func(t *testing.T) {
			if got := askAs(t, s, test.from, test.name, test.qtype); got != test.want {
				t.Errorf("answered %q, want %q", got, test.want)
			}
		})
	}
}

// TestNeighboursOfAnUnreadyView holds that nothing is denied out of ignorance.
func TestNeighboursOfAnUnreadyView(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view}, nil)
	for name, want := range map[string]string{
		"web.": "SERVFAIL", "web.service.koine.": "SERVFAIL", "2.0.1.10.in-addr.arpa.": "SERVFAIL", "example.com.": "REFUSED",
	} {
		qtype := dns.TypeA
		if strings.HasSuffix(name, "arpa.") {
			qtype = dns.TypePTR
		}
		if got := askAs(t, s, fromFront, name, qtype); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestNegativeBareNames holds that the denial of a name says for how long it may be kept.
func TestNegativeBareNames(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view}, neighbourhood())
	for _, name := range []string{"nosuch.", "web2."} {
		w := seeded(s, 1)
		w.req.client = s.clientAt(netip.MustParseAddr(fromFront))
		reply := ask(t, w, query(name, dns.TypeMX), false)
		if len(reply.Ns) != 1 || reply.Ns[0].Header().Name != "." || reply.Ns[0].(*dns.SOA).Minttl != 5 || !reply.Authoritative {
			t.Errorf("%s: %v", name, reply)
		}
	}
}

// TestScopesAreForgotten holds that a snapshot asked from many vantages keeps the answers of few.
func TestScopesAreForgotten(t *testing.T) {
	view := catalog.NewView()
	s := newTestServer(t, Config{View: view}, neighbourhood())
	answers := view.Service("svc-web1").Derived(s.slot, s.deriveService).(*serviceAnswers)
	for i := range 3 * maxVantages {
		scope := &catalog.Scope{Networks: []string{fmt.Sprint("x", i), "id-Front"}}
		slices.Sort(scope.Networks)
		sets := answers.find(vantage{scope: scope}, selector{})
		if answers.find(vantage{scope: scope}, selector{}) != sets {
			t.Fatalf("scope %d: answers are made again", i)
		}
		if set := sets.find(dns.TypeA); (set != nil) != (scope.On("id-Front")) {
			t.Fatalf("scope %d: %+v", i, set)
		}
	}
	if n := len(*answers.vantages.Load()); n != maxVantages {
		t.Errorf("answers for %d vantages are kept", n)
	}
}
