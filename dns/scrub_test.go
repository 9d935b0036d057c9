package dns

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestScrub(t *testing.T) {
	own := func(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".koine.") }
	for name, tt := range map[string]struct {
		qname               string
		qtype               uint16
		answer, extra       []string
		wantAnswer, wantAdd []string
	}{
		"what nobody asked for": {"poison.test.", dns.TypeA,
			[]string{"poison.test. 60 IN A 192.0.2.1", "victim.test. 60 IN A 192.0.2.2", "web.service.koine. 60 IN A 192.0.2.3"},
			[]string{"www.bank.test. 60 IN A 192.0.2.4"},
			[]string{"poison.test. 60 IN A 192.0.2.1"}, nil},
		"a chain": {"WWW.a.test.", dns.TypeA,
			[]string{"b.test. 60 IN A 192.0.2.1", "a.test. 60 IN DNAME b.test.", "www.a.test. 60 IN CNAME b.test.", "c.test. 60 IN DNAME d.test."}, nil,
			[]string{"b.test. 60 IN A 192.0.2.1", "a.test. 60 IN DNAME b.test.", "www.a.test. 60 IN CNAME b.test."}, nil},
		"a chain into an own zone": {"a.test.", dns.TypeA,
			[]string{"a.test. 60 IN CNAME web.service.koine.", "web.service.koine. 60 IN A 192.0.2.3"}, nil,
			[]string{"a.test. 60 IN CNAME web.service.koine."}, nil},
		"of an own zone that an upstream answers for": {"a.koine.", dns.TypeA,
			[]string{"a.koine. 60 IN A 192.0.2.1"}, nil, []string{"a.koine. 60 IN A 192.0.2.1"}, nil},
		"addresses of targets": {"_x._tcp.test.", dns.TypeSRV,
			[]string{"_x._tcp.test. 60 IN SRV 1 1 80 H.test."}, []string{"h.test. 60 IN A 192.0.2.1", "i.test. 60 IN A 192.0.2.2"},
			[]string{"_x._tcp.test. 60 IN SRV 1 1 80 H.test."}, []string{"h.test. 60 IN A 192.0.2.1"}},
		"any type": {"a.test.", dns.TypeANY,
			[]string{"a.test. 60 IN A 192.0.2.1", "a.test. 60 IN CNAME b.test.", "b.test. 60 IN A 192.0.2.1"}, nil,
			[]string{"a.test. 60 IN A 192.0.2.1", "a.test. 60 IN CNAME b.test."}, nil},
		"a TTL beyond 2^31-1": {"a.test.", dns.TypeA,
			[]string{"a.test. 4294967295 IN A 192.0.2.1"}, nil, []string{"a.test. 0 IN A 192.0.2.1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			reply := new(dns.Msg).SetQuestion(tt.qname, tt.qtype)
			reply.Answer, reply.Extra = records(tt.answer...), records(tt.extra...)
			scrub(reply, own)
			for section, pair := range map[string][2][]dns.RR{
				"answer": {records(tt.wantAnswer...), reply.Answer}, "additional": {records(tt.wantAdd...), reply.Extra},
			} {
				if diff := cmp.Diff(textsOf(pair[0]), textsOf(pair[1])); diff != "" {
					t.Errorf("%s (-want +got):\n%s", section, diff)
				}
			}
		})
	}
}

func textsOf(list []dns.RR) (texts []string) {
	for _, rr := range list {
		texts = append(texts, rr.String())
	}
	return texts
}
