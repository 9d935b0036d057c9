package catalog

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostNetworks are two bridges, one whose members do not reach one another, and an overlay without an address of the
// host.
func hostNetworks() []Network {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	return []Network{
		{ID: "A", Name: "front", Subnets: []netip.Prefix{prefix("10.1.0.0/24")}, Gateways: []netip.Addr{addr("10.1.0.1")}},
		{ID: "B", Name: "Back", Subnets: []netip.Prefix{prefix("10.2.0.0/24"), prefix("fd02::/64")},
			Gateways: []netip.Addr{addr("10.2.0.1"), addr("fd02::1")}},
		{ID: "G", Name: "gw", Subnets: []netip.Prefix{prefix("10.3.0.0/24")}, Gateways: []netip.Addr{addr("10.3.0.1")}, Isolated: true},
		{ID: "O", Name: "over", Subnets: []netip.Prefix{prefix("10.9.0.0/24")}},
		// Its range holds those of A and B.
		{ID: "W", Name: "wide", Subnets: []netip.Prefix{prefix("10.0.0.0/14")}},
	}
}

// at is an address "network/ip"; the network's ID is its name.
func at(text string, names ...string) Address {
	network, ip, _ := strings.Cut(text, "/")
	a := Address{Network: network, IP: netip.MustParseAddr(ip), Names: names}
	if network != "" && network != NetworkHost {
		a.NetworkID = network
	}
	return a
}

// routed is an address of the network around the host.
func routed(text string) Address {
	a := at(text)
	a.Routed = true
	return a
}

func container(id string, published uint16, addresses ...Address) Change {
	return Change{Type: RecordInstance, Name: "n1", ID: id, Instance: &Instance{ID: id, Node: "n1", Service: "s",
		Ports: []Port{{Number: 80, Published: published}}, Addresses: addresses}}
}

func scopedView(changes ...Change) *View {
	v := NewView()
	v.SetNetworks(hostNetworks())
	n := &Node{Name: "n1", Addresses: []Address{at("host/192.0.2.7")}, Owner: Owner{Kind: OwnerPermanent}}
	v.Load(1, append(changes, Change{Type: RecordNode, Name: "n1", Node: n}))
	return v
}

func TestScopeOf(t *testing.T) {
	v := scopedView(
		container("one", 0, at("A/10.1.0.2")),
		container("two", 0, at("A/10.1.0.3"), at("B/10.2.0.3"), at("host/192.0.2.7")),
		container("over", 0, at("O/10.9.0.2"), at("G/10.3.0.2")),
		container("hosted", 0, at("host/192.0.2.7")),
		Change{Type: RecordInstance, Name: "n2", ID: "far", Instance: &Instance{ID: "far", Node: "n2", Service: "s",
			Addresses: []Address{at("X/10.1.0.9")}}},
	)
	for _, test := range []struct{ name, ip, want string }{
		{"loopback", "127.0.0.1", "host A B G"},
		{"loopback, IPv6", "::1", "host A B G"},
		{"a gateway", "10.1.0.1", "host A B G"},
		{"a gateway, mapped", "::ffff:10.1.0.1", "host A B G"},
		{"the node", "192.0.2.7", "host A B G"},
		{"one network", "10.1.0.2", "A"},
		{"two networks, by the first", "10.1.0.3", "A B"},
		{"two networks, by the second", "10.2.0.3", "A B"},
		{"isolated network does not count", "10.3.0.2", "O"},
		{"not registered, by subnet", "10.2.0.77", "B W"},
		{"not registered, IPv6 with a zone", "fd02::9%eth0", "B"},
		{"overlapping subnets", "10.1.0.77", "A W"},
		{"container of another node", "10.1.0.9", "A W"},
		{"not registered on the isolated one", "10.3.0.77", "W"},
		{"outsider", "198.51.100.1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := v.ScopeOf("n1", netip.MustParseAddr(test.ip))
			text := strings.Join(got.Networks, " ")
			if got.Host {
				text = "host " + text
			}
			if text != test.want || got.Everything {
				t.Errorf("%+v, want %q", got, test.want)
			}
			if again := v.ScopeOf("N1", netip.MustParseAddr(test.ip)); again != got {
				t.Errorf("the same client has another scope the next time")
			}
		})
	}
}

