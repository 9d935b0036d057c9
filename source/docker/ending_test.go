package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

// goneSink keeps the reasons for what is declared no longer, and how many sets had been declared when they came.
type goneSink struct {
	*recordingSink
	gone  map[string]string
	after int
}

func (s *goneSink) DeclareGone(_ string, reasons map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone, s.after = reasons, len(s.declared)
	close(s.changed)
	s.changed = make(chan struct{})
}

// waitReason waits until an instance is gone for a reason.
func (s *goneSink) waitReason(t *testing.T, id, want string) {
	t.Helper()
	s.wait(t, id+" to be gone because "+want, func([]catalog.Registration) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.gone[id] == want
	})
}

func (s *goneSink) reasons() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, id := range slices.Sorted(maps.Keys(s.gone)) {
		list = append(list, id+": "+s.gone[id])
	}
	return strings.Join(list, "; ")
}

func newGoneSink() *goneSink { return &goneSink{recordingSink: newSink()} }

// die ends a container with an exit code, as an engine tells of it.
func (f *fakeEngine) die(id string, code int) {
	f.change(id, func(c *container.InspectResponse) { c.State.Running, c.State.ExitCode = false, code })
	f.message(events.Message{
		Type: events.ContainerEventType, Action: events.ActionDie, TimeNano: time.Now().UnixNano(),
		Actor: events.Actor{ID: id, Attributes: map[string]string{"exitCode": fmt.Sprint(code)}},
	})
}

// TestGoneSaysWhy: with the set in which an instance is missing comes why it is.
func TestGoneSaysWhy(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(f *fakeEngine)
		want string
	}{
		{"exited", func(f *fakeEngine) { f.die("web", 3) }, "web: container exited 3"},
		{"told to stop", func(f *fakeEngine) {
			f.send("kill", "web", "15")
			synctest.Wait()
			f.die("web", 0)
		}, "web: container exited 0 after SIGTERM"},
		{"killed after that", func(f *fakeEngine) {
			f.send("kill", "web", "15")
			f.send("kill", "web", "9")
			synctest.Wait()
			f.die("web", 137)
		}, "web: container exited 137 after SIGTERM"},
		{"out of memory", func(f *fakeEngine) {
			f.send("oom", "web")
			f.die("web", 137)
		}, "web: container exited 137: out of memory"},
		{"so says the engine", func(f *fakeEngine) {
			f.change("web", func(c *container.InspectResponse) { c.State.OOMKilled = true })
			f.die("web", 137)
		}, "web: container exited 137: out of memory"},
		{"removed at once", func(f *fakeEngine) {
			f.die("web", 7)
			f.remove("web")
			f.send("destroy", "web")
		}, "web: container exited 7, and was removed"},
		{"removed", func(f *fakeEngine) {
			f.remove("web")
			f.send("destroy", "web")
		}, "web: container was removed"},
		{"renamed", func(f *fakeEngine) {
			f.change("web", func(c *container.InspectResponse) { c.Name = "/shop" })
			f.send("rename", "web")
		}, "web: container is registered as shop"},
		{"on no network", func(f *fakeEngine) {
			f.change("web", func(c *container.InspectResponse) { c.NetworkSettings = nil })
			f.send("update", "web")
		}, "web: container is left out: it has no address on any network"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, sink := newFake(), newGoneSink()
			f.put("web")
			start(t, Config{Client: f, Sink: sink})
			expect(t, sink.recordingSink, "web")
			pause.For(t.Context(), time.Second) // an event of before the connection is not a live one
			test.end(f)
			synctest.Wait()
			if got := sink.reasons(); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
			if _, n, _ := sink.latest(); sink.after >= n {
				t.Errorf("%s: the reason came after the set", test.name)
			}
		})
	}
}

