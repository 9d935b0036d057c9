package catalog

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// changing makes random changes of a small estate in which addresses, names, IDs and places are shared by many.
type changing struct{ *rand.Rand }

func (r changing) node() string {
	return fmt.Sprint([]string{"node", "Node"}[r.IntN(2)], "-", r.IntN(300))
}
func (r changing) ip() netip.Addr { return netip.AddrFrom4([4]byte{172, 17, 0, byte(r.IntN(4))}) }

func (r changing) place() Locality {
	zone, region := r.IntN(4), r.IntN(3)
	return []Locality{{}, {Zone: fmt.Sprint(zone)}, {Region: fmt.Sprint(region)}, {Region: fmt.Sprint(region), Zone: fmt.Sprint(zone)}}[r.IntN(4)]
}

func (r changing) change() Change {
	c := Change{Name: r.node()}
	switch kind := r.IntN(10); {
	case kind < 2:
		c.Type = RecordNode
		if r.IntN(3) > 0 {
			c.Node = &Node{Name: c.Name, Locality: r.place(), Owner: Owner{Kind: OwnerPermanent}, Addresses: []Address{{IP: r.ip()}, {IP: r.ip()}}}
		}
	case kind < 4:
		c.Type, c.ID = RecordCheck, fmt.Sprint("check-", r.IntN(40))
		if r.IntN(3) > 0 {
			c.Check = &Check{ID: c.ID, Node: c.Name, Instance: []string{"", "i-0", "i-1", "i-2"}[r.IntN(4)], Output: fmt.Sprint(r.Uint32())}
		}
	default:
		c.Type, c.ID = RecordInstance, fmt.Sprint("i-", r.IntN(3))
		if r.IntN(3) > 0 {
			c.Instance = &Instance{ID: c.ID, Node: c.Name, Service: "s", Locality: r.place()}
			for n := range r.IntN(3) {
				c.Instance.Addresses = append(c.Instance.Addresses, Address{
					Network: []string{"", NetworkHost, "bridge"}[r.IntN(3)], IP: r.ip(), Names: []string{fmt.Sprint("name-", n)},
				})
			}
		}
	}
	return c
}

// every yields all instances of a View by node and ID, as a lookup without an index would visit them.
func every(v *View) (list []*Endpoint) {
	for _, node := range v.Nodes() {
		list = slices.AppendSeq(list, node.Endpoints.All())
	}
	slices.SortFunc(list, compareEndpoints)
	return list
}

func having(list []*Endpoint, has func(Address) bool) (found []*Endpoint) {
	for _, e := range list {
		if slices.ContainsFunc(e.Instance.Addresses, has) {
			found = append(found, e)
		}
	}
	return found
}

// TestLookupsFindWhatASearchFinds compares each lookup by an index with a search through everything, after random changes.
func TestLookupsFindWhatASearchFinds(t *testing.T) {
	r := changing{rand.New(rand.NewPCG(3, 4))}
	v := NewView()
	v.Load(1, nil)
	for round := range uint64(100) {
		var changes []Change
		for range 1 + r.IntN(1+r.IntN(200)) {
			changes = append(changes, r.change())
		}
		if round == 70 {
			v.Load(round+2, changes) // nearly everything is removed
		} else {
			v.Apply(round+2, changes)
		}
		list := every(v)
		for n := range 4 {
			ip := netip.AddrFrom4([4]byte{172, 17, 0, byte(n)})
			at := func(a Address) bool { return a.IP == ip }
			sameEndpoints(t, fmt.Sprintf("round %d: at %s", round, ip), v.ByIP(ip), having(list, at))
			own := having(list, func(a Address) bool { return at(a) && a.Network == "bridge" })
			for node := range 150 {
				key := fmt.Sprint("node-", node)
				isOn := func(e *Endpoint) bool { return fold(e.Instance.Node) == key }
				state, _ := v.nodes.get(key)
				if got := v.containerAt(state, ip); got == nil && slices.ContainsFunc(own, isOn) || got != nil && !slices.Contains(own, got) {
					t.Fatalf("round %d: container of %s at %s: %v, want one of %d", round, key, ip, got, len(own))
				}
			}
		}
		for n := range 3 {
			name, id := fmt.Sprint("name-", n), fmt.Sprint("i-", n)
			sameEndpoints(t, fmt.Sprintf("round %d: %s", round, name), v.ByName("bridge", name),
				having(list, func(a Address) bool { return a.Network == "bridge" && slices.Contains(a.Names, name) }))
			want := slices.DeleteFunc(slices.Clone(list), func(e *Endpoint) bool { return e.ID != id })
			if got := slices.Collect(v.ByID(id)); !slices.Equal(got, want) {
				t.Fatalf("round %d: %s: %v, want %v in order", round, id, names(got), names(want))
			}
		}
		checkChecks(t, v)
		checkPlaces(t, v, list)
	}
}

