package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzUpstreamReply passes arbitrary replies of an upstream resolver through the cache to clients.
func FuzzUpstreamReply(f *testing.F) {
	records := func(lines ...string) (list []dns.RR) {
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			list = append(list, rr)
		}
		return list
	}
	seed := func(qtype uint16, rcode int, answer, ns []dns.RR) {
		m := query("www.example.com.", qtype)
		m.Response, m.Rcode, m.Answer, m.Ns = true, rcode, answer, ns
		m.SetEdns0(offeredUDP, true)
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, true)
		f.Add(packed, false)
	}
	soa := records("example.com. 60 IN SOA ns.example.com. root.example.com. 1 2 3 4 5")
	seed(dns.TypeA, dns.RcodeSuccess, records("www.example.com. 60 IN CNAME web.service.koine."), nil)
	seed(dns.TypeA, dns.RcodeSuccess, records("www.example.com. 60 IN CNAME www.example.com."), nil)
	seed(dns.TypeTXT, dns.RcodeNameError, nil, soa)
	seed(dns.TypeANY, dns.RcodeServerFailure, soa, soa)
	seed(dns.TypeSRV, dns.RcodeBadVers, records("www.example.com. 0 IN SRV 0 0 0 ."), nil)

	s := newTestServer(f, Config{}, estate())
	f.Fuzz(func(t *testing.T, reply []byte, edns bool) {
		var m dns.Msg
		if m.Unpack(reply) != nil || len(m.Question) != 1 || passable(&m) != nil {
			return // dropped where it is received
		}
		question := m.Question[0]
		q := &dns.Msg{Question: []dns.Question{question}}
		if edns {
			q.SetEdns0(offeredUDP, true)
		}
		packed, err := q.Pack()
		w := seeded(s, 1)
		if err != nil {
			return
		}
		if _, ok := w.req.parse(packed); !ok {
			return
		}
		cache := newAnswerCache()
		key := cacheKey{name: question.Name, qtype: question.Qtype}
		for range 2 { // as received and, if it was kept, from the cache
			got, _, err := cache.get(t.Context(), key, func() (*dns.Msg, error) { return &m, nil })
			if err != nil {
				t.Fatal(err)
			}
			if got, err = s.follow(t.Context(), got, &w.req, true); err != nil {
				continue
			}
			if out, err := s.fit(got, &w.req); err == nil && len(out) > w.req.limit() {
				t.Fatalf("%d bytes, %d are allowed", len(out), w.req.limit())
			} else if err == nil {
				parse(t, out)
			}
		}
	})
}
