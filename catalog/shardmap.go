package catalog

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync/atomic"
)

// shardMap is a map for many readers and one writer. Readers take no lock: each shard is an immutable list behind an
// atomic pointer, and a write copies the one shard that it touches. Shards are short, so that going through one is
// quicker than to look into a map, and copying it much quicker.
type shardMap[K comparable, V any] struct {
	seed   maphash.Seed
	shards [shardCount]atomic.Pointer[[]shardEntry[K, V]]
	size   atomic.Int64
}

// shardEntry is a key with its value. Most others of the shard are told apart by the hash, without a look at the key.
type shardEntry[K comparable, V any] struct {
	hash  uint64
	key   K
	value V
}

// shardCount keeps a shard at a few dozen entries for 500,000 of them, so that a write copies a few KB at most.
const shardCount = 1 << 14

func newShardMap[K comparable, V any]() *shardMap[K, V] {
	return &shardMap[K, V]{seed: maphash.MakeSeed()}
}

func (m *shardMap[K, V]) get(key K) (V, bool) {
	hash := maphash.Comparable(m.seed, key)
	if shard := m.shards[hash%shardCount].Load(); shard != nil {
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
	fresh := make(map[uint64][]shardEntry[K, V], min(len(put)+len(remove), shardCount))
	writable := func(key K) (hash uint64, shard []shardEntry[K, V], at int) {
		hash = maphash.Comparable(m.seed, key)
		shard, ok := fresh[hash%shardCount]
		if old := m.shards[hash%shardCount].Load(); !ok && old != nil {
			shard = append(make([]shardEntry[K, V], 0, len(*old)+1), *old...)
		}
		return hash, shard, slices.IndexFunc(shard, func(e shardEntry[K, V]) bool { return e.hash == hash && e.key == key })
	}
	delta := 0
	for key, value := range put {
		hash, shard, at := writable(key)
		if at >= 0 {
			shard[at].value = value
		} else {
			shard = append(shard, shardEntry[K, V]{hash, key, value})
			delta++
		}
		fresh[hash%shardCount] = shard
	}
	for _, key := range remove {
		hash, shard, at := writable(key)
		if at >= 0 {
			shard = slices.Delete(shard, at, at+1)
			delta--
		}
		fresh[hash%shardCount] = shard
	}
	for i, shard := range fresh {
		if len(shard) == 0 {
			m.shards[i].Store(nil)
			continue
		}
		shard = slices.Clip(shard)
		m.shards[i].Store(&shard)
	}
	m.size.Add(int64(delta))
}
