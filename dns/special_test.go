package dns

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// TestSpecialNames holds which names are answered without asking an upstream, and which are forwarded all the same
// because a zone has resolvers of its own.
func TestSpecialNames(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		return one(reply(q, q.Question[0].Name+" 60 IN TXT passed-on"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr, "16.172.in-addr.arpa=" + u.addr, "1.168.192.in-addr.arpa=" + u.addr,
		"tor.onion=" + u.addr}}, append(estate(), instance(catalog.Instance{ID: "l", Node: "n1", Service: "lo",
		Addresses: []catalog.Address{{Host: "db.localhost"}}})))
	const mx = dns.TypeMX
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"LocalHost.", dns.TypeA, "NOERROR 127.0.0.1"},
		{"localhost.", dns.TypeAAAA, "NOERROR ::1"},
		{"a.b.localhost.", dns.TypeA, "NOERROR 127.0.0.1"},
		{"localhost.", mx, "NOERROR, SOA of localhost."},
		{"localhost.", dns.TypeSOA, "NOERROR localhost. nobody.invalid. 42 3600 600 86400 5"},
		{"localhost.", dns.TypeNS, "NOERROR localhost."},
		{"xlocalhost.", mx, "NOERROR \"passed-on\""},
		{"lo.service.koine.", dns.TypeA, "NOERROR db.localhost. 127.0.0.1"},

		{"onion.", mx, "NOERROR, SOA of onion."},
		{"x.onion.", dns.TypeA, "NXDOMAIN, SOA of onion."},
		{"x.tor.onion.", mx, "NOERROR \"passed-on\""},
		{"x.invalid.", mx, "NXDOMAIN, SOA of invalid."},
		{"x.test.", mx, "NOERROR \"passed-on\""}, // many networks have such a domain of their own
		{"x.local.", mx, "NOERROR \"passed-on\""},
		{"_dns.resolver.arpa.", dns.TypeSVCB, "NOERROR, SOA of resolver.arpa."},

		{"1.0.0.10.in-addr.arpa.", dns.TypePTR, "NOERROR n1.node.dc1.koine."},
		{"1.0.0.10.in-addr.arpa.", mx, "NOERROR, SOA of 10.in-addr.arpa."},
		{"9.0.0.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN, SOA of 10.in-addr.arpa."},
		{"0.10.in-addr.arpa.", dns.TypePTR, "NOERROR, SOA of 10.in-addr.arpa."},
		{"a.0.0.10.in-addr.arpa.", mx, "NXDOMAIN, SOA of 10.in-addr.arpa."},
		{"1.1.0.0.10.in-addr.arpa.", mx, "NXDOMAIN, SOA of 10.in-addr.arpa."},
		{"10.in-addr.arpa.", dns.TypeNS, "NOERROR 10.in-addr.arpa."},
		{"1.0.0.127.in-addr.arpa.", dns.TypePTR, "NOERROR localhost."},
		{"1.0.0.127.in-addr.arpa.", mx, "NOERROR, SOA of 127.in-addr.arpa."},
		{"1.0.31.172.in-addr.arpa.", mx, "NXDOMAIN, SOA of 31.172.in-addr.arpa."},
		{"1.0.32.172.in-addr.arpa.", mx, "NOERROR \"passed-on\""},
		{"1.0.16.172.in-addr.arpa.", mx, "NOERROR \"passed-on\""},
		{"1.0.168.192.in-addr.arpa.", mx, "NXDOMAIN, SOA of 168.192.in-addr.arpa."},
		{"1.1.168.192.in-addr.arpa.", mx, "NOERROR \"passed-on\""},
		{"1.0.127.100.in-addr.arpa.", mx, "NXDOMAIN, SOA of 127.100.in-addr.arpa."},
		{"1.0.128.100.in-addr.arpa.", mx, "NOERROR \"passed-on\""},
		{"1.0.169.192.in-addr.arpa.", mx, "NOERROR \"passed-on\""},
		{"1" + strings.Repeat(".0", 31) + ".ip6.arpa.", dns.TypePTR, "NOERROR localhost."},
		{"6" + strings.Repeat(".0", 27) + ".1.0.d.f.ip6.arpa.", dns.TypePTR, "NOERROR six.service.dc1.koine."},
		{"7" + strings.Repeat(".0", 27) + ".1.0.d.f.ip6.arpa.", dns.TypePTR, "NXDOMAIN, SOA of d.f.ip6.arpa."},
		{"0.1.0.d.f.ip6.arpa.", mx, "NOERROR, SOA of d.f.ip6.arpa."},
		{"1" + strings.Repeat(".0", 28) + ".8.e.f.ip6.arpa.", mx, "NXDOMAIN, SOA of 8.e.f.ip6.arpa."},
		{"ip6.arpa.", mx, "NOERROR \"passed-on\""},
		{"e164.arpa.", mx, "NOERROR \"passed-on\""},
	} {
		m := ask(t, seeded(s, 1), query(test.name, test.qtype), false)
		got := dns.RcodeToString[m.Rcode]
		for _, data := range dataInOrder(m) {
			got += " " + data
		}
		if len(m.Ns) > 0 {
			got += fmt.Sprintf(", SOA of %s", m.Ns[0].Header().Name)
		}
		if got != test.want || m.Authoritative != !strings.Contains(got, "passed-on") {
			t.Errorf("%s %s: %s, want %s\n%v", test.name, dns.TypeToString[test.qtype], got, test.want, m)
		}
	}
}

// dataInOrder returns the data of a reply's answers in their order.
func dataInOrder(m *dns.Msg) (data []string) {
	for _, rr := range m.Answer {
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return data
}

// TestContainersNamedAsDomains holds that a container's own name takes precedence over a domain, except for localhost.
func TestContainersNamedAsDomains(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view}, []catalog.Change{node("n1", ip("192.0.2.1", catalog.NetworkHost)),
		instance(catalog.Instance{ID: "o", Node: "n1", Service: "o", Addresses: []catalog.Address{named("10.1.0.9", "Front", "onion", "localhost")}})})
	for name, want := range map[string]string{"onion.": "NOERROR 10.1.0.9", "localhost.": "NOERROR 127.0.0.1", "invalid.": "NXDOMAIN"} {
		if got := askAs(t, s, fromFront, name, dns.TypeA); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestPrivateReverseOfAnUnreadyView holds that no address is denied out of ignorance.
func TestPrivateReverseOfAnUnreadyView(t *testing.T) {
	s := newTestServer(t, Config{}, nil)
	for name, want := range map[string]string{"9.0.0.10.in-addr.arpa.": "SERVFAIL", "localhost.": "NOERROR 127.0.0.1", "x.onion.": "NXDOMAIN"} {
		if got := askAs(t, s, fromHost, name, dns.TypeA); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
