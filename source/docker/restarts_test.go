package docker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// lifecycleOf makes a container end, and start again by its engine's policy or by hand.
type lifecycleOf struct {
	engine *fakeEngine
	id     string
}

func (l lifecycleOf) end() {
	l.engine.change(l.id, func(c *container.InspectResponse) {
		c.State.Running, c.State.FinishedAt = false, time.Now().UTC().Format(time.RFC3339Nano)
		c.State.Restarting = true
	})
	l.engine.send("die", l.id)
	synctest.Wait()
}

func (l lifecycleOf) start(byPolicy bool) {
	l.engine.change(l.id, func(c *container.InspectResponse) {
		c.State.Running, c.State.Restarting, c.State.StartedAt = true, false, time.Now().UTC().Format(time.RFC3339Nano)
		if c.RestartCount++; !byPolicy {
			c.RestartCount = 0
		}
	})
	l.engine.send("start", l.id)
	synctest.Wait()
}

// TestCrashLoop: a container that its engine restarts is not declared before it has been up for as long as its last life.
func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		source, err := New(Config{Client: f, Sink: sink, Node: "n1", Logger: testLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		runUntilEnd(t, source)
		web := lifecycleOf{f, "web"}
		expect(t, sink, "web") // a first start is not delayed
		time.Sleep(2500 * time.Millisecond)
		web.end()
		expect(t, sink, "")
		_, declared, _ := sink.latest()
		for range 5 {
			time.Sleep(100 * time.Millisecond)
			web.start(true)
			expect(t, sink, "")
			time.Sleep(2 * time.Second)
			web.end()
			expect(t, sink, "")
		}
		if _, n, _ := sink.latest(); n != declared {
			t.Errorf("the loop was declared %d times, want never", n-declared)
		}
		web.start(true)
		_, left, err := source.Explain(t.Context(), "web")
		if err != nil || len(left) != 1 || !strings.Contains(left[0].Why, "restarted it 6 times: it is registered once it has been up for 3s") {
			t.Errorf("explained as %+v, %v", left, err)
		}
		time.Sleep(4 * time.Second)
		expect(t, sink, "web")

		time.Sleep(time.Hour) // a long life is not waited for
		web.end()
		web.start(true)
		time.Sleep(9 * time.Second)
		expect(t, sink, "")
		time.Sleep(2 * time.Second)
		expect(t, sink, "web")

		web.end()
		web.start(false) // nor is a start by hand delayed
		expect(t, sink, "web")
	})
}

// TestCrashLoopAcrossRestartOfKoine: a life that Koine has not seen counts as the longest.
func TestCrashLoopAcrossRestartOfKoine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("loop", func(c *container.InspectResponse) { c.RestartCount = 7 })
		f.put("web", func(c *container.InspectResponse) { c.RestartCount = 0 })
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		time.Sleep(4 * time.Second)
		lifecycleOf{f, "loop"}.end()
		lifecycleOf{f, "loop"}.start(true)
		time.Sleep(3 * time.Second)
		expect(t, sink, "web")
		time.Sleep(3 * time.Second)
		expect(t, sink, "loop web")
	})
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("old", func(c *container.InspectResponse) { c.RestartCount = 7 })
		time.Sleep(time.Minute)
		start(t, Config{Client: f, Sink: sink, Adopt: func() []catalog.Registration { return nil }})
		expect(t, sink, "old") // it has been up for longer
	})
}
