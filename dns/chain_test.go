package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// records parses records; those of the tests are valid.
func records(texts ...string) (list []dns.RR) {
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		list = append(list, rr)
	}
	return list
}

func TestTrace(t *testing.T) {
	ours := func(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".koine.") }
	long := make([]string, 3*maxChain)
	for i := range long {
		long[i] = fmt.Sprintf("x%d. 9 IN CNAME x%d.", i, i+1)
	}
	for _, test := range []struct {
		name    string
		answer  []string
		qtype   uint16
		targets string
		whole   bool
	}{
		{"nothing", nil, dns.TypeA, "", false},
		{"no CNAME", []string{"x0. 9 IN A 192.0.2.1"}, dns.TypeA, "", true},
		{"of another type", []string{"x0. 9 IN AAAA 2001:db8::1"}, dns.TypeA, "", false},
		{"of another name", []string{"y. 9 IN CNAME z."}, dns.TypeA, "", false},
		{"one", []string{"X0. 9 IN CNAME y.", "Y. 9 IN A 192.0.2.1"}, dns.TypeA, "y.", true},
		{"in no order", []string{"y. 9 IN A 192.0.2.1", "z. 9 IN CNAME y.", "x0. 9 IN CNAME z."}, dns.TypeA, "z. y.", true},
		{"dangling", []string{"x0. 9 IN CNAME y."}, dns.TypeA, "y.", false},
		{"asked for itself", []string{"x0. 9 IN CNAME y."}, dns.TypeCNAME, "", true},
		{"into our domain", []string{"x0. 9 IN CNAME Web.Koine.", "Web.koine. 9 IN A 192.0.2.1"}, dns.TypeA, "Web.Koine.", false},
		{"too long", long, dns.TypeA, "x1. x2. x3. x4. x5. x6. x7. x8. x9. x10. x11. x12. x13. x14. x15. x16. x17.", false},
	} {
		links, whole := trace(records(test.answer...), "x0.", test.qtype, ours)
		var targets []string
		for _, link := range links {
			targets = append(targets, link.Target)
		}
		if got := strings.Join(targets, " "); got != test.targets || whole != test.whole {
			t.Errorf("%s: %q, %v, want %q, %v", test.name, got, whole, test.targets, test.whole)
		}
	}
}

