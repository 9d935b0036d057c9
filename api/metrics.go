package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	// streams and reads are the two kinds of watchers.
	streams, reads prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "koine_api_requests_total", Help: "Requests to the native API by route and status code.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "koine_api_request_seconds", Help: "Time to answer a request; watches and blocking reads are not counted.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 12),
		}, []string{"route"}),
	}
	watchers := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "koine_api_watchers", Help: "Requests that wait for changes: open watches, and blocking reads.",
	}, []string{"kind"})
	m.streams, m.reads = watchers.WithLabelValues("stream"), watchers.WithLabelValues("read")
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, watchers} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register api metrics: %w", err)
		}
	}
	return m, nil
}

// routeMetrics are the metrics of one route; those of common outcomes are looked up once.
type routeMetrics struct {
	all     *metrics
	route   string
	ok      prometheus.Counter
	seconds prometheus.Observer
}

func (m *metrics) of(route string) *routeMetrics {
	return &routeMetrics{
		all: m, route: route,
		ok: m.requests.WithLabelValues(route, "200"), seconds: m.seconds.WithLabelValues(route),
	}
}

func (m *routeMetrics) answered(code int, took time.Duration, timed bool) {
	if code == http.StatusOK {
		m.ok.Inc()
	} else {
		m.all.requests.WithLabelValues(m.route, strconv.Itoa(code)).Inc()
	}
	if timed {
		m.seconds.Observe(took.Seconds())
	}
}
