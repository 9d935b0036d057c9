package catalog

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestEndpointListIsWhatASortedMapIs makes the same random changes to an endpoint list and a map, a few and many
// endpoints at a time.
func TestEndpointListIsWhatASortedMapIs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var list EndpointList
	model := make(map[string]*Endpoint)
	for round := range 400 {
		before, wantBefore := list, slices.Collect(list.All())
		touched := make(map[string]bool)
		var changes []edit[*Endpoint]
		for range 1 + rnd.IntN(1+rnd.IntN(1+rnd.IntN(400))) {
			id := fmt.Sprintf("i-%03d", rnd.IntN(700))
			if touched[id] {
				continue
			}
			touched[id] = true
			c := endpointChange{old: model[id]}
			if c.old == nil || rnd.IntN(5) < 1+round/100 {
				c.new = &Endpoint{Instance: &Instance{ID: id, Node: "n1"}}
				model[id] = c.new
			} else {
				delete(model, id)
			}
			changes = append(changes, c.edit())
		}
		list = list.with(changes)
		var want []*Endpoint
		for _, id := range slices.Sorted(maps.Keys(model)) {
			want = append(want, model[id])
			if list.find(id) != model[id] {
				t.Fatalf("round %d: %s is not found", round, id)
			}
		}
		if !slices.Equal(slices.Collect(list.All()), want) || list.Len() != len(want) || list.find("i-700") != nil {
			t.Fatalf("round %d: the list has %d endpoints, the map %d, or others", round, list.Len(), len(want))
		}
		for _, chunk := range list.list.chunks {
			if len(chunk) == 0 || len(chunk) > maxChunk {
				t.Fatalf("round %d: a chunk of %d", round, len(chunk))
			}
		}
		if !slices.Equal(slices.Collect(before.All()), wantBefore) {
			t.Fatalf("round %d: the list before has changed", round)
		}
	}
	if len(list.list.chunks) < 3 {
		t.Fatalf("%d chunks at the end: nothing was tried", len(list.list.chunks))
	}
}

func TestReplicasShareWhatIsEqual(t *testing.T) {
	alike := func(version string) func(*Instance) {
		return func(i *Instance) {
			i.Tags, i.Ports = []string{"blue", "v2"}, []Port{{Name: "http", Number: 80}}
			i.Meta = map[string]string{"version": version}
		}
	}
	v := loaded(put("n1", "a", "web", alike("1")), put("n1", "b", "web", alike("1")))
	v.Apply(11, []Change{put("n1", "c", "web", alike("2"))})
	a, b, c := v.Instance("n1", "a"), v.Instance("n1", "b"), v.Instance("n1", "c")
	if &a.Tags[0] != &b.Tags[0] || &a.Ports[0] != &b.Ports[0] || &a.Tags[0] != &c.Tags[0] {
		t.Error("equal tags or ports are kept twice")
	}
	if a.Meta["version"] != "1" || b.Meta["version"] != "1" || c.Meta["version"] != "2" {
		t.Errorf("meta %v, %v and %v", a.Meta, b.Meta, c.Meta)
	}
}
