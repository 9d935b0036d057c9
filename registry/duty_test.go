package registry

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// host runs a registry for a node that takes duties, without an agent: its session lasts until the test ends it.
func host(t *testing.T, e *engine.Engine, name string) (r *Registry, stop func()) {
	t.Helper()
	r, stop = start(t, e)
	state := takerOf(name)
	r.ActFor(state.Node)
	r.mustSync(t, state)
	return r, stop
}

func takerOf(name string) catalog.NodeState {
	state := sessionNode(name, time.Hour)
	state.Node.ID, state.Node.RunsChecks = "id-of-"+name, true
	return state
}

// external declares a node without an agent, with an instance and a check of it.
func external(t *testing.T, r *Registry, node string, definition catalog.Definition) {
	t.Helper()
	r.mustSync(t, permanentNode(node))
	registration := permanent(node, "x", "web")
	registration.Checks = []catalog.Check{{ID: "c", Definition: definition}}
	r.mustRegister(t, registration)
}

var (
	tcpCheck = catalog.Definition{TCP: "127.0.0.1:1", DeregisterAfter: catalog.Duration(time.Second)}
	ttlCheck = catalog.Definition{TTL: catalog.Duration(time.Minute)}
)

// catchUp waits until each registry has seen what the store holds now.
func catchUp(t *testing.T, all ...*Registry) {
	t.Helper()
	for _, r := range all {
		if _, err := r.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits until a condition on the View holds.
func (r *Registry) await(t *testing.T, holds func() bool) {
	t.Helper()
	for {
		revision := r.view.Revision()
		if holds() {
			return
		}
		if _, err := r.view.WaitList(t.Context(), r.view.Revision, revision); err != nil {
			t.Fatal(err)
		}
	}
}

// pair returns two hosts on one store, and the name of an external node whose checks are the first one's duty.
func pair(t *testing.T, e *engine.Engine) (holder, other *Registry, stopHolder func(), node string) {
	t.Helper()
	holder, stopHolder = host(t, e, "h1")
	other, _ = host(t, e, "h2")
	catchUp(t, holder, other)
	for i := 0; ; i++ {
		node = fmt.Sprint("ext-", i)
		if holder.holds(catalog.ChecksDuty(node)) {
			return holder, other, stopHolder, node
		}
	}
}

func checkOf(r *Registry, node string) string {
	_, c, err := r.findCheck(node, "c")
	if err != nil {
		return err.Error()
	}
	return string(c.Status) + " " + c.Output
}

func TestOnlyTheRunnerWrites(t *testing.T) {
	e := enginetest.Open(t)
	holder, other, _, node := pair(t, e)
	external(t, holder, node, tcpCheck)
	if err := holder.SetCheck(t.Context(), aCheck(node, "c"), catalog.Passing, "connected"); err != nil {
		t.Fatal(err)
	}
	catchUp(t, other)
	before := other.view.Revision()
	// The other one's route to the target is broken.
	err := other.SetCheck(t.Context(), aCheck(node, "c"), catalog.Critical, "no route")
	if catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("an outcome of a process that does not run the check: %v, want a conflict", err)
	}
	_, err = other.DeregisterCritical(t.Context(), node, "c", time.Now().Add(-time.Hour))
	if catalog.KindOf(err) != catalog.KindNotReady {
		t.Errorf("a removal by a process that does not run the check: %v", err)
	}
	if got := checkOf(other, node); got != "passing connected" || other.view.Revision() != before {
		t.Errorf("check is %s, after %d revisions", got, other.view.Revision()-before)
	}
	bystander, _ := start(t, e) // a registry that acts for no node
	if err := bystander.SetCheck(t.Context(), aCheck(node, "c"), catalog.Critical, "no route"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("an outcome of a process without a node: %v, want a conflict", err)
	}
	own := takerOf("h1")
	own.Checks = []catalog.Check{{ID: "disk", Definition: tcpCheck}}
	holder.mustSync(t, own)
	catchUp(t, other)
	if err := other.SetCheck(t.Context(), aCheck("h1", "disk"), catalog.Passing, "ok"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("an outcome for a check of another host: %v, want a conflict", err)
	}
	if err := holder.SetCheck(t.Context(), aCheck("H1", "disk"), catalog.Passing, "ok"); err != nil {
		t.Error(err)
	}
}

// TestAnotherTakesOver: when the holder's session ends, its duties are the other's.
func TestAnotherTakesOver(t *testing.T) {
	holder, other, stopHolder, node := pair(t, enginetest.Open(t))
	external(t, holder, node, tcpCheck)
	stopHolder()
	other.killSession(t, "h1")
	if err := other.SetCheck(t.Context(), aCheck(node, "c"), catalog.Passing, "taken over"); err != nil {
		t.Fatal(err)
	}
	if got := checkOf(other, node); got != "passing taken over" {
		t.Errorf("check is %s", got)
	}
}

// TestProcessThatStoodStillWritesNothing: by its View, which is behind, it has its session and the duties.
func TestProcessThatStoodStillWritesNothing(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, r *Registry, node string) error{
		"an outcome": func(t *testing.T, r *Registry, node string) error {
			return r.SetCheck(t.Context(), aCheck(node, "c"), catalog.Passing, "stale")
		},
		"a removal": func(t *testing.T, r *Registry, node string) error {
			_, err := r.DeregisterCritical(t.Context(), node, "c", longAgo())
			return err
		},
		"a purge": func(t *testing.T, r *Registry, _ string) error {
			if purged, err := r.purge(t.Context(), "dead"); purged || err != nil {
				return err
			}
			return catalog.Errorf(catalog.KindConflict, "nothing was purged")
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Open(t)
			holder, stop := host(t, e, "h1")
			external(t, holder, "ext", tcpCheck)
			storeCheck(t, holder, "ext", catalog.Critical, longAgo())
			holder.mustSync(t, sessionNode("dead", time.Minute))
			holder.killSession(t, "dead")
			stop()
			other, _ := start(t, e)
			still := startBehind(t, e)
			still.ActFor(takerOf("h1").Node)
			other.mustSync(t, takerOf("h2"))
			other.killSession(t, "h1")
			if before := checkOf(other, "ext"); !still.holds(catalog.ChecksDuty("ext")) || before != "critical stored" {
				t.Fatalf("the process knows already that others have taken over, or the check is %s", before)
			}
			if err := act(t, still, "ext"); catalog.KindOf(err) != catalog.KindConflict && catalog.KindOf(err) != catalog.KindNotReady {
				t.Errorf("%v, want it refused", err)
			}
			catchUp(t, other)
			if after := checkOf(other, "ext"); after != "critical stored" || other.view.Node("dead") == nil || other.view.Instance("ext", "x") == nil {
				t.Errorf("check is %s, nodes are %v", after, other.view.Nodes())
			}
		})
	}
}

