package catalog

import (
	"fmt"
	"testing"
)

// BenchmarkLoadOfACrowdedNode loads a node with n instances of one check each, the checks first, as a store gives them.
func BenchmarkLoadOfACrowdedNode(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			records := []Change{putNode("n1"), session("n1", "s1")}
			for i := range n {
				records = append(records, check("n1", fmt.Sprint("k", i), fmt.Sprint("i", i), Passing))
			}
			for i := range n {
				records = append(records, put("n1", fmt.Sprint("i", i), fmt.Sprint("s", i%100)))
			}
			for b.Loop() {
				NewView().Load(1, records)
			}
		})
	}
}
