package registry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/koine-sd/koine/catalog"
)

type metrics struct {
	commits  prometheus.Histogram
	grouped  prometheus.Histogram
	events   prometheus.Counter
	damaged  prometheus.Counter
	reloads  prometheus.Counter
	purged   prometheus.Counter
	revision prometheus.GaugeFunc
	floor    prometheus.GaugeFunc
}

func newMetrics(reg prometheus.Registerer, view *catalog.View) *metrics {
	f := promauto.With(reg)
	return &metrics{
		commits: f.NewHistogram(prometheus.HistogramOpts{
			Name: "koine_registry_commit_seconds", Help: "Time from handing a transaction to the store to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		grouped: f.NewHistogram(prometheus.HistogramOpts{
			Name: "koine_registry_commit_writes", Help: "Writes that shared one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		events: f.NewCounter(prometheus.CounterOpts{
			Name: "koine_registry_events_total", Help: "Changed records received from the store.",
		}),
		damaged: f.NewCounter(prometheus.CounterOpts{
			Name: "koine_registry_unreadable_records_total", Help: "Records that could not be decoded and were left out.",
		}),
		reloads: f.NewCounter(prometheus.CounterOpts{
			Name: "koine_registry_reloads_total", Help: "Times that the whole catalog was read from the store.",
		}),
		purged: f.NewCounter(prometheus.CounterOpts{
			Name: "koine_registry_purged_nodes_total", Help: "Nodes removed because their session had ended long ago.",
		}),
		revision: f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "koine_view_revision", Help: "Store revision that the view has reached.",
		}, func() float64 { return float64(view.Revision()) }),
		floor: f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "koine_services_below_floor", Help: "Services with fewer healthy instances than their min_healthy asks for.",
		}, func() float64 { return float64(belowFloor(view)) }),
	}
}

func belowFloor(view *catalog.View) (n int) {
	for _, s := range view.Services() {
		if s.BelowFloor {
			n++
		}
	}
	return n
}
