package registry

import (
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestDrain(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		r, stop := start(t, e)
		ctx := t.Context()
		state := permanentNode("n1")
		state.Registrations = []catalog.Registration{permanent("n1", "a/b", "web"), permanent("n1", "c", "web")}
		if _, err := r.SyncNode(ctx, state); err != nil {
			t.Fatal(err)
		}
		order := catalog.Drain{Node: "N1", Instance: "a/b", Reason: "new disk"}
		first, err := r.Drain(ctx, order)
		if err != nil {
			t.Fatal(err)
		}
		wantDrained(t, r, "a/b", "drained: new disk")
		wantDrained(t, r, "c", "")
		if again, err := r.Drain(ctx, order); err != nil || again != first {
			t.Errorf("the same order again: %d, %v; want nothing written since %d", again, err, first)
		}
		// The owner's next sync does not undo it, and neither does a restart.
		if _, err := r.SyncNode(ctx, state); err != nil {
			t.Fatal(err)
		}
		stop()
		r, _ = start(t, e)
		wantDrained(t, r, "a/b", "drained: new disk")

		whole, err := r.Drain(ctx, catalog.Drain{Service: "Web"})
		if err != nil || len(r.View().Service("web").Healthy) != 0 || r.View().Service("web").Index != whole {
			t.Errorf("service: %d, %v; want all of it out at once", whole, err)
		}
		if _, err := r.Drain(ctx, catalog.Drain{Node: "n1", Reason: "kernel"}); err != nil {
			t.Fatal(err)
		}
		wantDrained(t, r, "c", "node n1 is drained: kernel")
		for _, d := range []catalog.Drain{{Service: "WEB"}, {Node: "n1"}, {Node: "n1", Instance: "a/b"}} {
			if _, err := r.Undrain(ctx, d); err != nil {
				t.Errorf("undo %+v: %v", d, err)
			}
		}
		wantDrained(t, r, "a/b", "")
		wantDrained(t, r, "c", "")
		if got := r.View().Drains(); len(got) != 0 {
			t.Errorf("orders %v are left", got)
		}
	})
}

// TestSyncKeeps has a state that names instances to keep: they stay with their checks, although nothing declares them.
func TestSyncKeeps(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := permanentNode("n1")
	kept, other := permanent("n1", "kept", "web"), permanent("n1", "other", "web")
	kept.Checks = []catalog.Check{{ID: "c", Status: catalog.Passing, Definition: catalog.Definition{TTL: catalog.Duration(time.Hour)}}}
	state.Registrations = []catalog.Registration{kept, other}
	r.mustSync(t, state)
	state.Registrations, state.Keep = nil, map[string]bool{"kept": true}
	r.mustSync(t, state)
	got := r.View().Node("n1").Endpoints
	if e := r.View().Instance("n1", "kept"); got.Len() != 1 || e == nil || len(e.Checks) != 1 {
		t.Errorf("%d instances, kept %+v; want the one that is kept, with its check", got.Len(), e)
	}
	state.Checks = []catalog.Check{{ID: "disk", Definition: catalog.Definition{TTL: catalog.Duration(time.Hour)}}}
	r.mustSync(t, state)
	state.Checks, state.KeepChecks = nil, true
	r.mustSync(t, state)
	if n := r.View().Node("n1"); n.Check("disk") == nil {
		t.Error("a check of the node is removed that was to be kept")
	}
	state.KeepChecks = false
	r.mustSync(t, state)
	if n := r.View().Node("n1"); n.Check("disk") != nil {
		t.Error("a check of the node stays that nothing declares")
	}
}

func wantDrained(t *testing.T, r *Registry, id, want string) {
	t.Helper()
	e := r.View().Instance("n1", id)
	if e == nil || e.Drained != want || e.Healthy() != (want == "") {
		t.Errorf("instance %s is drained as %+v, want %q", id, e, want)
	}
}

func TestDrainRefuses(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	if _, err := r.SyncNode(t.Context(), permanentNode("n1")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		order catalog.Drain
		want  catalog.Kind
	}{
		{catalog.Drain{}, catalog.KindInvalid},
		{catalog.Drain{Service: "a", Node: "n1"}, catalog.KindInvalid},
		{catalog.Drain{Instance: "a"}, catalog.KindInvalid},
		{catalog.Drain{Service: "not a name"}, catalog.KindInvalid},
		{catalog.Drain{Node: "not a name"}, catalog.KindInvalid},
		{catalog.Drain{Node: "n1", Instance: "\x00"}, catalog.KindInvalid},
		{catalog.Drain{Node: "n1", Reason: "\x00"}, catalog.KindInvalid},
		{catalog.Drain{Service: "none"}, catalog.KindNotFound},
		{catalog.Drain{Node: "none"}, catalog.KindNotFound},
		{catalog.Drain{Node: "n1", Instance: "none"}, catalog.KindNotFound},
	} {
		if _, err := r.Drain(t.Context(), tt.order); catalog.KindOf(err) != tt.want {
			t.Errorf("drain %+v: %v, want kind %v", tt.order, err, tt.want)
		}
		if _, err := r.Undrain(t.Context(), tt.order); catalog.KindOf(err) != tt.want {
			t.Errorf("undrain %+v: %v, want kind %v", tt.order, err, tt.want)
		}
	}
}

func TestDrainKeys(t *testing.T) {
	for _, key := range []string{"koine/drain/", "koine/drain/color/x", "koine/drain/service/a/b", "koine/drain/instance/a", "koine/drain/node/%zz"} {
		if got, err := decode(key, []byte(`{"v":1}`)); err == nil {
			t.Errorf("%s decodes to %+v", key, got)
		}
	}
	if got, err := decode("koine/drain/node/a", []byte(`{"v":1,"node":"b"}`)); err == nil {
		t.Errorf("an order of another key decodes to %+v", got)
	}
}