// TestConfined holds that a client is confined if it is on internal networks only.
func TestConfined(t *testing.T) {
	v := scopedView(
		container("one", 0, at("A/10.1.0.2")),
		container("two", 0, at("A/10.1.0.3"), at("B/10.2.0.3")),
		container("both", 0, at("B/10.2.0.4"), at("G/10.3.0.4")),
	)
	networks := hostNetworks()[:3]
	networks[1].Internal, networks[2].Internal = true, true
	v.SetNetworks(networks)
	for ip, want := range map[string]bool{
		"127.0.0.1": false, "10.2.0.1": false, "192.0.2.7": false, "10.1.0.2": false, "10.1.0.3": false, "10.2.0.3": false,
		"10.2.0.4": true, "10.3.0.4": true, "10.2.0.77": true, "10.3.0.77": true, "10.1.0.77": false, "198.51.100.1": false,
	} {
		if got := v.ScopeOf("n1", netip.MustParseAddr(ip)); got.Confined != want {
			t.Errorf("%s: %+v, want confined %v", ip, got, want)
		}
	}
}

// TestUnsure holds that a client of which no network is known to lead outside, and one is not known, may be confined, and that this
// concerns neither the host nor clients outside, nor those on networks that are no engine's.
func TestUnsure(t *testing.T) {
	named := func(network, ip string) Address { return Address{Network: network, IP: netip.MustParseAddr(ip)} }
	v := scopedView(
		container("new", 0, at("N/10.7.0.2")),
		container("new and internal", 0, at("N/10.7.0.3"), at("B/10.2.0.3")),
		container("new and outer", 0, at("A/10.1.0.4"), at("N/10.7.0.4")),
		container("elsewhere", 0, named("lan", "10.50.0.2")),
		container("elsewhere and new", 0, named("lan", "10.50.0.3"), at("N/10.7.0.5")),
		container("by name", 0, named("back", "10.60.0.2")),
		container("in the subnet", 0, named("lan", "10.2.0.60")),
		container("hosted", 0, at("host/192.0.2.7")),
	)
	networks := hostNetworks()[:3]
	networks[1].Internal = true
	v.SetNetworks(networks)
	v.SetResidents([]Resident{
		{ID: "new", Addresses: []Address{at("N/10.7.0.50")}}, {ID: "new and internal", Addresses: []Address{at("B/10.2.0.51"), at("N/10.7.0.51")}},
		{ID: "new and outer", Addresses: []Address{at("N/10.7.0.52"), at("A/10.1.0.52")}}, {ID: "internal", Addresses: []Address{at("B/10.2.0.53")}},
	})
	for ip, want := range map[string]string{
		"10.7.0.2": "unsure", "10.7.0.3": "unsure", "10.2.0.3": "unsure", "10.7.0.4": "", "10.1.0.4": "", "10.50.0.2": "", "10.50.0.3": "",
		"10.60.0.2": "unsure", "10.2.0.60": "unsure", "10.7.0.50": "unsure", "10.2.0.51": "unsure", "10.7.0.51": "unsure", "10.7.0.52": "",
		"10.2.0.53": "confined", "10.2.0.99": "confined", "10.1.0.99": "", "10.7.0.99": "", "198.51.100.1": "", "192.0.2.7": "", "127.0.0.1": "",
	} {
		got := v.ScopeOf("n1", netip.MustParseAddr(ip))
		text := ""
		switch {
		case got.Unsure && got.Confined:
			text = "both"
		case got.Unsure:
			text = "unsure"
		case got.Confined:
			text = "confined"
		}
		if text != want || got.Everything {
			t.Errorf("%s: %+v, want %q", ip, got, want)
		}
		if again := v.ScopeOf("n1", netip.MustParseAddr(ip)); again != got {
			t.Errorf("%s has another scope the next time", ip)
		}
	}
	v.SetNetworks(append(networks, Network{ID: "N", Name: "new"}))
	if got := v.ScopeOf("n1", netip.MustParseAddr("10.7.0.2")); got.Unsure || got.Confined {
		t.Errorf("once the network is known: %+v", got)
	}
	v.SetNetworks(nil) // no engine
	if got := v.ScopeOf("n1", netip.MustParseAddr("10.7.0.2")); got != AllNetworks {
		t.Errorf("without networks: %+v", got)
	}
}

