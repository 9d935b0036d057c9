package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

var errAway = errors.New("no engine")

// fakeEngine is an engine whose containers and events a test makes up.
type fakeEngine struct {
	mu         sync.Mutex
	containers map[string]*container.InspectResponse
	stuck      map[string]error
	away       bool
	streams    []chan events.Message
	broken     chan struct{}
	since      []string
	inspects   int
}

func newFake() *fakeEngine {
	return &fakeEngine{
		containers: make(map[string]*container.InspectResponse), stuck: make(map[string]error), broken: make(chan struct{}),
	}
}

func (f *fakeEngine) DaemonHost() string { return "tcp://fake:2375" }

func (f *fakeEngine) Events(ctx context.Context, o client.EventsListOptions) client.EventsResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	messages, errs := make(chan events.Message), make(chan error, 1)
	f.since = append(f.since, o.Since)
	if f.away {
		errs <- errAway
		return client.EventsResult{Messages: messages, Err: errs}
	}
	f.streams = append(f.streams, messages)
	go func(broken chan struct{}) {
		select {
		case <-broken:
			errs <- errAway
		case <-ctx.Done():
		}
		close(errs)
	}(f.broken)
	return client.EventsResult{Messages: messages, Err: errs}
}

func (f *fakeEngine) ContainerList(_ context.Context, options client.ContainerListOptions) (r client.ContainerListResult, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return r, errAway
	}
	for id, c := range f.containers {
		if c.State.Running || options.All {
			r.Items = append(r.Items, container.Summary{ID: id})
		}
	}
	return r, nil
}

func (f *fakeEngine) ContainerInspect(ctx context.Context, id string, _ client.ContainerInspectOptions) (r client.ContainerInspectResult, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inspects++
	c, ok := f.containers[id]
	switch {
	case f.away:
		return r, errAway
	case errors.Is(f.stuck[id], context.DeadlineExceeded):
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return r, ctx.Err()
	case f.stuck[id] != nil:
		return r, f.stuck[id]
	case !ok:
		return r, cerrdefs.ErrNotFound.WithMessage("no such container")
	}
	r.Container = *c
	state := *c.State
	r.Container.State = &state
	return r, nil
}

// leave cuts the streams and answers nothing until comeBack.
func (f *fakeEngine) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = true
	close(f.broken)
	f.broken = make(chan struct{})
}

func (f *fakeEngine) comeBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = false
}

// put makes a container run from now on; it sends no event.
func (f *fakeEngine) put(id string, edits ...edit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := inspected(edits...)
	c.ID, c.Name = id, "/"+id
	c.State.StartedAt = time.Now().UTC().Format(time.RFC3339Nano)
	f.containers[id] = c
}

func (f *fakeEngine) change(id string, change edit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.containers[id])
}

func (f *fakeEngine) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.containers, id)
}

// send sends an event of a container on the newest stream.
func (f *fakeEngine) send(action events.Action, id string, attributes ...string) {
	m := events.Message{Type: events.ContainerEventType, Action: action, TimeNano: time.Now().UnixNano()}
	m.Actor.ID = id
	if len(attributes) > 0 {
		m.Actor.Attributes = map[string]string{"signal": attributes[0]}
	}
	f.message(m)
}

func (f *fakeEngine) message(m events.Message) {
	f.mu.Lock()
	stream := f.streams[len(f.streams)-1]
	f.mu.Unlock()
	stream <- m
}

// drains says of each declared instance whether it drains, as "id" or "id:reason".
func drains(set []catalog.Registration) (list string) {
	for _, r := range set {
		list += " " + r.Instance.ID
		if r.Instance.Drain != "" {
			list += ":" + r.Instance.Drain
		}
	}
	return strings.TrimSpace(list)
}

