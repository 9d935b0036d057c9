package dns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// denial is a reply without a record, with the SOA that says how long it may be kept.
func denial(q *dns.Msg, rcode int, soa string) *dns.Msg {
	m := reply(q)
	m.Rcode = rcode
	if soa != "" {
		rr, err := dns.NewRR(soa)
		if err != nil {
			panic(err)
		}
		m.Ns = []dns.RR{rr}
	}
	return m
}

const soa60 = "example. 600 IN SOA ns.example. host.example. 1 2 3 4 60"

// TestLifetime holds how long answers are kept, by RFC 2308.
func TestLifetime(t *testing.T) {
	q := query("x.example.", dns.TypeA)
	cut := reply(q, "x.example. 60 IN A 192.0.2.1")
	cut.Truncated = true
	chain := denial(q, dns.RcodeSuccess, soa60)
	chain.Answer = reply(q, "x.example. 20 IN CNAME y.example.").Answer
	for _, test := range []struct {
		name string
		msg  *dns.Msg
		want time.Duration
	}{
		{"the least TTL", reply(q, "x.example. 60 IN CNAME y.example.", "y.example. 30 IN A 192.0.2.1"), 30 * time.Second},
		{"TTL 0", reply(q, "x.example. 0 IN A 192.0.2.1"), 0},
		{"very long", reply(q, "x.example. 999999 IN A 192.0.2.1"), maxPositive},
		{"NXDOMAIN, by the SOA's minimum", denial(q, dns.RcodeNameError, soa60), time.Minute},
		{"NODATA, by the SOA's TTL", denial(q, dns.RcodeSuccess, "example. 10 IN SOA ns.example. h.example. 1 2 3 4 60"), 10 * time.Second},
		{"denied for very long", denial(q, dns.RcodeNameError, "example. 90000 IN SOA n. h. 1 2 3 4 90000"), maxNegative},
		{"denied without an SOA", denial(q, dns.RcodeNameError, ""), 0},
		{"CNAME that leads to nothing", chain, 20 * time.Second},
		{"SERVFAIL", denial(q, dns.RcodeServerFailure, soa60), 0},
		{"cut", cut, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := lifetime(test.msg, dns.TypeA); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// source is the origin of a cache's answers; it counts the fetches.
type source struct {
	cache *answerCache
	asked int
	msg   *dns.Msg
	err   error
}

func (s *source) get(t *testing.T, name string) (*dns.Msg, cacheResult, error) {
	t.Helper()
	return s.cache.get(t.Context(), cacheKey{name: name, qtype: dns.TypeA}, func() (*dns.Msg, error) {
		s.asked++
		return s.msg, s.err
	})
}

// want gets an answer, and changes it as its owner may.
func (s *source) want(t *testing.T, result cacheResult, ttl uint32, asked int) {
	t.Helper()
	m, got, err := s.get(t, "X.example.")
	if err != nil || got != result || s.asked != asked || m.Answer[0].Header().Ttl != ttl {
		t.Fatalf("%v, result %d, asked %d times, %v; want TTL %d, result %d, asked %d times", m, got, s.asked, err, ttl, result, asked)
	}
	m.Answer[0].Header().Ttl = 4711
	m.Answer = nil
}

func TestAnswersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{cache: newAnswerCache(), msg: reply(query("x.example.", dns.TypeA), "x.example. 60 IN A 192.0.2.1")}
		s.want(t, cacheMiss, 60, 1)
		s.want(t, cacheHit, 60, 1)
		time.Sleep(59 * time.Second)
		s.want(t, cacheHit, 1, 1)
		time.Sleep(time.Second)
		s.want(t, cacheMiss, 60, 2)

		// The upstreams fail: the answer stays past its expiry, and they are asked again from time to time only.
		time.Sleep(time.Hour)
		s.err = errors.New("away")
		s.want(t, cacheStale, staleTTL, 3)
		time.Sleep(recheck - time.Second)
		s.want(t, cacheStale, staleTTL, 3)
		time.Sleep(time.Second)
		s.msg, s.err = denial(query("x.example.", dns.TypeA), dns.RcodeServerFailure, ""), nil
		s.want(t, cacheStale, staleTTL, 4)
		time.Sleep(recheck)
		s.msg = reply(query("x.example.", dns.TypeA), "x.example. 60 IN A 192.0.2.1")
		s.want(t, cacheMiss, 60, 5)

		time.Sleep(time.Minute + maxStale + time.Second)
		s.err = errors.New("away")
		if _, _, err := s.get(t, "x.example."); err == nil || len(s.cache.entries) != 0 {
			t.Errorf("%v, %d kept: what is too old is answered", err, len(s.cache.entries))
		}
	})
}

