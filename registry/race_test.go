package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

func sessionNode(name string, ttl time.Duration) catalog.NodeState {
	state := permanentNode(name)
	state.Node.Owner = catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(ttl)}
	return state
}

func (r *Registry) mustSync(t *testing.T, state catalog.NodeState) {
	t.Helper()
	if _, err := r.SyncNode(t.Context(), state); err != nil {
		t.Fatal(err)
	}
}

func (r *Registry) mustRegister(t *testing.T, registration catalog.Registration) {
	t.Helper()
	if _, err := r.Register(t.Context(), registration); err != nil {
		t.Fatal(err)
	}
}

// killSession ends a node's session and waits until the View shows it.
func (r *Registry) killSession(t *testing.T, node string) {
	t.Helper()
	if _, err := r.client.Revoke(t.Context(), leaseID(r.view.Node(node).Session)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// planSync plans the write of a sync as SyncNode does.
func (r *Registry) planSync(t *testing.T, state catalog.NodeState) *write {
	t.Helper()
	state = normalize(state, nil)
	session, err := r.session(t.Context(), &state)
	if err != nil {
		t.Fatal(err)
	}
	revision := r.view.Revision()
	d := diff(r.view.Node(state.Node.Name), state, session, time.Now())
	w, _ := d.write(revision, r.writes.maxBytes, r.writes.width)
	if w == nil {
		t.Fatal("nothing to write")
	}
	return w
}

// TestWritesOfAStateThatHasGoneAreRefused plans a write, changes the catalog from elsewhere, and then commits the
// write.
func TestWritesOfAStateThatHasGoneAreRefused(t *testing.T) {
	ttlCheck := func(id string) []catalog.Check {
		return []catalog.Check{{ID: id, Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: catalog.Duration(time.Minute)}}}
	}
	withCheck := func(r catalog.Registration, id string) catalog.Registration { r.Checks = ttlCheck(id); return r }
	register := func(t *testing.T, r *Registry, registration catalog.Registration) *write {
		registration.Checks = normalizeChecks(registration.Checks, registration.Instance.Node, registration.Instance.ID)
		w, err := r.planRegister(registration, 0, r.view.Revision())
		if err != nil || w == nil {
			t.Fatal(w, err)
		}
		return w
	}
	tests := []struct {
		name string
		// plan has a node "n1" with instance "a" permanent, and "d" declared; n2 is dead with "d" declared.
		plan   func(t *testing.T, r *Registry) *write
		change func(t *testing.T, r *Registry) error
	}{
		{"a check for an instance that was removed",
			func(t *testing.T, r *Registry) *write {
				return register(t, r, withCheck(permanent("n1", "a", "web"), "c"))
			},
			func(t *testing.T, r *Registry) error { _, err := r.Deregister(t.Context(), "n1", "a"); return err }},
		{"the removal of an instance that has got a check more",
			func(t *testing.T, r *Registry) *write {
				w := &write{}
				w.stillThere(instanceKey("n1", "a"), r.view.Revision())
				w.deleteInstance(r.view.Instance("n1", "a"))
				return w
			},
			func(t *testing.T, r *Registry) error {
				_, err := r.Register(t.Context(), withCheck(permanent("n1", "a", "web"), "c"))
				return err
			}},
		{"an order to drain what was removed",
			func(t *testing.T, r *Registry) *write {
				w := &write{}
				if err := r.drainable(&catalog.Drain{Node: "n1", Instance: "a"}, w, r.view.Revision()); err != nil {
					t.Fatal(err)
				}
				w.put("koine/test", nil, 0)
				return w
			},
			func(t *testing.T, r *Registry) error { _, err := r.Deregister(t.Context(), "n1", "a"); return err }},
		{"an order to drain a service of which the last instance was removed",
			func(t *testing.T, r *Registry) *write {
				w := &write{}
				if err := r.drainable(&catalog.Drain{Service: "web"}, w, r.view.Revision()); err != nil {
					t.Fatal(err)
				}
				w.put("koine/test", nil, 0)
				return w
			},
			func(t *testing.T, r *Registry) error { _, err := r.Deregister(t.Context(), "n1", "a"); return err }},
		{"an instance on a node that was removed",
			func(t *testing.T, r *Registry) *write { return register(t, r, permanent("n2", "b", "web")) },
			func(t *testing.T, r *Registry) error { _, err := r.RemoveNode(t.Context(), "n2"); return err }},
		{"a sync that counts on records that were purged with their node",
			func(t *testing.T, r *Registry) *write {
				state := sessionNode("n2", time.Minute)
				state.Registrations = []catalog.Registration{permanent("n2", "d", "web")}
				return r.planSync(t, state)
			},
			func(t *testing.T, r *Registry) error { _, err := r.RemoveNode(t.Context(), "n2"); return err }},
		{"a sync that counts on a record that another removed",
			func(t *testing.T, r *Registry) *write {
				state := sessionNode("n1", time.Minute)
				state.Registrations = []catalog.Registration{permanent("n1", "d", "web"), permanent("n1", "e", "web")}
				return r.planSync(t, state)
			},
			func(t *testing.T, r *Registry) error {
				_, err := r.SyncNode(t.Context(), sessionNode("n1", time.Minute))
				return err
			}},
		{"a sync that counts on a record that was deregistered",
			func(t *testing.T, r *Registry) *write {
				state := sessionNode("n2", time.Minute)
				state.Registrations = []catalog.Registration{permanent("n2", "d", "web")}
				return r.planSync(t, state)
			},
			func(t *testing.T, r *Registry) error { _, err := r.Deregister(t.Context(), "n2", "d"); return err }},
		{"a sync of a node whose session ended",
			func(t *testing.T, r *Registry) *write {
				state := sessionNode("n1", time.Minute)
				state.Registrations = []catalog.Registration{permanent("n1", "d", "web"), permanent("n1", "e", "web")}
				return r.planSync(t, state)
			},
			func(t *testing.T, r *Registry) error { r.killSession(t, "n1"); return nil }},
		{"a registration in the place of a dead node's, when the node has come back",
			func(t *testing.T, r *Registry) *write { return register(t, r, permanent("n2", "d", "web")) },
			func(t *testing.T, r *Registry) error {
				state := sessionNode("n2", time.Minute)
				state.Registrations = []catalog.Registration{permanent("n2", "d", "web")}
				_, err := r.SyncNode(t.Context(), state)
				return err
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := start(t, enginetest.Open(t))
			for _, node := range []string{"n1", "n2"} {
				state := sessionNode(node, time.Minute)
				state.Registrations = []catalog.Registration{permanent(node, "d", "web")}
				r.mustSync(t, state)
			}
			r.mustRegister(t, permanent("n1", "a", "web"))
			r.killSession(t, "n2")
			w := tt.plan(t, r)
			if err := tt.change(t, r); err != nil {
				t.Fatal(err)
			}
			if revision, held, err := r.writes.commit(t.Context(), w); err != nil || held {
				t.Errorf("written at %d (%v), want it refused", revision, err)
			}
		})
	}
}

func TestLetterCaseOfNodesDoesNotMatter(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	ctx := t.Context()
	state := sessionNode("Host", time.Minute)
	state.Registrations = []catalog.Registration{permanent("Host", "d", "web")}
	r.mustSync(t, state)
	other := permanent("hOST", "p", "web")
	other.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
	r.mustRegister(t, other)
	if err := r.SetCheck(ctx, aCheck("HOST", "c"), catalog.Passing, "ok"); err != nil {
		t.Error(err)
	}
	if got := len(r.view.Service("web").Healthy); got != 2 {
		t.Errorf("%d healthy instances, want 2", got)
	}
	if _, err := r.Deregister(ctx, "host", "p"); err != nil || r.view.Instance("Host", "p") != nil {
		t.Errorf("deregistered as %v, left: %v", err, r.view.Instance("Host", "p"))
	}
	state.Node.Name = "host" // the same host, spelt otherwise from now on
	r.mustSync(t, state)
	if got := r.view.Service("web").Endpoints; len(got) != 1 || got[0].Instance.Node != "host" {
		t.Errorf("instances %v, want one", got)
	}
	r.killSession(t, "host")
	if _, err := r.RemoveNode(ctx, "HOST"); err != nil || r.view.Node("host") != nil {
		t.Errorf("removed as %v, left: %v", err, r.view.Node("host"))
	}
	resp, err := r.client.Get(ctx, Root, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil || len(resp.Kvs) != 2 || string(resp.Kvs[0].Key) != clockKey || !strings.HasPrefix(string(resp.Kvs[1].Key), markPrefix) {
		t.Errorf("left in the store: %v, %v; want the clock and the mark", resp.Kvs, err)
	}
}

// TestSyncGetsThroughAStorm syncs a node while the checks of its other instances change all the time.
func TestSyncGetsThroughAStorm(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := crowded(200)
	all := state.Registrations
	r.mustSync(t, state)
	storm, calm := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; storm.Err() == nil; i += 8 {
				status := []catalog.Status{catalog.Passing, catalog.Critical}[i/199%2]
				if err := r.SetCheck(storm, aCheck("n1", fmt.Sprintf("c%05d", i%199)), status, ""); err != nil && storm.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 30 {
		state.Registrations = all[:199+i%2]
		if _, err := r.SyncNode(t.Context(), state); err != nil {
			t.Error(err)
		}
	}
	calm()
	wg.Wait()
}

// TestReturningNodeNeverShowsWhatItDoesNotDeclare has a node return with another state than before, in more than one
// write: at no revision may it be alive with its former state.
func TestReturningNodeNeverShowsWhatItDoesNotDeclare(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := sessionNode("n1", time.Minute)
	for i := range 50 {
		state.Registrations = append(state.Registrations, permanent("n1", fmt.Sprint("old", i), "web"))
	}
	r.mustSync(t, state)
	r.killSession(t, "n1")
	before := r.view.Revision()
	r.writes.maxBytes = 4096
	for i := range 50 {
		state.Registrations[i] = permanent("n1", fmt.Sprint("new", i), "web")
	}
	r.mustSync(t, state)
	if after := r.view.Revision(); after < before+5 {
		t.Fatalf("written in %d revisions, want several", after-before)
	}
	for revision := before + 1; revision <= r.view.Revision(); revision++ {
		resp, err := r.client.Get(t.Context(), Root, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(int64(revision)))
		if err != nil {
			t.Fatal(err)
		}
		alive, old := false, 0
		for _, kv := range resp.Kvs {
			alive = alive || string(kv.Key) == aliveKey("n1")
			if strings.HasPrefix(string(kv.Key), instanceKey("n1", "old")) {
				old++
			}
		}
		if alive && old > 0 {
			t.Errorf("at revision %d the node is alive with %d instances that it does not declare", revision, old)
		}
	}
}

func TestSyncOfManyRequests(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.writes.maxBytes = 4096
	state := permanentNode("n1")
	for i := range 1000 {
		state.Registrations = append(state.Registrations, permanent("n1", fmt.Sprint("i", i), "web"))
	}
	if result, err := r.SyncNode(t.Context(), state); err != nil || result.Puts != 1001 {
		t.Errorf("synced %+v, %v; want 1001 puts", result, err)
	}
}

func TestRefusedRegistrationsLeaveNoLeases(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := sessionNode("n1", time.Minute)
	state.Registrations = []catalog.Registration{permanent("n1", "d", "web")}
	r.mustSync(t, state)
	for _, leased := range []catalog.Registration{permanent("none", "a", "web"), permanent("n1", "d", "web")} {
		leased.Instance.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(time.Hour)}
		if _, err := r.Register(t.Context(), leased); err == nil {
			t.Error("registered, want it refused")
		}
	}
	resp, err := r.client.Leases(t.Context())
	if err != nil || len(resp.Leases) != 1 {
		t.Errorf("leases %v, %v; want that of the node only", resp.Leases, err)
	}
}

func TestExtrasReadBackAsTheSame(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := permanentNode("n1")
	declared := permanent("n1", "d", "web")
	declared.Instance.Extras = map[string]json.RawMessage{"consul": json.RawMessage("{ \"a\" : \"<&>\" }\n")}
	state.Registrations = []catalog.Registration{declared}
	r.mustSync(t, state)
	if result, err := r.SyncNode(t.Context(), state); err != nil || result.Puts != 0 {
		t.Errorf("the same sync again: %+v, %v; want nothing written", result, err)
	}
	registered := permanent("n1", "r", "web")
	registered.Instance.Extras = declared.Instance.Extras
	r.mustRegister(t, registered)
	before := r.view.Revision()
	if again, err := r.Register(t.Context(), registered); err != nil || again != before {
		t.Errorf("the same registration again at %d, %v; want nothing written after %d", again, err, before)
	}
}

func TestPurgeLeavesWhatOthersOwn(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	check := func(id string) []catalog.Check {
		return []catalog.Check{{ID: id, Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
	}
	state := sessionNode("n1", time.Minute)
	own := permanent("n1", "own", "web")
	own.Checks = check("own")
	state.Registrations, state.Checks = []catalog.Registration{own}, check("node")
	r.mustSync(t, state)
	other := permanent("n1", "other", "web")
	other.Checks = check("other")
	r.mustRegister(t, other)
	r.killSession(t, "n1")
	r.reapNode(t.Context(), "n1")
	node := r.view.Node("n1")
	if node == nil || node.Node == nil || node.Endpoints.Len() != 1 || len(node.Checks) != 0 ||
		node.Endpoint("other") == nil || len(node.Endpoint("other").Checks) != 1 {
		t.Fatalf("left is %+v, want the permanent instance with its check, and its node", node)
	}
	before := r.view.Revision()
	r.reapNode(t.Context(), "n1")
	if after := r.view.Revision(); after != before {
		t.Errorf("a purge with nothing to do wrote at %d", after)
	}
	r.mustSync(t, state)
	if _, err := r.Deregister(t.Context(), "n1", "other"); err != nil {
		t.Error(err)
	}
	r.killSession(t, "n1")
	r.reapNode(t.Context(), "n1")
	if r.view.Node("n1") != nil {
		t.Error("a dead node is left")
	}
}

// stuck is a store that does not answer.
type stuck struct{}

func (stuck) Txn(ctx context.Context, _ *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func newCommitter(kv transactor) *committer {
	return &committer{
		kv: kv, maxOps: 16, width: 4, maxBytes: 1 << 20, metrics: newMetrics(nil, catalog.NewView()), memo: &memo{},
		visible: func(context.Context, uint64) error { return nil },
		queue:   make(chan *write, queueSize), committed: make(chan *committedGroup, committedGroups), stopped: make(chan struct{}),
	}
}

func TestCommitterStopsSoonUnderAStoreThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitter(stuck{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		results := make(chan error, 20)
		for i := range cap(results) {
			go func() {
				w := &write{}
				w.put(fmt.Sprint("k", i), []byte("v"), 0)
				_, _, err := c.commit(t.Context(), w)
				results <- err
			}()
		}
		synctest.Wait()
		told := time.Now()
		cancel()
		<-done
		if took := time.Since(told); took > 2*time.Second {
			t.Errorf("stopped after %v", took)
		}
		for range cap(results) {
			if err := <-results; catalog.KindOf(err) != catalog.KindUnavailable {
				t.Errorf("a writer got %v, want unavailable", err)
			}
		}
		late := &write{}
		late.put("late", []byte("v"), 0)
		if _, _, err := c.commit(t.Context(), late); catalog.KindOf(err) != catalog.KindUnavailable {
			t.Errorf("a writer after the end got %v, want unavailable", err)
		}
	})
}

// obliging is a store that answers every write at once.
type obliging struct{ writes atomic.Int64 }

func (p *obliging) Txn(_ context.Context, r *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	p.writes.Add(int64(len(r.Success) - 1)) // one is the clock
	return &pb.TxnResponse{Succeeded: true, Header: &pb.ResponseHeader{Revision: 5}}, nil
}

// running runs a committer until the function that it returns is called.
func running(t *testing.T, c *committer) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.run(ctx) }()
	return func() { cancel(); <-done }
}

// TestWritersBehindAStalledFeedAreAnsweredInOneBound commits many more groups than readers see.
func TestWritersBehindAStalledFeedAreAnsweredInOneBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitter(&obliging{})
		c.visible = func(ctx context.Context, _ uint64) error { <-ctx.Done(); return ctx.Err() }
		stop := running(t, c)
		const writers = 2000
		begun := time.Now()
		took := make(chan time.Duration, writers)
		for i := range writers {
			go func() {
				w := &write{}
				w.put(fmt.Sprint("k", i), []byte("v"), 0)
				if _, _, err := c.commit(t.Context(), w); catalog.KindOf(err) != catalog.KindUnavailable {
					t.Errorf("a writer of a group that no reader sees got %v", err)
				}
				took <- time.Since(begun)
			}()
		}
		longest := time.Duration(0)
		for range writers {
			longest = max(longest, <-took)
		}
		if longest > 2*commitTimeout {
			t.Errorf("the last writer was answered after %v, want at most %v", longest, 2*commitTimeout)
		}
		stop()
	})
}

