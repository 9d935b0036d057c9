package registry

import (
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

const newerRecord = `{"v":2,"id":"db","node":"n1","service":"db","owner":{"kind":"permanent"}}`

// TestPlacesOfUnreadableRecords holds that a record of a newer version, loaded or watched, is neither overwritten nor purged, and
// goes if its instance is deregistered.
func TestPlacesOfUnreadableRecords(t *testing.T) {
	for _, way := range []string{"watched", "loaded"} {
		t.Run(way, func(t *testing.T) {
			e := enginetest.Open(t)
			r, stop := start(t, e)
			state := sessionNode("n1", time.Minute)
			state.Registrations = []catalog.Registration{permanent("n1", "own", "web")}
			r.mustSync(t, state)
			key := instanceKey("n1", "db")
			if _, err := e.Client.Put(t.Context(), key, newerRecord); err != nil {
				t.Fatal(err)
			}
			if way == "loaded" {
				stop()
				r, _ = start(t, e)
			}
			if _, err := r.Register(t.Context(), permanent("n1", "db", "web")); catalog.KindOf(err) != catalog.KindConflict {
				t.Errorf("registered as %v", err)
			}
			named := catalog.WithCaller(t.Context(), catalog.Caller{Registrant: "somebody"})
			if _, err := r.Deregister(named, "n1", "db"); catalog.KindOf(err) != catalog.KindConflict {
				t.Errorf("deregistered by a registrant as %v", err)
			}
			r.killSession(t, "n1")
			r.reapNode(t.Context(), "n1")
			resp, err := e.Client.Get(t.Context(), key)
			if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != newerRecord {
				t.Errorf("after the purge: %v, %v", resp.Kvs, err)
			}
			if n := r.view.Node("n1"); n == nil || n.Endpoints.Len() != 0 {
				t.Errorf("node %v, want it without what it declared", n)
			}
			if _, err := r.Deregister(t.Context(), "n1", "db"); err != nil {
				t.Errorf("deregistered as %v", err)
			}
			if resp, err := e.Client.Get(t.Context(), key); err != nil || len(resp.Kvs) != 0 {
				t.Errorf("after the deregistration: %v, %v", resp.Kvs, err)
			}
			if _, err := r.Deregister(t.Context(), "n1", "db"); catalog.KindOf(err) != catalog.KindNotFound {
				t.Errorf("deregistered again as %v", err)
			}
			r.reapNode(t.Context(), "n1")
			if n := r.view.Node("n1"); n != nil {
				t.Errorf("node %v, want it purged", n)
			}
		})
	}
}

// TestNodeThatLivedBetweenTwoLooks holds that a dead node's time begins again when it has lived, however short.
func TestNodeThatLivedBetweenTwoLooks(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, sessionNode("n1", time.Minute))
	r.mustSync(t, sessionNode("n2", time.Minute))
	since := map[string]time.Time{"N1": time.Now(), "n3": time.Now()}
	r.forgetLived(since)
	if _, left := since["n3"]; len(since) != 1 || !left {
		t.Errorf("%v is kept, want n3", since)
	}
	r.killSession(t, "n2")
	since["n2"] = time.Now()
	r.forgetLived(since)
	if len(since) != 2 {
		t.Errorf("%v is kept, want n2, which has died only, and n3", since)
	}
}
