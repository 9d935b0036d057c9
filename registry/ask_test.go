package registry

import (
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestTimesAndLeases(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	before := time.Now().Truncate(time.Second)
	if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	leased := permanent("n1", "web-1", "web")
	leased.Instance.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(time.Hour)}
	revision, err := r.Register(t.Context(), leased)
	if err != nil {
		t.Fatal(err)
	}
	e := r.View().Instance("n1", "web-1")
	if left, err := r.TimeLeft(t.Context(), e.Owner.ID); err != nil || left <= 0 || left > time.Hour {
		t.Errorf("%v left, %v", left, err)
	}
	if at, err := r.TimeOf(t.Context(), e.CreateRevision); err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("written at %v, %v", at, err)
	}
	if _, err := r.Deregister(t.Context(), "n1", "web-1"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "no lease", "7fffffffffffffff"} {
		if _, err := r.TimeLeft(t.Context(), id); catalog.KindOf(err) != catalog.KindNotFound {
			t.Errorf("lease %q: %v", id, err)
		}
	}
	for _, unknown := range []uint64{0, 1, revision + 1000} {
		if at, err := r.TimeOf(t.Context(), unknown); catalog.KindOf(err) != catalog.KindNotFound {
			t.Errorf("revision %d: %v, %v", unknown, at, err)
		}
	}
}