// TestScopeOfHost holds that a query from any address of the host's interfaces comes from the host, and that these may change.
func TestScopeOfHost(t *testing.T) {
	v := scopedView()
	second := netip.MustParseAddr("198.51.100.1")
	if v.ScopeOf("n1", second).Host {
		t.Error("an address that no interface has is the host's")
	}
	v.SetInterfaces(&Interfaces{Addresses: []netip.Addr{second, netip.MustParseAddr("2001:db8::1")}})
	for _, ip := range []string{"198.51.100.1", "::ffff:198.51.100.1", "2001:db8::1"} {
		if got := v.ScopeOf("n1", netip.MustParseAddr(ip)); !got.Host || !got.On("A") {
			t.Errorf("%s: %+v", ip, got)
		}
	}
	v.SetInterfaces(&Interfaces{})
	if v.ScopeOf("n1", second).Host {
		t.Error("an address that the host had is the host's")
	}
}

// TestScopeOfLinkLocal holds that a link-local address belongs to the network of the interface by which its query came.
func TestScopeOfLinkLocal(t *testing.T) {
	v := scopedView()
	networks := hostNetworks()
	networks[0].Interface, networks[1].Interface, networks[1].Internal = "br-a", "br-b", true
	v.SetNetworks(networks)
	v.SetInterfaces(&Interfaces{Names: map[string]string{"7": "br-b", "8": "eth0"}})
	for ip, want := range map[string]string{
		"fe80::9%br-a": "A false", "fe80::9%br-b": "B true", "fe80::9%7": "B true", "fe80::9%8": " false", "fe80::9%eth0": " false",
	} {
		got := v.ScopeOf("n1", netip.MustParseAddr(ip))
		if text := fmt.Sprint(strings.Join(got.Networks, " "), " ", got.Confined); text != want {
			t.Errorf("%s: %s, want %s", ip, text, want)
		}
	}
}

// TestConfinedByAllNetworks holds that a container that is not registered is on all of its networks, by whichever it asks.
func TestConfinedByAllNetworks(t *testing.T) {
	v := scopedView()
	networks := hostNetworks()
	networks[1].Internal = true
	v.SetNetworks(networks)
	addr := netip.MustParseAddr
	v.SetResidents([]Resident{
		{ID: "two", Addresses: []Address{at("A/10.1.0.50"), at("B/10.2.0.50")}}, {ID: "one", Addresses: []Address{at("B/10.2.0.51")}},
	})
	for ip, want := range map[string]string{
		"10.1.0.50": "A B false", "10.2.0.50": "A B false", "10.2.0.51": "B true", "fd02::77": "B true",
	} {
		got := v.ScopeOf("n1", addr(ip))
		if text := fmt.Sprint(strings.Join(got.Networks, " "), " ", got.Confined); text != want {
			t.Errorf("%s: %s, want %s", ip, text, want)
		}
	}
}

// TestScopeBeforeNetworks holds that it is not known what a client reaches until the networks are, unless it is the host.
func TestScopeBeforeNetworks(t *testing.T) {
	v := NewView()
	v.AwaitNetworks()
	v.SetInterfaces(&Interfaces{Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}})
	for ip, want := range map[string]bool{"127.0.0.1": false, "::1": false, "198.51.100.1": false, "10.2.0.4": true, "fe80::9%7": true} {
		if got := v.ScopeOf("n1", netip.MustParseAddr(ip)); got.Unsure != want || !got.Everything {
			t.Errorf("%s: %+v, want unsure %v", ip, got, want)
		}
	}
	v.Load(1, []Change{container("one", 0, at("A/10.1.0.2"))})
	if got := v.ScopeOfInstance(v.Instance("n1", "one")); !got.On("A") || !got.Unsure {
		t.Errorf("%+v of an instance", got)
	}
	v.SetNetworks(nil)
	if got := v.ScopeOf("n1", netip.MustParseAddr("10.2.0.4")); got != AllNetworks {
		t.Errorf("%+v after there are known to be none", got)
	}
}

