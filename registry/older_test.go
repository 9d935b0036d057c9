package registry

import (
	"context"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

// TestOwnerOfARecordWithoutOrigin holds that an owner whose registration a version stored that noted no origin renews it.
func TestOwnerOfARecordWithoutOrigin(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, permanentNode("n1"))
	r.mustRegister(t, leased("n1", "x", time.Hour))
	if origin := r.view.Instance("n1", "x").Origin; origin != nil {
		t.Fatalf("origin %v", origin)
	}
	worker := catalog.WithCaller(t.Context(), catalog.Caller{Registrant: "worker-7"})
	if err := r.Renew(worker, "n1", "x"); err != nil {
		t.Errorf("its owner renews it: %v", err)
	}
	if _, err := r.Deregister(worker, "n1", "x"); err != nil {
		t.Errorf("its owner removes it: %v", err)
	}
}

// TestUnreadableUpdate holds that two processes show the same at one revision, whenever they started, if a record is
// replaced by one that they cannot read.
func TestUnreadableUpdate(t *testing.T) {
	e := enginetest.Open(t)
	early, _ := start(t, e)
	early.mustSync(t, permanentNode("n1"))
	early.mustRegister(t, permanent("n1", "x", "web"))
	early.mustRegister(t, permanent("n1", "y", "web"))
	if _, err := e.Client.Put(t.Context(), instanceKey("n1", "x"), `{"v":2,"id":"x"}`); err != nil {
		t.Fatal(err)
	}
	late, _ := start(t, e)
	for name, r := range map[string]*Registry{"early": early, "late": late} {
		if _, err := r.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.view.Instance("n1", "x") != nil || r.view.Instance("n1", "y") == nil {
			t.Errorf("the %s process shows x %v, y %v", name, r.view.Instance("n1", "x"), r.view.Instance("n1", "y"))
		}
	}
}

// TestCallerThatGivesUpOnHistory holds that a caller's own end is not reported as a fault of the store, or as ignorance.
func TestCallerThatGivesUpOnHistory(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, permanentNode("n1"))
	r.mustRegister(t, permanent("n1", "x", "web"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // each select has two ready cases
		if _, err := r.History(ctx, "web", 0); err != nil && catalog.KindOf(err) == catalog.KindUnavailable {
			t.Fatalf("History = %v", err)
		}
	}
	r.replaying <- struct{}{} // another history is being read
	if _, err := r.History(ctx, "web", 0); catalog.KindOf(err) == catalog.KindUnavailable {
		t.Errorf("History beside another = %v", err)
	}
	<-r.replaying
	if _, err := r.TimeOf(ctx, r.view.Revision()); catalog.KindOf(err) == catalog.KindNotFound {
		t.Errorf("TimeOf = %v", err)
	}
}
