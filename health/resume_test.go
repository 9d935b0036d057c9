package health

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/renewal"
)

// beat is a TTL check whose record is from before the start.
func beat(id string, ttl time.Duration) *catalog.Check {
	return &catalog.Check{ID: id, Node: "n1", Status: catalog.Passing, Since: time.Unix(0, 0), CreateRevision: 7,
		Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: catalog.Duration(ttl)}}
}

// TestStandstillOfTTL has the process stand still for longer than a TTL, after a push and while another check is run.
func TestStandstillOfTTL(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.Set([]*catalog.Check{beat("b", 10*time.Second)})
		h.after(5 * time.Second)
		h.cfg.Clock.Note(time.Minute)
		h.expect(t, time.Minute)
		if run, _ := h.Check("n1", "b"); !run.Next.Equal(time.Now().Add(5 * time.Second)) {
			t.Errorf("it ends at %v, want in 5s", run.Next)
		}
		h.expect(t, 6*time.Second, "n1/b critical no status was pushed within 10s")
	})
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.prober.set("web", catalog.Passing, "fine")
		h.Set([]*catalog.Check{tcp("web", 10*time.Second)})
		h.expect(t, 20*time.Second, "n1/web passing fine")
		h.prober.mu.Lock()
		h.prober.takes["web"] = time.Minute // it times out
		h.prober.mu.Unlock()
		runs := h.prober.count("web")
		for h.prober.count("web") == runs {
			h.after(100 * time.Millisecond)
		}
		h.cfg.Clock.Note(time.Minute)
		h.prober.mu.Lock()
		h.prober.takes["web"] = 0
		h.prober.mu.Unlock()
		h.expect(t, time.Minute) // the run that the standstill has cut says nothing
	})
}

// TestPushesOverARestart restarts the Runner again and again, and has a check pushed once.
func TestPushesOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "renewals")
	logger := slog.New(slog.DiscardHandler)
	for _, tt := range []struct {
		name string
		away time.Duration
		want time.Duration
	}{
		{"within the TTL", 15 * time.Second, 5 * time.Second}, {"with less than the grace left", 19 * time.Second, renewal.Grace},
		{"long after it", time.Hour, renewal.Grace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var cfg Config
			bubble(t, cfg, func(t *testing.T, h *harness) {
				h.Set([]*catalog.Check{beat("b", 20*time.Second)})
				if err := h.Push(t.Context(), "n1", "b", catalog.Passing, ""); err != nil {
					t.Fatal(err)
				}
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				if err := renewal.Open(path, "me", logger).Run(ended, h.Runner); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tt.away)
				h.Set(nil)
				h.cfg.Renewals = renewal.Open(path, "me", logger) // as the next process does
				h.Set([]*catalog.Check{beat("b", 20*time.Second)})
				run, _ := h.Check("n1", "b")
				if left := time.Until(run.Next); left != tt.want {
					t.Errorf("%v are left, want %v", left, tt.want)
				}
				h.after(tt.want + time.Second)
				if run, _ := h.Check("n1", "b"); run.Status != catalog.Critical {
					t.Errorf("after that it is %q", run.Status)
				}
			})
		})
	}
}

// TestPushesOverARename restarts the Runner again and again, each time under another name of its node, and has a check pushed once.
func TestPushesOverARename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "renewals")
	logger := slog.New(slog.DiscardHandler)
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		check := beat("b", 24*time.Second)
		h.Set([]*catalog.Check{check})
		if err := h.Push(t.Context(), "n1", "b", catalog.Passing, ""); err != nil {
			t.Fatal(err)
		}
		for n, left := range []time.Duration{15 * time.Second, 6 * time.Second, renewal.Grace} {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := renewal.Open(path, "me", logger).Run(ended, h.Runner); err != nil {
				t.Fatal(err)
			}
			h.after(9 * time.Second)
			h.Set(nil)
			h.cfg.Renewals = renewal.Open(path, "me", logger) // as the next process does
			moved := check.MovedTo(fmt.Sprint("new-", n))
			moved.CreateRevision += 10
			check = &moved
			h.Set([]*catalog.Check{check})
			if run, _ := h.Check(check.Node, "b"); time.Until(run.Next) != left {
				t.Errorf("as %s %v are left, want %v", check.Node, time.Until(run.Next), left)
			}
		}
		again := *check
		again.Origin, again.CreateRevision = nil, again.CreateRevision+1
		again.Since = time.Now()
		h.Set([]*catalog.Check{&again})
		if run, _ := h.Check(again.Node, "b"); time.Until(run.Next) != 24*time.Second {
			t.Errorf("registered again it has %v left, want all of its TTL", time.Until(run.Next))
		}
	})
}
