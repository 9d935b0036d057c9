package health

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// soon is the time within which the failure of a check that runs each second must be seen, however many others hang.
const soon = 2500 * time.Millisecond

// hangs makes targets take longer than any timeout, or answer at once.
func (s *script) hangs(hang bool, targets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range targets {
		s.takes[target] = 5 * time.Millisecond
		if hang {
			s.takes[target] = time.Hour
		}
	}
}

// crowd returns checks of as many targets, with intervals of 1 to 10 s and the default timeout of 5 s.
func (h *harness) crowd(n int, hang bool) (checks []*catalog.Check, targets []string) {
	for i := range n {
		id := fmt.Sprintf("far-%04d", i)
		targets = append(targets, id)
		checks = append(checks, tcp(id, time.Duration(1+i%10)*time.Second))
		h.prober.set(id, catalog.Passing, "")
	}
	h.prober.hangs(hang, targets...)
	return checks, targets
}

// near returns ten healthy checks that run each second; every other one takes 400 ms.
func (h *harness) near() (checks []*catalog.Check) {
	for i := range 10 {
		id := fmt.Sprint("near-", i)
		checks = append(checks, tcp(id, time.Second))
		h.prober.set(id, catalog.Passing, "")
		h.prober.hangs(false, id)
		if i%2 == 1 {
			h.prober.mu.Lock()
			h.prober.takes[id] = 400 * time.Millisecond
			h.prober.mu.Unlock()
		}
	}
	return checks
}

// failsSoon has the healthy targets fail, and then pass again, and wants both to be seen soon.
func (h *harness) failsSoon(t *testing.T, near []*catalog.Check, when string) {
	t.Helper()
	for _, status := range []catalog.Status{catalog.Critical, catalog.Passing} {
		for _, c := range near {
			h.prober.set(c.TCP, status, "")
		}
		seen := h.after(soon)
		for _, c := range near {
			if !slices.Contains(seen, fmt.Sprintf("n1/%s %s ", c.ID, status)) {
				t.Errorf("%s: %s is not seen to be %s within %v", when, c.ID, status, soon)
			}
		}
	}
}

func TestHungTargetsDoNotDelayOthers(t *testing.T) {
	const far = 1500
	t.Run("from the start", func(t *testing.T) {
		bubble(t, Config{}, func(t *testing.T, h *harness) {
			checks, targets := h.crowd(far, true)
			near := h.near()
			h.Set(append(checks, near...))
			if seen := h.after(5 * time.Second); !slices.Contains(seen, "n1/near-0 passing ") {
				t.Errorf("a fresh healthy check has no outcome after 5 s")
			}
			var quick []*catalog.Check // of the others, whose first run takes long, nobody knows yet that they do not hang
			for i := 0; i < len(near); i += 2 {
				quick = append(quick, near[i])
			}
			h.failsSoon(t, quick, "while all are new")
			h.after(time.Minute)
			h.failsSoon(t, near, "after a minute")
			for _, c := range checks {
				if n := h.prober.count(c.ID); n < 1 {
					t.Fatalf("%s has not run", c.ID)
				}
			}

			h.prober.hangs(false, targets...)
			passing := h.after(time.Minute)
			for _, c := range checks {
				if !slices.Contains(passing, fmt.Sprintf("n1/%s passing ", c.ID)) {
					t.Fatalf("%s answers again, and is not passing after a minute", c.ID)
				}
			}
			if n := h.probes.loadOf(slowLane); n > 0 {
				t.Errorf("%d checks that answer are still in the slow lane", n)
			}
			h.failsSoon(t, near, "when all answer again")
			if h.prober.most > defaultConcurrent || h.prober.overlaps > 0 {
				t.Errorf("%d runs at a time, %d allowed; %d overlaps", h.prober.most, defaultConcurrent, h.prober.overlaps)
			}
		})
	})
	t.Run("a wave of new ones", func(t *testing.T) {
		bubble(t, Config{}, func(t *testing.T, h *harness) {
			near := h.near()
			h.Set(near)
			h.after(10 * time.Second)
			checks, _ := h.crowd(far, true)
			h.Set(append(checks, near...))
			h.failsSoon(t, near, "as they come")
		})
	})
	t.Run("all at once", func(t *testing.T) {
		bubble(t, Config{}, func(t *testing.T, h *harness) {
			near := h.near()
			checks, targets := h.crowd(far, false)
			h.Set(append(checks, near...))
			h.after(20 * time.Second)
			h.prober.hangs(true, targets...)
			h.after(500 * time.Millisecond)
			h.failsSoon(t, near, "as they begin to hang")
			h.after(10 * time.Second)
			h.failsSoon(t, near, "ten seconds later")
			critical := h.after(time.Minute)
			if len(critical) == 0 {
				t.Error("the outcome of the hung ones is not reported")
			}
		})
	})
}

// TestHungChecksAreSeen: each of many hung checks has its outcome in the end, and none runs far more often than another.
func TestHungChecksAreSeen(t *testing.T) {
	bubble(t, Config{MaxConcurrent: 64}, func(t *testing.T, h *harness) {
		checks, targets := h.crowd(190, false)
		for _, c := range checks {
			c.Interval = catalog.Duration(10 * time.Second)
			c.DeregisterAfter = 0
		}
		h.Set(checks)
		h.after(30 * time.Second)
		h.prober.hangs(true, targets...)
		before := make(map[string]int)
		seen := h.after(90 * time.Second)
		for _, c := range checks {
			if !slices.Contains(seen, fmt.Sprintf("n1/%s critical timed out after 5s", c.ID)) {
				t.Fatalf("%s hangs, and is not critical after 90 s", c.ID)
			}
			before[c.ID] = h.prober.count(c.ID)
		}
		h.after(3 * time.Minute)
		least, most := 1<<30, 0
		for _, c := range checks {
			n := h.prober.count(c.ID) - before[c.ID]
			least, most = min(least, n), max(most, n)
		}
		if least == 0 || most > least+2 {
			t.Errorf("hung checks of one interval ran %d to %d times", least, most)
		}
	})
}
