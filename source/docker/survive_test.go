package docker

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/koine-sd/koine/catalog"
)

// notesOf returns what the last declaration notes of an instance.
func notesOf(t *testing.T, sink *recordingSink, id string) (kept extras) {
	t.Helper()
	set, _, _ := sink.latest()
	r, ok := find(set, id)
	if !ok || json.Unmarshal(r.Instance.Extras[sourceName], &kept) != nil {
		t.Fatalf("%s is not declared in %q", id, drains(set))
	}
	return kept
}

// TestSurvivorIsAnsweredAgain has containers that run on after their stop signal: each is answered again ten minutes after the time at
// which it was to have ended, except those that may still be about to end.
func TestSurvivorIsAnsweredAgain(t *testing.T) {
	stopAfter := func(seconds int) edit {
		return func(c *container.InspectResponse) { c.Config.StopTimeout = &seconds }
	}
	for _, test := range []struct {
		name   string
		signal string
		edits  []edit
		after  time.Duration
	}{
		{"docker's own timeout", "15", nil, 10*time.Second + surviveMargin},
		{"its own timeout", "15", []edit{stopAfter(3600)}, time.Hour + surviveMargin},
		{"its label", "15", []edit{labels("koine.drain", "20m")}, 20*time.Minute + 10*time.Second + surviveMargin},
		{"its own signal", "3", []edit{func(c *container.InspectResponse) { c.Config.StopSignal = "SIGQUIT" }}, 10*time.Second + surviveMargin},
		{"SIGTERM beside its own", "15", []edit{func(c *container.InspectResponse) { c.Config.StopSignal = "SIGQUIT" }}, 10*time.Second + surviveMargin},
		{"stopped without an end", "15", []edit{stopAfter(-1)}, 0},
		{"SIGKILL", "9", nil, 0},
		{"the engine is stopping it", "15", []edit{func(c *container.InspectResponse) {
			c.State.Status, c.State.Running, c.State.Pid = stoppingState, false, 7
		}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, sink, log := newFake(), newSink(), new(bytes.Buffer)
				f.put("web")
				start(t, Config{Client: f, Sink: sink, Logger: slog.New(slog.NewTextHandler(log, nil))})
				expect(t, sink, "web")
				sent := time.Now()
				for _, e := range test.edits {
					f.change("web", e)
				}
				f.send("update", "web")
				synctest.Wait()
				f.send("kill", "web", test.signal)
				synctest.Wait()
				drained := drains(sink.declared[len(sink.declared)-1])
				if !strings.HasPrefix(drained, "web:stop signal ") {
					t.Fatalf("declared %q", drained)
				}
				wait := test.after
				if wait == 0 {
					wait = 3 * time.Hour
				}
				time.Sleep(wait - 2*time.Second)
				expect(t, sink, drained)
				if test.after == 0 {
					return
				}
				time.Sleep(4 * time.Second)
				expect(t, sink, "web")
				at := " at " + sent.UTC().Format(time.RFC3339)
				if got := strings.Join(notesOf(t, sink, "web").Warnings, "\n"); !strings.Contains(got, at+", and runs on") {
					t.Errorf("explained by %q", got)
				}
				if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "survives its stop signal") {
					t.Errorf("logged\n%s", got)
				}
			})
		})
	}
}

// TestSurvivorWhileTheEngineIsAway: as long as the engine does not answer, nobody knows what becomes of a container.
func TestSurvivorWhileTheEngineIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.send("kill", "web", "15")
		synctest.Wait()
		f.leave()
		time.Sleep(time.Hour)
		expect(t, sink, "web:stop signal SIGTERM")
		f.comeBack()
		time.Sleep(3 * time.Second)
		expect(t, sink, "web")
	})
}

