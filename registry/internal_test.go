package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// aCheck names a check, whichever has that ID now.
func aCheck(node, id string) *catalog.Check { return &catalog.Check{Node: node, ID: id} }

// start runs a registry on an engine until the test ends, or stop is called.
func start(t testing.TB, e *engine.Engine, adjust ...func(*Config)) (r *Registry, stop func()) {
	t.Helper()
	cfg := Config{Client: e.Client, KV: e.KV, MaxOps: e.MaxOps, MaxBytes: e.MaxBytes, View: catalog.NewView()}
	for _, change := range adjust {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	if err := r.View().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, stop
}

func permanentNode(name string) catalog.NodeState {
	return catalog.NodeState{Node: catalog.Node{Name: name, Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}}
}

func permanent(node, id, service string) catalog.Registration {
	return catalog.Registration{Instance: catalog.Instance{
		ID: id, Node: node, Service: service, Owner: catalog.Owner{Kind: catalog.OwnerPermanent},
	}}
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a registry without a client was made")
	}
}

func TestKeysRoundTrip(t *testing.T) {
	node := &catalog.Node{Name: "n_1"}
	instance := &catalog.Instance{ID: "a/b c%é", Node: "n_1"}
	check := &catalog.Check{ID: "a/b c%é:1", Node: "n_1"}
	push := &catalog.Push{Status: catalog.Warning, Output: "busy", TTL: catalog.Duration(time.Second), Lease: "7b", CheckRevision: 12}
	for _, tt := range []struct {
		key   string
		value any
		want  catalog.Change
	}{
		{nodeKey("n_1"), nodeRecord{format, node}, catalog.Change{Type: catalog.RecordNode, Name: "n_1", Node: node}},
		{aliveKey("n_1"), aliveRecord{format, "7b"}, catalog.Change{Type: catalog.RecordSession, Name: "n_1", Session: "7b"}},
		{instanceKey("n_1", instance.ID), instanceRecord{format, instance},
			catalog.Change{Type: catalog.RecordInstance, Name: "n_1", ID: instance.ID, Instance: instance}},
		{checkKey("n_1", check.ID), checkRecord{format, check},
			catalog.Change{Type: catalog.RecordCheck, Name: "n_1", ID: check.ID, Check: check}},
		{pushKey("N_1", check.ID), pushRecord{format, push}, catalog.Change{Type: catalog.RecordPush, Name: "n_1", ID: check.ID, Push: push}},
	} {
		got, err := decode(tt.key, encode(tt.value))
		if err != nil {
			t.Errorf("%s: %v", tt.key, err)
		}
		if !reflect.DeepEqual(tt.want, got) {
			t.Errorf("%s: got %+v, want %+v", tt.key, got, tt.want)
		}
	}
}

