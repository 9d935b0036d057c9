package catalog

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func addressOn(ip, network string, names ...string) Address {
	a := Address{Network: network, NetworkID: network, Names: names}
	if ip != "" {
		a.IP = netip.MustParseAddr(ip)
	}
	return a
}

func frontNetwork() []Network {
	return []Network{
		{ID: "front", Name: "front", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Gateways: []netip.Addr{netip.MustParseAddr("10.1.0.1")}},
		{ID: "overlay", Name: "overlay", Subnets: []netip.Prefix{netip.MustParsePrefix("10.5.0.0/16")}},
	}
}

func TestNameless(t *testing.T) {
	v := NewView()
	v.SetNetworks(frontNetwork())
	if _, unknown := v.Nameless("n", netip.MustParseAddr("10.1.0.9")); unknown {
		t.Error("unknown before anything is known of containers")
	}
	v.SetResidents([]Resident{
		{ID: "a", Addresses: []Address{addressOn("10.1.0.2", "front")}},
		{ID: "b", Addresses: []Address{addressOn("10.1.0.3", "front")}, Left: time.Now()},
	})
	v.Load(1, []Change{
		{Type: RecordNode, Name: "n", Node: &Node{Name: "n", Addresses: []Address{{IP: netip.MustParseAddr("10.1.7.7")}}, Owner: Owner{Kind: OwnerPermanent}}},
		{Type: RecordInstance, Name: "n", ID: "c", Instance: &Instance{ID: "c", Node: "n", Service: "c", Addresses: []Address{addressOn("10.1.0.4", "front")}}},
	})
	for ip, want := range map[string]bool{
		"10.1.0.2": false, "10.1.0.3": true, "10.1.0.4": false, "10.1.0.1": false, "10.1.7.7": false, "10.1.0.9": true, "::ffff:10.1.0.9": true,
		"127.0.0.1": false, "192.0.2.1": false, "10.5.0.9": false,
	} {
		if network, got := v.Nameless("n", netip.MustParseAddr(ip)); got != want || got && network != "front" {
			t.Errorf("%s: %q, %v", ip, network, got)
		}
	}
	replaced := v.ResidentsReplaced()
	v.SetResidents(nil)
	select {
	case <-replaced:
	default:
		t.Error("those that wait are not woken")
	}
}

// TestVacated holds that the addresses that containers have given up are remembered for a while, and not without bounds.
func TestVacated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := NewView()
		resident := func(id, ip string) Resident {
			return Resident{ID: id, Addresses: []Address{addressOn(ip, "front")}}
		}
		expect := func(ip string, ago time.Duration) {
			t.Helper()
			switch at := v.VacatedAt(netip.MustParseAddr(ip)); {
			case ago < 0 && !at.IsZero():
				t.Errorf("%s was given up at %v", ip, at)
			case ago >= 0 && (at.IsZero() || time.Since(at) != ago):
				t.Errorf("%s was given up at %v, want %v ago", ip, at, ago)
			}
		}
		expect("10.1.0.2", -1)
		v.SetResidents([]Resident{resident("a", "10.1.0.2"), resident("b", "10.1.0.3"), resident("c", "::ffff:10.1.0.4")})
		expect("10.1.0.2", -1)
		stopped := resident("b", "10.1.0.3")
		stopped.Left = time.Now()
		v.SetResidents([]Resident{resident("a", "10.1.0.2"), stopped, resident("d", "10.1.0.4")})
		expect("10.1.0.2", -1)
		expect("10.1.0.3", 0)
		expect("::ffff:10.1.0.4", 0) // by c
		time.Sleep(time.Hour)
		v.SetResidents(nil)
		expect("10.1.0.2", 0)
		expect("10.1.0.3", time.Hour)
		time.Sleep(vacatedFor - time.Second)
		v.SetResidents(nil)
		expect("10.1.0.2", vacatedFor-time.Second)
		expect("10.1.0.3", -1)
		time.Sleep(time.Second)
		var many []Resident
		for i := range maxVacated + 100 {
			many = append(many, resident(fmt.Sprint(i), netip.AddrFrom4([4]byte{10, 1, byte(1 + i>>8), byte(i)}).String()))
		}
		v.SetResidents(many)
		v.SetResidents(many[100:])
		time.Sleep(time.Second)
		v.SetResidents(nil)
		if n := len(v.residents.Load().vacated); n != maxVacated {
			t.Errorf("%d addresses are remembered", n)
		}
		expect("10.1.1.0", -1) // the first
		expect(many[len(many)-1].Addresses[0].IP.String(), 0)
	})
}

