package registry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// startBehind runs a registry whose View stays as it is now until a barrier is asked for.
func startBehind(t *testing.T, e *engine.Engine) *Registry {
	t.Helper()
	r, err := New(Config{Client: e.Client, KV: e.KV, MaxOps: e.MaxOps, MaxBytes: e.MaxBytes, View: catalog.NewView()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	catchUp := func(ctx context.Context) (uint64, error) {
		err := r.load(ctx)
		return r.view.Revision(), err
	}
	r.barriers = newBarriers(catchUp)
	r.writes.visible = func(ctx context.Context, _ uint64) error { _, err := r.Barrier(ctx); return err }
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.writes.run(ctx) })
	running.Go(func() { r.barriers.run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return r
}

func leased(node, id string, ttl time.Duration) catalog.Registration {
	registration := permanent(node, id, "web")
	registration.Instance.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(ttl)}
	return registration
}

// TestNothingIsDecidedFromAViewThatIsBehind has one registry change the catalog, and another one act before it has seen
// the change.
func TestNothingIsDecidedFromAViewThatIsBehind(t *testing.T) {
	withCheck := func(status catalog.Status) catalog.Registration {
		registration := permanent("n1", "x", "web")
		registration.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: "127.0.0.1:1"}, Status: status}}
		return registration
	}
	rival := sessionNode("n2", time.Minute)
	rival.Node.ID = "rival"
	tests := []struct {
		name string
		// before is known to both, change only to the first.
		before, change func(ctx context.Context, r *Registry) error
		act            func(ctx context.Context, r *Registry) error
		want           catalog.Kind
		holds          func(v *catalog.View) bool
	}{
		{
			name:   "a registration that the View still shows is written again",
			before: register(permanent("n1", "x", "web")), change: deregisterX, act: register(permanent("n1", "x", "web")),
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x") != nil },
		},
		{
			name: "an instance that the View does not show yet is deregistered", before: nothing,
			change: register(permanent("n1", "x", "web")), act: deregisterX,
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x") == nil },
		},
		{
			name: "a node that the View does not show yet takes a registration", before: nothing,
			change: syncNode(sessionNode("n2", time.Minute)), act: register(permanent("n2", "x", "web")),
			holds: func(v *catalog.View) bool { return v.Instance("n2", "x") != nil },
		},
		{
			name:   "the place of a declared instance that has gone is free",
			before: syncNode(declaring("n2", "x")), change: syncNode(sessionNode("n2", time.Minute)),
			act:   register(permanent("n2", "x", "web")),
			holds: func(v *catalog.View) bool { return v.Instance("n2", "x").Owner.Kind == catalog.OwnerPermanent },
		},
		{
			name:   "a node's name is free once its other owner has gone",
			before: syncNode(rival),
			change: func(ctx context.Context, r *Registry) error {
				_, err := r.client.Revoke(ctx, leaseID(r.view.Node("n2").Session))
				return err
			},
			act:   syncNode(sessionNode("n2", time.Minute)),
			holds: func(v *catalog.View) bool { return v.Node("n2").Node.ID == "" },
		},
		{
			name:   "a declaration that the View still shows is written again",
			before: syncNode(declaring("n2", "x")), change: syncNode(sessionNode("n2", time.Minute)),
			act:   syncNode(declaring("n2", "x")),
			holds: func(v *catalog.View) bool { return v.Instance("n2", "x") != nil },
		},
		{
			name:   "a check's outcome that the View still shows is written again",
			before: register(withCheck(catalog.Passing)), change: setCheck(catalog.Critical), act: setCheck(catalog.Passing),
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x").Healthy() },
		},
		{
			name: "a check that the View does not show yet has an outcome", before: nothing,
			change: register(withCheck("")), act: setCheck(catalog.Passing),
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x").Healthy() },
		},
		{
			name: "an instance that the View does not show yet is drained", before: nothing,
			change: register(permanent("n1", "x", "web")), act: drainX,
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x").Drained != "" },
		},
		{
			name:   "an instance that has gone is not drained",
			before: register(permanent("n1", "x", "web")), change: deregisterX, act: drainX, want: catalog.KindNotFound,
			holds: func(v *catalog.View) bool { return len(v.Drains()) == 0 },
		},
		{
			name:   "an order that has been taken back is not taken back again",
			before: both(register(permanent("n1", "x", "web")), drainX), change: undrainX, act: undrainX, want: catalog.KindNotFound,
			holds: func(v *catalog.View) bool { return len(v.Drains()) == 0 },
		},
		{
			name: "a node that has been removed is not removed again", before: syncNode(permanentNode("n2")),
			change: removeN2, act: removeN2, want: catalog.KindNotFound,
			holds: func(v *catalog.View) bool { return v.Node("n2") == nil },
		},
		{
			name: "an instance that the View does not show yet is renewed", before: nothing,
			change: register(leased("n1", "x", time.Minute)), act: renewX,
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x") != nil },
		},
		{
			name: "an instance that has gone is not renewed", before: register(leased("n1", "x", time.Minute)),
			change: deregisterX, act: renewX, want: catalog.KindNotFound,
			holds: func(v *catalog.View) bool { return v.Instance("n1", "x") == nil },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := enginetest.Open(t)
			first, _ := start(t, e)
			first.mustSync(t, permanentNode("n1"))
			if err := tt.before(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			second := startBehind(t, e)
			if err := tt.change(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			if err := tt.act(t.Context(), second); (err == nil) != (tt.want == 0) || catalog.KindOf(err) != tt.want {
				t.Errorf("got %v, want kind %v", err, tt.want)
			}
			if _, err := first.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !tt.holds(first.view) {
				t.Error("the catalog does not hold what was acknowledged")
			}
		})
	}
}

