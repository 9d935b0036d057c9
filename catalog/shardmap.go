package catalog

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync/atomic"
)

// shardMap is a map for many readers and one writer. Readers take no lock: each shard is an immutable map behind an
// atomic pointer, and a write copies the one shard that it touches.
type shardMap[K comparable, V any] struct {
	seed   maphash.Seed
	shards [shardCount]atomic.Pointer[map[K]V]
	size   atomic.Int64
}

// shardCount keeps a shard at a few dozen entries for 500,000 of them, so that a write copies a few KB at most.
const shardCount = 1 << 14

func newShardMap[K comparable, V any]() *shardMap[K, V] {
	return &shardMap[K, V]{seed: maphash.MakeSeed()}
}

func (m *shardMap[K, V]) shard(key K) *atomic.Pointer[map[K]V] {
	return &m.shards[maphash.Comparable(m.seed, key)%shardCount]
}

func (m *shardMap[K, V]) get(key K) (V, bool) {
	shard := m.shard(key).Load()
	if shard == nil {
		var zero V
		return zero, false
	}
	value, ok := (*shard)[key]
	return value, ok
}

func (m *shardMap[K, V]) len() int { return int(m.size.Load()) }

func (m *shardMap[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range m.shards {
			shard := m.shards[i].Load()
			if shard == nil {
				continue
			}
			for key, value := range *shard {
				if !yield(key, value) {
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
	fresh := make(map[*atomic.Pointer[map[K]V]]map[K]V)
	writable := func(key K) map[K]V {
		place := m.shard(key)
		shard, ok := fresh[place]
		if !ok {
			if old := place.Load(); old != nil {
				shard = maps.Clone(*old)
			} else {
				shard = make(map[K]V)
			}
			fresh[place] = shard
		}
		return shard
	}
	delta := 0
	for key, value := range put {
		shard := writable(key)
		if _, ok := shard[key]; !ok {
			delta++
		}
		shard[key] = value
	}
	for _, key := range remove {
		shard := writable(key)
		if _, ok := shard[key]; ok {
			delta--
			delete(shard, key)
		}
	}
	for place, shard := range fresh {
		place.Store(&shard)
	}
	m.size.Add(int64(delta))
}
