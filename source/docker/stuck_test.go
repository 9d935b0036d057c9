package docker

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// TestStuckContainerIsKeptAfterARestart has a container that the engine lists and cannot inspect: it is not known to have ended, and
// stays registered, drained.
func TestStuckContainerIsKeptAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newGoneSink()
		f.put("one")
		f.put("two")
		f.stuck["two"] = context.DeadlineExceeded
		held := func(id string) (r catalog.Registration) {
			kept, _ := json.Marshal(extras{ContainerID: id, StartedAt: f.containers[id].State.StartedAt})
			r.Instance = catalog.Instance{ID: id, Node: "n1", Service: id, Source: sourceName, Owner: catalog.Owner{Kind: catalog.OwnerContainer, ID: id},
				Extras: map[string]json.RawMessage{sourceName: kept}}
			return r
		}
		start(t, Config{Client: f, Sink: sink, Adopt: func() []catalog.Registration {
			return []catalog.Registration{held("one"), held("two")}
		}})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		set, n, _ := sink.latest()
		if two, there := find(set, "two"); n == 0 || !there || two.Instance.Drain == "" {
			t.Errorf("%d declarations, the last %q; gone: %q; want the container drained", n, drains(set), sink.reasons())
		}
	})
}

// TestStuckContainerHoldsUpNoOthers has an engine that hangs on one of its containers, from the start: it has answered about the others
// at once, and says nothing more.
func TestStuckContainerHoldsUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		for _, id := range []string{"one", "two", "three"} {
			f.put(id)
		}
		f.stuck["two"] = context.DeadlineExceeded
		start(t, Config{Client: f, Sink: sink})
		time.Sleep(inspectTimeout + retryMax)
		expect(t, sink, "one three")
	})
}
