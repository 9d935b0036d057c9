package health

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

// TestChangedDefinition: what is known of a check survives as long as it probes the same.
func TestChangedDefinition(t *testing.T) {
	kept := func() *catalog.Check {
		c := tcp("a", 10*time.Second)
		c.FailuresBeforeCritical = 3
		c.Status, c.InitialStatus = catalog.Passing, catalog.Passing
		return c
	}
	for _, tt := range []struct {
		name   string
		change func(*catalog.Check)
		// want is what is reported after one failure more, the third with those before the change.
		want []string
	}{
		{"another interval", func(c *catalog.Check) { c.Interval = catalog.Duration(time.Hour) }, []string{"n1/a critical refused"}},
		{"another name", func(c *catalog.Check) { c.Name = "front" }, []string{"n1/a critical refused"}},
		{"a lower threshold", func(c *catalog.Check) { c.FailuresBeforeCritical = 2 }, []string{"n1/a critical refused"}},
		{"another body", func(c *catalog.Check) { c.Body = "x" }, nil},
		{"another instance", func(c *catalog.Check) { c.Instance = "web-2" }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, h *harness) {
				h.prober.set("a", catalog.Critical, "refused")
				h.Set([]*catalog.Check{kept()})
				for range 60 { // two failures of the three that turn it critical
					if run, _ := h.Check("n1", "a"); run.Status != "" && h.prober.count("a") == 2 {
						break
					}
					h.after(500 * time.Millisecond)
				}
				changed := kept()
				tt.change(changed)
				changed.Interval = catalog.Duration(time.Hour)
				h.Set([]*catalog.Check{changed})
				h.expect(t, 2*time.Second, tt.want...)
			})
		})
	}
}

// TestOutcomeUnderWaySurvivesAnotherName: what the Reporter has not taken yet is not lost.
func TestOutcomeUnderWaySurvivesAnotherName(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.reporter.refuse = 3
		h.Set([]*catalog.Check{ttl("t", time.Hour)})
		if err := h.Push(t.Context(), "n1", "t", catalog.Passing, "up"); err != nil {
			t.Fatal(err)
		}
		h.after(0)
		renamed := ttl("t", time.Hour)
		renamed.Name, renamed.Status = "front", catalog.Critical
		h.Set([]*catalog.Check{renamed})
		h.expect(t, time.Minute, "n1/t passing up")
	})
}

func TestLetterCaseOfNodesDoesNotMatter(t *testing.T) {
	registry := prometheus.NewRegistry()
	bubble(t, Config{Metrics: registry}, func(t *testing.T, h *harness) {
		check := ttl("t", time.Hour)
		check.Node, check.FlapThreshold = "Node-1", 20
		h.Set([]*catalog.Check{check})
		for _, node := range []string{"Node-1", "node-1", "NODE-1"} {
			if err := h.Push(t.Context(), node, "t", catalog.Passing, "up"); err != nil {
				t.Errorf("push to %s: %v", node, err)
			}
			if _, ok := h.Check(node, "t"); !ok {
				t.Errorf("nothing is known of the check on %s", node)
			}
		}
		h.expect(t, 0, "Node-1/t passing up")
		if _, shown := gathered(t, registry, "koine_health_flap_score", "Node-1"); !shown {
			t.Error("the metrics do not spell the node as its record does")
		}
		again := *check
		again.Node = "node-1"
		h.Set([]*catalog.Check{&again})
		h.expect(t, time.Minute) // the same check: its state stays
		h.Set(nil)
		if _, shown := gathered(t, registry, "koine_health_flap_score", "t"); shown {
			t.Error("metrics of a check that is gone")
		}
	})
}

// TestAliasIsNotItself: an alias of its own service must not look at its own instance, however its node is spelled.
func TestAliasIsNotItself(t *testing.T) {
	w := newWorld()
	w.apply(node("N1"), instance("N1", "web-1", "web", permanent))
	got := aliasOf(w, &catalog.Check{Node: "n1", Instance: "web-1",
		Definition: catalog.Definition{Type: catalog.CheckAlias, AliasService: "web"}})
	if got.Status != catalog.Critical {
		t.Errorf("got %+v from an alias of itself alone", got)
	}
}