// TestProcessThatStoodStillTidiesNothing is the same of what a process does without being asked.
func TestProcessThatStoodStillTidiesNothing(t *testing.T) {
	e := enginetest.Open(t)
	holder, stop := host(t, e, "h1")
	external(t, holder, "ext", ttlCheck)
	if err := holder.PushCheck(t.Context(), "ext", "c", catalog.Passing, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Deregister(t.Context(), "ext", "x"); err != nil {
		t.Fatal(err)
	}
	stop()
	other, _ := start(t, e)
	still := startBehind(t, e)
	still.ActFor(takerOf("h1").Node)
	other.mustSync(t, takerOf("h2"))
	clock := storedClock(t, other, 0).ModRevision
	other.killSession(t, "h1")
	if !still.holds(catalog.ClockDuty) || !still.holds(catalog.PurgeDuty("ext")) {
		t.Fatal("the process knows already that others have taken over")
	}
	if err := still.writeClock(t.Context(), moment{int64(other.view.Revision()), time.Now()}); err != nil {
		t.Error(err)
	}
	if now := storedClock(t, other, 0).ModRevision; now != clock {
		t.Errorf("the clock was written at %d", now)
	}
	still.sweepPushes(t.Context())
	catchUp(t, other)
	if other.view.Push("ext", "c") == nil {
		t.Error("what was pushed was removed")
	}
}

func longAgo() time.Time { return time.Now().Add(-time.Hour).UTC() }

// storeCheck writes an outcome with a time.
func storeCheck(t *testing.T, r *Registry, node string, status catalog.Status, since time.Time) {
	t.Helper()
	c := *r.view.Node(node).Check("c")
	c.Status, c.Output, c.Since = status, "stored", since
	w := &write{}
	w.replace(checkKey(node, "c"), encode(checkRecord{V: format, Check: &c}))
	if _, held, err := r.writes.commit(t.Context(), w); !held || err != nil {
		t.Fatal(held, err)
	}
}

func TestStays(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		name     string
		after    time.Duration
		instance string
		status   catalog.Status
		// since is how long ago the status was stored, begun how long ago this process began to run the check.
		since, begun time.Duration
		goes         bool
		want         catalog.Kind
	}{
		{"critical for long enough", time.Minute, "x", catalog.Critical, time.Minute, time.Hour, true, 0},
		{"not for long enough", time.Minute, "x", catalog.Critical, 59 * time.Second, time.Hour, false, catalog.KindNotReady},
		{"critical for long, not seen for long", time.Minute, "x", catalog.Critical, time.Hour, 59 * time.Second, false, catalog.KindNotReady},
		{"critical for long, seen for long enough", time.Minute, "x", catalog.Critical, time.Hour, time.Minute, true, 0},
		{"passing in the catalog", time.Minute, "x", catalog.Passing, time.Hour, time.Hour, false, catalog.KindNotReady},
		{"warning in the catalog", time.Minute, "x", catalog.Warning, time.Hour, time.Hour, false, catalog.KindNotReady},
		{"to stay for ever by now", 0, "x", catalog.Critical, time.Hour, time.Hour, false, catalog.KindConflict},
		{"a check of a node", time.Minute, "", catalog.Critical, time.Hour, time.Hour, false, catalog.KindConflict},
		{"stored by a clock that is ahead", time.Minute, "x", catalog.Critical, -time.Hour, time.Hour, false, catalog.KindNotReady},
	} {
		c := &catalog.Check{ID: "c", Instance: tt.instance, Status: tt.status, Since: now.Add(-tt.since)}
		c.DeregisterAfter = catalog.Duration(tt.after)
		err := stays(c, now.Add(-tt.begun), now)
		if (err == nil) != tt.goes || catalog.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want kind %v", tt.name, err, tt.want)
		}
	}
}

