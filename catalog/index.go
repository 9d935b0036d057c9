package catalog

import (
	"cmp"
	"iter"
	"slices"
	"sort"
)

// index finds members on nodes by a key. Nearly every key has one member, but all nodes may have one under the same
// key: the first address of Docker's own bridge is the same on every host. Neither a lookup nor a change visits all
// members of a key.
//
// It has one writer and any number of readers; no read takes a lock.
type index[K comparable, T comparable] struct {
	entries *shardMap[K, members[T]]
	// compare orders the members of a key; those of one node are adjacent. It is 0 only between a member and itself.
	compare func(a, b T) int
}

// members are the members of one key: one, or several in order.
type members[T comparable] struct {
	only T
	many *chunked[T]
}

func newIndex[K comparable, T comparable](compare func(a, b T) int) index[K, T] {
	return index[K, T]{newShardMap[K, members[T]](manyShards), compare}
}

// all yields the members of a key in order.
func (x index[K, T]) all(key K) iter.Seq[T] {
	return func(yield func(T) bool) {
		switch found, ok := x.entries.get(key); {
		case !ok:
		case found.many == nil:
			yield(found.only)
		default:
			found.many.all()(yield)
		}
	}
}

// has reports whether a key has any member.
func (x index[K, T]) has(key K) bool {
	_, ok := x.entries.get(key)
	return ok
}

// from yields the members of a key in order. It begins at the first one that seek does not place before the wanted
// ones; visit stops it at the first one behind them. It calls visit and is no iterator, which would allocate for each
// query.
func (x index[K, T]) from(key K, seek func(T) int, visit func(T) (goOn bool)) {
	found, ok := x.entries.get(key)
	switch {
	case !ok:
		return
	case found.many == nil:
		visit(found.only)
		return
	}
	chunks := found.many.chunks
	at := sort.Search(len(chunks), func(i int) bool { return seek(chunks[i][0]) >= 0 })
	for _, chunk := range chunks[max(at-1, 0):] { // the wanted members may begin in the chunk before
		first := sort.Search(len(chunk), func(i int) bool { return seek(chunk[i]) >= 0 })
		for _, m := range chunk[first:] {
			if !visit(m) {
				return
			}
		}
	}
}

// indexChange puts a member under a key of an index, or removes it from there.
type indexChange[K comparable, T comparable] struct {
	key K
	edit[T]
	hash uint64
}

// update makes changes, and reorders them. A member that is both put under a key and removed from it remains there
// afterwards.
func (x index[K, T]) update(changes []indexChange[K, T]) {
	shardOf := x.entries.shardOf
	for i := range changes {
		changes[i].hash = x.entries.hash(changes[i].key)
	}
	slices.SortFunc(changes, func(a, b indexChange[K, T]) int {
		return cmp.Or(cmp.Compare(shardOf(a.hash), shardOf(b.hash)), cmp.Compare(a.hash, b.hash), goneFirst(a.gone, b.gone))
	})
	for len(changes) > 0 {
		shard, n := shardOf(changes[0].hash), 1
		for n < len(changes) && shardOf(changes[n].hash) == shard {
			n++
		}
		x.updateShard(shard, changes[:n])
		changes = changes[n:]
	}
}

// updateShard makes the changes of one shard, which is copied once.
func (x index[K, T]) updateShard(shard uint64, changes []indexChange[K, T]) {
	keys := 1 // far fewer than the changes if these are of an address that all hosts have
	for n := 1; n < len(changes); n++ {
		if changes[n].key != changes[n-1].key {
			keys++
		}
	}
	entries := x.entries.copyOf(shard, keys)
	var room [4]edit[T]
	for len(changes) > 0 {
		key, hash := changes[0].key, changes[0].hash
		edits := room[:0]
		for len(changes) > 0 && changes[0].key == key {
			edits = append(edits, changes[0].edit)
			changes = changes[1:]
		}
		entries = x.editEntry(entries, key, hash, edits)
	}
	x.entries.publish(shard, entries)
}

// editEntry makes edits to the members of one key.
func (x index[K, T]) editEntry(entries []shardEntry[K, members[T]], key K, hash uint64, edits []edit[T]) []shardEntry[K, members[T]] {
	at := slices.IndexFunc(entries, func(e shardEntry[K, members[T]]) bool { return e.hash == hash && e.key == key })
	var before members[T]
	if at >= 0 {
		before = entries[at].value
	}
	after := before.with(edits, x.compare)
	switch none := after == (members[T]{}); {
	case at >= 0 && none:
		return slices.Delete(entries, at, at+1)
	case at >= 0:
		entries[at].value = after
	case !none:
		entries = append(entries, shardEntry[K, members[T]]{hash, key, after})
	}
	return entries
}

// with returns the members with edits made, or the zero value if none is left.
func (m members[T]) with(edits []edit[T], compare func(a, b T) int) members[T] {
	var none T
	if m.many == nil && len(edits) == 1 {
		switch e := edits[0]; {
		case e.gone && m.only == e.value:
			return members[T]{}
		case e.gone:
			return m
		case m.only == none || m.only == e.value:
			return members[T]{only: e.value}
		}
	}
	var list chunked[T]
	switch {
	case m.many != nil:
		list = *m.many
	case m.only != none:
		list = chunked[T]{[][]T{{m.only}}, 1}
	}
	list = list.with(edits, compare)
	switch list.size {
	case 0:
		return members[T]{}
	case 1:
		return members[T]{only: list.chunks[0][0]}
	default:
		return members[T]{many: &list}
	}
}
