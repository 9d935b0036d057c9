package registry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

// viewMetrics are the metrics of the View's contents. They are counted in one pass at each scrape, and cost nothing
// between scrapes.
type viewMetrics struct {
	view  *catalog.View
	descs []*prometheus.Desc
}

func newViewMetrics(view *catalog.View) *viewMetrics {
	m := &viewMetrics{view: view}
	for _, d := range []struct{ name, help string }{
		{"koine_view_ready", "1 once this process may answer."},
		{"koine_view_age_seconds", "Time since the store last answered; 0 while it answers."},
		{"koine_view_revision", "Store revision that the view has reached."},
		{"koine_view_services", "Services that have instances."},
		{"koine_view_instances", "Instances of all services."},
		{"koine_view_nodes", "Nodes."},
		{"koine_view_waiters", "Waits for a change of one service or one node."},
		{"koine_services_below_floor", "Services with fewer healthy instances than their min_healthy requires."},
	} {
		m.descs = append(m.descs, prometheus.NewDesc(d.name, d.help, nil, nil))
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *viewMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *viewMetrics) Collect(to chan<- prometheus.Metric) {
	ready := 0.0
	if m.view.Ready() {
		ready = 1
	}
	n := m.view.Count()
	for i, value := range []float64{
		ready, m.view.Age(time.Now()).Seconds(), float64(m.view.Revision()),
		float64(n.Services), float64(n.Instances), float64(n.Nodes), float64(m.view.Waiters()), float64(n.BelowFloor),
	} {
		to <- prometheus.MustNewConstMetric(m.descs[i], prometheus.GaugeValue, value)
	}
}
