package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestPushesReachTheRunnerFromAny(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		var all []*Registry
		for _, name := range []string{"h1", "h2", "h3"} {
			r, _ := host(t, e, name)
			all = append(all, r)
		}
		external(t, all[0], "Ext", ttlCheck)
		push := func(r *Registry, status catalog.Status, output string) *catalog.Push {
			t.Helper()
			if err := r.PushCheck(t.Context(), "EXT", "c", status, output); err != nil {
				t.Fatal(err)
			}
			catchUp(t, all...)
			for _, at := range all {
				p := at.view.Push("ext", "c")
				if p == nil || p.Status != status || !p.For(at.view.Node("ext").Check("c")) {
					t.Fatalf("after a push of %s a process shows %+v", status, p)
				}
			}
			return r.view.Push("ext", "c")
		}
		first := push(all[0], catalog.Passing, "1 job")
		revision := all[0].view.Revision()
		for i := range 9 { // heartbeats, to each in turn, are not written
			if p := push(all[i%3], catalog.Passing, fmt.Sprint(i, " jobs")); p.ModRevision != first.ModRevision || p.Output != "1 job" {
				t.Errorf("push %d is written: %+v", i, p)
			}
		}
		if now := all[0].view.Revision(); now != revision {
			t.Errorf("heartbeats took %d revisions", now-revision)
		}
		for i, status := range []catalog.Status{catalog.Critical, catalog.Passing, catalog.Warning} { // the latest counts
			if p := push(all[i%3], status, "changed"); p.Lease != first.Lease {
				t.Errorf("push of %s took another lease", status)
			}
		}
		if _, err := e.Client.Revoke(t.Context(), leaseID(first.Lease)); err != nil {
			t.Fatal(err)
		}
		catchUp(t, all...)
		for _, r := range all {
			if p := r.view.Push("ext", "c"); p != nil {
				t.Errorf("after the end of its lease there is %+v", p)
			}
		}
		if p := push(all[2], catalog.Warning, "back"); p.Lease == first.Lease || p.Output != "back" {
			t.Errorf("after the end of its lease it is %+v", p)
		}
	})
}

// TestPushToAProcessThatIsBehind: the store says what was pushed last, and whether the check is there.
func TestPushToAProcessThatIsBehind(t *testing.T) {
	e := enginetest.Open(t)
	r, _ := start(t, e)
	r.mustSync(t, permanentNode("ext"))
	behind := startBehind(t, e)
	external(t, r, "ext", ttlCheck)
	if err := behind.PushCheck(t.Context(), "ext", "c", catalog.Passing, ""); err != nil {
		t.Errorf("push for a check that another process has registered: %v", err)
	}
	if err := r.PushCheck(t.Context(), "ext", "c", catalog.Critical, ""); err != nil {
		t.Fatal(err)
	}
	if err := behind.PushCheck(t.Context(), "ext", "c", catalog.Passing, "fine"); err != nil {
		t.Fatal(err)
	}
	catchUp(t, r)
	if p := r.view.Push("ext", "c"); p.Status != catalog.Passing {
		t.Errorf("pushed %s last, want the passing of the process that has not seen the critical", p.Status)
	}
	if _, err := r.Deregister(t.Context(), "ext", "x"); err != nil {
		t.Fatal(err)
	}
	external(t, r, "ext", ttlCheck)
	if err := behind.PushCheck(t.Context(), "ext", "c", catalog.Passing, "fine"); err != nil {
		t.Fatal(err)
	}
	catchUp(t, r)
	if _, check, err := r.findCheck("ext", "c"); err != nil || !r.view.Push("ext", "c").For(check) {
		t.Errorf("the push is not for the check that was registered again (%v)", err)
	}
}

