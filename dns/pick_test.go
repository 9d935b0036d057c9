package dns

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

func weighted(weights ...uint32) *recordSet {
	records := make([]record, len(weights))
	for i, w := range weights {
		records[i] = record{rdata: []byte{byte(i >> 8), byte(i)}, weight: w}
	}
	return newRecordSet(dns.TypeA, records)
}

func newPicker(seed uint64) *picker { return &picker{rng: rand.New(rand.NewPCG(seed, 2))} }

// near fails unless got is within five standard deviations of trials draws at the odds want.
func near(t *testing.T, what string, got, trials int, want float64) {
	t.Helper()
	deviation := math.Sqrt(float64(trials) * want * (1 - want))
	if math.Abs(float64(got)-want*float64(trials)) > 5*deviation+1 {
		t.Errorf("%s: %d of %d, want %.1f ± %.1f", what, got, trials, want*float64(trials), 5*deviation)
	}
}

func TestFirstByWeight(t *testing.T) {
	const trials = 20_000
	// Both ways of drawing: all of them by keys, few out of many by draws.
	tests := []struct {
		name    string
		weights []uint32
		k       int
	}{
		{"whole", []uint32{1, 2, 3, 4}, 4},
		{"few of many", append([]uint32{10, 20, 30}, slices.Repeat([]uint32{1}, 40)...), 5},
		{"alike", slices.Repeat([]uint32{7}, 12), 2},
		{"one rules", append([]uint32{60000}, slices.Repeat([]uint32{1}, 11)...), 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, p := weighted(test.weights...), newPicker(3)
			var sum float64
			for _, w := range test.weights {
				sum += float64(w)
			}
			first := make([]int, len(test.weights))
			for range trials {
				first[p.byWeight(set, test.k)[0]]++
			}
			for i, w := range test.weights {
				near(t, "first", first[i], trials, float64(w)/sum)
			}
		})
	}
}

func TestSecondByWeight(t *testing.T) {
	const trials = 20_000
	// P(1 then 0) of weights 1, 1 and 2 is 1/4·1/3.
	for _, padding := range []int{0, 100} {
		set, p := weighted(append([]uint32{100, 100, 200}, slices.Repeat([]uint32{1}, padding)...)...), newPicker(5)
		sum := 400 + float64(padding)
		count := 0
		for range trials {
			if order := p.byWeight(set, 2+padding/50); order[0] == 1 && order[1] == 0 {
				count++
			}
		}
		near(t, "1 then 0", count, trials, 100/sum*100/(sum-100))
	}
}

func TestSampleHasNoRegardToWeight(t *testing.T) {
	const trials = 20_000
	set, p := weighted(1, 1000, 1, 1, 1000, 1, 1, 1, 1, 1), newPicker(7)
	chosen, heavyFirst, both := make([]int, 10), 0, 0
	for trial := range trials {
		order := p.sample(set, 3, mix(uint64(trial)))
		for _, i := range order {
			chosen[i]++
		}
		if slices.Contains(order, 1) && slices.Contains(order, 2) && !slices.Contains(order, 4) {
			both++
			if order[0] == 1 {
				heavyFirst++
			}
		}
	}
	for _, n := range chosen {
		near(t, "in the sample", n, trials, 0.3)
	}
	if both == 0 || float64(heavyFirst)/float64(both) < 0.99 {
		t.Errorf("the heavy one stood first in %d of %d", heavyFirst, both)
	}
}

// TestSamplesStay removes a record and adds one: of a client's sample, only these may change.
func TestSamplesStay(t *testing.T) {
	p := newPicker(7)
	weights := slices.Repeat([]uint32{1}, 200)
	chosenOf := func(records []record, seed uint64) map[string]bool {
		chosen := make(map[string]bool)
		set := newRecordSet(dns.TypeSRV, records)
		for _, i := range p.sample(set, 94, seed) {
			chosen[string(set.records[i].rdata)] = true
		}
		return chosen
	}
	for seed := range uint64(50) {
		seed = mix(seed)
		before := weighted(weights...).records
		first := chosenOf(before, seed)
		after := append(slices.Delete(slices.Clone(before), 17, 18), record{rdata: []byte("new"), weight: 1})
		left := 0
		for name := range chosenOf(after, seed) {
			if !first[name] {
				left++
			}
		}
		if left > 2 || !first[string(before[17].rdata)] && left > 1 {
			t.Errorf("%d of the sample are others after one of 200 was replaced", left)
		}
	}
}

func TestOrderIsDistinct(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := newPicker(9)
	for range 2000 {
		weights := make([]uint32, 1+rng.IntN(200))
		for i := range weights {
			weights[i] = 1 + rng.Uint32N(1<<rng.IntN(16))
		}
		set, k := weighted(weights...), rng.IntN(len(weights)+3)
		for _, order := range [][]int32{slices.Clone(p.byWeight(set, k)), p.sample(set, min(k, len(weights)), rng.Uint64())} {
			want := min(k, len(weights))
			order = slices.Clone(order)
			slices.Sort(order)
			if len(slices.Compact(order)) != want {
				t.Fatalf("%d of %d: got %v", k, len(weights), order)
			}
		}
	}
}

// TestSpread holds the weights as seen by a client that takes the first address.
func TestSpread(t *testing.T) {
	const trials = 5000
	changes := fleet(300, func(i int, one *catalog.Instance) {
		if i == 0 {
			one.Weight = 301
		}
	})
	w := seeded(newTestServer(t, Config{}, changes), 11)
	heavy := netip.MustParseAddr("10.9.0.0")
	first := 0
	for range trials {
		m := ask(t, w, query("fleet.service.koine.", dns.TypeA), false)
		if got, _ := netip.AddrFromSlice(m.Answer[0].(*dns.A).A); got.Unmap() == heavy {
			first++
		}
	}
	near(t, "first address", first, trials, 301.0/600)
}
