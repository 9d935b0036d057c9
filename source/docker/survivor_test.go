package docker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// TestStuckContainerIsNoSurvivor has an engine that hangs on one container, after its stop signal: nobody knows whether it runs.
func TestStuckContainerIsNoSurvivor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		f.put("other")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "other web")
		f.send("kill", "web", "15")
		synctest.Wait()
		f.mu.Lock()
		f.stuck["web"] = context.DeadlineExceeded
		f.mu.Unlock()
		time.Sleep(15 * time.Minute)
		expect(t, sink, "other web:stop signal SIGTERM")
	})
}

// TestNoSurvivorWithoutALook has a container end while the engine is away. Once that is back, and takes its time for the container, it is no
// survivor.
func TestNoSurvivorWithoutALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.send("kill", "web", "15")
		synctest.Wait()
		f.leave()
		time.Sleep(time.Hour)
		f.mu.Lock()
		f.containers["web"].State.Running = false // it ended, unseen
		f.stuck["web"] = context.DeadlineExceeded
		f.mu.Unlock()
		f.comeBack()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		expect(t, sink, "web:stop signal SIGTERM")
	})
}

// TestRestartKeepsTheLastSignal has a container that was sent its stop signal twice: the time counts from the second, after a restart, too.
func TestRestartKeepsTheLastSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		stop := start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.send("kill", "web", "15") // reload, survived
		synctest.Wait()
		time.Sleep(9*time.Minute + 30*time.Second)
		f.send("kill", "web", "15") // docker stop -t 300
		expect(t, sink, "web:stop signal SIGTERM")
		time.Sleep(15 * time.Second)
		set, _, _ := sink.latest()
		stop()
		again := newSink()
		start(t, Config{Client: f, Sink: again, Adopt: func() []catalog.Registration { return set }})
		synctest.Wait()
		time.Sleep(60 * time.Second) // 75 s after the last signal
		expect(t, again, "web:stop signal SIGTERM")
	})
}

// TestPausedContainerIsNoSurvivor has a paused container, whose process gets its signal when it goes on.
func TestPausedContainerIsNoSurvivor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		s, err := New(Config{Client: f, Sink: sink, Node: "n1", Logger: testLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		runUntilEnd(t, s)
		expect(t, sink, "web")
		f.change("web", func(c *container.InspectResponse) { c.State.Paused = true })
		f.send("pause", "web")
		synctest.Wait()
		f.send("kill", "web", "15")
		synctest.Wait()
		time.Sleep(11 * time.Minute)
		f.change("web", func(c *container.InspectResponse) { c.State.Paused = false })
		f.send("unpause", "web") // only now does the process get its signal
		synctest.Wait()
		expect(t, sink, "web:stop signal SIGTERM")
	})
}

// TestRepeatedSignalsAreNoNews holds that many stop signals are not as many declarations.
func TestRepeatedSignalsAreNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.send("kill", "web", "15")
		synctest.Wait()
		n := len(sink.declared)
		for range 30 {
			time.Sleep(time.Second)
			f.send("kill", "web", "15")
			synctest.Wait()
		}
		if got := len(sink.declared) - n; got > 1 {
			t.Errorf("%d declarations for 30 repeated signals", got)
		}
	})
}

// TestUndoOfUnseen has a container of which the engine has told nothing since the start.
func TestUndoOfUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		f.put("other")
		stop := start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "other web")
		set, _, _ := sink.latest()
		stop()
		f.mu.Lock()
		f.stuck["web"] = context.DeadlineExceeded
		f.mu.Unlock()
		again := newSink()
		s, err := New(Config{Client: f, Sink: again, Node: "n1", Logger: testLogger(t), Adopt: func() []catalog.Registration { return set }})
		if err != nil {
			t.Fatal(err)
		}
		runUntilEnd(t, s)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		err = s.Undo(t.Context(), "web")
		if catalog.KindOf(err) != catalog.KindUnavailable {
			t.Errorf("undo: %v", err)
		}
	})
}

// TestTaskOfASwarmIsNoSurvivor holds that the end of a task takes as long as its service says, which the container does not show.
func TestTaskOfASwarmIsNoSurvivor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		// docker service create --stop-grace-period 1h: dockerd's config() of a task sets StopSignal, and no StopTimeout
		f.put("task", labels(serviceLabel, "s1", swarmService, "jobs"))
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "task")
		f.send("kill", "task", "15")
		time.Sleep(12 * time.Minute)
		expect(t, sink, "task:stop signal SIGTERM")
	})
}

// TestKilledContainerIsNoSurvivor holds that SIGKILL counts whatever else was sent, before it, with it, or again after it.
func TestKilledContainerIsNoSurvivor(t *testing.T) {
	now := time.Now()
	term, kill := signalBit(sigTerm), signalBit(sigKill)
	for name, sent := range map[string][]kills{
		"together": {{signals: term | kill, at: now}},
		"replayed": {{signals: term, at: now}, {signals: kill, at: now.Add(10 * time.Second)}, {signals: term | kill, at: now.Add(10 * time.Second)}},
		"before":   {{signals: kill, at: now}, {signals: term, at: now.Add(time.Second)}},
	} {
		tr := newTracker(testOptions())
		tr.update(inspected(func(c *container.InspectResponse) { c.Name = "/web" }), nil)
		for _, k := range sent {
			tr.kill(testID, k)
		}
		if why := tr.survived(testID, now.Add(time.Hour)); why != "" {
			t.Errorf("%s: %s", name, why)
		}
		if err := tr.undo("web"); catalog.KindOf(err) != catalog.KindConflict {
			t.Errorf("%s: undo: %v", name, err)
		}
	}
}

// TestUndoRefusesWhatCannotServe holds that a container that is paused, or whose process has ended, is not put back.
func TestUndoRefusesWhatCannotServe(t *testing.T) {
	for name, change := range map[string]func(tr *tracker){
		"paused": func(tr *tracker) {
			tr.update(inspected(func(c *container.InspectResponse) { c.State.Paused, c.Name = true, "/web" }), nil)
		},
		"ended": func(tr *tracker) { tr.exited(testID, testStart, time.Now()) },
	} {
		tr := newTracker(testOptions())
		tr.update(inspected(func(c *container.InspectResponse) { c.Name = "/web" }), nil)
		tr.kill(testID, kills{signals: signalBit(sigTerm), at: time.Now()})
		change(tr)
		if err := tr.undo("web"); catalog.KindOf(err) != catalog.KindConflict {
			t.Errorf("%s: undo: %v", name, err)
		}
		if _, left := tr.lifts[testID]; left {
			t.Errorf("%s: its drain has ended", name)
		}
	}
}