// expect waits until all is quiet and compares what is declared.
func expect(t *testing.T, sink *recordingSink, want string) {
	t.Helper()
	synctest.Wait()
	set, _, _ := sink.latest()
	if got := drains(set); got != want {
		t.Errorf("declared %q, want %q", got, want)
	}
}

func TestKillDrainsUntilDeathOrStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("quit", func(c *container.InspectResponse) { c.Config.StopSignal = "SIGQUIT" })
		f.put("web")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "quit web")

		f.send("kill", "web", "1")
		f.send("kill", "quit", "3")
		expect(t, sink, "quit:stop signal SIGQUIT web")
		f.send("kill", "web", "15")
		expect(t, sink, "quit:stop signal SIGQUIT web:stop signal SIGTERM")
		f.send("rename", "web")
		expect(t, sink, "quit:stop signal SIGQUIT web:stop signal SIGTERM")

		f.change("web", func(c *container.InspectResponse) { c.State.Running = false })
		f.send("die", "web")
		expect(t, sink, "quit:stop signal SIGQUIT")
		time.Sleep(time.Second)
		f.put("web")
		f.send("start", "web")
		expect(t, sink, "quit:stop signal SIGQUIT web")

		// A kill of the life before, told late, says nothing of this one.
		late := events.Message{Type: events.ContainerEventType, Action: "kill", TimeNano: time.Now().Add(-time.Second / 2).UnixNano()}
		late.Actor = events.Actor{ID: "web", Attributes: map[string]string{"signal": "15"}}
		f.message(late)
		expect(t, sink, "quit:stop signal SIGQUIT web")
	})
}

// TestKillIsNotDelayedByLooks: a container drains at once although the engine is stuck on it.
func TestKillIsNotDelayedByLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.mu.Lock()
		f.stuck["web"] = errors.New("stuck")
		f.mu.Unlock()
		f.send("kill", "web", "15")
		expect(t, sink, "web:stop signal SIGTERM")
	})
}

// TestKillOfUnknown: the container was started and killed before anyone looked.
func TestKillOfUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "")
		if _, n, _ := sink.latest(); n != 1 {
			t.Errorf("an empty engine was declared %d times, want once", n)
		}
		f.put("web")
		f.send("kill", "web", "9")
		expect(t, sink, "web:stop signal SIGKILL")
	})
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("drains")
		f.put("restarted")
		f.put("paused")
		held := func(id, startedAt, drain string) (r catalog.Registration) {
			kept, _ := json.Marshal(extras{ContainerID: id, StartedAt: startedAt})
			r.Instance = catalog.Instance{ID: id, Drain: drain, Extras: map[string]json.RawMessage{sourceName: kept}}
			return r
		}
		now := f.containers["drains"].State.StartedAt
		start(t, Config{Client: f, Sink: sink, Adopt: func() []catalog.Registration {
			return []catalog.Registration{
				held("drains", now, "stop signal SIGTERM"), held("restarted", testStart, "stop signal SIGTERM"),
				held("paused", now, "paused"), {Instance: catalog.Instance{Drain: "stop signal SIGTERM"}},
			}
		}})
		expect(t, sink, "drains:stop signal SIGTERM paused restarted")
	})
}

func TestEngineAwayKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("stays")
		f.put("goes")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "goes stays")
		_, before, _ := sink.latest()
		time.Sleep(10 * time.Second)
		f.leave()
		time.Sleep(time.Hour)
		expect(t, sink, "goes stays")
		if _, n, _ := sink.latest(); n != before {
			t.Errorf("declared %d more sets while the engine was away", n-before)
		}
		f.mu.Lock()
		attempts := len(f.since)
		f.mu.Unlock()
		if attempts < 3600 || attempts > 3700 {
			t.Errorf("%d attempts in an hour, want about one a second", attempts)
		}
		f.remove("goes")
		f.put("new")
		f.comeBack()
		time.Sleep(retryMax)
		expect(t, sink, "new stays")
	})
}

