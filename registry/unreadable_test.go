package registry

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
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

// TestLeasesOfUnreadableRecords has records on leases that this version cannot read: they go with their TTL, or after a day if they do
// not say it, and their places are free again.
func TestLeasesOfUnreadableRecords(t *testing.T) {
	e := enginetest.Open(t)
	r, stop := alone(t, e)
	r.mustSync(t, permanentNode("n1"))
	const ttl = 2 * time.Second
	leases := make(map[string]clientv3.LeaseID)
	for id, newer := range map[string]string{
		"owner":   `{"v":2,"id":"owner","node":"n1","service":"web","owner":{"kind":"lease","ttl":"2s"}}`,
		"silent":  `{"v":2,"id":"silent","node":"n1","service":"web"}`,
		"odd":     `{"v":2,"id":"odd","owner":{"ttl":["2s"]}}`,
		"damaged": "not json",
		"endless": `{"v":2,"owner":{"ttl":"-2s"}}`,
	} {
		r.mustRegister(t, leased("n1", id, ttl))
		leases[id] = leaseID(r.view.Instance("n1", id).Owner.ID)
		if _, err := e.Client.Put(t.Context(), instanceKey("n1", id), newer, clientv3.WithLease(leases[id])); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	r, _ = alone(t, e)
	for id, lease := range leases {
		left, alive := r.leases.left(lease)
		if day := left > unreadTTL-time.Hour && left <= unreadTTL; id != "owner" && (!alive || !day) {
			t.Errorf("%s has %v left, %v; want about a day", id, left, alive)
		}
	}
	eventually.True(t, "the id is free again", func() bool {
		_, err := r.Register(t.Context(), leased("n1", "owner", time.Hour))
		return err == nil
	})
}
