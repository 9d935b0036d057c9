package dns

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// TestUpstreamsOfOwnDomains holds that a domain with resolvers of its own is left to them, as is one inside a domain of
// this server, and that of two nested domains the inner one counts.
func TestUpstreamsOfOwnDomains(t *testing.T) {
	at := func(address string) *upstream {
		return newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
			return one(reply(q, q.Question[0].Name+" 0 IN A "+address))
		})
	}
	consul, east, corp, all := at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.3"), at("192.0.2.4")
	s := newTestServer(t, Config{Domains: []string{"koine", "consul", "svc.corp.internal"}, Upstreams: []string{
		all.addr, "Consul=" + consul.addr, "east.koine=" + east.addr, "corp.internal=" + corp.addr,
	}}, estate())
	for name, want := range map[string]string{
		"pub.service.koine.": "10.0.0.1", "pub.service.svc.corp.internal.": "10.0.0.1",
		"pub.service.consul.": "192.0.2.1", "consul.": "192.0.2.1", "pub.service.east.koine.": "192.0.2.2",
		"pub.service.corp.internal.": "192.0.2.3", "xkoine.": "192.0.2.4",
	} {
		m := ask(t, seeded(s, 1), query(name, dns.TypeA), false)
		if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want || m.Authoritative != (want == "10.0.0.1") {
			t.Errorf("%s: %v, want %s", name, m, want)
		}
	}
	if m := ask(t, seeded(s, 1), query("1.0.0.10.in-addr.arpa.", dns.TypePTR), false); len(m.Answer) != 1 ||
		m.Answer[0].(*dns.PTR).Ptr != "n1.node.dc1.koine." {
		t.Errorf("PTR: %v", m)
	}
	s = newTestServer(t, Config{Upstreams: []string{"koine=" + consul.addr}}, estate())
	if s.Domain() != "consul" || s.zones[0].labels[0] != "consul" {
		t.Errorf("domain %s, want the one that is left", s.Domain())
	}
	_, err := New(Config{View: catalog.NewView(), Upstreams: []string{"koine=192.0.2.1", "consul=192.0.2.2"}})
	if catalog.KindOf(err) != catalog.KindInvalid {
		t.Errorf("%v, want a mistake of the user: no domain is left", err)
	}
}

// TestOtherDomains has names of one domain of several labels, and SRV targets and PTR records below it.
func TestOtherDomains(t *testing.T) {
	w := seeded(newTestServer(t, Config{Domains: []string{"svc.Corp.internal."}, TTL: 60e9}, estate()), 1)
	if domain := w.server.Domain(); domain != "svc.corp.internal" {
		t.Errorf("domain %s", domain)
	}
	m := ask(t, w, query("pub.service.svc.corp.internal.", dns.TypeSRV), false)
	if len(m.Answer) != 1 || m.Answer[0].(*dns.SRV).Target != "0a000001.addr.dc1.svc.corp.internal." || m.Answer[0].Header().Ttl != 60 {
		t.Errorf("SRV: %v", m)
	}
	m = ask(t, w, query("nosuch.service.svc.corp.internal.", dns.TypeA), false)
	if m.Rcode != nxdomain || len(m.Ns) != 1 || m.Ns[0].Header().Name != "svc.corp.internal." || m.Ns[0].(*dns.SOA).Minttl != 60 {
		t.Errorf("no such name: %v", m)
	}
	m = ask(t, w, query("1.0.0.10.in-addr.arpa.", dns.TypePTR), false)
	if len(m.Answer) != 1 || m.Answer[0].(*dns.PTR).Ptr != "n1.node.dc1.svc.corp.internal." {
		t.Errorf("PTR: %v", m)
	}
	if m := ask(t, w, query("pub.service.koine.", dns.TypeA), false); m.Rcode != refused {
		t.Errorf("the domain that is not ours now: %v", m)
	}
}