// TestFirstLookCutShort: the engine goes away while it is looked at for the first time. What was seen is not all.
func TestFirstLookCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("two")
		f.stuck["two"] = context.DeadlineExceeded
		f.away = true
		start(t, Config{Client: f, Sink: sink})
		time.Sleep(time.Minute)
		synctest.Wait()
		if set, n, _ := sink.latest(); n != 0 {
			t.Fatalf("declared %v of an engine that is away", set)
		}
		f.comeBack()
		time.Sleep(2 * retryMax)
		synctest.Wait()
		if _, n, _ := sink.latest(); n != 0 {
			t.Error("declared before all was looked at")
		}
		// The engine goes on answering others: it is the container that is stuck.
		f.put("one")
		f.send("start", "one")
		time.Sleep(inspectTimeout)
		expect(t, sink, "one")
		f.mu.Lock()
		delete(f.stuck, "two")
		f.mu.Unlock()
		time.Sleep(inspectTimeout + retryMax)
		expect(t, sink, "one two")
	})
}

func TestResyncRepairsMissedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("goes")
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "goes")
		f.remove("goes")
		f.put("comes")
		time.Sleep(resync)
		expect(t, sink, "comes")
	})
}

func TestNoNewsDeclaresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web", func(c *container.InspectResponse) {
			c.State.Health = &container.Health{Status: container.Healthy, Log: []*container.HealthcheckResult{{Output: "1"}}}
		})
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web")
		f.change("web", func(c *container.InspectResponse) {
			c.State.Health = &container.Health{Status: container.Healthy, Log: []*container.HealthcheckResult{{Output: "2"}}}
		})
		f.send("health_status: healthy", "web")
		f.send("exec_start: probe", "web")
		f.message(events.Message{Type: events.NetworkEventType, Action: "connect"})
		synctest.Wait()
		if set, n, _ := sink.latest(); n != 1 || set[0].Checks[0].Output != "1" {
			t.Errorf("%d sets were declared for another output of the same status", n)
		}
		f.change("web", func(c *container.InspectResponse) { c.State.Health = &container.Health{Status: container.Unhealthy} })
		f.send("health_status: unhealthy", "web")
		synctest.Wait()
		if set, n, _ := sink.latest(); n != 2 || set[0].Checks[0].Status != catalog.Critical {
			t.Errorf("after %d sets the check is %+v", n, set[0].Checks[0])
		}
	})
}

func TestClashingIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		claim := labels("koine.id", "web", "koine.check.ttl", "10s")
		f.put("younger0000000000", claim, func(c *container.InspectResponse) { c.Created = "2026-01-02T09:00:00Z" })
		f.put("elder", claim)
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "web web-younger00000")
		set, _, _ := sink.latest()
		if set[0].Instance.Owner.ID != "elder" || set[1].Checks[0].ID != "web-younger00000:check" || set[1].Checks[0].Instance != "web-younger00000" {
			t.Errorf("declared %+v", set)
		}
		state := catalog.NodeState{Node: catalog.Node{Name: "n1", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}, Registrations: set}
		if err := state.Validate(); err != nil {
			t.Error(err)
		}
		f.remove("elder")
		f.send("destroy", "elder")
		expect(t, sink, "web")
	})
}

func TestBadContainerHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("bad", image(strings.Repeat("x", catalog.MaxExtras)))
		f.put("good", labels("koine.weight", "much"))
		log := newLogWatch("container=good label=koine.weight reason=")
		start(t, Config{Client: f, Sink: sink, Logger: textLogger(log)})
		expect(t, sink, "good")
		select {
		case <-log.met:
		default:
			t.Error("no warning names the container, the label and the reason")
		}
		for range 3 {
			f.send("update", "good")
		}
		synctest.Wait()
		if log.count != 1 {
			t.Errorf("the same label was warned of %d times", log.count)
		}
	})
}

