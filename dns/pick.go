package dns

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sort"
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
//
// The records of a tier stand in a ring in the order of their hashes, and the seed says where to begin. A record more or less moves
// the beginning by one at most.
func (p *picker) sample(set *recordSet, k int, seed uint64) []int32 {
	p.keyed = p.keyed[:0]
	for rest := set.ring(); k > 0; {
		tier := set.records[rest[0]].tier
		n := len(rest)
		if set.tiered {
			n = sort.Search(n, func(i int) bool { return set.records[rest[i]].tier > tier })
		}
		first, _ := bits.Mul64(seed, uint64(n)) // the seed as a fraction of n
		for i := range min(k, n) {
			p.addKey(set, rest[(int(first)+i)%n])
		}
		k -= min(k, n)
		rest = rest[n:]
	}
	p.chosen = p.chosen[:0]
	p.takeKeyed(len(p.keyed))
	return p.chosen
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
