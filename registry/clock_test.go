package registry

import (
	"fmt"
	"sync"
	"testing"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// storedClock reads the clock as it was at a revision, 0 for now.
func storedClock(t *testing.T, r *Registry, revision uint64) *mvccpb.KeyValue {
	t.Helper()
	resp, err := r.client.Get(t.Context(), clockKey, clientv3.WithRev(int64(revision)))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return &mvccpb.KeyValue{}
	}
	return resp.Kvs[0]
}

func TestEveryWriteHasItsTime(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		r, _ := start(t, open(t))
		before := time.Now().UTC().Truncate(time.Microsecond)
		if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 8 { // some of them in one transaction
			wg.Go(func() {
				revision, err := r.Register(t.Context(), permanent("n1", fmt.Sprint("i", i), "web"))
				if err != nil {
					t.Error(err)
				}
				kv := storedClock(t, r, revision)
				clock, err := decodeClock(kv.Value)
				if err != nil {
					t.Error(err)
					return
				}
				if at := clock.Time; uint64(kv.ModRevision) != revision || at.Before(before) || at.After(time.Now()) {
					t.Errorf("revision %d is of %v (written at %d)", revision, at, kv.ModRevision)
				}
			})
		}
		wg.Wait()
	})
}

func TestWhatIsNotWrittenHasNoTime(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	sync := func() {
		t.Helper()
		if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	before := storedClock(t, r, 0).ModRevision
	sync()
	w := &write{}
	w.absent(nodeKey("n1"))
	w.put(nodeKey("n1"), []byte("never written"), 0)
	if _, held, err := r.writes.commit(t.Context(), w); held || err != nil {
		t.Fatalf("held %v, %v; want it refused", held, err)
	}
	if after := storedClock(t, r, 0).ModRevision; after != before {
		t.Errorf("clock was written at %d, want it left as of %d", after, before)
	}
}

// TestRevisionsOfOthersAreGivenATime ends a session, which writes no time by itself.
func TestRevisionsOfOthersAreGivenATime(t *testing.T) {
	e := enginetest.Open(t)
	r, _ := start(t, e)
	state := permanentNode("n1")
	state.Node.Owner.Kind, state.Node.Owner.TTL = "session", 60e9
	if _, err := r.SyncNode(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	revoked, err := r.client.Revoke(t.Context(), leaseID(r.View().Node("n1").Session))
	if err != nil {
		t.Fatal(err)
	}
	died := uint64(revoked.Header.Revision) // the clock may be there by the time that anybody looks
	if err := r.View().WaitRevision(t.Context(), died+1); err != nil {
		t.Fatal(err)
	}
	kv := storedClock(t, r, 0)
	if clock, err := decodeClock(kv.Value); err != nil || uint64(kv.ModRevision) != died+1 || time.Since(clock.Time) > time.Hour {
		t.Errorf("clock %+v at %d (%v), want it just after %d", clock, kv.ModRevision, err, died)
	}
	if err := r.writeClock(t.Context(), moment{int64(died), time.Now()}); err != nil {
		t.Fatal(err)
	}
	if again := storedClock(t, r, 0); again.ModRevision != kv.ModRevision {
		t.Error("a second process wrote the time again")
	}
}

func TestWhichRevisionsLackATime(t *testing.T) {
	event := func(key string) *clientv3.Event {
		return &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: 7}}
	}
	for _, tt := range []struct {
		name   string
		events []*clientv3.Event
		want   bool
	}{
		{"a record alone", []*clientv3.Event{event(aliveKey("n1"))}, true},
		{"a record with the clock", []*clientv3.Event{event(aliveKey("n1")), event(clockKey)}, false},
		{"the clock alone", []*clientv3.Event{event(clockKey)}, false},
		{"a mark of a sync alone", []*clientv3.Event{event(syncKey("n1"))}, false},
	} {
		r := &Registry{unclocked: make(chan moment, 1)}
		r.noteClock(tt.events)
		if got := len(r.unclocked) == 1; got != tt.want {
			t.Errorf("%s: lacks a time %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTheClockIsBounded(t *testing.T) {
	for _, value := range []string{"", "{}", `{"v":2,"t":"2026-01-02T03:04:05Z"}`, `{"v":1,"t":"noon"}`, `{"v":1}`} {
		if at, err := decodeClock([]byte(value)); err == nil {
			t.Errorf("%s is %v, want an error", value, at)
		}
	}
	r := &Registry{unclocked: make(chan moment, 1)}
	for revision := range int64(3) { // the feed never waits, the last one counts
		r.noteClock([]*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte(nodeKey("n1")), ModRevision: revision}}})
	}
	if m := <-r.unclocked; m.revision != 2 {
		t.Errorf("revision %d is kept, want the last", m.revision)
	}
}
