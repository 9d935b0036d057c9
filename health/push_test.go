package health

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

// sharer is a Reporter that takes pushes.
type sharer struct {
	recorder
	pushed []string
}

func (s *sharer) PushCheck(_ context.Context, node, id string, status catalog.Status, output string) error {
	s.pushed = append(s.pushed, node+"/"+id+" "+string(status)+" "+output)
	return nil
}

const minute = catalog.Duration(time.Minute)

// external returns the check of a node without an agent, as it was registered at a revision.
func external(registered uint64, change ...func(*catalog.Check)) *catalog.Check {
	c := &catalog.Check{ID: "t", Node: "ext", CreateRevision: registered, Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: minute}}
	for _, f := range change {
		f(c)
	}
	return c
}

// pushed returns the record of a push for a check registered at a revision.
func pushed(registered uint64, status catalog.Status) catalog.Change {
	return catalog.Change{Type: catalog.RecordPush, Name: "ext", ID: "t", Push: &catalog.Push{
		Status: status, Output: "said " + string(status), TTL: minute, CheckRevision: registered,
	}}
}

// shared runs a Runner with a Sharer, in a world with a node without an agent.
func shared(t *testing.T, cfg Config, test func(t *testing.T, h *harness, w *world)) {
	t.Helper()
	w := &world{}
	cfg.View = lateView{&w.View}
	bubble(t, cfg, func(t *testing.T, h *harness) {
		reporter := &sharer{}
		h.cfg.Reporter, h.reporter = reporter, &reporter.recorder
		w.apply(node("ext"))
		test(t, h, w)
	}, func() { *w = *newWorld() })
}

// push applies a push, which comes at a revision of its own.
func (w *world) push(registered uint64, status catalog.Status) {
	change := pushed(registered, status)
	change.At(0, w.Revision()+1)
	w.apply(change)
}

func (w *world) endPush() { w.apply(catalog.Change{Type: catalog.RecordPush, Name: "ext", ID: "t"}) }

func TestPushesAreShared(t *testing.T) {
	shared(t, Config{}, func(t *testing.T, h *harness, _ *world) {
		own := ttl("t", time.Minute)
		h.Set([]*catalog.Check{external(1), own})
		for _, node := range []string{"EXT", "n1"} {
			if err := h.Push(t.Context(), node, "t", catalog.Passing, "up"); err != nil {
				t.Fatal(err)
			}
		}
		h.expect(t, 0, "n1/t passing up")
		if got := h.cfg.Reporter.(*sharer).pushed; len(got) != 1 || got[0] != "EXT/t passing up" {
			t.Errorf("handed on %q, want the push for the node without an agent", got)
		}
	})
}

func TestSharedPushes(t *testing.T) {
	shared(t, Config{}, func(t *testing.T, h *harness, w *world) {
		h.Set([]*catalog.Check{external(1)})
		h.expect(t, 30*time.Second)
		w.push(1, catalog.Passing)
		h.expect(t, time.Second, "ext/t passing said passing")
		h.expect(t, time.Hour) // it is there, and so it is renewed
		if run, _ := h.Check("ext", "t"); run.Status != catalog.Passing || !run.Next.IsZero() || time.Since(run.Last) > time.Minute {
			t.Errorf("run is %+v", run)
		}
		w.push(1, catalog.Warning)
		h.expect(t, time.Second, "ext/t warning said warning")
		w.endPush()
		h.expect(t, time.Second, "ext/t critical no status was pushed within 1m0s; the last one was warning: said warning")
		h.expect(t, time.Hour)
		w.push(1, catalog.Passing)
		h.expect(t, time.Second, "ext/t passing said passing")
	})
}