func nothing(context.Context, *Registry) error { return nil }

func both(a, b func(context.Context, *Registry) error) func(context.Context, *Registry) error {
	return func(ctx context.Context, r *Registry) error { return errors.Join(a(ctx, r), b(ctx, r)) }
}

func register(registration catalog.Registration) func(context.Context, *Registry) error {
	return func(ctx context.Context, r *Registry) error { _, err := r.Register(ctx, registration); return err }
}

func syncNode(state catalog.NodeState) func(context.Context, *Registry) error {
	return func(ctx context.Context, r *Registry) error { _, err := r.SyncNode(ctx, state); return err }
}

func declaring(node, id string) catalog.NodeState {
	state := sessionNode(node, time.Minute)
	state.Registrations = []catalog.Registration{permanent(node, id, "web")}
	return state
}

func setCheck(status catalog.Status) func(context.Context, *Registry) error {
	return func(ctx context.Context, r *Registry) error { return r.SetCheck(ctx, aCheck("n1", "c"), status, "") }
}

func deregisterX(ctx context.Context, r *Registry) error {
	_, err := r.Deregister(ctx, "n1", "x")
	return err
}

func drainX(ctx context.Context, r *Registry) error {
	_, err := r.Drain(ctx, catalog.Drain{Node: "n1", Instance: "x"})
	return err
}

func undrainX(ctx context.Context, r *Registry) error {
	_, err := r.Undrain(ctx, catalog.Drain{Node: "n1", Instance: "x"})
	return err
}

func removeN2(ctx context.Context, r *Registry) error {
	_, err := r.RemoveNode(ctx, "n2")
	return err
}

func renewX(ctx context.Context, r *Registry) error { return r.Renew(ctx, "n1", "x") }

// TestRenewalKeepsTheLeaseThatTheRecordIsOn renews while the View still names the lease of an earlier registration,
// which is alive: the renewal must reach the lease that the record has by now.
func TestRenewalKeepsTheLeaseThatTheRecordIsOn(t *testing.T) {
	e := enginetest.Open(t)
	first, _ := start(t, e)
	first.mustSync(t, sessionNode("n1", time.Minute))
	first.mustRegister(t, leased("n1", "x", time.Minute))
	second := startBehind(t, e)
	first.mustRegister(t, leased("n1", "x", 2*time.Minute))
	if err := second.Renew(t.Context(), "n1", "x"); err != nil {
		t.Fatal(err)
	}
	if got, want := second.view.Instance("n1", "x").Owner.ID, first.view.Instance("n1", "x").Owner.ID; got != want {
		t.Errorf("renewed by a view with lease %s, the record is on %s", got, want)
	}
	first.mustSync(t, sessionNode("n1", 2*time.Minute))
	if err := second.RenewNode(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	if got, want := second.view.Node("n1").Session, first.view.Node("n1").Session; got != want {
		t.Errorf("renewed by a view with session %s, the node has %s", got, want)
	}
}

// TestReadersShareProofs has readers arrive while a proof is under way: all of them share one more, which began later.
func TestReadersShareProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Uint64
		b := newBarriers(func(context.Context) (uint64, error) {
			time.Sleep(time.Second)
			return made.Add(1), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.run(ctx) }()
		var readers sync.WaitGroup
		wait := func(want uint64) {
			readers.Go(func() {
				if got, err := b.wait(t.Context()); err != nil || got != want {
					t.Errorf("proof %d, %v; want proof %d", got, err, want)
				}
			})
		}
		wait(1)
		synctest.Wait()
		for range 100 {
			wait(2)
		}
		readers.Wait()
		if got := made.Load(); got != 2 {
			t.Errorf("%d proofs were made, want 2", got)
		}
		cancel()
		<-done
		if _, err := b.wait(t.Context()); !errors.Is(err, errStopped) {
			t.Errorf("a reader after the end got %v", err)
		}
	})
}

func TestReadersThatGiveUpHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBarriers(func(ctx context.Context) (uint64, error) { <-ctx.Done(); return 0, unavailable(ctx.Err()) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.run(ctx) }()
		impatient, leave := context.WithCancel(t.Context())
		leave()
		if _, err := b.wait(impatient); !errors.Is(err, context.Canceled) || catalog.KindOf(err) == catalog.KindUnavailable {
			t.Errorf("a reader that gave up got %v, want its own cancellation", err)
		}
		begun := time.Now()
		if _, err := b.wait(t.Context()); catalog.KindOf(err) != catalog.KindUnavailable {
			t.Errorf("a reader of a store that does not answer got %v", err)
		}
		if took := time.Since(begun); took > 2*commitTimeout {
			t.Errorf("a reader waited for %v", took)
		}
		cancel()
		<-done
	})
}
