package files

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	files, bad prometheus.Gauge
	loads      prometheus.Counter
}

// newMetrics makes the metrics and registers them, unless registry is nil.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		files: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_files", Help: "Definition files.",
		}),
		bad: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_files_bad", Help: "Definition files that are in error.",
		}),
		loads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "koine_files_loads_total", Help: "Times that the config directory was read.",
		}),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.files, m.bad, m.loads} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register definition file metrics: %w", err)
		}
	}
	return m, nil
}
