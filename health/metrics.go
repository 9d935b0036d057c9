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
	lateness prometheus.Histogram
	reports  *prometheus.CounterVec
	removals *prometheus.CounterVec
	score    *prometheus.GaugeVec
	damped   prometheus.Gauge
}

// newMetrics makes the metrics and registers them, unless registry is nil.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		checks: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_health_checks", Help: "Checks that this process runs.",
		}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "koine_health_runs_total", Help: "Results of checks by type and result, pushed and expired ones among them.",
		}, []string{"type", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "koine_health_run_seconds", Help: "Duration of the runs of checks by type.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 5, 10, 30},
		}, []string{"type"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "koine_health_lateness_seconds", Help: "Time from when a run is due to its start.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "koine_health_reports_total", Help: "Reports of changes of status by result.",
		}, []string{"result"}),
		removals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "koine_health_deregistrations_total", Help: "Instances deregistered after their check, by result.",
		}, []string{"result"}),
		score: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "koine_health_flap_score", Help: "Flap score in percent of checks with a threshold or a score above 0.",
		}, []string{"node", "check"}),
		damped: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_health_damped", Help: "Checks that are held critical because they flap.",
		}),
	}
	m.removals.WithLabelValues("ok") // from the start, so that the first removal shows in its rate
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.checks, m.runs, m.duration, m.lateness, m.reports, m.removals, m.score, m.damped} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register health metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) observeDuration(t catalog.CheckType, took time.Duration) {
	m.duration.WithLabelValues(string(t)).Observe(took.Seconds())
}

func (m *metrics) countResult(t catalog.CheckType, result catalog.Status) {
	m.runs.WithLabelValues(string(t), string(result)).Inc()
}

func (m *metrics) reported(err error) { m.reports.WithLabelValues(resultOf(err)).Inc() }

func (m *metrics) removed(err error) { m.removals.WithLabelValues(resultOf(err)).Inc() }

func resultOf(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// flap sets a check's flap score. Checks that never flap and set no threshold have no series: there may be many.
func (m *metrics) flap(e *entry) {
	if e.state.Damped != e.counted {
		e.counted = e.state.Damped
		if e.counted {
			m.damped.Inc()
		} else {
			m.damped.Dec()
		}
	}
	if e.state.Flaps == 0 && e.check.FlapThreshold == 0 {
		m.score.DeleteLabelValues(e.check.Node, e.check.ID)
		return
	}
	m.score.WithLabelValues(e.check.Node, e.check.ID).Set(e.state.Flaps.Score())
}

// forget removes the series that flap has set.
func (m *metrics) forget(e *entry) {
	m.score.DeleteLabelValues(e.check.Node, e.check.ID)
	if e.counted {
		m.damped.Dec()
		e.counted = false
	}
}
