package catalog

import (
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
)

// crowd is services × instances records of permanent nodes with a thousand instances each, as a store would hold them.
func crowd(services, instances int) []Change {
	total := services * instances
	changes := make([]Change, 0, total+total/1000+1)
	for n := range total {
		node := fmt.Sprintf("node-%04d", n/1000)
		if n%1000 == 0 {
			changes = append(changes, Change{
				Type: RecordNode, Name: node, Node: &Node{Name: node, Owner: Owner{Kind: OwnerPermanent}},
			})
		}
		changes = append(changes, crowdMember(node, services, n))
	}
	return changes
}

func crowdMember(node string, services, n int) Change {
	ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	i := &Instance{
		ID: "i-" + strconv.Itoa(n), Node: node, Service: fmt.Sprintf("svc-%05d", n%services), Source: "http",
		Ports: []Port{{Name: "http", Number: 8080}}, Addresses: []Address{{IP: ip}}, Tags: []string{"blue", "v2"},
		Meta: map[string]string{"version": "2.14.1", "commit": "9f1c2ab7"}, Owner: Owner{Kind: OwnerSession},
	}
	return Change{Type: RecordInstance, Name: node, ID: i.ID, Instance: i}
}

// BenchmarkViewLookup is a lookup among 100,000 services.
func BenchmarkViewLookup(b *testing.B) {
	const services = 100_000
	v := NewView()
	v.Load(1, crowd(services, 1))
	names := make([]string, 1024)
	for i := range names {
		names[i] = fmt.Sprintf("svc-%05d", i*97%services)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		found, err := v.Lookup(Query{Service: names[i%len(names)]})
		if err != nil || len(found.Endpoints) != 1 {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkViewApply is one change of an instance, in a service of 5 and in larger ones.
func BenchmarkViewApply(b *testing.B) {
	for _, size := range []struct{ services, instances int }{{1, 5}, {1000, 5}, {10_000, 10}, {100_000, 5}} {
		b.Run(fmt.Sprintf("%dx%d", size.services, size.instances), func(b *testing.B) {
			v := NewView()
			v.Load(1, crowd(size.services, size.instances))
			changes := make([]Change, 2)
			for i := range changes {
				changes[i] = crowdMember("node-0000", size.services, 0)
				changes[i].Instance.Weight = int32(i + 1)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v.Apply(uint64(i+2), changes[i%2:i%2+1])
			}
		})
	}
}

// BenchmarkViewApplyBatch is 64 new instances at once on a node that has 20,000: what a group of registrations costs.
func BenchmarkViewApplyBatch(b *testing.B) {
	v := NewView()
	records := crowd(4000, 5)
	for i := range records {
		records[i].Name = "here"
		if records[i].Instance != nil {
			records[i].Instance.Node = "here"
		}
	}
	v.Load(1, records)
	var changes []Change
	for n := range 64 {
		changes = append(changes, crowdMember("here", 100_000, 50_000+n))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for n := range changes {
			instance := *changes[n].Instance
			instance.Weight = int32(i + 1)
			changes[n].Instance = &instance
		}
		v.Apply(uint64(i+2), changes)
	}
}

// BenchmarkViewMemory is the memory that the View keeps for an instance, strings of its records included; a load is one
// round.
func BenchmarkViewMemory(b *testing.B) {
	const services, instances = 10_000, 10
	for b.Loop() {
		before := heap()
		v := NewView()
		v.Load(1, crowd(services, instances))
		b.ReportMetric(float64(heap()-before)/(services*instances), "B/instance")
		runtime.KeepAlive(v)
	}
}

// heap returns the bytes in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