func sameEndpoints(t *testing.T, what string, got func(func(*Endpoint) bool), want []*Endpoint) {
	t.Helper()
	list := slices.Collect(got)
	slices.SortFunc(list, compareEndpoints)
	if !slices.Equal(list, want) {
		t.Fatalf("%s: %v, want %v", what, names(list), names(want))
	}
}

func checkChecks(t *testing.T, v *View) {
	t.Helper()
	for _, node := range v.Nodes() {
		want := make(map[string]*Check)
		for c := range node.AllChecks() {
			want[c.ID] = c
		}
		for n := range 40 {
			id := fmt.Sprint("check-", n)
			if got := node.Check(id); got != want[id] {
				t.Fatalf("%s of %s at %d: %v, want %v", id, node.Name, v.Revision(), got, want[id])
			}
		}
	}
}

// checkPlaces asks for each zone and region, known or not, and for instances and addresses by the first node that has them.
func checkPlaces(t *testing.T, v *View, list []*Endpoint) {
	t.Helper()
	zones, regions := make(map[string]map[Locality]bool), make(map[string]bool)
	know := func(at Locality) {
		regions[at.Region] = true
		if zones[at.Zone] == nil {
			zones[at.Zone] = make(map[Locality]bool)
		}
		zones[at.Zone][at] = true
	}
	for _, node := range v.Nodes() {
		if node.Node != nil {
			know(node.Node.Locality)
		}
	}
	for _, e := range list {
		if e.Instance.Locality != (Locality{}) {
			know(e.Place())
		}
	}
	for n := range 5 {
		name := fmt.Sprint(n)
		at, err := v.PlaceNamed(name)
		switch {
		case len(zones[name]) == 1 && (err != nil || !zones[name][at]),
			len(zones[name]) > 1 && KindOf(err) != KindInvalid,
			len(zones[name]) == 0 && KindOf(err) != KindNotFound:
			t.Fatalf("zone %s at %d: %v, %v, want one of %v", name, v.Revision(), at, err, zones[name])
		}
		if _, err := v.PlaceNamed(name + "/x"); (err == nil) != regions[name] {
			t.Fatalf("region %s at %d: %v, want it known: %v", name, v.Revision(), err, regions[name])
		}
	}
	for n := range 3 {
		id := fmt.Sprint("i-", n)
		first := slices.IndexFunc(list, func(e *Endpoint) bool { return e.ID == id })
		if at, err := v.PlaceNamed(id); (err == nil) != (first >= 0) || err == nil && at != list[first].Place() {
			t.Fatalf("instance %s at %d: %v, %v", id, v.Revision(), at, err)
		}
	}
}

// TestManyAtOneAddressOfANode holds that each of them is found, whatever chunk it is in.
func TestManyAtOneAddressOfANode(t *testing.T) {
	var records []Change
	for _, node := range []string{"a", "b", "c"} {
		for n := range 300 {
			records = append(records, put(node, fmt.Sprintf("%s-%03d", node, n), "s", func(i *Instance) { i.Addresses = []Address{at("A/172.17.0.2")} }))
		}
	}
	v := loaded(records...)
	for _, c := range records {
		node, _ := v.nodes.get(c.Name)
		found := false
		v.containersAt(node, netip.MustParseAddr("172.17.0.2"), func(e *Endpoint) bool {
			found = e.ID == c.ID
			return !found
		})
		if !found {
			t.Fatalf("%s is not found", c.ID)
		}
	}
}