// TestFailuresAreKept holds that a question that has just failed is not asked again at once, by RFC 9520.
func TestFailuresAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := query("x.example.", dns.TypeA)
		s := &source{cache: newAnswerCache(), err: errNoAnswer}
		fails := func(result cacheResult, asked int) {
			t.Helper()
			m, got, err := s.get(t, "X.example.")
			if failed := err != nil || m.Rcode == dns.RcodeServerFailure; !failed || got != result || s.asked != asked {
				t.Errorf("%v, %v, result %d, asked %d times; want a failure, result %d, asked %d times", m, err, got, s.asked, result, asked)
			}
		}
		fails(cacheMiss, 1)
		fails(cacheFailed, 1)
		time.Sleep(failureLife)
		s.msg, s.err = denial(q, dns.RcodeServerFailure, soa60), nil
		fails(cacheMiss, 2)
		time.Sleep(failureLife - time.Nanosecond)
		fails(cacheFailed, 2)
		time.Sleep(time.Nanosecond)
		s.msg = reply(q, "x.example. 60 IN A 192.0.2.1")
		s.want(t, cacheMiss, 60, 3)
		time.Sleep(time.Second)
		s.want(t, cacheHit, 59, 3)

		// A query that its client gave up did not fail.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		key := cacheKey{name: "y.example.", qtype: dns.TypeA}
		if _, _, err := s.cache.get(gone, key, func() (*dns.Msg, error) { return nil, gone.Err() }); err == nil || len(s.cache.failures) != 0 {
			t.Errorf("%v, and %d failures are kept", err, len(s.cache.failures))
		}
		s.err = errNoAnswer
		for i := range maxFailures + 5 {
			_, _, _ = s.get(t, fmt.Sprintf("x%d.example.", i))
		}
		if n := len(s.cache.failures); n > maxFailures || n < 5 {
			t.Errorf("%d failures are kept", n)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	s := &source{cache: newAnswerCache(), msg: reply(query("x.example.", dns.TypeA), "x.example. 60 IN A 192.0.2.1")}
	for i := range maxCached + 5 {
		if _, _, err := s.get(t, fmt.Sprintf("x%d.example.", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.cache.entries) != maxCached || s.cache.recent.Len() != maxCached {
		t.Errorf("%d and %d are kept", len(s.cache.entries), s.cache.recent.Len())
	}
	asked := s.asked
	for _, name := range []string{"x0.example.", fmt.Sprintf("x%d.example.", maxCached)} {
		if _, _, err := s.get(t, name); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked != asked+1 {
		t.Errorf("asked %d times more, want once, for the eldest", s.asked-asked)
	}
	for range 300 {
		s.msg.Answer = append(s.msg.Answer, s.msg.Answer[0])
	}
	if _, _, err := s.get(t, "long.example."); err != nil {
		t.Fatal(err)
	}
	if _, kept := s.cache.entries[cacheKey{name: "long.example.", qtype: dns.TypeA}]; kept {
		t.Error("a long answer is kept")
	}
}

// TestFlightsAreShared has many queries for one name at once, one of which is given up.
func TestFlightsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, release, asked := newAnswerCache(), make(chan struct{}), 0
		key := cacheKey{name: "x.example.", qtype: dns.TypeA}
		fetch := func() (*dns.Msg, error) {
			asked++
			<-release
			return nil, errNoAnswer
		}
		results := make(chan error, 10)
		for range 10 {
			go func() {
				_, _, err := cache.get(context.Background(), key, fetch)
				results <- err
			}()
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := cache.get(gone, key, fetch); !errors.Is(err, context.Canceled) {
			t.Errorf("who gives up gets %v", err)
		}
		close(release)
		for range 10 {
			if err := <-results; !errors.Is(err, errNoAnswer) {
				t.Errorf("%v, want what the one that asked got", err)
			}
		}
		if asked != 1 || len(cache.flights) != 0 {
			t.Errorf("asked %d times, %d flights are left", asked, len(cache.flights))
		}
	})
}

// TestUpstreamsOfZones holds that each name goes to the upstreams of its innermost zone.
func TestUpstreamsOfZones(t *testing.T) {
	at := func(address string) *upstream {
		return newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
			return one(reply(q, q.Question[0].Name+" 0 IN A "+address))
		})
	}
	all, corp, lab := at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.3")
	s := newTestServer(t, Config{Upstreams: []string{
		" " + all.addr, "corp.example=" + corp.addr + " ", " LAB.corp.example. = " + lab.addr, "corp.example=" + silent(t),
	}}, estate())
	for name, want := range map[string]string{
		"example.": "192.0.2.1", "corp.example.": "192.0.2.2", "a.CORP.example.": "192.0.2.2",
		"xcorp.example.": "192.0.2.1", "a.lab.corp.example.": "192.0.2.3", "pub.service.koine.": "10.0.0.1",
	} {
		m := ask(t, seeded(s, 1), query(name, dns.TypeA), false)
		if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("%s: %v, want %s", name, m.Answer, want)
		}
	}
	for _, bad := range []string{"=192.0.2.1", ".=192.0.2.1", "corp=", "a..b=192.0.2.1"} {
		if _, err := newForwarder(&Config{Upstreams: []string{bad}}); err == nil {
			t.Errorf("upstream %q is taken", bad)
		}
	}
}

// TestZoneUpstreamsBesideTheHosts holds that a zone's resolvers do not replace those of all other names.
func TestZoneUpstreamsBesideTheHosts(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, Config{Upstreams: []string{"corp=192.0.2.1"}, ResolvConf: conf}, nil)
	if len(s.upstream.others.Load().servers) != 1 || len(s.upstream.zones) != 1 || s.upstream.system == nil {
		t.Errorf("%v", s.Upstreams())
	}
}
