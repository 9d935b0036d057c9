// Package meter makes the metrics whose name several parts share, each part with its own value of the label.
package meter

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Stage returns the histogram of one stage of a change. With a nil registry it is not registered.
func Stage(registry prometheus.Registerer, stage string) prometheus.Histogram {
	return promauto.With(registry).NewHistogram(prometheus.HistogramOpts{
		Name:        "koine_change_stage_seconds",
		Help:        "Time that a change spends in each stage on its way to the answers; visible is the whole.",
		ConstLabels: prometheus.Labels{"stage": stage},
		Buckets:     prometheus.ExponentialBuckets(0.0001, 2, 17),
	})
}

// Queue exports the length of a bounded queue, and its limit. Length is called at each scrape, from any goroutine.
func Queue(registry prometheus.Registerer, queue string, capacity int, length func() int) {
	f, labels := promauto.With(registry), prometheus.Labels{"queue": queue}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "koine_queue_length", Help: "Entries that wait, or are under way, in each bounded queue.", ConstLabels: labels,
	}, func() float64 { return float64(length()) })
	f.NewGauge(prometheus.GaugeOpts{
		Name: "koine_queue_capacity", Help: "Entries that each bounded queue takes before it pushes back.", ConstLabels: labels,
	}).Set(float64(capacity))
}
