package dns

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's counters. They are looked up once, so that counting an answer costs two additions.
type metrics struct {
	queries   [len(countedTypes) + 1][16]prometheus.Counter
	truncated prometheus.Counter
	upstream  [2]prometheus.Counter
	cache     [cacheResults]prometheus.Counter
	// shed counts the connections that were closed because of a bound; that of limitNone is nil.
	shed [limits]prometheus.Counter
	// fromCatalog and fromUpstream observe how long replies took: from the View alone, or with the upstreams.
	fromCatalog, fromUpstream prometheus.Observer
}

// countedTypes are the types counted by name; all others are "other".
var countedTypes = [...]uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypePTR, dns.TypeTXT, dns.TypeSOA, dns.TypeNS, dns.TypeANY,
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	queries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "koine_dns_replies_total", Help: "Replies to DNS queries, by the type asked for and the response code.",
	}, []string{"type", "rcode"})
	truncated := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "koine_dns_truncated_total", Help: "DNS replies that were cut.",
	})
	upstream := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "koine_dns_upstream_total", Help: "Queries passed on to the upstream resolvers, by outcome.",
	}, []string{"result"})
	cache := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "koine_dns_cache_total", Help: "Answers to queries for other names, by where they came from.",
	}, []string{"result"})
	shed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "koine_dns_connections_closed_total",
		Help: "TCP connections closed because a bound was met, by the bound: on all connections, or on those of one client.",
	}, []string{"limit"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "koine_dns_reply_seconds",
		Help:    "Time from reading a DNS query to sending its reply, by where that came from: the catalog, or the upstream resolvers and what is kept of theirs.",
		Buckets: prometheus.ExponentialBuckets(0.000_01, 4, 11), // 10 µs to 10 s
	}, []string{"source"})
	m := &metrics{truncated: truncated, fromCatalog: seconds.WithLabelValues("catalog"), fromUpstream: seconds.WithLabelValues("upstream")}
	m.shed[limitAll], m.shed[limitClient] = shed.WithLabelValues("all"), shed.WithLabelValues("client")
	for result, text := range [cacheResults]string{cacheMiss: "miss", cacheHit: "hit", cacheShared: "shared", cacheStale: "stale", cacheFailed: "failed"} {
		m.cache[result] = cache.WithLabelValues(text)
	}
	for i := range m.queries {
		text := "other"
		if i < len(countedTypes) {
			text = dns.TypeToString[countedTypes[i]]
		}
		for rcode := range m.queries[i] {
			m.queries[i][rcode] = queries.WithLabelValues(text, strings.ToLower(rcodeText(rcode)))
		}
	}
	m.upstream[0], m.upstream[1] = upstream.WithLabelValues("ok"), upstream.WithLabelValues("error")
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{queries, truncated, upstream, cache, shed, seconds} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register dns metrics: %w", err)
		}
	}
	return m, nil
}

func rcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok && rcode < 16 {
		return text
	}
	return fmt.Sprint(rcode)
}

// count counts a reply.
func (m *metrics) count(req *request, reply []byte) {
	flags := binary.BigEndian.Uint16(reply[2:])
	m.queries[typeIndex(req.qtype)][flags&0xf].Inc()
	if flags&flagTC != 0 {
		m.truncated.Inc()
	}
}

func typeIndex(qtype uint16) int {
	for i, t := range countedTypes {
		if t == qtype {
			return i
		}
	}
	return len(countedTypes)
}

// forwarded counts a forwarded query.
func (m *metrics) forwarded(err error) {
	if err != nil {
		m.upstream[1].Inc()
		return
	}
	m.upstream[0].Inc()
}

// took observes the time that a batch of replies from the catalog took.
func (m *metrics) took(replies int, since time.Time) {
	if replies == 0 {
		return
	}
	seconds := time.Since(since).Seconds()
	for range replies {
		m.fromCatalog.Observe(seconds)
	}
}
