package meter_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/internal/meter"
)

func TestShared(t *testing.T) {
	registry := prometheus.NewRegistry()
	meter.Stage(registry, "commit").Observe(0.5)
	meter.Stage(registry, "visible").Observe(1)
	waiting := 3
	meter.Queue(registry, "writes", 10, func() int { return waiting })
	meter.Queue(registry, "looks", 5, func() int { return 0 })
	waiting = 4
	want := []string{
		"koine_change_stage_seconds commit 0.5", "koine_change_stage_seconds visible 1",
		"koine_queue_capacity looks 5", "koine_queue_capacity writes 10",
		"koine_queue_length looks 0", "koine_queue_length writes 4",
	}
	if got := values(t, registry); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// values returns the name, the label and the value, or sum, of each metric.
func values(t *testing.T, registry *prometheus.Registry) (list []string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			value := m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			list = append(list, fmt.Sprint(family.GetName(), " ", m.GetLabel()[0].GetValue(), " ", value))
		}
	}
	return list
}
