package registry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/meter"
)

type metrics struct {
	// queue, commit, applied and visible are stages of a change. They are observed once for each group of writes: for
	// its first write, which has waited longest.
	queue, commit, applied, visible prometheus.Histogram

	grouped prometheus.Histogram
	events  prometheus.Counter
	damaged prometheus.Counter
	reloads prometheus.Counter
	purged  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, view *catalog.View) *metrics {
	f := promauto.With(reg)
	if reg != nil {
		reg.MustRegister(newViewMetrics(view))
	}
	return &metrics{
		queue: meter.Stage(reg, "queue"), commit: meter.Stage(reg, "commit"),
		applied: meter.Stage(reg, "applied"), visible: meter.Stage(reg, "visible"),
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
			Name: "koine_registry_purged_nodes_total", Help: "Nodes removed long after the end of their session.",
		}),
	}
}

// countUnreadable registers the number of records in the store that cannot be read.
func (m *metrics) countUnreadable(reg prometheus.Registerer, u *unreadable) {
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "koine_registry_unreadable_records", Help: "Records in the store that cannot be decoded and are left out.",
	}, func() float64 { return float64(u.count.Load()) })
}

// committed observes a transaction that the store has just answered.
func (m *metrics) committed(group []*write, began time.Time) {
	now, first := time.Now(), group[0]
	first.answered = now
	m.queue.Observe(began.Sub(first.handed).Seconds())
	m.commit.Observe(now.Sub(began).Seconds())
	m.grouped.Observe(float64(len(group)))
}

// observeVisible observes the time until the View shows a write; only the first write of a group is measured.
func (m *metrics) observeVisible(w *write, since time.Time) {
	if w.answered.IsZero() {
		return
	}
	now := time.Now()
	m.applied.Observe(now.Sub(w.answered).Seconds())
	m.visible.Observe(max(0, now.Sub(since)).Seconds())
}
