package catalog

import (
	"iter"
	"slices"
	"strings"
)

// EndpointList is a node's endpoints by ID, in chunks, so that a change of one copies a chunk and not the whole list. It
// is immutable.
type EndpointList struct {
	// chunks are none of them empty; each is sorted, and so are they.
	chunks [][]*Endpoint
	size   int
}

// maxChunk is how many endpoints one chunk holds at most.
const maxChunk = 128

// Len returns the number of endpoints.
func (l EndpointList) Len() int { return l.size }

// All yields the endpoints by ID.
func (l EndpointList) All() iter.Seq[*Endpoint] {
	return func(yield func(*Endpoint) bool) {
		for _, chunk := range l.chunks {
			for _, e := range chunk {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// find returns the endpoint of an ID, or nil.
func (l EndpointList) find(id string) *Endpoint {
	at := l.chunkOf(id, 0)
	if at == len(l.chunks) {
		return nil
	}
	i, ok := slices.BinarySearchFunc(l.chunks[at], id, compareID)
	if !ok {
		return nil
	}
	return l.chunks[at][i]
}

func compareID(e *Endpoint, id string) int { return strings.Compare(e.ID, id) }

// chunkOf returns the chunk that an ID is in, or belongs in, none of those before from; 0 of a list without any.
func (l EndpointList) chunkOf(id string, from int) int {
	i, found := slices.BinarySearchFunc(l.chunks[from:], id, func(c []*Endpoint, id string) int { return compareID(c[0], id) })
	if found || i == 0 {
		return from + i
	}
	return from + i - 1
}

// with returns the list with some endpoints replaced, each of them once.
func (l EndpointList) with(changes []endpointChange) EndpointList {
	if len(changes) == 0 {
		return l
	}
	slices.SortFunc(changes, func(a, b endpointChange) int { return strings.Compare(a.subject().ID, b.subject().ID) })
	next := EndpointList{chunks: make([][]*Endpoint, 0, len(l.chunks)+len(changes)/maxChunk+1)}
	done := 0 // chunks of l that next has
	for len(changes) > 0 {
		at := l.chunkOf(changes[0].subject().ID, done)
		next.chunks = append(next.chunks, l.chunks[done:at]...)
		n := len(changes)
		var old []*Endpoint
		if at < len(l.chunks) {
			old = l.chunks[at]
		}
		if at+1 < len(l.chunks) {
			n, _ = slices.BinarySearchFunc(changes, l.chunks[at+1][0].ID,
				func(c endpointChange, id string) int { return strings.Compare(c.subject().ID, id) })
		}
		next.chunks = appendChunks(next.chunks, replaceEndpoints(old, changes[:n]))
		changes = changes[n:]
		done = min(at+1, len(l.chunks))
	}
	next.chunks = append(next.chunks, l.chunks[done:]...)
	for _, chunk := range next.chunks {
		next.size += len(chunk)
	}
	return next
}

// appendChunks appends a sorted list in equal parts of at most maxChunk.
func appendChunks(chunks [][]*Endpoint, list []*Endpoint) [][]*Endpoint {
	if len(list) == 0 {
		return chunks
	}
	parts := (len(list) + maxChunk - 1) / maxChunk
	for part := range slices.Chunk(list, (len(list)+parts-1)/parts) {
		chunks = append(chunks, part)
	}
	return chunks
}