// TestPlaceOfANodeByItsAddress holds that of several nodes at an address the first by name counts, in whatever order
// they were added, and that an instance comes before a node.
func TestPlaceOfANodeByItsAddress(t *testing.T) {
	v := loaded(slices.Concat(nodeIn("c", "10.0.0.1", us1), nodeIn("B", "10.0.0.1", eu2), nodeIn("a", "10.0.0.2", eu1))...)
	place := func(want Locality) {
		t.Helper()
		if got, err := v.PlaceNamed("10.0.0.1"); err != nil || got != want {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	place(eu2)
	v.Apply(20, nodeIn("a", "10.0.0.1", eu1))
	place(eu1)
	v.Apply(21, []Change{{Type: RecordNode, Name: "a"}, {Type: RecordNode, Name: "b"}})
	place(us1)
	v.Apply(22, []Change{put("a", "i", "x", in(eu2), func(i *Instance) { i.Addresses = []Address{{IP: netip.MustParseAddr("::ffff:10.0.0.1")}} })})
	place(eu2)
}

// TestASnapshotKeepsItsChecks holds that a snapshot's checks stay the same, whatever changes later.
func TestASnapshotKeepsItsChecks(t *testing.T) {
	v := loaded(put("n1", "a", "s"), put("n1", "b", "s"), check("n1", "c", "a", Passing), check("n1", "own", "", Passing), check("n1", "orphan", "gone", Passing))
	before := v.Node("n1")
	v.Apply(11, []Change{check("n1", "c", "b", Critical), {Type: RecordCheck, Name: "n1", ID: "own"}})
	v.Apply(12, []Change{check("n1", "c", "b", Warning), remove("n1", "a")})
	if c := before.Check("c"); c == nil || c.Instance != "a" || c.Status != Passing || before.Check("own") == nil {
		t.Errorf("the snapshot before has %+v", c)
	}
	now := v.Node("n1")
	if c := now.Check("c"); c == nil || c.Instance != "b" || c.Status != Warning || now.Check("own") != nil {
		t.Errorf("now it is %+v", c)
	}
	if before.Check("orphan") != nil || now.Check("nosuch") != nil {
		t.Error("a check of no instance, or none at all, is found")
	}
	v.Apply(13, []Change{{Type: RecordCheck, Name: "n1", ID: "c"}, {Type: RecordCheck, Name: "n1", ID: "orphan"}})
	if now := v.Node("n1"); now.Check("c") != nil || now.places != nil {
		t.Errorf("after all are gone: %+v", now.places)
	}
}

// TestLookupsWhileTheCatalogChanges runs readers next to the writer, for the race detector; members that are never
// changed must always be found.
func TestLookupsWhileTheCatalogChanges(t *testing.T) {
	r := changing{rand.New(rand.NewPCG(5, 6))}
	v := NewView()
	v.SetNetworks(hostNetworks())
	stays := put("stays", "stays", "s", in(eu1), func(i *Instance) { i.Addresses = []Address{at("A/172.17.0.1", "name-0")} })
	v.Load(1, []Change{putNode("stays"), stays, check("stays", "check", "stays", Passing)})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				scope := v.ScopeOf("stays", netip.MustParseAddr("172.17.0.1"))
				if place, err := v.PlaceNamed("stays"); err != nil || strings.Join(scope.Networks, " ") != "A" {
					t.Errorf("scope %+v, place %v, %v", scope, place, err)
					return
				}
				if place := v.PlaceOf("stays", netip.MustParseAddr("172.17.0.1")); place != eu1 || v.Node("stays").Check("check") == nil {
					t.Errorf("place %v", place)
					return
				}
				for e := range v.ByIP(netip.MustParseAddr("172.17.0.2")) {
					_ = e.Place()
				}
			}
		})
	}
	for revision := range uint64(300) {
		var changes []Change
		for range 20 {
			changes = append(changes, r.change())
		}
		v.Apply(revision+2, changes)
	}
	close(done)
	readers.Wait()
}
