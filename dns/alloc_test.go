package dns

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// TestAnswersCostNoGarbage holds that a query for a registered service is answered without allocating, once it has been
// asked before.
func TestAnswersCostNoGarbage(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view}, zones())
	for _, tt := range []struct {
		from, name string
		qtype      uint16
	}{
		{fromHost, "web.service.koine.", dns.TypeA}, {fromHost, "WEB.Service.koine.", dns.TypeA}, {fromHost, "web.service.koine.", dns.TypeAAAA},
		{fromHost, "web.service.koine.", dns.TypeSRV}, {fromHost, "_web._tcp.service.koine.", dns.TypeSRV}, {fromHost, "teu.web.service.koine.", dns.TypeA},
		{fromHost, "web.near.koine.", dns.TypeA},
		{fromFront, "web.service.koine.", dns.TypeA}, {fromFront, "web.near.koine.", dns.TypeA},
		{fromFresh, "web.service.koine.", dns.TypeA}, {fromAfar, "web.service.koine.", dns.TypeA},
		{fromHost, "one.web.service.koine.", dns.TypeA}, {fromHost, "2-of.web.service.koine.", dns.TypeSRV}, {fromHost, "one.web.near.koine.", dns.TypeA},
	} {
		for name, q := range map[string]*dns.Msg{"plain": query(tt.name, tt.qtype), "edns": withEDNS(query(tt.name, tt.qtype))} {
			if got := allocations(t, s, tt.from, q); got != 0 {
				t.Errorf("%s asks %s %s, %s: %v allocations", tt.from, tt.name, dns.TypeToString[tt.qtype], name, got)
			}
		}
	}
}

// withEDNS adds to a query the EDNS record that dig sends.
func withEDNS(q *dns.Msg) *dns.Msg {
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}}
	return q
}

// allocations returns the allocations for a query that was answered before.
func allocations(t *testing.T, s *Server, from string, q *dns.Msg) float64 {
	t.Helper()
	w := seeded(s, 1)
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return testing.AllocsPerRun(100, func() {
		w.req.client = s.clientAt(netip.MustParseAddr(from))
		if reply, _ := w.answer(packed, false); len(reply) < headerSize {
			t.Fatal("no reply")
		}
	})
}
