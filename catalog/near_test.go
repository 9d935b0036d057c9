package catalog

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func nodeIn(name, address string, at Locality) []Change {
	c := putNode(name)
	c.Node.Locality, c.Node.Addresses = at, []Address{{IP: netip.MustParseAddr(address)}}
	return []Change{c, session(name, "s-"+name)}
}

func in(at Locality) func(*Instance) { return func(i *Instance) { i.Locality = at } }

var (
	eu1 = Locality{Region: "eu", Zone: "1"}
	eu2 = Locality{Region: "eu", Zone: "2"}
	us1 = Locality{Region: "us", Zone: "1"}
)

// zoned is a View with nodes in three zones and an instance of "web" on each, and on one without a known place.
func zoned(more ...Change) *View {
	records := nodeIn("a", "10.0.1.1", eu1)
	records = append(records, nodeIn("b", "10.0.2.1", eu2)...)
	records = append(records, nodeIn("c", "10.0.3.1", us1)...)
	for _, node := range []string{"a", "b", "c", "n1"} {
		records = append(records, put(node, "w-"+node, "web"))
	}
	return loaded(append(records, more...)...)
}

func TestTierOf(t *testing.T) {
	for _, tt := range []struct {
		from, to Locality
		want     Tier
	}{
		{eu1, eu1, SameZone},
		{eu1, eu2, SameRegion},
		{eu1, us1, Anywhere}, // a zone's name counts within its region
		{Locality{Zone: "1"}, Locality{Zone: "1"}, SameZone},
		{Locality{Region: "eu"}, Locality{Region: "eu"}, SameRegion},
		{Locality{}, Locality{}, Anywhere},
		{eu1, Locality{}, Anywhere},
		{eu1, Locality{Zone: "1"}, Anywhere},
	} {
		if got := tt.from.TierOf(tt.to); got != tt.want {
			t.Errorf("from %v to %v: tier %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestPlaceIsTheInstancesOrItsNodes(t *testing.T) {
	v := zoned(put("a", "own", "x", in(us1)), put("a", "zone", "x", in(Locality{Zone: "9"})), put("a", "region", "x", in(Locality{Region: "us"})))
	for id, want := range map[string]Locality{
		"w-a": eu1, "own": us1, "zone": {Region: "eu", Zone: "9"}, "region": {Region: "us"},
	} {
		if got := v.Instance("a", id).Place(); got != want {
			t.Errorf("%s runs in %v, want %v", id, got, want)
		}
	}
	v.Apply(20, nodeIn("a", "10.0.1.1", eu2))
	if s := v.Service("web"); s.Index != 20 || v.Instance("a", "w-a").Place() != eu2 {
		t.Errorf("after the node has moved: %v, index %d", v.Instance("a", "w-a").Place(), s.Index)
	}
}

func wantNearest(t *testing.T, v *View, q Query, at Locality, enough int, ids string) {
	t.Helper()
	list, got := v.Service("web").Nearest(q, at, nil)
	var found []string
	for _, e := range list {
		found = append(found, e.ID)
	}
	if text := strings.Join(found, " "); text != ids || got != enough {
		t.Errorf("nearest to %v: %d of %s, want %d of %s", at, got, text, enough, ids)
	}
}

func TestNearestSpillsOver(t *testing.T) {
	v := zoned()
	wantNearest(t, v, Query{}, eu1, 1, "w-a w-b w-c w-n1")
	wantNearest(t, v, Query{}, eu2, 1, "w-b w-a w-c w-n1")
	wantNearest(t, v, Query{}, us1, 1, "w-c w-a w-b w-n1")
	wantNearest(t, v, Query{}, Locality{Region: "eu"}, 2, "w-a w-b w-c w-n1")
	wantNearest(t, v, Query{}, Locality{Region: "eu", Zone: "3"}, 2, "w-a w-b w-c w-n1")
	wantNearest(t, v, Query{}, Locality{}, 4, "w-a w-b w-c w-n1")
	fail := func(revision uint64, node string) { v.Apply(revision, []Change{check(node, "k", "w-"+node, Critical)}) }
	fail(20, "a")
	wantNearest(t, v, Query{}, eu1, 1, "w-b w-c w-n1")
	wantNearest(t, v, Query{Health: AnyHealth}, eu1, 2, "w-a w-b w-c w-n1")
	fail(21, "b")
	wantNearest(t, v, Query{}, eu1, 2, "w-c w-n1")
	// A drained instance does not count: it is no reason to look farther, and is not answered.
	v.Apply(22, []Change{{Type: RecordDrain, Name: "c", ID: "w-c", Drain: &Drain{Node: "c", Instance: "w-c"}}})
	wantNearest(t, v, Query{}, us1, 1, "w-n1")
}

func TestNearestHoldsTheFloorInEachTier(t *testing.T) {
	var crowd []Change
	for i := range 4 {
		crowd = append(crowd, put("a", fmt.Sprint("x", i), "web", func(i *Instance) { i.MinHealthy = 50 }))
	}
	v := zoned(crowd...) // five instances in the zone
	fail := func(revision uint64, ids ...string) {
		for _, id := range ids {
			v.Apply(revision, []Change{check("a", "k-"+id, id, Critical)})
		}
	}
	fail(20, "x0", "x1")
	wantNearest(t, v, Query{}, eu1, 3, "w-a x2 x3 w-b w-c w-n1") // three of five
	fail(21, "x2")
	wantNearest(t, v, Query{}, eu1, 3, "w-a x3 w-b w-c w-n1") // two of five in the zone, three of six in the region
	fail(22, "x3")
	wantNearest(t, v, Query{}, eu1, 4, "w-a w-b w-c w-n1") // one of five, two of six, four of eight
	fail(23, "w-a")
	if !v.Service("web").BelowFloor {
		t.Fatal("not below the floor")
	}
	wantNearest(t, v, Query{}, eu1, 8, "w-a x0 x1 x2 x3 w-b w-c w-n1")
}

func TestNearestCountsWhatTheClientWants(t *testing.T) {
	tagged := func(i *Instance) { i.Tags = []string{"blue"} }
	v := zoned(put("b", "blue", "web", tagged), put("c", "blue2", "web", tagged))
	wantNearest(t, v, Query{Tags: []string{"blue"}}, eu1, 1, "blue blue2")
	v.Apply(20, []Change{check("a", "k", "w-a", Warning)})
	wantNearest(t, v, Query{}, eu1, 1, "w-a blue w-b blue2 w-c w-n1")
	wantNearest(t, v, Query{Health: OnlyPassing}, eu1, 2, "blue w-b blue2 w-c w-n1")
	list, enough := v.Service("web").Nearest(Query{}, eu1, func(e *Endpoint) bool { return e.Instance.Node != "a" })
	if enough != 3 || list[0].ID != "w-a" {
		t.Errorf("with no reachable instance in the zone: %d of %v, want 3", enough, names(list))
	}
	if first := v.Service("web").Healthy[0]; first.ID != "w-a" {
		t.Errorf("the snapshot was changed: %s stands first", first.ID)
	}
}

func TestPlaceNamed(t *testing.T) {
	own := put("n1", "own", "x", in(Locality{Region: "asia", Zone: "7"}), func(i *Instance) {
		i.Addresses = []Address{{IP: netip.MustParseAddr("10.9.9.9")}}
	})
	v := zoned(own)
	for text, want := range map[string]Locality{
		"eu/2": eu2, "eu/nobody": {Region: "eu", Zone: "nobody"}, "eu/": {Region: "eu"}, "2": eu2, "7": {Region: "asia", Zone: "7"},
		"A": eu1, "n1": {}, "w-c": us1, "10.0.2.1": eu2, "10.9.9.9": {Region: "asia", Zone: "7"},
	} {
		if got, err := v.PlaceNamed(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"nosuch": "no zone, node or instance", "mars/1": "no region", "/1": "no region", "10.7.7.7": "nothing is known to be at",
		"1": "in several regions", "": "no zone",
	} {
		if _, err := v.PlaceNamed(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestPlaceOfAClient(t *testing.T) {
	v := zoned(put("a", "box", "x", in(us1), func(i *Instance) {
		i.Addresses = []Address{{Network: "front", IP: netip.MustParseAddr("10.80.0.2")}}
	}))
	got := map[string]Locality{}
	for _, from := range []string{"127.0.0.1", "10.80.0.2", "::ffff:10.80.0.2", "203.0.113.1"} {
		got[from] = v.PlaceOf("a", netip.MustParseAddr(from))
	}
	want := map[string]Locality{"127.0.0.1": eu1, "10.80.0.2": us1, "::ffff:10.80.0.2": us1, "203.0.113.1": eu1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if at := v.PlaceOf("nosuch", netip.MustParseAddr("127.0.0.1")); at != (Locality{}) {
		t.Errorf("on an unknown node: %v", at)
	}
}