// TestUndoHoldsUntilTheNextSignal: what is known of a signal before the drain was undone begins no other one.
func TestUndoHoldsUntilTheNextSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		s, err := New(Config{Client: f, Sink: sink, Node: "n1", Logger: testLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		stop := runUntilEnd(t, s)
		expect(t, sink, "web")
		time.Sleep(time.Second)
		signal := events.Message{Type: events.ContainerEventType, Action: "kill", TimeNano: time.Now().UnixNano()}
		signal.Actor = events.Actor{ID: "web", Attributes: map[string]string{"signal": "15"}}
		f.message(signal)
		expect(t, sink, "web:stop signal SIGTERM")
		if got := notesOf(t, sink, "web").DrainedAt; !got.Equal(time.Unix(0, signal.TimeNano)) {
			t.Errorf("drained at %v", got)
		}
		if err := s.Undo(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		expect(t, sink, "web")
		if got := catalog.KindOf(s.Undo(t.Context(), "web")); got != catalog.KindNotFound {
			t.Errorf("undone again: %v", got)
		}
		f.message(signal) // replayed
		f.send("rename", "web")
		expect(t, sink, "web")
		time.Sleep(2 * resync)
		expect(t, sink, "web")

		set, _, _ := sink.latest()
		stop()
		again := newSink()
		if s, err = New(Config{Client: f, Sink: again, Node: "n1", Logger: testLogger(t), Adopt: func() []catalog.Registration { return set }}); err != nil {
			t.Fatal(err)
		}
		runUntilEnd(t, s)
		synctest.Wait()
		f.message(signal)
		expect(t, again, "web")
		if got := strings.Join(notesOf(t, again, "web").Warnings, "\n"); !strings.Contains(got, "koine drain --undo") {
			t.Errorf("explained after a restart by %q", got)
		}
		f.send("kill", "web", "15")
		expect(t, again, "web:stop signal SIGTERM")
		if err := s.Undo(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		f.put("web") // another start
		f.send("start", "web")
		expect(t, again, "web")
		if got := notesOf(t, again, "web"); got.Undrained != "" || len(got.Warnings) > 0 {
			t.Errorf("noted after the start %+v", got)
		}
	})
}

// TestDrainGoesOnAfterARestart: the ten minutes are those since the signal, whichever process learned of it.
func TestDrainGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		stop := start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.send("kill", "web", "15")
		expect(t, sink, "web:stop signal SIGTERM")
		set, _, _ := sink.latest()
		stop()
		time.Sleep(surviveMargin - time.Minute)
		again := newSink()
		start(t, Config{Client: f, Sink: again, Adopt: func() []catalog.Registration { return set }})
		expect(t, again, "web:stop signal SIGTERM")
		time.Sleep(time.Minute + 12*time.Second)
		expect(t, again, "web")
	})
}

// TestUndoRefuses has drains that only what has begun them can end.
func TestUndoRefuses(t *testing.T) {
	for _, test := range []struct {
		name, signal string
		edit         edit
		want         string
		kind         catalog.Kind
	}{
		{"paused", "", func(c *container.InspectResponse) { c.State.Paused = true }, "web is paused", catalog.KindConflict},
		{"SIGKILL", "9", nil, "SIGKILL", catalog.KindConflict},
		{"stopping", "15", func(c *container.InspectResponse) {
			c.State.Status, c.State.Running, c.State.Pid = stoppingState, false, 7
		}, "the engine is stopping", catalog.KindConflict},
		{"not drained", "", nil, "not drained", catalog.KindNotFound},
		{"left out", "15", labels("koine.ignore", "true"), "no container is registered as web", catalog.KindNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracker := newTracker(testOptions())
			edits := []edit{func(c *container.InspectResponse) { c.Name = "/web" }}
			if test.edit != nil {
				edits = append(edits, test.edit)
			}
			tracker.update(inspected(edits...), nil)
			if test.signal != "" {
				tracker.kill(testID, kills{signals: signalBit(parseSignal(test.signal)), at: time.Now()})
			}
			err := tracker.undo("web")
			if err == nil || !strings.Contains(err.Error(), test.want) || catalog.KindOf(err) != test.kind {
				t.Errorf("%v (%v), want %q (%v)", err, catalog.KindOf(err), test.want, test.kind)
			}
		})
	}
}

// TestSignalOfSystemd: with a stop signal of real time SIGTERM ends nothing.
func TestSignalOfSystemd(t *testing.T) {
	for stopSignal, want := range map[string]int{"": sigTerm, "SIGQUIT": sigTerm, "WINCH": sigTerm, "RTMIN+3": 0, "37": 0} {
		if got := stopping(signalBit(sigTerm), parseSignal(stopSignal)); got != want {
			t.Errorf("stop signal %q: SIGTERM is %d, want %d", stopSignal, got, want)
		}
	}
	if got := stopping(signalBit(37), 37); got != 37 {
		t.Errorf("the stop signal itself is %d", got)
	}
}
