package registry

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestMetrics(t *testing.T) {
	e := enginetest.Open(t)
	metrics := prometheus.NewRegistry()
	r, _ := start(t, e, func(cfg *Config) { cfg.Metrics = metrics })
	before := gather(t, metrics)
	if got := before["koine_view_ready"]; got != 1 {
		t.Errorf("ready is %v", got)
	}
	if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	sick := permanent("n1", "web-1", "web")
	sick.Instance.MinHealthy = 50
	sick.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
	for range 2 { // the same again writes nothing, and is no change
		if _, err := r.Register(t.Context(), sick); err != nil {
			t.Fatal(err)
		}
	}
	after := gather(t, metrics)
	for _, name := range []string{"queue", "commit", "applied", "visible"} {
		if n := after[name]; n != 2 {
			t.Errorf("stage %s was measured %v times, want 2", name, n)
		}
	}
	for name, want := range map[string]float64{
		"koine_view_services": 1, "koine_view_instances": 1, "koine_view_nodes": 1, "koine_view_waiters": 0,
		"koine_services_below_floor": 1, "koine_view_age_seconds": 0, "koine_view_revision": float64(r.View().Revision()),
		"registry_writes": 1024,
	} {
		if got := after[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// gather returns the values of gauges, by their label's value or by name if they have none, and the counts of histograms.
func gather(t *testing.T, metrics *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			if labels := m.GetLabel(); len(labels) > 0 && name != "koine_queue_length" {
				name = labels[0].GetValue()
			}
			values[name] = m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
