package registry

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

// TestReapAsksTheStoreForNothing holds that a process asks the store nothing about a dead node that its View shows nothing to purge
// of, or another process to purge.
func TestReapAsksTheStoreForNothing(t *testing.T) {
	e := enginetest.Open(t)
	holder, _, _, _ := pair(t, e)
	for i := range 8 { // some are the duty of either host
		name := fmt.Sprint("dead-", i)
		holder.mustSync(t, sessionNode(name, time.Minute))
		if i%2 == 0 {
			holder.mustRegister(t, permanent(name, "db", "db"))
		}
		holder.killSession(t, name)
		holder.reapNode(t.Context(), name) // what it can purge is purged
	}
	r := startBehind(t, e)
	r.ActFor(takerOf("h1").Node)
	var asked atomic.Int32
	prove := r.barriers.prove
	r.barriers.prove = func(ctx context.Context) (uint64, error) {
		asked.Add(1)
		return prove(ctx)
	}
	others := 0
	for i := range 8 {
		name := fmt.Sprint("dead-", i)
		if r.view.Node(name) != nil && !r.holds(catalog.PurgeDuty(name)) {
			others++
		}
		r.reapNode(t.Context(), name)
	}
	if got := asked.Load(); got > 0 || others == 0 {
		t.Errorf("%d questions to the store about nodes without anything to purge, %d of them another process's", got, others)
	}
}

// TestTimeWithoutALookDoesNotCount holds that a process that stood still begins the time of dead nodes again: they may have lived
// meanwhile.
func TestTimeWithoutALookDoesNotCount(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := sessionNode("n1", time.Minute)
	state.Node.PurgeAfter = catalog.Duration(time.Hour)
	r.mustSync(t, state)
	r.killSession(t, "n1")
	since, last := make(map[string]time.Time), time.Now()
	for _, step := range []time.Duration{0, reapInterval, time.Hour, reapGap} {
		r.reapOverdue(t.Context(), since, last, last.Add(step))
		last = last.Add(step)
		if r.view.Node("n1") == nil {
			t.Fatalf("the node is purged %v after the look before", step)
		}
	}
	for passed := reapGap; passed < time.Hour; passed += reapGap { // since the gap
		if r.view.Node("n1") == nil {
			t.Fatalf("the node is purged within %v of the gap", passed)
		}
		r.reapOverdue(t.Context(), since, last, last.Add(reapGap))
		last = last.Add(reapGap)
	}
	if r.view.Node("n1") != nil {
		t.Error("the node is left an hour after the gap")
	}
}
