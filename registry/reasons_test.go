package registry

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// overHTTP is the context of a client's call.
func overHTTP(ctx context.Context, registrant string) context.Context {
	return catalog.WithCaller(ctx, catalog.Caller{
		Registrant: registrant, From: netip.MustParseAddr("10.0.0.9"), Listener: "http 10.0.0.1:8500",
	})
}

// TestHistorySaysWhyAndWho has instances come and go in every way that there is.
func TestHistorySaysWhyAndWho(t *testing.T) {
	revoke := func(lease func(r *Registry) string) func(context.Context, *Registry) error {
		return func(ctx context.Context, r *Registry) error {
			_, err := r.client.Revoke(ctx, leaseID(lease(r))) // as the store does when it runs out
			return err
		}
	}
	tests := []struct {
		name  string
		steps []func(ctx context.Context, r *Registry) error
		want  []string
	}{
		{"a client registers and deregisters", []func(context.Context, *Registry) error{
			func(ctx context.Context, r *Registry) error {
				return register(permanent("n1", "x", "web"))(overHTTP(ctx, "worker-7"), r)
			},
			func(ctx context.Context, r *Registry) error { return deregisterX(overHTTP(ctx, ""), r) },
		}, []string{
			"registered web n1/x: by worker-7 over HTTP from 10.0.0.9",
			"deregistered web n1/x: deregistered over HTTP from 10.0.0.9",
		}},
		{"an owner replaces another", []func(context.Context, *Registry) error{
			func(ctx context.Context, r *Registry) error {
				return register(leased("n1", "x", time.Minute))(overHTTP(ctx, "a"), r)
			},
			func(ctx context.Context, r *Registry) error {
				return register(leased("n1", "x", time.Minute))(overHTTP(ctx, "b"), r)
			},
		}, []string{
			"registered web n1/x: by a over HTTP from 10.0.0.9",
			"replaced web n1/x: registered by b over HTTP from 10.0.0.9",
		}},
		{"a ttl runs out", []func(context.Context, *Registry) error{
			register(leased("n1", "x", 30*time.Second)),
			revoke(func(r *Registry) string { return r.view.Instance("n1", "x").Owner.ID }),
		}, []string{"registered web n1/x", "deregistered web n1/x: ttl 30s ran out"}},
		{"a container ends", []func(context.Context, *Registry) error{
			syncNode(declaring("n2", "x")),
			func(ctx context.Context, r *Registry) error {
				state := sessionNode("n2", time.Minute)
				state.Gone = map[string]string{"x": "container exited 137"}
				return syncNode(state)(ctx, r)
			},
		}, []string{"registered web n2/x", "deregistered web n2/x: container exited 137"}},
		{"a node is declared without it", []func(context.Context, *Registry) error{
			func(ctx context.Context, r *Registry) error {
				return syncNode(declaring("n2", "x"))(overHTTP(ctx, ""), r)
			},
			func(ctx context.Context, r *Registry) error {
				return syncNode(sessionNode("n2", time.Minute))(overHTTP(ctx, ""), r)
			},
		}, []string{
			"registered web n2/x: over HTTP from 10.0.0.9",
			"deregistered web n2/x: node n2 was declared without it over HTTP from 10.0.0.9",
		}},
		{"a dead node is purged", []func(context.Context, *Registry) error{
			syncNode(declaring("n2", "x")),
			revoke(func(r *Registry) string { return r.view.Node("n2").Session }),
			func(ctx context.Context, r *Registry) error {
				if _, err := r.Barrier(ctx); err != nil {
					return err
				}
				_, err := r.purge(ctx, "n2")
				return err
			},
		}, []string{
			"registered web n2/x", "critical web n2/x: node n2 is not alive",
			"deregistered web n2/x: purged: node n2 was away for " + catalog.Duration(catalog.DefaultPurgeAfter).String(),
		}},
		{"a node is removed", []func(context.Context, *Registry) error{
			func(ctx context.Context, r *Registry) error {
				state := permanentNode("n2")
				state.Registrations = []catalog.Registration{permanent("n2", "x", "web")}
				return syncNode(state)(ctx, r)
			},
			func(ctx context.Context, r *Registry) error { return removeN2(overHTTP(ctx, ""), r) },
		}, []string{
			"registered web n2/x", "deregistered web n2/x: node n2 was removed over HTTP from 10.0.0.9",
		}},
		{"another program deletes it from the store", []func(context.Context, *Registry) error{
			register(permanent("n1", "x", "web")),
			func(ctx context.Context, r *Registry) error {
				_, err := r.client.Delete(ctx, instanceKey("n1", "x"))
				return err
			},
		}, []string{"registered web n1/x", "deregistered web n1/x: deleted from the store, not by Koine"}},
	}
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r, _ := start(t, open(t))
				r.mustSync(t, permanentNode("n1"))
				position := r.view.EventPosition()
				for _, step := range tt.steps {
					if err := step(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.Barrier(t.Context()); err != nil {
					t.Fatal(err)
				}
				events, _ := r.view.Events(position)
				if diff := cmp.Diff(tt.want, toldOf(slices.Collect(events))); diff != "" {
					t.Errorf("events:\n%s", diff)
				}
				h, err := r.History(t.Context(), "x", 0)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, toldHistory(t, h)); diff != "" {
					t.Errorf("history:\n%s", diff)
				}
			})
		}
	})
}

