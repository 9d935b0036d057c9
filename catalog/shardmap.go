package catalog

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync/atomic"
)

// shardMap is a map for many readers and one writer. Readers take no lock: each shard is an immutable list behind an
// atomic pointer, and a write copies the one shard that it touches. Shards are short: scanning one is quicker than a
// lookup in a map, and copying it much quicker.
type shardMap[K comparable, V any] struct {
	seed   maphash.Seed
	shards []atomic.Pointer[[]shardEntry[K, V]]
	size   atomic.Int64
}

// shardEntry is a key with its value. The hash tells most others of the shard apart, without a look at the key.
type shardEntry[K comparable, V any] struct {
	hash  uint64
	key   K
	value V
}

const (
	// manyShards keeps a shard at a few dozen entries for 500,000 of them, so that a write copies a few KB at most.
	manyShards = 1 << 14
	// fewShards does the same for 30,000.
	fewShards = 1 << 10
)

// newShardMap returns a map with a number of shards that is a power of two.
func newShardMap[K comparable, V any](shards int) *shardMap[K, V] {
	return &shardMap[K, V]{seed: maphash.MakeSeed(), shards: make([]atomic.Pointer[[]shardEntry[K, V]], shards)}
}

func (m *shardMap[K, V]) hash(key K) uint64 { return maphash.Comparable(m.seed, key) }

// shardOf returns the number of the shard of keys with a hash.
func (m *shardMap[K, V]) shardOf(hash uint64) uint64 { return hash & uint64(len(m.shards)-1) }

func (m *shardMap[K, V]) get(key K) (V, bool) {
	hash := m.hash(key)
	if shard := m.shards[m.shardOf(hash)].Load(); shard != nil {
		for i := range *shard {
			if e := &(*shard)[i]; e.hash == hash && e.key == key {
				return e.value, true
			}
		}
	}
	var zero V
	return zero, false
}

func (m *shardMap[K, V]) len() int { return int(m.size.Load()) }

func (m *shardMap[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range m.shards {
			shard := m.shards[i].Load()
			if shard == nil {
				continue
			}
			for _, e := range *shard {
				if !yield(e.key, e.value) {
					return
				}
			}
		}
	}
}

// update replaces the values of several keys at once; absent keys are removed. Each shard is copied at most once.
func (m *shardMap[K, V]) update(put map[K]V, remove []K) {
	if len(put) == 0 && len(remove) == 0 {
		return
	}
	fresh := make(map[uint64][]shardEntry[K, V], min(len(put)+len(remove), len(m.shards)))
	writable := func(key K) (hash uint64, shard []shardEntry[K, V], at int) {
		hash = m.hash(key)
		shard, ok := fresh[m.shardOf(hash)]
		if !ok {
			shard = m.copyOf(m.shardOf(hash), 1)
		}
		return hash, shard, slices.IndexFunc(shard, func(e shardEntry[K, V]) bool { return e.hash == hash && e.key == key })
	}
	for key, value := range put {
		hash, shard, at := writable(key)
		if at >= 0 {
			shard[at].value = value
		} else {
			shard = append(shard, shardEntry[K, V]{hash, key, value})
		}
		fresh[m.shardOf(hash)] = shard
	}
	for _, key := range remove {
		hash, shard, at := writable(key)
		if at >= 0 {
			shard = slices.Delete(shard, at, at+1)
		}
		fresh[m.shardOf(hash)] = shard
	}
	for i, shard := range fresh {
		m.publish(i, shard)
	}
}

// copyOf returns a copy of a shard, with room for more entries.
func (m *shardMap[K, V]) copyOf(shard uint64, more int) []shardEntry[K, V] {
	var old []shardEntry[K, V]
	if p := m.shards[shard].Load(); p != nil {
		old = *p
	}
	return append(make([]shardEntry[K, V], 0, len(old)+more), old...)
}

// publish replaces a shard.
func (m *shardMap[K, V]) publish(shard uint64, entries []shardEntry[K, V]) {
	before := 0
	if old := m.shards[shard].Load(); old != nil {
		before = len(*old)
	}
	m.size.Add(int64(len(entries) - before))
	if len(entries) == 0 {
		m.shards[shard].Store(nil)
		return
	}
	entries = slices.Clip(entries)
	m.shards[shard].Store(&entries)
}