// TestGoneIsBounded: reasons are forgotten when the instance is back, with age, and by their number.
func TestGoneIsBounded(t *testing.T) {
	now := time.Now()
	set := func(n int) (list []catalog.Registration) {
		for i := range n {
			list = append(list, catalog.Registration{Instance: catalog.Instance{ID: fmt.Sprintf("i%05d", i), Owner: catalog.Owner{ID: "c"}}})
		}
		return list
	}
	why := func(string) string { return "gone" }
	var e endings
	e.compare(set(2), set(1), why, now)
	if got := e.reasons(); len(got) != 1 || got["i00001"] != "gone" {
		t.Errorf("%v", got)
	}
	e.compare(set(1), set(2), why, now)
	if got := e.reasons(); got != nil {
		t.Errorf("it is back: %v", got)
	}
	e.compare(set(2), nil, why, now)
	e.compare(nil, nil, why, now.Add(endingAge))
	if got := e.reasons(); got != nil {
		t.Errorf("after %v: %v", endingAge, got)
	}
	e.compare(set(3*maxEndings), nil, why, now)
	if got := e.reasons(); len(got) != maxEndings {
		t.Errorf("%d are remembered, want %d", len(got), maxEndings)
	}
	tracker := newTracker(testOptions())
	for i := range 2 * maxEndings {
		tracker.end(fmt.Sprint(i), "gone")
	}
	if got := len(tracker.takeEnded()); got != maxEndings {
		t.Errorf("the tracker remembers %d", got)
	}
}

// TestProcessEndDrainsAtOnce: the instance of a process that has ended leaves the answers before the engine says so, and is
// removed with the exit code; or without, if the engine says nothing.
func TestProcessEndDrainsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newGoneSink()
		f.put("web")
		f.put("job")
		s, err := New(Config{Client: f, Node: "n1", Sink: sink, Logger: testLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		w, err := newPidWatch(0)
		if err != nil {
			t.Fatal(err)
		}
		s.watch = w
		runUntilEnd(t, s)
		expect(t, sink.recordingSink, "job web")
		w.exits <- exit{"web", f.containers["web"].State.StartedAt}
		expect(t, sink.recordingSink, "job web:its process has ended")
		pause.For(t.Context(), time.Minute) // the engine answers, and is slow
		expect(t, sink.recordingSink, "job web:its process has ended")
		f.die("web", 139)
		expect(t, sink.recordingSink, "job")
		if got := sink.reasons(); got != "web: container exited 139" {
			t.Errorf("%q", got)
		}
		f.leave()
		w.exits <- exit{"job", f.containers["job"].State.StartedAt}
		expect(t, sink.recordingSink, "job:its process has ended")
		pause.For(t.Context(), deathGrace+retryMax)
		expect(t, sink.recordingSink, "")
		if got := sink.reasons(); !strings.HasPrefix(got, "job: container's process ended") {
			t.Errorf("without a word of the engine: %q", got)
		}
		f.change("job", exitedWith(5))
		f.comeBack()
		pause.For(t.Context(), 2*retryMax)
		synctest.Wait()
		if got := sink.reasons(); !strings.HasPrefix(got, "job: container exited 5") {
			t.Errorf("when the engine is back: %q", got)
		}
	})
}

// TestEndedWhileKoineDidNotRun: what the catalog holds from before and the engine does not have any more.
func TestEndedWhileKoineDidNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newGoneSink()
		f.put("web")
		start(t, Config{Client: f, Sink: sink, Adopt: func() []catalog.Registration {
			return []catalog.Registration{
				{Instance: catalog.Instance{ID: "old", Owner: catalog.Owner{ID: "old"}}}, {Instance: catalog.Instance{ID: "web", Owner: catalog.Owner{ID: "web"}}},
			}
		}})
		expect(t, sink.recordingSink, "web")
		if got := sink.reasons(); got != "old: container ended while Koine did not run" {
			t.Errorf("%q", got)
		}
	})
}

func TestExitCodesOfEvents(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "137": "137", "": "", "-1": "", "1 and more": "", "99999999999": ""} {
		m := events.Message{Actor: events.Actor{Attributes: map[string]string{"exitCode": text}}}
		if got := exitCode(m); got != want {
			t.Errorf("exitCode %q is %q, want %q", text, got, want)
		}
	}
}
