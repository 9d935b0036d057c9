package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

var node = catalog.Node{Name: "n1", ID: "one", Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(9 * time.Second)}}

// registry is a catalog that shows every sync at once.
type registry struct {
	view *catalog.View

	mu       sync.Mutex
	syncs    []catalog.NodeState
	renewals int
	fail     error
	expired  bool
	// hang keeps syncs from returning until it is closed.
	hang chan struct{}
	// actsFor is the node that it was given.
	actsFor string
}

func (r *registry) ActFor(node catalog.Node) { r.actsFor = node.Name }

func (r *registry) SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error) {
	r.mu.Lock()
	hang := r.hang
	r.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncs = append(r.syncs, state)
	r.expired = false
	return catalog.SyncResult{Revision: r.view.Revision()}, r.fail
}

func (r *registry) RenewNode(context.Context, string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewals++
	if r.expired {
		return catalog.Errorf(catalog.KindNotFound, "no session")
	}
	return nil
}

func (r *registry) set(change func(*registry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *registry) last() (state catalog.NodeState, syncs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.syncs) == 0 {
		return catalog.NodeState{}, 0
	}
	return r.syncs[len(r.syncs)-1], len(r.syncs)
}

// run runs an agent of a loaded View in a bubble, and the test beside it.
func run(t *testing.T, cfg Config, records []catalog.Change, test func(t *testing.T, a *Agent, r *registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &registry{view: catalog.NewView()}
		cfg.Node, cfg.Registry, cfg.View = node, r, r.view
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.view.Load(5, records)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		test(t, a, r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func registration(id string, checks ...catalog.Check) catalog.Registration {
	return catalog.Registration{
		Instance: catalog.Instance{ID: id, Service: "web", Source: "docker", Owner: catalog.Owner{Kind: catalog.OwnerSession}},
		Checks:   checks,
	}
}

func ids(state catalog.NodeState) (list []string) {
	for _, r := range state.Registrations {
		list = append(list, r.Instance.ID)
	}
	return list
}

func TestFirstSyncWaitsForEverySourceAndThenReadies(t *testing.T) {
	run(t, Config{Sources: []string{"docker", "file"}}, nil, func(t *testing.T, a *Agent, r *registry) {
		a.Declare("docker", []catalog.Registration{registration("a")})
		synctest.Wait()
		if _, n := r.last(); n != 0 || r.view.Ready() {
			t.Fatalf("%d syncs, ready %v; want none before all sources have spoken", n, r.view.Ready())
		}
		if err := r.view.NotReady(); !strings.Contains(err.Error(), "docker, file") {
			t.Errorf("not ready says %q, want the sources", err)
		}
		a.Declare("file", []catalog.Registration{registration("b")})
		synctest.Wait()
		state, _ := r.last()
		if diff := cmp.Diff([]string{"a", "b"}, ids(state)); diff != "" || !r.view.Ready() {
			t.Errorf("ready %v, declared %s", r.view.Ready(), diff)
		}
	})
}

func TestSilentSourceKeepsItsRecordsDrained(t *testing.T) {
	held := registration("old").Instance
	held.Node = "n1"
	check := catalog.Check{ID: "c", Node: "n1", Instance: "old", Status: catalog.Passing, Definition: catalog.Definition{Type: catalog.CheckDocker}}
	records := []catalog.Change{
		{Type: catalog.RecordNode, Name: "n1", Node: &node},
		{Type: catalog.RecordInstance, Name: "n1", ID: "old", Instance: &held},
		{Type: catalog.RecordCheck, Name: "n1", ID: "c", Check: &check},
	}
	run(t, Config{Sources: []string{"docker"}}, records, func(t *testing.T, a *Agent, r *registry) {
		time.Sleep(defaultGrace)
		synctest.Wait()
		state, _ := r.last()
		if len(state.Registrations) != 1 || !strings.Contains(state.Registrations[0].Instance.Drain, "docker has not answered") {
			t.Fatalf("declared %+v, want the old instance drained", state.Registrations)
		}
		if got := state.Registrations[0].Checks; len(got) != 1 || got[0].ID != "c" || got[0].Status != "" {
			t.Errorf("checks %+v, want those it had, their outcomes left to their runner", got)
		}
		a.Declare("docker", nil)
		synctest.Wait()
		if state, _ := r.last(); len(state.Registrations) != 0 {
			t.Errorf("declared %v once the source has spoken, want nothing", ids(state))
		}
	})
}

// TestSilentSourceKeepsWhatTheOlderVersionAccepted has a source silent at the start whose record is outside this version's limits.
func TestSilentSourceKeepsWhatTheOlderVersionAccepted(t *testing.T) {
	good, old := registration("good").Instance, registration("old").Instance
	good.Node, old.Node = "n1", "n1"
	old.Tags = []string{"a", "a"}
	records := []catalog.Change{
		{Type: catalog.RecordNode, Name: "n1", Node: &node},
		{Type: catalog.RecordInstance, Name: "n1", ID: "good", Instance: &good},
		{Type: catalog.RecordInstance, Name: "n1", ID: "old", Instance: &old},
	}
	run(t, Config{Sources: []string{"docker"}}, records, func(t *testing.T, a *Agent, r *registry) {
		time.Sleep(defaultGrace)
		synctest.Wait()
		state, _ := r.last()
		if diff := cmp.Diff([]string{"good"}, ids(state)); diff != "" || !state.Keep["old"] {
			t.Errorf("keeps %v, declares %s", state.Keep, diff)
		}
		a.Declare("docker", nil)
		synctest.Wait()
		if state, _ := r.last(); len(state.Registrations) != 0 || len(state.Keep) != 0 {
			t.Errorf("declared %v and kept %v once the source has reported, want nothing", ids(state), state.Keep)
		}
	})
}

// TestOptionalSource holds that a source that may not exist is waited for only if the catalog holds something of it.
func TestOptionalSource(t *testing.T) {
	held := registration("old").Instance
	held.Node = "n1"
	records := []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}}
	optional := Config{Sources: []string{"docker"}, Optional: []string{"docker"}}
	run(t, optional, records, func(t *testing.T, a *Agent, r *registry) {
		synctest.Wait()
		if state, n := r.last(); n == 0 || state.KeepChecks || !r.view.Ready() {
			t.Errorf("%d syncs at the start, keeps checks %t, ready %t", n, state.KeepChecks, r.view.Ready())
		}
		a.Declare("docker", []catalog.Registration{registration("a")})
		synctest.Wait()
		if state, _ := r.last(); len(state.Registrations) != 1 {
			t.Errorf("declared %v once it is there", ids(state))
		}
	})
	records = append(records, catalog.Change{Type: catalog.RecordInstance, Name: "n1", ID: "old", Instance: &held})
	run(t, optional, records, func(t *testing.T, _ *Agent, r *registry) {
		synctest.Wait()
		if _, n := r.last(); n != 0 {
			t.Error("synced before the source, which has an instance in the catalog, has reported")
		}
		time.Sleep(defaultGrace)
		synctest.Wait()
		if state, _ := r.last(); len(state.Registrations) != 1 || state.Registrations[0].Instance.Drain == "" {
			t.Errorf("declared %+v, want the instance drained", state.Registrations)
		}
	})
}

// TestSilentSourceKeepsItsDrains has an instance that its source had drained. The source takes that up after the next restart.
func TestSilentSourceKeepsItsDrains(t *testing.T) {
	held := registration("old").Instance
	held.Node, held.Drain = "n1", "stop signal SIGTERM"
	records := []catalog.Change{
		{Type: catalog.RecordNode, Name: "n1", Node: &node},
		{Type: catalog.RecordInstance, Name: "n1", ID: "old", Instance: &held},
	}
	run(t, Config{Sources: []string{"docker"}}, records, func(t *testing.T, a *Agent, r *registry) {
		time.Sleep(defaultGrace)
		synctest.Wait()
		if state, _ := r.last(); state.Registrations[0].Instance.Drain != held.Drain {
			t.Errorf("drained because %q, want %q still", state.Registrations[0].Instance.Drain, held.Drain)
		}
	})
}

// TestSilentSourceKeepsTheChecksOfTheNode holds that the checks of the node stay while a source may still declare them, and that
// declaring them is no report of the instances.
func TestSilentSourceKeepsTheChecksOfTheNode(t *testing.T) {
	check := catalog.Check{ID: "disk", Node: "n1", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}}
	records := []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}}
	run(t, Config{Sources: []string{"docker", "file"}}, records, func(t *testing.T, a *Agent, r *registry) {
		a.Declare("docker", nil)
		a.DeclareNodeChecks("file", []catalog.Check{check})
		synctest.Wait()
		if _, n := r.last(); n > 0 {
			t.Error("synced before the file source has reported its instances")
		}
		time.Sleep(defaultGrace)
		synctest.Wait()
		if state, n := r.last(); n != 1 || !state.KeepChecks || len(state.Checks) != 1 {
			t.Errorf("%d syncs, keeps checks %t, declares %v", n, state.KeepChecks, state.Checks)
		}
		a.Declare("file", nil)
		synctest.Wait()
		if state, n := r.last(); n != 2 || state.KeepChecks || len(state.Checks) != 1 {
			t.Errorf("%d syncs, keeps checks %t once all sources have reported, declares %v", n, state.KeepChecks, state.Checks)
		}
	})
}