// TestScopeOfUnlistedNetworks has an engine that tells of its containers, and not of their networks: any may be internal.
func TestScopeOfUnlistedNetworks(t *testing.T) {
	v := NewView()
	v.SetNetworks(nil)
	v.SetInterfaces(&Interfaces{Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}})
	v.SetResidents([]Resident{{ID: "one", Addresses: []Address{at("A/10.1.0.50")}}})
	for ip, want := range map[string]bool{"10.1.0.50": true, "::ffff:10.1.0.50": true, "10.1.0.51": false, "198.51.100.1": false, "127.0.0.1": false} {
		if got := v.ScopeOf("n1", netip.MustParseAddr(ip)); got.Unsure != want || !got.Everything {
			t.Errorf("%s: %+v, want unsure %v", ip, got, want)
		}
	}
}

func TestScopeWithoutNetworks(t *testing.T) {
	v := NewView()
	for _, ip := range []string{"127.0.0.1", "10.1.0.2"} {
		if got := v.ScopeOf("n1", netip.MustParseAddr(ip)); got != AllNetworks {
			t.Errorf("%s: %+v, want everything, for nothing is known", ip, got)
		}
	}
	v.SetNetworks(hostNetworks())
	if got := v.HostScope(""); got == AllNetworks || got != v.ScopeOf("", netip.MustParseAddr("::1")) {
		t.Errorf("%+v after networks are known", got)
	}
}

func TestReach(t *testing.T) {
	own := &Scope{Networks: []string{"A", "B"}}
	host := &Scope{Networks: []string{"A"}, Host: true, Node: "n1"}
	for _, test := range []struct {
		name      string
		scope     *Scope
		published uint16
		addresses []Address
		want      string
	}{
		{"shared", own, 0, []Address{at("A/10.1.0.2")}, "10.1.0.2"},
		{"the shared ones, in order", own, 0, []Address{at("B/10.2.0.2"), at("O/10.9.0.2"), at("A/10.1.0.2")}, "10.2.0.2 10.1.0.2"},
		{"none shared", own, 0, []Address{at("O/10.9.0.2")}, ""},
		{"published as the last resort", own, 8080, []Address{at("host/192.0.2.7"), at("A/10.1.0.2")}, "10.1.0.2 192.0.2.7"},
		{"published, none shared", own, 8080, []Address{at("O/10.9.0.2"), at("host/192.0.2.7")}, "192.0.2.7"},
		{"not published, none shared", own, 0, []Address{at("O/10.9.0.2"), at("host/192.0.2.7")}, ""},
		{"not published, shared", own, 0, []Address{at("A/10.1.0.2"), at("host/192.0.2.7")}, "10.1.0.2"},
		{"host mode", own, 0, []Address{at("host/192.0.2.7")}, "192.0.2.7"},
		{"of the node", own, 0, nil, "192.0.2.7"},
		{"reached by all", own, 0, []Address{at("/198.51.100.2")}, "198.51.100.2"},
		{"by name", own, 0, []Address{{Host: "db.example.com"}}, "db.example.com"},
		{"network without an ID", own, 0, []Address{{Network: "A", IP: netip.MustParseAddr("10.1.0.2")}}, "10.1.0.2"},
		{"loopback is the host's", own, 8080, []Address{at("host/127.0.0.1")}, ""},
		{"loopback, mapped", own, 0, []Address{at("/::ffff:127.0.0.1")}, ""},
		{"loopback for the host", host, 8080, []Address{at("B/10.2.0.2"), at("host/127.0.0.1")}, "127.0.0.1"},
		{"a bridge for the host", host, 8080, []Address{at("A/10.1.0.2"), at("host/127.0.0.1")}, "10.1.0.2 127.0.0.1"},
		{"published for an outsider", &Scope{}, 8080, []Address{at("A/10.1.0.2"), at("host/192.0.2.7")}, "192.0.2.7"},
		{"everything, as it is", AllNetworks, 0, []Address{at("O/10.9.0.2"), at("host/192.0.2.7")}, "10.9.0.2 192.0.2.7"},
		{"everything, but no loopback beside it", AllNetworks, 0, []Address{at("host/127.0.0.1"), at("O/10.9.0.2")}, "10.9.0.2"},
		{"of the network around the host", &Scope{}, 0, []Address{routed("L/198.51.100.50")}, "198.51.100.50"},
		{"of the network around the host, behind those near", own, 0, []Address{routed("L/198.51.100.50"), at("A/10.1.0.2")}, "10.1.0.2 198.51.100.50"},
		{"of the network around the host, and on it", &Scope{Networks: []string{"L"}}, 0, []Address{at("/203.0.113.5"), routed("L/198.51.100.50")}, "198.51.100.50 203.0.113.5"},
		{"of the network around the host, for the host", host, 0, []Address{routed("L/198.51.100.50")}, "198.51.100.50"},
		{"everything, and a loopback", AllNetworks, 0, []Address{at("host/127.0.0.1")}, "127.0.0.1"},
		{"loopback of another host", &Scope{Host: true, Node: "n2"}, 8080, []Address{at("host/127.0.0.1"), at("host/192.0.2.7")}, "192.0.2.7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := scopedView(container("c", test.published, test.addresses...))
			var got []string
			for _, a := range test.scope.Reach(v.Instance("n1", "c")) {
				got = append(got, a.String())
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("reached at %q, want %q", text, test.want)
			}
		})
	}
}

