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
	} {
		w := seeded(s, 1)
		packed, err := query(tt.name, tt.qtype).Pack()
		if err != nil {
			t.Fatal(err)
		}
		got := testing.AllocsPerRun(100, func() {
			w.req.asker = s.askerAt(netip.MustParseAddr(tt.from))
			if reply, _ := w.answer(packed, false); len(reply) < headerSize {
				t.Fatal("no reply")
			}
		})
		if got != 0 {
			t.Errorf("%s asks %s %s: %v allocations", tt.from, tt.name, dns.TypeToString[tt.qtype], got)
		}
	}
}