func TestUnreadableRecordsAreErrors(t *testing.T) {
	for _, tt := range []struct{ key, value string }{
		{"elsewhere/x", "{}"}, {"koine/", "{}"}, {"koine/color/x", "{}"}, {"koine/node/a/b", "{}"}, {"koine/instance/a", "{}"},
		{"koine/node/%zz", "{}"}, {"koine/instance/a/%zz", "{}"},
		{"koine/node/a", "not json"}, {"koine/node/a", `{"v":2,"name":"a"}`}, {"koine/node/a", `{"v":1,"name":"b"}`},
		{"koine/node/a", `null`}, {"koine/alive/a", `{"v":1}`}, {"koine/instance/a/b", `{"v":1,"id":"c","node":"a"}`},
		{"koine/check/a/b", `{"v":1,"id":"b","node":"c"}`}, {"koine/check/a/b", `{"v":1,"id":"b","ttl":5}`},
		{"koine/push/a", `{"v":1,"status":"passing"}`}, {"koine/push/a/b", `{"v":1,"status":"odd"}`}, {"koine/push/a/b", `{"v":2,"status":"passing"}`},
	} {
		if got, err := decode(tt.key, []byte(tt.value)); err == nil {
			t.Errorf("%s = %s decodes to %+v", tt.key, tt.value, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("koine/instance/n/i", []byte(`{"v":1,"id":"i","node":"n","ports":[{"number":80}],"addresses":[{"ip":"::1"}]}`))
	f.Add("koine/check/n/c", []byte(`{"v":1,"id":"c","node":"n","interval":"1s","since":"2020-01-01T00:00:00Z"}`))
	f.Add("koine/push/n/c", []byte(`{"v":1,"status":"passing","time":"2020-01-01T00:00:00Z","ttl":"1s","lease":"7b","check_revision":3}`))
	f.Add(clockKey, []byte(`{"v":1,"t":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if at, err := decodeClock(value); err == nil && at.Time.IsZero() {
			t.Error("a clock without a time")
		}
		c, err := decode(key, value)
		if err != nil {
			return
		}
		v := catalog.NewView() // what decodes can be applied, and told of
		v.Load(1, nil)
		v.Apply(2, []catalog.Change{c})
		events, _ := v.Events(0)
		for e := range events {
			if e.Type == "" || e.Revision != 2 {
				t.Errorf("event %+v", e)
			}
		}
		if i := c.Instance; i != nil && catalog.ValidateName("service", i.Service) == nil &&
			!mayNameService(encode(instanceRecord{V: format, Instance: i}), i.Service) {
			t.Errorf("an instance of %s is left out of its history", i.Service)
		}
	})
}

func TestUnreadableRecordsAreLeftOut(t *testing.T) {
	e := enginetest.Open(t)
	put := func(key, value string) {
		if _, err := e.Client.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	put("koine/instance/n1/bad", "not json")
	r, _ := start(t, e)
	if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	put("koine/instance/n1/worse", `{"v":99}`)
	if _, err := r.Register(t.Context(), permanent("n1", "good", "web")); err != nil {
		t.Fatal(err)
	}
	if got := r.View().Node("n1").Endpoints; got.Len() != 1 || r.View().Instance("n1", "good") == nil {
		t.Errorf("instances %v, want the readable one", got)
	}
}

func TestBarrierSeesWritesOfOthers(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		r, _ := start(t, e)
		resp, err := e.Client.Put(t.Context(), "/tree/of/somebody", "else")
		if err != nil {
			t.Fatal(err)
		}
		revision, err := r.Barrier(t.Context())
		if err != nil || revision < uint64(resp.Header.Revision) || r.View().Revision() < revision {
			t.Errorf("barrier at %d (view at %d), %v; want at least %d", revision, r.View().Revision(), err, resp.Header.Revision)
		}
	})
}

// TestStormIsGroupedAndKept has many writers at once; a second registry that loads afterwards must see the same.
func TestStormIsGroupedAndKept(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		r, stop := start(t, e)
		if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
			t.Fatal(err)
		}
		const writers, each = 32, 20
		var wg sync.WaitGroup
		revisions := make(chan uint64, writers*each)
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					revision, err := r.Register(t.Context(), permanent("n1", fmt.Sprintf("w%d-%d", w, i), "web"))
					if err != nil {
						t.Error(err)
						return
					}
					if e := r.View().Instance("n1", fmt.Sprintf("w%d-%d", w, i)); e == nil {
						t.Error("an acknowledged registration is not visible")
					}
					revisions <- revision
				}
			})
		}
		wg.Wait()
		close(revisions)
		distinct := make(map[uint64]bool)
		for revision := range revisions {
			distinct[revision] = true
		}
		if len(distinct) > writers*each/2 {
			t.Errorf("%d writes took %d transactions: they are not grouped", writers*each, len(distinct))
		}
		stop()
		again, _ := start(t, e)
		if got := len(again.View().Service("web").Endpoints); got != writers*each {
			t.Errorf("%d instances after a load, want %d", got, writers*each)
		}
	})
}

// TestSameKeyInOneGroup has writers of the same instance: the last content that is acknowledged is what stands.
func TestSameKeyInOneGroup(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			registration := permanent("n1", "same", "web")
			registration.Instance.Weight = int32(w + 1)
			if _, err := r.Register(t.Context(), registration); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := r.View().Service("web").Endpoints; len(got) != 1 {
		t.Errorf("%d instances, want 1", len(got))
	}
}

func TestFeedLoadsAnewAfterCompaction(t *testing.T) {
	e := enginetest.Open(t)
	first, stop := start(t, e)
	if _, err := first.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	view := first.View()
	stop()
	// While nobody follows, the catalog moves on and the store forgets how.
	other, _ := start(t, e)
	for i := range 3 {
		if _, err := other.Register(t.Context(), permanent("n1", fmt.Sprint("i", i), "web")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Deregister(t.Context(), "n1", "i0"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Client.Compact(t.Context(), int64(other.View().Revision())); err != nil {
		t.Fatal(err)
	}
	if err := first.follow(t.Context()); !errors.Is(err, errCompacted) {
		t.Fatalf("follow: %v, want that the revision is compacted", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); first.feed(ctx) }()
	if err := view.WaitRevision(t.Context(), other.View().Revision()); err != nil {
		t.Fatal(err)
	}
	if got := len(view.Service("web").Endpoints); got != 2 {
		t.Errorf("%d instances after the reload, want 2", got)
	}
	cancel()
	<-done
}

func TestLoadTakesPages(t *testing.T) {
	e := enginetest.Open(t)
	r, stop := start(t, e)
	state := permanentNode("n1")
	for i := range 9000 {
		state.Registrations = append(state.Registrations, permanent("n1", fmt.Sprintf("i%05d", i), fmt.Sprint("s", i%100)))
	}
	if _, err := r.SyncNode(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	stop()
	again, _ := start(t, e)
	if got := again.View().Node("n1").Endpoints.Len(); got != 9000 {
		t.Errorf("%d instances, want 9000", got)
	}
}

func TestSyncLargerThanARequestIsSplit(t *testing.T) {
	e := enginetest.Open(t)
	r, err := New(Config{Client: e.Client, KV: e.KV, MaxBytes: 4096, View: catalog.NewView()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	state := permanentNode("n1")
	for i := range 40 {
		state.Registrations = append(state.Registrations, permanent("n1", fmt.Sprint("i", i), "web"))
	}
	result, err := r.SyncNode(ctx, state)
	if err != nil || result.Puts != 41 {
		t.Errorf("synced %+v, %v; want 41 puts", result, err)
	}
	state.Registrations = nil
	if result, err = r.SyncNode(ctx, state); err != nil || result.Deletes != 40 {
		t.Errorf("synced %+v, %v; want 40 deletes", result, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSetCheckWritesChangesOfStatusOnly(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	ctx := t.Context()
	if _, err := r.SyncNode(ctx, permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	leased := permanent("n1", "web-1", "web")
	leased.Instance.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(time.Minute)}
	leased.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
	if _, err := r.Register(ctx, leased); err != nil {
		t.Fatal(err)
	}
	set := func(status catalog.Status, output string) uint64 {
		t.Helper()
		if err := r.SetCheck(ctx, aCheck("n1", "c"), status, output); err != nil {
			t.Fatal(err)
		}
		return r.View().Revision()
	}
	first := set(catalog.Passing, "connected")
	if again := set(catalog.Passing, "connected again"); again != first {
		t.Errorf("the same status was written at %d", again)
	}
	e := r.View().Instance("n1", "web-1")
	if !e.Healthy() || e.Checks[0].Output != "connected" || e.Checks[0].Since.IsZero() {
		t.Errorf("check is %+v, want it passing as connected", e.Checks[0])
	}
	set(catalog.Critical, "refused")
	if r.View().Instance("n1", "web-1").Healthy() {
		t.Error("instance is healthy with a critical check")
	}
	resp, err := r.client.Get(ctx, checkKey("n1", "c"))
	if err != nil || len(resp.Kvs) != 1 || resp.Kvs[0].Lease == 0 {
		t.Errorf("the outcome took the check from its lease: %v, %v", resp, err)
	}
	for _, tt := range []struct {
		node, id string
		status   catalog.Status
		want     catalog.Kind
	}{
		{"n1", "none", catalog.Passing, catalog.KindNotFound}, {"n9", "c", catalog.Passing, catalog.KindNotFound},
		{"n1", "c", "up", catalog.KindInvalid},
	} {
		if err := r.SetCheck(ctx, aCheck(tt.node, tt.id), tt.status, ""); catalog.KindOf(err) != tt.want {
			t.Errorf("set %s %s %s: %v, want kind %v", tt.node, tt.id, tt.status, err, tt.want)
		}
	}
}

func TestOverdue(t *testing.T) {
	v := catalog.NewView()
	session := catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Second)}
	v.Load(1, []catalog.Change{
		{Type: catalog.RecordNode, Name: "alive", Node: &catalog.Node{Name: "alive", Owner: session}},
		{Type: catalog.RecordSession, Name: "alive", Session: "1"},
		{Type: catalog.RecordNode, Name: "dead", Node: &catalog.Node{Name: "dead", Owner: session, PurgeAfter: catalog.Duration(time.Minute)}},
		{Type: catalog.RecordNode, Name: "back", Node: &catalog.Node{Name: "back", Owner: session, PurgeAfter: catalog.Duration(time.Minute)}},
		{Type: catalog.RecordNode, Name: "default", Node: &catalog.Node{Name: "default", Owner: session}},
		{Type: catalog.RecordNode, Name: "external", Node: &catalog.Node{Name: "external", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}},
	})
	since := make(map[string]time.Time)
	now := time.Unix(1000, 0)
	want := func(after time.Duration, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, overdue(v.Nodes(), since, now.Add(after), nil)); diff != "" {
			t.Errorf("after %v:\n%s", after, diff)
		}
	}
	want(0)
	want(59 * time.Second)
	v.Apply(2, []catalog.Change{{Type: catalog.RecordSession, Name: "back", Session: "2"}})
	want(time.Minute, "dead")
	v.Apply(3, []catalog.Change{{Type: catalog.RecordSession, Name: "back"}})
	want(61*time.Second, "dead")
	want(catalog.DefaultPurgeAfter, "back", "dead", "default")
}

func TestPurgeRemovesOnlyTheDead(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := permanentNode("n1")
	state.Node.Owner = catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Minute)}
	if _, err := r.SyncNode(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	r.reapNode(t.Context(), "n1")
	if r.View().Node("n1") == nil {
		t.Fatal("a living node was purged")
	}
	if _, err := r.client.Revoke(t.Context(), leaseID(r.View().Node("n1").Session)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.reapNode(t.Context(), "n1")
	if r.View().Node("n1") != nil {
		t.Error("a dead node is left")
	}
}

func TestWritersGetAnErrorWhenTheRegistryStops(t *testing.T) {
	r, stop := start(t, enginetest.Open(t))
	if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := r.Register(t.Context(), permanent("n1", "a", "web")); catalog.KindOf(err) != catalog.KindUnavailable {
		t.Errorf("register on a stopped registry: %v, want unavailable", err)
	}
}

func TestDependentWritesAreNotGrouped(t *testing.T) {
	w := func(key, read string) *write {
		w := &write{}
		w.put(key, []byte("v"), 0)
		w.reads = []string{read}
		return w
	}
	written := &keySet{keys: make(map[string]bool)}
	written.add([]string{"koine/instance/n1/a", "koine/check/n3/"})
	for _, tt := range []struct {
		name string
		w    *write
		want bool
	}{
		{"the same key", w("koine/instance/n1/a", "x"), true},
		{"a condition on it", w("koine/instance/n1/b", "koine/instance/n1/a"), true},
		{"a condition on all beside it", w("koine/instance/n1/b", "koine/instance/n1/"), true},
		{"another node", w("koine/instance/n2/a", "koine/instance/n2/"), false},
		{"what stands below a prefix", w("koine/check/n3/c", "x"), true},
		{"a condition below a prefix", w("koine/check/n4/c", "koine/check/n3/c"), true},
		{"all beside it", w("koine/instance/n1/", "x"), true},
		{"another instance", w("koine/instance/n1/b", "koine/instance/n1/b"), false},
	} {
		if got := tt.w.dependsOn(written); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOneRefusedWriteDoesNotFailItsGroup(t *testing.T) {
	r, stop := start(t, enginetest.Open(t))
	stop()
	r.writes.committed = make(chan *committedGroup, 3)
	r.writes.visible = func(context.Context, uint64) error { return nil }
	var group [4]*write
	for i := range group {
		group[i] = &write{done: make(chan storeAnswer, 1)}
		group[i].put(fmt.Sprint("koine/test/", i), []byte("v"), 0)
	}
	good, late, bad, beside := group[0], group[1], group[2], group[3]
	late.stillThere("koine/test/none", 1)
	bad.ops[0].GetRequestPut().Lease = 12345
	r.writes.commitGroup(t.Context(), []*write{good, late}) // a condition of one does not hold
	r.writes.commitGroup(t.Context(), []*write{bad, beside})
	close(r.writes.committed)
	r.writes.answer(t.Context())
	if o := <-late.done; o.err != nil || o.held {
		t.Errorf("write whose condition does not hold: %+v, want it refused", o)
	}
	if o := <-bad.done; o.err == nil || !leaseGone(o.err) {
		t.Errorf("write under no lease: %+v, want that there is no lease", o)
	}
	for _, w := range []*write{good, beside} {
		if o := <-w.done; o.err != nil || !o.held {
			t.Errorf("write beside one that is refused: %+v, want it made", o)
		}
	}
}

func TestUnavailableTellsAFullStore(t *testing.T) {
	if err := unavailable(rpctypes.ErrNoSpace); catalog.KindOf(err) != catalog.KindUnavailable || err.Error()[:13] != "store is full" {
		t.Errorf("full store: %v", err)
	}
	if unavailable(nil) != nil {
		t.Error("no error became one")
	}
}