func TestByName(t *testing.T) {
	v := scopedView(
		container("db-1", 0, at("A/10.1.0.2", "db", "DB-1"), at("B/10.2.0.2", "store")),
		container("db-2", 0, at("A/10.1.0.3", "db")),
	)
	ids := func(network, name string) (list []string) {
		for e := range v.ByName(network, name) {
			list = append(list, e.ID)
		}
		slices.Sort(list)
		return list
	}
	check := func(network, name string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, ids(network, name)); diff != "" {
			t.Errorf("%s on %s: %s", name, network, diff)
		}
	}
	check("A", "db", "db-1", "db-2")
	check("A", "db-1", "db-1")
	check("B", "STORE", "db-1")
	check("B", "db")
	check("A", "store")

	// An alias and a container are removed.
	v.Apply(2, []Change{container("db-1", 0, at("A/10.1.0.2", "db-1"))})
	check("A", "db", "db-2")
	check("A", "db-1", "db-1")
	check("B", "store")
	v.Apply(3, []Change{{Type: RecordInstance, Name: "n1", ID: "db-2"}})
	check("A", "db")
}

func TestNetworkByNameOrID(t *testing.T) {
	v := scopedView()
	for name, want := range map[string]string{"A": "A", "front": "A", "FRONT": "A", "back": "B", "b": "", "nosuch": ""} {
		got, ok := v.Network(name)
		if got.ID != want || ok != (want != "") {
			t.Errorf("network %s is %q, %v", name, got.ID, ok)
		}
	}
}

// TestManyScopes holds that clients past the bound still get what they can reach.
func TestManyScopes(t *testing.T) {
	n := newNetworks(hostNetworks())
	for i := range maxScopes + 10 {
		ids := []string{fmt.Sprint("x", i), "A"}
		if got := n.scope(ids, "", false, false); !got.On("A") || !got.On(fmt.Sprint("x", i)) || got.On("B") {
			t.Fatalf("scope %d is %+v", i, got)
		}
	}
	if len(*n.interned.Load()) > maxScopes {
		t.Errorf("%d scopes are kept", len(*n.interned.Load()))
	}
}
