package registry

import (
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

// hosts are the ids of two hosts that were both called "debian" when they were installed, one after the other.
var hosts = map[string]string{"alpha": "11111111-1111-4111-8111-111111111111", "beta": "22222222-2222-4222-8222-222222222222"}

// TestTwoHostsWithOneFormerName holds that what has moved with one of them is found under its former name.
func TestTwoHostsWithOneFormerName(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	as := func(name, id string) catalog.NodeState {
		state := hostNode(name)
		state.Node.ID = id
		return state
	}
	synced(t, r, as("debian", hosts["alpha"]))
	synced(t, r, restarted(as("alpha", hosts["alpha"])))
	synced(t, r, as("debian", hosts["beta"]))
	registered(t.Context(), t, r, owned(catalog.OwnerLease, "debian", "app", "app"))
	synced(t, r, restarted(as("beta", hosts["beta"])))
	if err := r.Renew(t.Context(), "debian", "app"); err != nil {
		t.Errorf("renewal of what has moved with its node: %v", err)
	}
	if _, err := r.Deregister(t.Context(), "debian", "app"); err != nil {
		t.Errorf("removal of what has moved with its node: %v", err)
	}
}

// TestNoHostTakesTheOthers holds that of two such hosts with an instance of the same ID, none is taken for the other.
func TestNoHostTakesTheOthers(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	as := func(name, id string) catalog.NodeState {
		state := hostNode(name)
		state.Node.ID = id
		return state
	}
	for _, name := range []string{"alpha", "beta"} {
		synced(t, r, as("debian", hosts[name]))
		registered(t.Context(), t, r, owned(catalog.OwnerLease, "debian", "app", "app"))
		synced(t, r, restarted(as(name, hosts[name])))
	}
	// The application on beta, which still says "debian", ends.
	if _, err := r.Deregister(t.Context(), "debian", "app"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("removed: %v, want a conflict", err)
	}
	if err := r.Renew(t.Context(), "debian", "app"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("renewed: %v, want a conflict", err)
	}
	for name := range hosts {
		if r.View().Instance(name, "app") == nil {
			t.Errorf("that of %s is gone", name)
		}
	}
}