// TestChains follows CNAME records through the View and several resolvers.
func TestChains(t *testing.T) {
	answering := func(answers map[string][]string) *upstream {
		return newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
			list, known := answers[strings.ToLower(q.Question[0].Name)]
			m := reply(q, list...)
			if !known || strings.Contains(strings.Join(list, ""), ".koine.") {
				m.Rcode = nxdomain // a resolver's own view of names in our domains
				m.Ns = records(soa60)
			}
			return one(m)
		})
	}
	long := map[string][]string{}
	for i := range 2 * maxChain {
		long["long.corp."] = append(long["long.corp."], fmt.Sprintf("%s 9 IN CNAME x%d.corp.", [...]string{"long.corp.", fmt.Sprintf("x%d.corp.", i-1)}[min(i, 1)], i))
	}
	corp := answering(map[string][]string{
		"shop.corp.":  {"shop.corp. 60 IN CNAME a.corp.", "a.corp. 60 IN CNAME SVC-Both.service.koine."},
		"wrong.corp.": {"wrong.corp. 60 IN CNAME svc-both.service.koine.", "svc-both.service.koine. 60 IN A 203.0.113.66"},
		"svc.corp.":   {"svc.corp. 60 IN CNAME svc-both.service.koine."},
		"gone.corp.":  {"gone.corp. 60 IN CNAME nosuch.service.koine."},
		"loopa.corp.": {"loopa.corp. 60 IN CNAME loopb.corp.", "loopb.corp. 60 IN CNAME loopa.corp."},
		"loopc.corp.": {"loopc.corp. 60 IN CNAME svc-loop.service.koine."},
		"www.corp.":   {"www.corp. 60 IN CNAME www.example."},
		"none.corp.":  {"none.corp. 60 IN CNAME other.corp."},
		"long.corp.":  long["long.corp."],
	})
	all := answering(map[string][]string{"www.example.": {"www.example. 60 IN A 192.0.2.80"}})
	view := catalog.NewView()
	view.SetNetworks(bridges())
	alias := func(id, host string) catalog.Change {
		return instance(catalog.Instance{ID: id, Node: "n1", Service: "svc-" + id, Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{{Host: host}}})
	}
	changes := append(neighbourhood(), alias("out", "www.corp"), alias("loop", "loopc.corp"), alias("self", "SVC-self.service.koine"),
		alias("a", "svc-b.service.koine"), alias("b", "svc-a.service.consul"))
	s := newTestServer(t, Config{View: view, Upstreams: []string{"corp=" + corp.addr, all.addr}}, changes)
	s.AllowNetworks(bridges())

	for _, test := range []struct {
		from, name string
		qtype      uint16
		want       string // the code, the last data, and the number of records
	}{
		{fromFront, "svc.corp.", dns.TypeA, "NOERROR 10.1.0.4 2"},
		{fromBack, "svc.corp.", dns.TypeA, "NOERROR 10.2.0.4 2"},
		{fromFront, "svc.corp.", dns.TypeSRV, "NOERROR 1 1 80 0a010004.addr.dc1.koine. 2"},
		{fromFront, "svc.corp.", dns.TypeAAAA, "NOERROR svc-both.service.koine. 1"},
		{fromFront, "svc.corp.", dns.TypeCNAME, "NXDOMAIN svc-both.service.koine. 1"},
		{fromFront, "wrong.corp.", dns.TypeA, "NOERROR 10.1.0.4 2"},
		{fromFront, "shop.corp.", dns.TypeA, "NOERROR 10.1.0.4 3"},
		{fromFront, "gone.corp.", dns.TypeA, "NXDOMAIN nosuch.service.koine. 1"},
		{fromFront, "www.corp.", dns.TypeA, "NOERROR 192.0.2.80 2"},
		{fromFront, "none.corp.", dns.TypeA, "NOERROR other.corp. 1"},
		{fromFront, "svc-out.service.koine.", dns.TypeA, "NOERROR 192.0.2.80 3"},
		{fromAfar, "svc-out.service.koine.", dns.TypeA, "NOERROR 192.0.2.80 3"}, // the name is ours, and so is its target
		{fromAfar, "svc.corp.", dns.TypeA, "REFUSED"},

		// Chains that lead nowhere.
		{fromFront, "loopa.corp.", dns.TypeA, "SERVFAIL"},
		{fromFront, "loopc.corp.", dns.TypeA, "SERVFAIL"},
		{fromFront, "svc-loop.service.koine.", dns.TypeA, "SERVFAIL"},
		{fromFront, "svc-self.service.koine.", dns.TypeA, "SERVFAIL"},
		{fromFront, "svc-a.service.koine.", dns.TypeA, "SERVFAIL"},
		{fromFront, "long.corp.", dns.TypeA, "SERVFAIL"},
	} {
		w := seeded(s, 1)
		w.req.client = s.clientAt(netip.MustParseAddr(test.from))
		m := ask(t, w, query(test.name, test.qtype), false)
		got := dns.RcodeToString[m.Rcode]
		if n := len(m.Answer); n > 0 {
			last := m.Answer[n-1]
			got += fmt.Sprint(" ", strings.TrimPrefix(last.String(), last.Header().String()), " ", n)
		}
		if got != test.want || m.Authoritative && !strings.Contains(test.name, "koine") {
			t.Errorf("%s asks %s %s: %s, want %s\n%v", test.from, test.name, dns.TypeToString[test.qtype], got, test.want, m)
		}
	}
	if asked := corp.asked.Load(); asked > 14 {
		t.Errorf("the zone's resolver was asked %d times: what it has said is asked again", asked)
	}
}