// TestSessionLeftByAFormerProcessIsRenewed holds that it does not run out while the sources are silent.
func TestSessionLeftByAFormerProcessIsRenewed(t *testing.T) {
	records := []catalog.Change{
		{Type: catalog.RecordNode, Name: "n1", Node: &node},
		{Type: catalog.RecordSession, Name: "n1", Session: "7b"},
	}
	run(t, Config{Sources: []string{"docker"}}, records, func(t *testing.T, _ *Agent, r *registry) {
		synctest.Wait()
		r.set(func(r *registry) {
			if r.renewals != 1 || len(r.syncs) != 0 {
				t.Errorf("%d renewals, %d syncs at the start, want 1 and none", r.renewals, len(r.syncs))
			}
		})
	})
}

func TestSessionIsRenewedAndOpenedAgain(t *testing.T) {
	run(t, Config{}, nil, func(t *testing.T, _ *Agent, r *registry) {
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.set(func(r *registry) {
			if r.renewals != 3 || len(r.syncs) != 1 {
				t.Errorf("%d renewals, %d syncs in 10 s of a session of 9 s; want 3 and 1", r.renewals, len(r.syncs))
			}
			r.expired = true
		})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if _, n := r.last(); n != 2 {
			t.Errorf("%d syncs after the session was lost, want 2", n)
		}
	})
}

