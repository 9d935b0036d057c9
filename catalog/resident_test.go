package catalog

import (
	"fmt"
	"net/netip"
	"testing"
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

// TestFormerNamesAreBounded holds that the oldest are forgotten, and names that come back are not kept twice.
func TestFormerNamesAreBounded(t *testing.T) {
	var f former
	for i := range 3 * maxFormer {
		f.note([]claim{{network: "n", name: fmt.Sprint(i)}, {network: "n", name: "always"}}, time.Now())
	}
	if len(f.left) != maxFormer || len(f.order) != maxFormer {
		t.Errorf("%d names, %d in order", len(f.left), len(f.order))
	}
	if _, ok := f.find(claim{network: "n", name: fmt.Sprint(3*maxFormer - 1)}); !ok {
		t.Error("the latest is forgotten")
	}
}