func TestWhatPushesAreRefused(t *testing.T) {
	r, _ := host(t, enginetest.Open(t), "h1")
	external(t, r, "ext", ttlCheck)
	r.mustRegister(t, catalog.Registration{Instance: permanent("ext", "y", "web").Instance,
		Checks: []catalog.Check{{ID: "probe", Definition: tcpCheck}}})
	own := takerOf("h1")
	own.Checks = []catalog.Check{{ID: "own", Definition: ttlCheck}}
	r.mustSync(t, own)
	for _, tt := range []struct {
		node, check string
		status      catalog.Status
		want        catalog.Kind
	}{
		{"ext", "c", "odd", catalog.KindInvalid}, {"ext", "probe", catalog.Passing, catalog.KindInvalid},
		{"ext", "none", catalog.Passing, catalog.KindNotFound}, {"nowhere", "c", catalog.Passing, catalog.KindNotFound},
		{"h1", "own", catalog.Passing, catalog.KindConflict},
	} {
		if err := r.PushCheck(t.Context(), tt.node, tt.check, tt.status, ""); err == nil || catalog.KindOf(err) != tt.want {
			t.Errorf("push of %s to %s/%s: %v, want kind %v", tt.status, tt.node, tt.check, err, tt.want)
		}
	}
}

// TestPushIsForOneCheck: what was pushed for a check that is gone, or has another TTL, is nothing for the one of its name,
// and is removed.
func TestPushIsForOneCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, r *Registry)
		same   bool
	}{
		{"the same again", func(t *testing.T, r *Registry) { external(t, r, "ext", ttlCheck) }, true},
		{"another outcome", func(t *testing.T, r *Registry) {
			if err := r.SetCheck(t.Context(), aCheck("ext", "c"), catalog.Warning, "busy"); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"another TTL", func(t *testing.T, r *Registry) {
			external(t, r, "ext", catalog.Definition{TTL: catalog.Duration(time.Hour)})
		}, false},
		{"another type", func(t *testing.T, r *Registry) { external(t, r, "ext", tcpCheck) }, false},
		{"registered again", func(t *testing.T, r *Registry) {
			if _, err := r.Deregister(t.Context(), "ext", "x"); err != nil {
				t.Fatal(err)
			}
			external(t, r, "ext", ttlCheck)
		}, false},
		{"the node removed", func(t *testing.T, r *Registry) {
			if _, err := r.RemoveNode(t.Context(), "ext"); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := host(t, enginetest.Open(t), "h1")
			external(t, r, "ext", ttlCheck)
			if err := r.PushCheck(t.Context(), "ext", "c", catalog.Passing, ""); err != nil {
				t.Fatal(err)
			}
			push := r.view.Push("ext", "c")
			tt.change(t, r)
			if _, check, err := r.findCheck("ext", "c"); (err == nil && push.For(check)) != tt.same {
				t.Errorf("push %+v is for check %+v", push, check)
			}
			r.sweepPushes(t.Context())
			if kept := r.view.Push("ext", "c") != nil; kept != tt.same {
				t.Errorf("the push is kept: %v, want %v", kept, tt.same)
			}
		})
	}
}

// TestPushesAreNoHistory: the status of the check is.
func TestPushesAreNoHistory(t *testing.T) {
	r, _ := host(t, enginetest.Open(t), "h1")
	external(t, r, "ext", ttlCheck)
	for _, status := range []catalog.Status{catalog.Passing, catalog.Critical, catalog.Passing} {
		if err := r.PushCheck(t.Context(), "ext", "c", status, "pushed"); err != nil {
			t.Fatal(err)
		}
	}
	before := r.view.Revision()
	if _, err := r.client.Revoke(t.Context(), leaseID(r.view.Push("ext", "c").Lease)); err != nil {
		t.Fatal(err)
	}
	catchUp(t, r)
	if len(r.unclocked) > 0 || r.clocked.Load() > int64(before) {
		t.Error("the end of a push asks for a time")
	}
	h, err := r.History(t.Context(), "web", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"registered web ext/x: check c is critical"}, toldHistory(t, h)); diff != "" {
		t.Error(diff)
	}
}