func TestDriftIsCompared(t *testing.T) {
	run(t, Config{}, nil, func(t *testing.T, _ *Agent, r *registry) {
		_, before := r.last()
		r.view.Apply(9, []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}})
		synctest.Wait()
		if _, after := r.last(); after != before+1 {
			t.Errorf("%d syncs after somebody changed the node, want %d", after, before+1)
		}
	})
}

func TestStormIsComparedAFewTimes(t *testing.T) {
	run(t, Config{}, nil, func(t *testing.T, _ *Agent, r *registry) {
		_, before := r.last()
		for i := range uint64(200) { // the checks of a crowded host, all turning at once
			r.view.Apply(9+i, []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}})
			time.Sleep(5 * time.Millisecond)
			synctest.Wait()
		}
		_, after := r.last()
		if n := after - before; n < 1 || n > 4 {
			t.Errorf("compared %d times in a second of changes, want a few", n)
		}
		r.view.Apply(300, []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}})
		time.Sleep(driftPause)
		synctest.Wait()
		if _, last := r.last(); last == after {
			t.Error("the last change was not compared")
		}
	})
}

func TestRemovedNodeIsDeclaredAnew(t *testing.T) {
	records := []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}}
	run(t, Config{}, records, func(t *testing.T, _ *Agent, r *registry) {
		time.Sleep(driftPause)
		synctest.Wait()
		_, before := r.last()
		r.view.Apply(9, []catalog.Change{{Type: catalog.RecordNode, Name: "n1"}})
		synctest.Wait()
		if _, after := r.last(); after != before+1 {
			t.Errorf("%d syncs after the node was removed, want %d", after, before+1)
		}
	})
}

func TestSessionIsRenewedWhileASyncHangs(t *testing.T) {
	run(t, Config{Sources: []string{"docker"}}, nil, func(t *testing.T, a *Agent, r *registry) {
		a.Declare("docker", nil)
		synctest.Wait()
		r.set(func(r *registry) { r.hang = make(chan struct{}) })
		a.Declare("docker", nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.set(func(r *registry) {
			if r.renewals != 3 {
				t.Errorf("%d renewals in 10 s of a session of 9 s, want 3", r.renewals)
			}
			close(r.hang)
		})
	})
}

func TestWhatIsDeclaredIsNotChanged(t *testing.T) {
	run(t, Config{Sources: []string{"docker"}}, nil, func(t *testing.T, a *Agent, r *registry) {
		given := registration("a", catalog.Check{ID: "c", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}})
		a.Declare("docker", []catalog.Registration{given})
		synctest.Wait()
		if state, _ := r.last(); len(state.Registrations) != 1 || state.Registrations[0].Checks[0].Node != "n1" {
			t.Errorf("declared %+v, want a check of n1", state.Registrations)
		}
		if given.Checks[0].Node != "" || given.Checks[0].Instance != "" {
			t.Errorf("the source's own check became %+v", given.Checks[0])
		}
	})
}

func TestFailedSyncIsTriedAgainAndNotReadyUntilThen(t *testing.T) {
	run(t, Config{Sources: []string{"docker"}}, nil, func(t *testing.T, a *Agent, r *registry) {
		r.set(func(r *registry) { r.fail = errors.New("away") })
		a.Declare("docker", nil)
		time.Sleep(retryMax)
		synctest.Wait()
		if _, n := r.last(); n < 2 || r.view.Ready() {
			t.Fatalf("%d syncs, ready %v; want several and not ready", n, r.view.Ready())
		}
		r.set(func(r *registry) { r.fail = nil })
		time.Sleep(retryMax)
		synctest.Wait()
		if !r.view.Ready() {
			t.Error("not ready after a sync that worked")
		}
	})
}

