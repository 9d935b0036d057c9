package dns

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestQuestionGoesBackAsItCame holds the letter case of the question, by which resolvers tell forgeries (the 0x20
// habit): over both transports, in answers from the View, from upstream resolvers and from the cache, whose question
// came in another case, and in truncated and negative answers.
func TestQuestionGoesBackAsItCame(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		m := reply(q, "www.example.com. 300 IN A 192.0.2.1")
		m.Question[0].Name = "www.example.com." // this one ignores case, and is accepted all the same
		return one(m)
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}}, append(estate(), fleet(300, nil)...))
	addr := start(t, s, "127.0.0.1:0")
	for _, name := range []string{
		"wEb.SerVice.kOINE.", "WEB.sERVICE.Koine.", "_wEb._TcP.koine.", "Web.NEAR.koine.", "n1.NODE.consul.", "fLeet.service.koine.",
		"noSUCH.service.koine.", "wWw.eXample.com.", "WwW.ExAMPLE.com.", "aLIAS.service.koine.",
	} {
		for _, network := range []string{"udp", "tcp"} {
			q := query(name, dns.TypeA)
			reply, _, err := (&dns.Client{Net: network, Timeout: eventually.Patience}).Exchange(q, addr.String())
			if err != nil || len(reply.Question) != 1 || reply.Question[0] != q.Question[0] {
				t.Errorf("%s %s: %v, %v", network, name, err, reply)
			}
		}
	}
	if asked := u.asked.Load(); asked != 1 {
		t.Errorf("the resolver was asked %d times", asked)
	}
}

// TestWeights holds the weights that a client sees: none means 1, addresses that come first follow them, and SRV
// carries them.
func TestWeights(t *testing.T) {
	const trials = 20_000
	weights := []int32{0, 1, 3, 5} // 0 is none
	changes := fleet(len(weights), func(i int, one *catalog.Instance) { one.Weight = weights[i] })
	w := seeded(newTestServer(t, Config{}, changes), 17)
	first := make([]int, len(weights))
	packed, err := query("fleet.service.koine.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for range trials {
		answer, _ := w.answer(packed, false)
		first[answer[bytes.Index(answer, []byte{0, 4, 10, 9, 0})+5]]++
	}
	for i, weight := range weights {
		near(t, "first", first[i], trials, float64(max(weight, 1))/10)
	}
	for _, rr := range ask(t, w, query("fleet.service.koine.", dns.TypeSRV), true).Answer {
		srv := rr.(*dns.SRV)
		if want := max(weights[srv.Target[7]-'0'], 1); int32(srv.Weight) != want {
			t.Errorf("%s weighs %d, want %d", srv.Target, srv.Weight, want)
		}
	}
}
