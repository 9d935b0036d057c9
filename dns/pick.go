package dns

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// picker puts records in random order. Its buffers are reused; a returned slice is valid until the next call.
type picker struct {
	rng    *rand.Rand
	chosen []int32
	seen   []uint64
	keyed  []keyed
}

// keyed is a record with its random sort key.
type keyed struct {
	key   float64
	index int32
}

// byWeight returns k of the set's records in the order in which a client draws them by RFC 2782: one after the other,
// each with the odds of its weight among those that are left; nearer tiers first. It costs about k log n while k is
// small compared with n, n log n otherwise.
func (p *picker) byWeight(set *recordSet, k int) []int32 {
	n := len(set.records)
	k = min(k, n)
	p.start(n)
	if k <= n/4 && !set.tiered {
		p.drawDistinct(set, k)
	}
	if len(p.chosen) == k {
		return p.chosen
	}
	p.keyed = p.keyed[:0]
	for i := range n {
		if !p.has(i) {
			p.addKey(set, int32(i))
		}
	}
	p.takeKeyed(k - len(p.chosen))
	return p.chosen
}

// sample returns k of the set's records, fewer than all, in an order drawn by weight. Which ones they are depends on the seed
// alone, and changes little as records come and go: a client that asks again and again, and is given a part each time, is to see
// instances come and go only where they do. They are chosen without regard to weight; of a set with tiers, the nearest.
func (p *picker) sample(set *recordSet, k int, seed uint64) []int32 {
	p.start(len(set.records))
	p.keyed = p.keyed[:0]
	most := p.likely(set, k)
	for i := range set.records {
		r := &set.records[i]
		// A number from 0 to 1 of the client and the record, in the place of a random one.
		key := (float64(mix(seed^uint64(r.hash))>>11) + 0.5) / (1 << 53)
		if key <= most {
			p.keyed = append(p.keyed, keyed{key + float64(r.tier), int32(i)})
		}
	}
	if len(p.keyed) < k { // unlikely
		return p.byWeight(set, k)
	}
	p.takeKeyed(k)
	p.keyed = p.keyed[:0]
	for _, i := range p.chosen {
		p.addKey(set, i)
	}
	p.chosen = p.chosen[:0]
	p.takeKeyed(k)
	return p.chosen
}

// likely returns a bound below which k of the keys of a set are almost surely, so that the others need not be sorted. Keys are spread
// evenly from 0 to 1.
func (p *picker) likely(set *recordSet, k int) float64 {
	if set.tiered {
		return 1
	}
	return (float64(k) + 8*math.Sqrt(float64(k)) + 8) / float64(len(set.records))
}

// seedOf returns the seed for the samples of a client.
func seedOf(ip netip.Addr) uint64 {
	address := ip.As16()
	return mix(binary.BigEndian.Uint64(address[:8]) ^ mix(binary.BigEndian.Uint64(address[8:])))
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): each bit of its input changes each bit of its output.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (p *picker) start(n int) {
	words := (n + 63) / 64
	p.seen = slices.Grow(p.seen[:0], words)[:words]
	clear(p.seen)
	p.chosen = p.chosen[:0]
}

func (p *picker) has(i int) bool { return p.seen[i/64]&(1<<(i%64)) != 0 }

func (p *picker) choose(i int) {
	p.seen[i/64] |= 1 << (i % 64)
	p.chosen = append(p.chosen, int32(i))
}

// drawDistinct draws with replacement and skips records already chosen, which equals drawing without replacement. It
// gives up after a bounded number of draws, because a few heavy records may be drawn again and again; the records
// chosen so far stay chosen.
func (p *picker) drawDistinct(set *recordSet, k int) {
	for range 4*k + 16 {
		if len(p.chosen) == k {
			return
		}
		if i := set.draw(p.rng); !p.has(i) {
			p.choose(i)
		}
	}
}

// beyondKeys is above every random key: an exponential number of 53 random bits is below 53·ln 2.
const beyondKeys = 1024

// addKey gives a record an exponential random key at the rate of its weight: in the order of the keys, records stand as
// if drawn one after the other by weight (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006).
func (p *picker) addKey(set *recordSet, i int32) {
	r := &set.records[i]
	p.keyed = append(p.keyed, keyed{p.rng.ExpFloat64()/float64(r.weight) + float64(r.tier)*beyondKeys, i})
}

// takeKeyed chooses the k records with the lowest keys, in order.
func (p *picker) takeKeyed(k int) {
	slices.SortFunc(p.keyed, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	for _, one := range p.keyed[:k] {
		p.chosen = append(p.chosen, one.index)
	}
}