// recorder keeps the ids of the checks that it was last given.
type recorder struct {
	mu  sync.Mutex
	ids []string
}

func (r *recorder) Set(checks []*catalog.Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = nil
	for _, c := range checks {
		r.ids = append(r.ids, c.ID)
	}
	slices.Sort(r.ids)
}

func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.ids); diff != "" {
		t.Errorf("checks handed over:\n%s", diff)
	}
}

func TestMergeLeavesOutWhatCannotStand(t *testing.T) {
	check := catalog.Check{ID: "c", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}}
	bad := registration("bad")
	bad.Instance.Service = "not a name"
	state, _, complaints := merge(node, []string{"docker", "file"}, map[string]declaration{
		"docker": {registrations: []catalog.Registration{registration("a", check), bad}},
		"file": {
			registrations: []catalog.Registration{registration("a"), registration("b", check), registration("d")},
			nodeChecks:    []catalog.Check{check, {ID: "disk", Definition: check.Definition}, {ID: "none"}},
		},
	})
	if diff := cmp.Diff([]string{"a", "d"}, ids(state)); diff != "" {
		t.Error(diff)
	}
	if len(state.Checks) != 1 || state.Checks[0].ID != "disk" || state.Checks[0].Node != "n1" {
		t.Errorf("node checks %+v, want disk", state.Checks)
	}
	for i, want := range []string{`"not a name"`, "instance a of file has the id of one of docker", "check c that is declared twice", "check c of node n1", "none"} {
		if i >= len(complaints) || !strings.Contains(complaints[i], want) {
			t.Errorf("complaints %q, want %q as number %d", complaints, want, i)
		}
	}
	if err := state.Validate(); err != nil {
		t.Errorf("merged state: %v", err)
	}
}

func TestMergeKeepsWithinTheLimits(t *testing.T) {
	many := make([]catalog.Registration, catalog.MaxRegistration+1)
	for i := range many {
		many[i] = registration(fmt.Sprint("i", i))
	}
	checks := make([]catalog.Check, catalog.MaxChecks+2)
	for i := range checks {
		checks[i] = catalog.Check{ID: fmt.Sprint("c", i), Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}}
	}
	state, _, complaints := merge(node, []string{"docker", "file"}, map[string]declaration{
		"docker": {registrations: many}, "file": {registrations: many[:1], nodeChecks: checks},
	})
	if len(state.Registrations) != catalog.MaxRegistration || len(state.Checks) != catalog.MaxChecks {
		t.Errorf("%d instances and %d checks, want as many as are allowed", len(state.Registrations), len(state.Checks))
	}
	if err := state.Validate(); err != nil {
		t.Errorf("merged state: %v", err)
	}
	want := []string{
		"1 instances of docker left out: node n1 has 10000, as many as are allowed",
		"instance i0 of file has the id of one of docker",
		"2 checks of node n1 left out: it has 32, as many as are allowed",
	}
	if diff := cmp.Diff(want, complaints); diff != "" {
		t.Errorf("complaints:\n%s", diff)
	}
}

func TestMergeLeavesOutAnInstanceThatContradictsItself(t *testing.T) {
	check := catalog.Check{ID: "c", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}}
	state, _, complaints := merge(node, []string{"docker"}, map[string]declaration{
		"docker": {registrations: []catalog.Registration{registration("a", check, check), registration("b")}},
	})
	if diff := cmp.Diff([]string{"b"}, ids(state)); diff != "" || len(complaints) != 1 {
		t.Errorf("complaints %q, declared %s", complaints, diff)
	}
}

func TestNewWantsANodeWithASession(t *testing.T) {
	permanent := node
	permanent.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	if _, err := New(Config{Node: permanent, Registry: &registry{}, View: catalog.NewView()}); catalog.KindOf(err) != catalog.KindInvalid {
		t.Errorf("made for a node without a session: %v", err)
	}
}

func TestHeldIsWhatTheSourceDeclared(t *testing.T) {
	mine, other := registration("mine").Instance, registration("other").Instance
	mine.Node, other.Node, other.Source = "n1", "n1", "file"
	mine.Addresses = []catalog.Address{{IP: netip.MustParseAddr("10.0.0.2")}}
	records := []catalog.Change{
		{Type: catalog.RecordInstance, Name: "n1", ID: "mine", Instance: &mine},
		{Type: catalog.RecordInstance, Name: "n1", ID: "other", Instance: &other},
	}
	run(t, Config{Sources: []string{"docker"}}, records, func(t *testing.T, a *Agent, _ *registry) {
		held := a.Held("docker")
		if len(held) != 1 || !held[0].Instance.Equal(&mine) {
			t.Errorf("held %+v, want the one of docker", held)
		}
	})
}