func TestWhereARunnerTakesUpAPush(t *testing.T) {
	stored := func(status catalog.Status) func(*catalog.Check) {
		return func(c *catalog.Check) { c.Status, c.Output = status, "said "+string(status) }
	}
	const silence = "ext/t critical no status was pushed within 1m0s"
	for _, tt := range []struct {
		name string
		// push is for the check as registered at that revision, 0 for none.
		push  uint64
		check *catalog.Check
		// want is what is reported within an hour in which nothing is pushed but what is there.
		want []string
	}{
		{"there, and stored", 1, external(1, stored(catalog.Passing)), nil},
		{"there, and not stored yet", 1, external(1, stored(catalog.Critical)), []string{"ext/t passing said passing"}},
		{"not there", 0, external(1, stored(catalog.Passing)), []string{silence}},
		{"for the check before", 1, external(2, stored(catalog.Passing)), []string{silence}},
		{"for another TTL", 1, external(1, stored(catalog.Passing), func(c *catalog.Check) { c.TTL = 2 * minute }),
			[]string{"ext/t critical no status was pushed within 2m0s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shared(t, Config{}, func(t *testing.T, h *harness, w *world) {
				if tt.push > 0 {
					w.push(tt.push, catalog.Passing)
				}
				h.Set([]*catalog.Check{tt.check})
				early := h.after(59 * time.Second)
				if slices.Contains(early, silence) {
					t.Error("its TTL is not over")
				}
				if got := append(early, h.after(time.Hour)...); !slices.Equal(got, tt.want) {
					t.Errorf("reported %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestSilenceKeepsItsWords holds that what an application said last stays over a restart of this process.
func TestSilenceKeepsItsWords(t *testing.T) {
	shared(t, Config{}, func(t *testing.T, h *harness, _ *world) {
		check := external(1)
		check.Status, check.Output = catalog.Critical, silence+" 1m0s; the last one was critical: disk full"
		h.Set([]*catalog.Check{check})
		h.expect(t, time.Hour)
	})
}

// TestWordsOfAWrittenPush holds that another output which the Registry has let through shows at once.
func TestWordsOfAWrittenPush(t *testing.T) {
	shared(t, Config{}, func(t *testing.T, h *harness, w *world) {
		check := external(1)
		check.Status, check.Output = catalog.Passing, "said before"
		h.Set([]*catalog.Check{check})
		w.push(1, catalog.Passing)
		h.expect(t, time.Second, "ext/t passing said passing")
	})
}

// TestPushOfAnotherDefinition: a check with another TTL, or one that was registered again, has a whole TTL to be pushed.
func TestPushOfAnotherDefinition(t *testing.T) {
	for name, test := range map[string]struct {
		changed *catalog.Check
		said    string
	}{
		"another TTL":      {external(1, func(c *catalog.Check) { c.TTL = 2 * minute }), "; the last one was passing: said passing"},
		"registered again": {changed: external(7)},
	} {
		t.Run(name, func(t *testing.T) {
			shared(t, Config{}, func(t *testing.T, h *harness, w *world) {
				h.Set([]*catalog.Check{external(1)})
				w.push(1, catalog.Passing)
				h.expect(t, time.Second, "ext/t passing said passing")
				changed := test.changed
				changed.Status, changed.Output = catalog.Passing, "stored"
				h.Set([]*catalog.Check{changed})
				w.endPush()
				h.expect(t, time.Duration(changed.TTL)-time.Second)
				h.expect(t, 2*time.Second, "ext/t critical no status was pushed within "+changed.TTL.String()+test.said)
			})
		})
	}
}

// TestFlapsOfSharedPushes: of what is pushed only changes are seen, so each TTL counts as a run.
func TestFlapsOfSharedPushes(t *testing.T) {
	registry := prometheus.NewRegistry()
	shared(t, Config{Metrics: registry}, func(t *testing.T, h *harness, w *world) {
		h.Set([]*catalog.Check{external(1, func(c *catalog.Check) { c.FlapThreshold = 30 })})
		score := func() float64 { run, _ := h.Check("ext", "t"); return run.FlapScore }
		for range 2 {
			w.push(1, catalog.Passing)
			h.after(time.Second)
			w.push(1, catalog.Critical)
			h.after(time.Second)
		}
		if run, _ := h.Check("ext", "t"); run.Damped || score() < 15 {
			t.Errorf("after three changes: %+v", run)
		}
		for range 2 {
			w.push(1, catalog.Passing)
			h.after(time.Second)
			w.push(1, catalog.Critical)
			h.after(time.Second)
		}
		if run, _ := h.Check("ext", "t"); !run.Damped {
			t.Errorf("after seven changes: %+v", run)
		}
		w.push(1, catalog.Passing)
		h.after(30 * time.Minute)
		if run, _ := h.Check("ext", "t"); run.Damped || score() > 0 {
			t.Errorf("after half an hour of the same status: %+v", run)
		}
	})
}

// TestCheckIsYielded: what a check has come to while another process ran it is void.
func TestCheckIsYielded(t *testing.T) {
	shared(t, Config{}, func(t *testing.T, h *harness, w *world) {
		probe := func(status catalog.Status) *catalog.Check {
			return &catalog.Check{ID: "p", Node: "ext", Status: status, Output: "stored", Definition: catalog.Definition{
				Type: catalog.CheckTCP, TCP: "p", Interval: minute, FailuresBeforeCritical: 2,
			}}
		}
		check := probe(catalog.Passing)
		w.apply(catalog.Change{Type: catalog.RecordCheck, Name: "ext", ID: "p", Check: probe(catalog.Passing)})
		h.prober.set("p", catalog.Critical, "no route")
		h.reporter.answer(catalog.Errorf(catalog.KindConflict, "another process runs it"))
		h.Set([]*catalog.Check{check})
		last, reports := time.Time{}, 0
		for reports < 5 { // it ends just after the check was yielded again
			h.after(time.Second)
			if calls := h.reporter.called(); calls == reports {
				continue
			} else if reports = calls; time.Since(last) < 20*time.Second {
				t.Errorf("report %d came %v after the one before: not after two failures of its own", calls, time.Since(last))
			}
			last = time.Now()
		}
		h.reporter.answer(nil)
		h.prober.set("p", catalog.Passing, "connected")
		h.Set([]*catalog.Check{check})
		h.expect(t, time.Hour) // the critical of before is not repaired into the store
	})
}

// TestStandingStillIsNoTimeOfLooking: an instance is not removed because of a time in which nobody ran its check.
func TestStandingStillIsNoTimeOfLooking(t *testing.T) {
	def := deregistering("web", "web-1").Definition
	begun := time.Unix(1000, 0)
	s := Begin(&catalog.Check{Definition: def}, begun)
	fail := func(after time.Duration) (at time.Duration) {
		s, _ = s.Step(&def, Result{catalog.Critical, "refused"}, begun.Add(after))
		when, _ := s.DeregisterAt(&def)
		return when.Sub(begun)
	}
	for _, step := range []struct{ after, want time.Duration }{
		{time.Second, time.Minute}, {2 * time.Second, time.Minute}, {15 * time.Second, time.Minute}, // a busy process
		{time.Hour, time.Hour + time.Minute}, {time.Hour + time.Second, time.Hour + time.Minute},
	} {
		if got := fail(step.after); got != step.want {
			t.Errorf("after a failure at %v: to be removed at %v, want %v", step.after, got, step.want)
		}
	}
	if alias := (&catalog.Definition{Type: catalog.CheckAlias}); s.idle(alias, begun.Add(24*time.Hour)) {
		t.Error("an alias whose service is unchanged counts as one that nobody looked at")
	}
}

// TestCatalogKeepsAnInstance: a removal that the catalog does not agree to is no failure, and is tried again.
func TestCatalogKeepsAnInstance(t *testing.T) {
	w, rm := &world{}, &remover{refuse: catalog.Errorf(catalog.KindNotReady, "it is passing in the catalog")}
	registry := prometheus.NewRegistry()
	bubble(t, Config{View: lateView{&w.View}, Deregisterer: rm, Metrics: registry}, func(t *testing.T, h *harness) {
		w.apply(node("n1"), instance("n1", "web-1", "web", permanent))
		h.Set([]*catalog.Check{deregistering("web", "web-1")})
		h.after(10 * time.Minute)
		if _, failed := gathered(t, registry, "koine_health_deregistrations_total", "error"); failed {
			t.Error("what the catalog says counts as a failure")
		}
		rm.mu.Lock()
		calls := rm.calls
		rm.refuse = nil
		rm.mu.Unlock()
		if calls < 10 {
			t.Errorf("%d calls in ten minutes", calls)
		}
		h.after(time.Minute)
		rm.expect(t, -1, "n1/web")
	}, func() { *w = *newWorld() })
}