// TestScopeOfResident holds that a container is known with all of its networks before it is registered.
func TestScopeOfResident(t *testing.T) {
	v := NewView()
	v.SetNetworks(frontNetwork())
	v.SetResidents([]Resident{{ID: "a", Project: "p", Addresses: []Address{addressOn("10.1.0.2", "front"), addressOn("10.5.0.2", "overlay")}}})
	got := v.ScopeOf("n", netip.MustParseAddr("10.1.0.2"))
	if !got.On("front") || !got.On("overlay") || got.Project != "p" {
		t.Errorf("scope %+v", got)
	}
	if again := v.ScopeOf("n", netip.MustParseAddr("10.1.0.2")); again != got {
		t.Error("the scope is made again")
	}
}

func TestClaimed(t *testing.T) {
	v := NewView()
	v.SetNetworks(frontNetwork())
	hour := time.Now().Add(-time.Hour)
	v.SetResidents([]Resident{
		{ID: "a", Project: "p", Names: []string{"Web"}, Addresses: []Address{addressOn("", "front", "Web")}, Left: hour},
		{ID: "b", Project: "p", Names: []string{"web"}, Addresses: []Address{addressOn("", "front", "web")}, Left: hour.Add(-time.Hour)},
		{ID: "c", Addresses: []Address{addressOn("10.1.0.3", "front", "runs")}},
		{ID: "d", Addresses: []Address{addressOn("", "front", "runs")}, Left: hour},
	})
	was := &Instance{ID: "x", Node: "far", Service: "x", Meta: map[string]string{MetaStack: "s"},
		Addresses: []Address{addressOn("10.5.0.9", "overlay", "left"), addressOn("10.7.0.9", "theirs", "left", "theirs")}}
	v.Load(1, []Change{{Type: RecordInstance, Name: "far", ID: "x", Instance: was}})
	before := time.Now()
	v.Apply(2, []Change{{Type: RecordInstance, Name: "far", ID: "x"}})
	front, overlay := &Scope{Networks: []string{"front"}}, &Scope{Networks: []string{"overlay"}}
	if left, ok := v.Claimed(front, "WEB"); !ok || !left.Equal(hour) {
		t.Errorf("stopped: %v, %v", left, ok)
	}
	if left, ok := v.Claimed(front, "runs"); !ok || !left.IsZero() {
		t.Errorf("one runs: %v, %v", left, ok)
	}
	if _, ok := v.Claimed(&Scope{Project: "p"}, "web"); !ok {
		t.Error("not claimed in the project")
	}
	if left, ok := v.Claimed(overlay, "left"); !ok || left.Before(before) {
		t.Errorf("removed on another host: %v, %v", left, ok)
	}
	if _, ok := v.Claimed(&Scope{Project: "s"}, "theirs"); !ok {
		t.Error("removed from the stack, and not claimed there")
	}
	for _, scope := range []*Scope{overlay, {Project: "q"}, {Networks: []string{"theirs"}}} {
		if _, ok := v.Claimed(scope, "web"); ok {
			t.Errorf("claimed for %+v", scope)
		}
	}
}

// TestClaimedByTheLiving holds that the names of a project's instances are claimed in it while they live, on whatever host and
// network, and that their end is noted.
func TestClaimedByTheLiving(t *testing.T) {
	v := NewView()
	v.SetNetworks(frontNetwork())
	db := func(id, service, project string, names ...string) Change {
		return Change{Type: RecordInstance, Name: "far", ID: id, Instance: &Instance{ID: id, Node: "far", Service: service,
			Meta: map[string]string{MetaProject: project}, Addresses: []Address{addressOn("10.9.0.2", "theirs", names...)}}}
	}
	v.Load(1, []Change{db("1", "Store", "p", "db1", "DB"), db("2", "store", "p", "db2", "db"), db("3", "other", "q", "other")})
	claimed := func(name string, want, runs bool) {
		t.Helper()
		if left, ok := v.Claimed(&Scope{Project: "p"}, name); ok != want || ok && left.IsZero() != runs {
			t.Errorf("%s: %v, %v, want %v", name, left, ok, want)
		}
	}
	for name, want := range map[string]bool{"db": true, "Db1": true, "db2": true, "STORE": true, "other": false, "nosuch": false} {
		claimed(name, want, true)
	}
	for _, scope := range []*Scope{{}, {Project: "r"}, {Networks: []string{"front"}}} {
		if _, ok := v.Claimed(scope, "db"); ok {
			t.Errorf("claimed for %+v", scope)
		}
	}
	v.Apply(2, []Change{{Type: RecordInstance, Name: "far", ID: "2"}})
	claimed("db", true, true)
	claimed("store", true, true)
	claimed("db2", true, false)
	v.Apply(3, []Change{db("1", "Store", "q", "db1", "DB")}) // it moves to another project
	claimed("db", true, false)
	claimed("store", true, false)
	v.Apply(4, []Change{db("1", "Store", "p", "db1")})
	claimed("db", true, false)
	claimed("store", true, true)
	v.Apply(5, []Change{db("1", "shop", "p", "db1")})
	claimed("store", true, false)
	claimed("shop", true, true)
}