// TestRemovalIsOfWhatWasDecidedFrom: an outcome that is stored meanwhile keeps the instance.
func TestRemovalIsOfWhatWasDecidedFrom(t *testing.T) {
	e := enginetest.Open(t)
	r, _ := host(t, e, "h1")
	external(t, r, "ext", tcpCheck)
	storeCheck(t, r, "ext", catalog.Critical, longAgo())
	behind := startBehind(t, e)
	behind.ActFor(takerOf("h1").Node)
	storeCheck(t, r, "ext", catalog.Passing, time.Now())
	if err := stays(behind.view.Node("ext").Check("c"), longAgo(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := behind.DeregisterCritical(t.Context(), "ext", "c", longAgo()); catalog.KindOf(err) != catalog.KindNotReady {
		t.Errorf("removed though it passed meanwhile: %v", err)
	}
	storeCheck(t, r, "ext", catalog.Critical, longAgo())
	if _, err := r.DeregisterCritical(t.Context(), "ext", "c", time.Now()); catalog.KindOf(err) != catalog.KindNotReady {
		t.Errorf("removed by a process that has not looked for long: %v", err)
	}
	if _, err := r.DeregisterCritical(t.Context(), "ext", "c", longAgo()); err != nil || r.view.Instance("ext", "x") != nil {
		t.Errorf("not removed though it was critical for long: %v", err)
	}
	h, err := r.History(t.Context(), "web", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	lines := toldHistory(t, h)
	told := regexp.MustCompile(`^deregistered web ext/x: check c was critical for 1h\w+ \(deregister_after 1s\)$`)
	if last := lines[len(lines)-1]; !told.MatchString(last) {
		t.Errorf("history ends with %q", last)
	}
}

func TestOnlyTheHolderPurges(t *testing.T) {
	holder, other, _, _ := pair(t, enginetest.Open(t))
	var node string
	for i := 0; ; i++ {
		if node = fmt.Sprint("dead-", i); holder.holds(catalog.PurgeDuty(node)) {
			break
		}
	}
	holder.mustSync(t, sessionNode(node, time.Minute))
	holder.killSession(t, node)
	catchUp(t, other)
	if purged, err := other.purge(t.Context(), node); purged || err != nil || other.view.Node(node) == nil {
		t.Errorf("purged %v, %v by a process that has not the duty", purged, err)
	}
	if purged, err := holder.purge(t.Context(), node); !purged || err != nil || holder.view.Node(node) != nil {
		t.Errorf("purged %v, %v by the holder", purged, err)
	}
}

// TestNextHolderDatesTheRevision: what the holder of the clock leaves without a time, its own end above all, gets one from
// the next.
func TestNextHolderDatesTheRevision(t *testing.T) {
	e := enginetest.Open(t)
	hosts, stops := map[string]*Registry{}, map[string]func(){}
	for _, name := range []string{"h1", "h2"} {
		hosts[name], stops[name] = host(t, e, name)
	}
	catchUp(t, hosts["h1"], hosts["h2"])
	holder := hosts["h1"].view.Holder(catalog.ClockDuty).Name
	stops[holder]() // but its session lasts
	delete(hosts, holder)
	for _, next := range hosts {
		next.mustSync(t, sessionNode("other", time.Minute))
		before := storedClock(t, next, 0).ModRevision
		next.killSession(t, "other")
		if clock := storedClock(t, next, 0); clock.ModRevision != before {
			t.Errorf("the clock was written at %d though its holder stands still", clock.ModRevision)
		}
		next.killSession(t, holder)
		next.await(t, func() bool { return next.clocked.Load() > before })
		if clock, err := decodeClock(storedClock(t, next, 0).Value); err != nil || time.Since(clock.Time) > time.Hour {
			t.Errorf("the clock is %+v, %v", clock, err)
		}
	}
}
