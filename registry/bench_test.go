package registry

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// crowded returns a node that lives by a session, with n instances of one check each.
func crowded(n int) catalog.NodeState {
	state := permanentNode("n1")
	state.Node.Owner = catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Minute)}
	for i := range n {
		r := permanent("n1", fmt.Sprintf("i%05d", i), fmt.Sprint("s", i%100))
		r.Instance.Meta = map[string]string{"version": "1.2.3", "commit": "0123456789abcdef"}
		r.Checks = []catalog.Check{{ID: fmt.Sprintf("c%05d", i), Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}}}
		state.Registrations = append(state.Registrations, r)
	}
	return state
}

var crowds = []int{10, 1000, 10_000}

// BenchmarkSyncOfNothing is the cost of comparing an unchanged node.
func BenchmarkSyncOfNothing(b *testing.B) {
	for _, n := range crowds {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, _ := start(b, enginetest.Open(b))
			state := crowded(n)
			if _, err := r.SyncNode(b.Context(), state); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if result, err := r.SyncNode(b.Context(), state); err != nil || result.Puts != 0 {
					b.Fatal(result, err)
				}
			}
		})
	}
}

// BenchmarkSyncOfOne is the cost of adding one instance to a node, or removing it.
func BenchmarkSyncOfOne(b *testing.B) {
	for _, n := range crowds {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, _ := start(b, enginetest.Open(b))
			state := crowded(n)
			all := state.Registrations
			for i := 0; b.Loop(); i++ {
				state.Registrations = all[:n-i%2]
				if _, err := r.SyncNode(b.Context(), state); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSyncInStorm is the cost of adding one instance to a node, or removing it, while checks of its other
// instances change all the time.
func BenchmarkSyncInStorm(b *testing.B) {
	for _, n := range crowds[:2] {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, _ := start(b, enginetest.Open(b))
			state := crowded(n)
			all := state.Registrations
			if _, err := r.SyncNode(b.Context(), state); err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			stop := make(chan struct{})
			for w := range 8 {
				wg.Go(func() {
					for i := w; ; i += 8 {
						select {
						case <-stop:
							return
						default:
						}
						status := []catalog.Status{catalog.Passing, catalog.Critical}[i/(n-1)%2]
						if err := r.SetCheck(b.Context(), aCheck("n1", fmt.Sprintf("c%05d", i%(n-1))), status, ""); err != nil && b.Context().Err() == nil {
							b.Error(err)
							return
						}
					}
				})
			}
			failed := 0
			for i := 0; b.Loop(); i++ {
				state.Registrations = all[:n-i%2]
				if _, err := r.SyncNode(b.Context(), state); err != nil {
					failed++
				}
			}
			b.ReportMetric(float64(failed)/float64(b.N), "failed/op")
			close(stop)
			wg.Wait()
		})
	}
}

// judges are the two that end leases: this process, and the store.
var judges = map[string]func(testing.TB, *engine.Engine, ...func(*Config)) (*Registry, func()){"process": alone, "store": start}

// BenchmarkRenew is the cost of renewing one of many leases, by one client and by many at once.
func BenchmarkRenew(b *testing.B) {
	for judge, begin := range judges {
		for _, n := range crowds {
			r, _ := begin(b, enginetest.Open(b))
			if _, err := r.SyncNode(b.Context(), permanentNode("n1")); err != nil {
				b.Fatal(err)
			}
			registerMany(b, r, n)
			renew := func(i int) error { return r.Renew(b.Context(), "n1", fmt.Sprintf("i%05d", i%n)) }
			b.Run(fmt.Sprint(judge, "/", n, "/one"), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if err := renew(i); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprint(judge, "/", n, "/many"), func(b *testing.B) {
				b.SetParallelism(32)
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						if err := renew(i); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkRegisterLeased is the cost of registering instances with leases, by many clients at once.
func BenchmarkRegisterLeased(b *testing.B) {
	for judge, begin := range judges {
		b.Run(judge, func(b *testing.B) {
			r, _ := begin(b, enginetest.Open(b))
			if _, err := r.SyncNode(b.Context(), permanentNode("n1")); err != nil {
				b.Fatal(err)
			}
			var next atomic.Int64
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.Register(b.Context(), leased("n1", fmt.Sprint("i", next.Add(1)), time.Hour)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// registerMany registers n instances with leases on n1.
func registerMany(b *testing.B, r *Registry, n int) {
	b.Helper()
	var all sync.WaitGroup
	for w := range 64 {
		all.Go(func() {
			for i := w; i < n; i += 64 {
				if _, err := r.Register(b.Context(), leased("n1", fmt.Sprintf("i%05d", i), time.Hour)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