// toldOf returns the events of instances, line by line.
func toldOf(events []catalog.Event) (lines []string) {
	for _, e := range events {
		if e.Instance == "" {
			continue
		}
		line := string(e.Type) + " " + e.Service + " " + e.Node + "/" + e.Instance
		if e.Reason != "" {
			line += ": " + e.Reason
		}
		lines = append(lines, line)
	}
	return lines
}

// TestReasonsAreThoseOfWritesThatWereMade has one of two writes in a group refused.
func TestReasonsAreThoseOfWritesThatWereMade(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, permanentNode("n1"))
	r.mustRegister(t, permanent("n1", "x", "web"))
	r.mustRegister(t, permanent("n1", "y", "web"))
	position := r.view.EventPosition()
	refused, made := &write{done: make(chan storeAnswer, 1)}, &write{done: make(chan storeAnswer, 1)}
	refused.absent(instanceKey("n1", "x"))
	refused.deleteInstance(r.view.Instance("n1", "x"))
	refused.because(instanceKey("n1", "x"), "refused")
	made.deleteInstance(r.view.Instance("n1", "y"))
	made.because(instanceKey("n1", "y"), "made")
	r.writes.commitGroup(t.Context(), []*write{refused, made})
	if o := <-made.done; o.err != nil || !o.held {
		t.Fatalf("write is %+v", o)
	}
	if o := <-refused.done; o.err != nil || o.held {
		t.Fatalf("write with a condition that does not hold is %+v", o)
	}
	events, _ := r.view.Events(position)
	if diff := cmp.Diff([]string{"deregistered web n1/y: made"}, toldOf(slices.Collect(events))); diff != "" {
		t.Error(diff)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	var group []*write
	for range 100 {
		w := &write{}
		for i := range 100 {
			w.because(instanceKey("n1", strings.Repeat("i", i+1)), strings.Repeat("é", 1000))
		}
		group = append(group, w)
	}
	all := reasonsOf(group)
	size := 0
	for key, why := range all {
		size += len(key) + len(why)
		if len(why) > maxReason || !strings.HasPrefix(why, "é") {
			t.Fatalf("reason %q", why)
		}
	}
	if size == 0 || size > maxReasons {
		t.Errorf("%d bytes of reasons, want at most %d", size, maxReasons)
	}
}

func TestWhyCritical(t *testing.T) {
	now := time.Unix(1000, 0)
	c := &catalog.Check{ID: "c", Since: now.Add(-90*time.Second - 400*time.Millisecond)}
	c.DeregisterAfter = catalog.Duration(time.Minute)
	if got, want := whyCritical(c, now), "check c was critical for 1m30s (deregister_after 1m0s)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