// TestWriteThatWasGivenUpIsNotMade gives up a write while it still waits for the transaction before it.
func TestWriteThatWasGivenUpIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &obliging{}
		c := newCommitter(store)
		early := &write{}
		early.put("early", []byte("v"), 0)
		ctx, giveUp := context.WithCancel(t.Context())
		gave := make(chan error, 1)
		go func() {
			_, _, err := c.commit(ctx, early)
			gave <- err
		}()
		synctest.Wait() // it is in the queue
		giveUp()
		if err := <-gave; !errors.Is(err, context.Canceled) || catalog.KindOf(err) == catalog.KindUnavailable {
			t.Errorf("given up with %v, want the caller's own cancellation", err)
		}
		stop := running(t, c)
		late := &write{}
		late.put("late", []byte("v"), 0)
		if _, held, err := c.commit(t.Context(), late); err != nil || !held {
			t.Errorf("the next write: %v, %v", held, err)
		}
		stop()
		if got := store.writes.Load(); got != 1 {
			t.Errorf("%d writes were made, want the one that was not given up", got)
		}
	})
}

func TestReportIsNotTakenByARegistryThatStopped(t *testing.T) {
	r, stop := start(t, enginetest.Open(t))
	state := permanentNode("n1")
	state.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
	r.mustSync(t, state)
	stop()
	if err := r.SetCheck(t.Context(), aCheck("n1", "c"), catalog.Passing, ""); err == nil {
		t.Error("the outcome was taken, and is nowhere")
	}
}
