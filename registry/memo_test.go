package registry

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

// TestOwnRecordsAreAsTheStoreGivesThemBack registers through one registry and reads through another.
func TestOwnRecordsAreAsTheStoreGivesThemBack(t *testing.T) {
	e := enginetest.Open(t)
	r, _ := start(t, e)
	r.mustSync(t, permanentNode("n1"))
	full := permanent("n1", "full", "web")
	full.Instance.Ports = []catalog.Port{{Name: "http", Number: 80, Protocol: "tcp", Published: 32768}}
	full.Instance.Addresses = []catalog.Address{
		{Network: "front", NetworkID: "f1", IP: netip.MustParseAddr("10.0.0.1"), Names: []string{"web", "www"}},
		{IP: netip.MustParseAddr("::ffff:10.0.0.2")}, {Host: "web.example", Names: []string{}},
	}
	full.Instance.Tags, full.Instance.Meta = []string{"a<b", "ü"}, map[string]string{"k": "\u2028"}
	full.Instance.Weight, full.Instance.MinHealthy, full.Instance.DNSLimit, full.Instance.Drain = 3, 50, 2, "paused"
	full.Instance.Locality = catalog.Locality{Region: "eu", Zone: "a"}
	empty := permanent("n1", "empty", "web")
	empty.Instance.Ports, empty.Instance.Tags = []catalog.Port{}, []string{}
	empty.Instance.Addresses, empty.Instance.Meta = []catalog.Address{}, map[string]string{}
	for _, registration := range []catalog.Registration{full, empty} {
		r.mustRegister(t, registration)
	}
	state := sessionNode("n2", catalog.MinTTL)
	declared := full
	declared.Instance.Node = "n2"
	state.Registrations = []catalog.Registration{declared}
	r.mustSync(t, state)
	if n := len(r.memo.byKey); n != 0 {
		t.Errorf("%d records are still remembered", n)
	}

	other, _ := start(t, e)
	for _, of := range []struct{ node, id string }{{"n1", "full"}, {"n1", "empty"}, {"n2", "full"}} {
		own, kept := r.view.Instance(of.node, of.id).Instance, other.view.Instance(of.node, of.id).Instance
		if diff := cmp.Diff(kept, own, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s on %s is not as the store gives it back:\n%s", of.id, of.node, diff)
		}
	}
}

func TestMemoGivesARecordForItsBytesOnly(t *testing.T) {
	m := &memo{byKey: make(map[string]remembered)}
	i := &catalog.Instance{ID: "i", Node: "n"}
	w := &write{}
	w.putInstance(i, []byte("value"), 0)
	w.putInstance(&catalog.Instance{ID: "x", Node: "n", Extras: map[string]json.RawMessage{"a": nil}}, []byte("x"), 0)
	key := []byte(instanceKey("n", "i"))
	m.add([]*write{w})
	if m.take(key, []byte("another's")) != nil || m.take(key, []byte("value")) != nil {
		t.Error("a record was given for the write of another process")
	}
	m.add([]*write{w})
	if got := m.take(key, []byte("value")); got == nil || got == i || !got.Equal(i) {
		t.Errorf("got %+v, want a copy of what was written", got)
	}
	if m.take([]byte(instanceKey("n", "x")), []byte("x")) != nil {
		t.Error("extras come back as they were, where the store compacts them")
	}
	m.add([]*write{w})
	m.drop([]*write{w})
	if len(m.byKey) != 0 {
		t.Errorf("%d records after all were dropped", len(m.byKey))
	}
}