// TestFormerNamesAreBounded holds that the names which ended longest ago are forgotten, however often they had ended before,
// and that none is kept twice.
func TestFormerNamesAreBounded(t *testing.T) {
	name := func(i int) claim { return claim{network: "n", name: fmt.Sprint(i)} }
	always, again, now := claim{network: "n", name: "always"}, claim{project: "p", name: "again"}, time.Now()
	f := newFormer()
	f.note([]claim{again}, now)
	for i := range 3*maxFormer - 1 {
		now = now.Add(time.Second)
		if i == maxFormer/2 {
			f.note([]claim{again, again}, now)
		}
		f.note([]claim{name(i), always}, now)
		if _, ok := f.find(again); ok != (i < maxFormer/2+maxFormer-2) {
			t.Fatalf("remembered %v after %d further names", ok, i)
		}
	}
	if f.left.len() != maxFormer || f.order.Len() != maxFormer {
		t.Errorf("%d names, %d in order", f.left.len(), f.order.Len())
	}
	for c, want := range map[claim]bool{always: true, name(3*maxFormer - 2): true, name(2 * maxFormer): true, name(2*maxFormer - 1): false} {
		if left, ok := f.find(c); ok != want || ok && left.After(now) {
			t.Errorf("%v: %v at %v, want %v", c, ok, left, want)
		}
	}
	var many []claim
	for i := range maxFormer + 10 {
		many = append(many, name(-i))
	}
	f.note(many, now)
	if _, first := f.find(many[0]); first || f.left.len() != maxFormer || f.order.Len() != maxFormer {
		t.Errorf("%d names, %d in order after more than fit at once", f.left.len(), f.order.Len())
	}
}

// TestFormerNamesAreOfThoseThatLostThem holds that an instance which goes on having a name is not taken for a former owner, whatever
// else changes with it, and that one which loses a name is.
func TestFormerNamesAreOfThoseThatLostThem(t *testing.T) {
	db := func(change func(*Instance)) *Instance {
		i := &Instance{ID: "db1", Node: "n", Service: "served", Meta: map[string]string{MetaProject: "p"},
			Addresses: []Address{addressOn("10.1.0.2", "front", "db1", "db"), addressOn("10.5.0.2", "overlay", "db1")}}
		if change != nil {
			change(i)
		}
		return i
	}
	other := &Instance{ID: "other", Node: "n", Service: "other", Addresses: []Address{addressOn("10.1.0.3", "front", "other")}}
	inProject, onFront := func(name string) claim { return claim{project: "p", name: name} }, func(name string) claim { return claim{network: "front", name: name} }
	for _, tt := range []struct {
		name  string
		after *Instance
		gone  []claim
	}{
		{"another tag", db(func(i *Instance) { i.Tags = []string{"a"} }), nil},
		{"another address", db(func(i *Instance) { i.Addresses[0] = addressOn("10.1.0.9", "front", "db1", "db") }), nil},
		{"a further name", db(func(i *Instance) { i.Addresses[0].Names = []string{"db1", "db", "more"} }), nil},
		{"a name less", db(func(i *Instance) { i.Addresses[0].Names = []string{"db1"} }), []claim{inProject("db"), onFront("db")}},
		{"a network less", db(func(i *Instance) { i.Addresses = i.Addresses[1:] }), []claim{inProject("db"), onFront("db"), onFront("db1")}},
		{"another service", db(func(i *Instance) { i.Service = "moved" }), []claim{inProject("served")}},
		{"another service, and its name an alias", db(func(i *Instance) {
			i.Service, i.Addresses[1].Names = "moved", []string{"db1", "served"}
		}), nil},
		{"another project", db(func(i *Instance) { i.Meta = map[string]string{MetaProject: "q"} }), []claim{inProject("db"), inProject("db1"), inProject("served")}},
		{"gone", nil, []claim{inProject("db"), inProject("db1"), inProject("served"), onFront("db"), onFront("db1")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := NewView()
			v.SetNetworks(frontNetwork())
			v.Load(1, []Change{{Type: RecordInstance, Name: "n", ID: "db1", Instance: db(nil)}})
			v.Apply(2, []Change{
				{Type: RecordInstance, Name: "n", ID: "db1", Instance: tt.after},
				{Type: RecordInstance, Name: "n", ID: "other", Instance: other}, // so that a name changes in any case
			})
			for _, c := range []claim{inProject("db"), inProject("db1"), inProject("served"), onFront("db"), onFront("db1"), onFront("served")} {
				if _, got := v.former.find(c); got != slices.Contains(tt.gone, c) {
					t.Errorf("%+v ended: %v", c, got)
				}
			}
		})
	}
}