// TestStorm sends more events than anyone wants to look at.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		registry := prometheus.NewRegistry()
		start(t, Config{Client: f, Sink: sink, Metrics: registry})
		expect(t, sink, "")
		const n = 300
		for i := range n {
			f.put(fmt.Sprintf("c%03d", i))
		}
		for range 5 {
			for i := range n {
				f.send("start", fmt.Sprintf("c%03d", i))
			}
		}
		synctest.Wait()
		if set, _, _ := sink.latest(); len(set) != n {
			t.Errorf("%d of %d containers are declared", len(set), n)
		}
		families, err := registry.Gather()
		if err != nil || len(families) != 10 {
			t.Errorf("gathered %d metrics, error %v; want 10", len(families), err)
		}
	})
}

// timedSink keeps since when the last declared set is true.
type timedSink struct {
	*recordingSink
	since time.Time
}

func (s *timedSink) DeclareSince(source string, since time.Time, set []catalog.Registration) {
	s.since = since
	s.Declare(source, set)
}

func TestSinkIsToldSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), &timedSink{recordingSink: newSink()}
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink.recordingSink, "")
		if !sink.since.IsZero() {
			t.Errorf("the first list is true since %v", sink.since)
		}
		f.put("web")
		pause.For(t.Context(), time.Second) // an event of before the connection is not a live one
		seen := time.Now().Add(-20 * time.Millisecond)
		m := events.Message{Type: events.ContainerEventType, Action: events.ActionStart, TimeNano: seen.UnixNano()}
		m.Actor.ID = "web"
		f.message(m)
		expect(t, sink.recordingSink, "web")
		if took := time.Since(sink.since); took != 20*time.Millisecond {
			t.Errorf("the event was %v ago", took)
		}
	})
}

func TestInboxBounds(t *testing.T) {
	in := newInbox()
	for i := range maxChanged {
		if !in.event(events.Message{Type: events.ContainerEventType, Actor: events.Actor{ID: fmt.Sprint(i)}}, true) {
			t.Fatalf("event %d was refused", i)
		}
	}
	if in.event(events.Message{Type: events.ContainerEventType, Actor: events.Actor{ID: "one more"}}, true) {
		t.Error("the inbox has no bound")
	}
	if !in.event(events.Message{Type: events.ContainerEventType, Actor: events.Actor{ID: "1"}}, true) {
		t.Error("an event of a known container was refused")
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]int{
		"": 15, "SIGTERM": 15, "term": 15, "9": 9, "SIGQUIT": 3, "SIGRTMIN+3": 37, "RTMIN": 34, "RTMAX-2": 62, "RTMAX": 64,
		"SIGNONE": 0, "0": 0, "65": 0, "RTMIN+40": 0, "RTMIN+x": 0,
	} {
		if got := parseSignal(text); got != want {
			t.Errorf("parseSignal(%q) = %d, want %d", text, got, want)
		}
	}
	if name := signalName(37); name != "37" {
		t.Errorf("signalName(37) = %q", name)
	}
	if got := stopping(signalBit(1)|signalBit(10), 15); got != 0 {
		t.Errorf("SIGHUP and SIGUSR1 stop by %d", got)
	}
}

func TestNewRefuses(t *testing.T) {
	sink := newSink()
	for name, cfg := range map[string]Config{
		"no sink":  {Node: "n1"},
		"no node":  {Sink: sink},
		"bad host": {Sink: sink, Node: "n1", Host: "nonsense"},
	} {
		if _, err := New(cfg); catalog.KindOf(err) != catalog.KindInvalid {
			t.Errorf("%s: error %v, want one of kind invalid", name, err)
		}
	}
	registry := prometheus.NewRegistry()
	if _, err := New(Config{Sink: sink, Node: "n1", Host: "/run/x.sock", Metrics: registry}); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{Sink: sink, Node: "n1", Host: "tcp://127.0.0.1:1", Metrics: registry}); err == nil {
		t.Error("metrics were registered twice")
	}
}
