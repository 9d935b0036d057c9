package health

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

type metrics struct {
	checks   prometheus.Gauge
	runs     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	reports  *prometheus.CounterVec
}

// newMetrics makes the metrics and registers them, unless registry is nil.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		checks: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_health_checks", Help: "Checks that this process runs.",
		}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "koine_health_runs_total", Help: "Runs of checks by type and result.",
		}, []string{"type", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "koine_health_run_seconds", Help: "Duration of the runs of checks by type.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 5, 10, 30},
		}, []string{"type"}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "koine_health_reports_total", Help: "Reports of changes of status by result.",
		}, []string{"result"}),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.checks, m.runs, m.duration, m.reports} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register health metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) ran(t catalog.CheckType, result catalog.Status, took time.Duration) {
	m.runs.WithLabelValues(string(t), string(result)).Inc()
	m.duration.WithLabelValues(string(t)).Observe(took.Seconds())
}

func (m *metrics) reported(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.reports.WithLabelValues(result).Inc()
}
