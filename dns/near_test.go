package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

var (
	eu1 = catalog.Locality{Region: "eu", Zone: "1"}
	eu2 = catalog.Locality{Region: "eu", Zone: "2"}
	us1 = catalog.Locality{Region: "us", Zone: "1"}
)

// zones is this host, n1 in eu/1, with a container that runs in eu/2, and the service "web" in three zones. The one in
// eu/1 is on a network of this host's containers; the others are reached by every client.
func zones(more ...catalog.Change) []catalog.Change {
	here := node("n1", ip("192.0.2.1", catalog.NetworkHost))
	here.Node.Locality = eu1
	web := func(id, address, network string, at catalog.Locality) catalog.Change {
		a := named(address, network)
		if network == "" {
			a = ip(address, "")
		}
		return instance(catalog.Instance{ID: id, Node: "n1", Service: "web", Ports: []catalog.Port{http80}, Locality: at,
			Tags: []string{"t" + at.Region}, Addresses: []catalog.Address{a}})
	}
	return append([]catalog.Change{
		here,
		instance(catalog.Instance{ID: "box", Node: "n1", Service: "box", Locality: eu2,
			Addresses: []catalog.Address{named("10.1.0.3", "Front", "box")}}),
		web("a", "10.1.0.11", "Front", catalog.Locality{}), web("b", "10.9.0.2", "", eu2), web("c", "10.9.0.3", "", us1),
	}, more...)
}

func TestNearest(t *testing.T) {
	const (
		srvA, srvB, srvC = " 1 80 0a01000b.addr.dc1.koine.", " 1 80 0a090002.addr.dc1.koine.", " 1 80 0a090003.addr.dc1.koine."
		a, b, c          = "10.1.0.11", "10.9.0.2", "10.9.0.3"
	)
	for _, tt := range []struct {
		from, name string
		ill        string
		qtype      uint16
		want       string
	}{
		{fromHost, "web.near.koine.", "", dns.TypeA, a},
		{fromHost, "WEB.Near.dc1.consul.", "", dns.TypeA, a},
		{fromFront, "web.near.koine.", "", dns.TypeA, b}, // by the container's place
		{fromFresh, "web.near.koine.", "", dns.TypeA, a}, // not known yet: by this host's place
		{fromAfar, "web.near.koine.", "", dns.TypeA, b},  // does not reach the nearer ones
		{fromHost, "web.near.koine.", "a", dns.TypeA, b},
		{fromHost, "web.near.koine.", "a b", dns.TypeA, c},
		{fromHost, "web.near.koine.", "a b c", dns.TypeA, ""},
		{fromHost, "teu.web.near.koine.", "", dns.TypeA, b}, // the one in eu/1 has no such tag
		{fromHost, "tus.web.near.koine.", "", dns.TypeA, c},
		{fromHost, "web.near.koine.", "", dns.TypeSRV, "0" + srvA + " 1" + srvB + " 2" + srvC},
		{fromHost, "_web._tcp.near.koine.", "", dns.TypeSRV, "0" + srvA + " 1" + srvB + " 2" + srvC},
		{fromHost, "_http._tcp.web.near.koine.", "", dns.TypeSRV, "0" + srvA + " 1" + srvB + " 2" + srvC},
		{fromFront, "web.near.koine.", "", dns.TypeSRV, "0" + srvB + " 1" + srvA + " 2" + srvC},
		{fromHost, "web.near.koine.", "a", dns.TypeSRV, "1" + srvB + " 2" + srvC},
		{fromHost, "web.service.koine.", "", dns.TypeSRV, "1" + srvA + " 1" + srvB + " 1" + srvC},
		{fromHost, "web.service.koine.", "", dns.TypeA, a + " " + b + " " + c},
	} {
		var ill []catalog.Change
		for id := range strings.FieldsSeq(tt.ill) {
			ill = append(ill, critical("n1", id))
		}
		view := catalog.NewView()
		view.SetNetworks(bridges())
		s := newTestServer(t, Config{View: view}, zones(ill...))
		want := strings.TrimSpace("NOERROR " + tt.want)
		for range 2 { // the second time from the cache
			if got := askAs(t, s, tt.from, tt.name, tt.qtype); got != want {
				t.Errorf("%s asks %s %s, ill are %q: %s, want %s", tt.from, tt.name, dns.TypeToString[tt.qtype], tt.ill, got, want)
			}
		}
	}
}

// TestNearestStandFirst holds that an SRV answer that is cut has the nearest.
func TestNearestStandFirst(t *testing.T) {
	changes := fleet(100, func(i int, one *catalog.Instance) {
		one.Weight = int32(1 + 1000*(i%2))
		one.Locality = catalog.Locality{Region: "eu", Zone: fmt.Sprint(i / 5)}
		one.Addresses[0].Network = ""
	})
	changes[0].Node.Locality = catalog.Locality{Region: "eu", Zone: "3"}
	w := seeded(newTestServer(t, Config{}, changes), 3)
	w.req.client = w.server.clientAt(netip.MustParseAddr(fromHost))
	reply := ask(t, w, query("fleet.near.koine.", dns.TypeSRV), false)
	if !reply.Truncated || len(reply.Answer) < 6 {
		t.Fatalf("not cut: %v", reply)
	}
	for i, rr := range reply.Answer {
		srv := rr.(*dns.SRV)
		var host int
		if _, err := fmt.Sscanf(srv.Target, "0a0900%02x.addr", &host); err != nil {
			t.Fatal(err)
		}
		if near := i < 5; near != (srv.Priority == 0) || near != (host/5 == 3) || !near && srv.Priority != 1 {
			t.Errorf("at %d: %v", i, srv)
		}
	}
}
