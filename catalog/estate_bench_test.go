package catalog

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// estate is hosts of ten containers each, all at the same addresses of Docker's own bridge, and one of each host has the
// same ID everywhere; every hundredth host is in a zone of its own. The View is that of the last host.
func estate(hosts int) (v *View, last string) {
	var records []Change
	for h := range hosts {
		last = fmt.Sprintf("host-%05d", h)
		at := Locality{Region: fmt.Sprint("r", h/2000), Zone: fmt.Sprint("z", h/100)}
		node := &Node{
			Name: last, Locality: at, Owner: Owner{Kind: OwnerPermanent},
			Addresses: []Address{{Network: NetworkHost, IP: netip.AddrFrom4([4]byte{10, 0, byte(h >> 8), byte(h)})}},
		}
		records = append(records, Change{Type: RecordNode, Name: last, Node: node})
		for c := range 10 {
			id := fmt.Sprintf("%s-c%d", last, c)
			i := &Instance{
				ID: id, Node: last, Service: fmt.Sprintf("svc-%d-%d", h/10, c), Source: "docker", Ports: []Port{{Number: 80, Published: 8080}},
				Owner: Owner{Kind: OwnerContainer, ID: fmt.Sprintf("%064x", 16*h+c)}, Tags: []string{"v2"},
				Addresses: []Address{{
					Network: "bridge", NetworkID: last, IP: netip.AddrFrom4([4]byte{172, 17, 0, byte(2 + c)}),
					Names: []string{id, fmt.Sprintf("%012x", 16*h+c)},
				}},
			}
			if c == 0 {
				i.ID = "exporter"
			}
			records = append(records, Change{Type: RecordInstance, Name: last, ID: i.ID, Instance: i})
		}
	}
	v = NewView()
	v.SetNetworks([]Network{{
		ID: last, Name: "bridge", Subnets: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")},
		Gateways: []netip.Addr{netip.MustParseAddr("172.17.0.1")},
	}})
	v.Load(1, records)
	return v, last
}

// BenchmarkScopeOf is the cost of finding a client's scope, which each DNS query pays, with few and with many hosts.
func BenchmarkScopeOf(b *testing.B) {
	for _, hosts := range []int{10, 10_000} {
		v, last := estate(hosts)
		for name, ip := range map[string]string{"container": "172.17.0.5", "unregistered": "172.17.9.9", "stranger": "10.1.1.1"} {
			from := netip.MustParseAddr(ip)
			b.Run(fmt.Sprintf("%s/%d", name, hosts), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					v.ScopeOf(last, from)
				}
			})
		}
		b.Run(fmt.Sprintf("place/%d", hosts), func(b *testing.B) {
			from := netip.MustParseAddr("172.17.0.5")
			for b.Loop() {
				v.PlaceOf(last, from)
			}
		})
	}
}

// BenchmarkPlaceNamed is the cost of each kind of text after near=, with few and with many hosts.
func BenchmarkPlaceNamed(b *testing.B) {
	for _, hosts := range []int{10, 10_000} {
		v, last := estate(hosts)
		for kind, text := range map[string]string{
			"region": "r0/z0", "zone": "z0", "node": last, "instance": last + "-c3", "repeated": "exporter", "ip": "172.17.0.7",
			"node-ip": "10.0.0.3", "unknown": "nosuch",
		} {
			b.Run(fmt.Sprintf("%s/%d", kind, hosts), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = v.PlaceNamed(text)
				}
			})
		}
	}
}

// BenchmarkViewApplyContainer is a container that stops and is started again, with few and with many hosts: one at an
// address and with an ID that all hosts have, and one that shares nothing with others.
func BenchmarkViewApplyContainer(b *testing.B) {
	for _, hosts := range []int{10, 10_000} {
		v, last := estate(hosts)
		own := *v.Instance(last, "exporter").Instance
		own.ID = "own"
		own.Addresses = []Address{{Network: "bridge", NetworkID: last, IP: netip.MustParseAddr("172.17.9.9"), Names: []string{"own", "web"}}}
		for kind, i := range map[string]*Instance{"shared": v.Instance(last, "exporter").Instance, "own": &own} {
			start := Change{Type: RecordInstance, Name: last, ID: i.ID, Instance: i}
			stop := Change{Type: RecordInstance, Name: last, ID: i.ID}
			b.Run(fmt.Sprintf("%s/%d", kind, hosts), func(b *testing.B) {
				b.ReportAllocs()
				for n := uint64(2); b.Loop(); n += 2 {
					v.Apply(n, []Change{stop})
					v.Apply(n+1, []Change{start})
				}
			})
		}
	}
}

// BenchmarkEstateMemory is the memory that the View keeps for a container, its records included.
func BenchmarkEstateMemory(b *testing.B) {
	const hosts = 10_000
	for b.Loop() {
		before := heap()
		v, _ := estate(hosts)
		b.ReportMetric(float64(heap()-before)/(10*hosts), "B/instance")
		runtime.KeepAlive(v)
	}
}

// BenchmarkViewApplyCheck is a change of a check's status on a node with many.
func BenchmarkViewApplyCheck(b *testing.B) {
	for _, size := range []int{10, 10_000} {
		v := NewView()
		records := crowd(size, 1)
		var checks []Change
		for n, c := range records {
			records[n].Name = "here"
			if c.Instance != nil {
				c.Instance.Node = "here"
				check := &Check{ID: "check-" + c.ID, Node: "here", Instance: c.ID, Status: Passing}
				checks = append(checks, Change{Type: RecordCheck, Name: "here", ID: check.ID, Check: check})
			}
		}
		v.Load(1, append(records, checks...))
		sick := *checks[0].Check
		sick.Status = Critical
		changes := []Change{checks[0], {Type: RecordCheck, Name: "here", ID: sick.ID, Check: &sick}}
		b.Run(fmt.Sprintf("apply/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for n := uint64(2); b.Loop(); n++ {
				v.Apply(n, changes[n%2:n%2+1])
			}
		})
		b.Run(fmt.Sprintf("find/%d", size), func(b *testing.B) {
			node, id := v.Node("here"), checks[len(checks)/2].ID
			for b.Loop() {
				if node.Check(id) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}
