package catalog

import (
	"cmp"
	"iter"
	"slices"
)

// edit puts an element into a sorted list, in place of its equal if there is one, or removes it.
type edit[T any] struct {
	value T
	gone  bool
}

// edited returns a new list with the edits made. Of several edits of one element the last counts.
func edited[T any](list []T, edits []edit[T], compare func(a, b T) int) []T {
	if len(edits) > 8 {
		return merged(list, edits, compare)
	}
	out := make([]T, len(list), len(list)+len(edits))
	copy(out, list)
	for _, e := range edits {
		i, found := slices.BinarySearchFunc(out, e.value, compare)
		switch {
		case e.gone && found:
			out = slices.Delete(out, i, i+1)
		case e.gone:
		case found:
			out[i] = e.value
		default:
			out = slices.Insert(out, i, e.value)
		}
	}
	return out
}

// merged does the same as edited for many edits, in one pass: the elements between two edits are copied in one piece.
func merged[T any](list []T, edits []edit[T], compare func(a, b T) int) []T {
	ordered := slices.Clone(edits)
	slices.SortStableFunc(ordered, func(a, b edit[T]) int { return compare(a.value, b.value) })
	out := make([]T, 0, len(list)+len(ordered))
	for n, e := range ordered {
		if n+1 < len(ordered) && compare(e.value, ordered[n+1].value) == 0 {
			continue
		}
		i, found := slices.BinarySearchFunc(list, e.value, compare)
		out, list = append(out, list[:i]...), list[i:]
		if found {
			list = list[1:]
		}
		if !e.gone {
			out = append(out, e.value)
		}
	}
	return slices.Clip(append(out, list...))
}

// chunked is a sorted list in chunks, so that a change of one element copies a chunk and not the whole list. It is
// immutable.
type chunked[T any] struct {
	// chunks are never empty; each is sorted, and so are they.
	chunks [][]T
	size   int
}

// maxChunk bounds the elements of one chunk.
const maxChunk = 128

// all yields the elements in order.
func (l chunked[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, chunk := range l.chunks {
			for _, e := range chunk {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// find returns the element of a key, which compare finds equal to it.
func find[T, K any](l chunked[T], key K, compare func(T, K) int) (element T, found bool) {
	at := chunkOf(l, key, 0, compare)
	if at == len(l.chunks) {
		return element, false
	}
	i, found := slices.BinarySearchFunc(l.chunks[at], key, compare)
	if !found {
		return element, false
	}
	return l.chunks[at][i], true
}

// chunkOf returns the chunk that a key is in, or belongs in, and never one before from; 0 for a list without chunks.
func chunkOf[T, K any](l chunked[T], key K, from int, compare func(T, K) int) int {
	i, found := slices.BinarySearchFunc(l.chunks[from:], key, func(c []T, key K) int { return compare(c[0], key) })
	if found || i == 0 {
		return from + i
	}
	return from + i - 1
}

// with returns the list with the edits made, and reorders these. An element that is both added and removed is in it
// afterwards.
func (l chunked[T]) with(edits []edit[T], compare func(a, b T) int) chunked[T] {
	if len(edits) == 0 {
		return l
	}
	slices.SortFunc(edits, func(a, b edit[T]) int {
		return cmp.Or(compare(a.value, b.value), goneFirst(a.gone, b.gone))
	})
	next := chunked[T]{chunks: make([][]T, 0, len(l.chunks)+len(edits)/maxChunk+1)}
	done := 0 // chunks of l that are already in next
	for len(edits) > 0 {
		at := chunkOf(l, edits[0].value, done, compare)
		next.chunks = append(next.chunks, l.chunks[done:at]...)
		n := len(edits)
		var old []T
		if at < len(l.chunks) {
			old = l.chunks[at]
		}
		if at+1 < len(l.chunks) {
			n, _ = slices.BinarySearchFunc(edits, l.chunks[at+1][0], func(e edit[T], first T) int { return compare(e.value, first) })
		}
		next.chunks = appendChunks(next.chunks, edited(old, edits[:n], compare))
		edits = edits[n:]
		done = min(at+1, len(l.chunks))
	}
	next.chunks = append(next.chunks, l.chunks[done:]...)
	for _, chunk := range next.chunks {
		next.size += len(chunk)
	}
	return next
}

func goneFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// appendChunks appends a sorted list in equal parts of at most maxChunk.
func appendChunks[T any](chunks [][]T, list []T) [][]T {
	if len(list) == 0 {
		return chunks
	}
	parts := (len(list) + maxChunk - 1) / maxChunk
	for part := range slices.Chunk(list, (len(list)+parts-1)/parts) {
		chunks = append(chunks, part)
	}
	return chunks
}
