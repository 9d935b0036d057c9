package catalog

import (
	"iter"
	"strings"
)

// EndpointList is a node's endpoints by ID. It is immutable.
type EndpointList struct{ list chunked[*Endpoint] }

// Len returns the number of endpoints.
func (l EndpointList) Len() int { return l.list.size }

// All yields the endpoints by ID.
func (l EndpointList) All() iter.Seq[*Endpoint] { return l.list.all() }

// find returns the endpoint with an ID, or nil.
func (l EndpointList) find(id string) *Endpoint {
	e, _ := find(l.list, id, func(e *Endpoint, id string) int { return strings.Compare(e.ID, id) })
	return e
}

// with returns the list with some endpoints added or removed, each of them once.
func (l EndpointList) with(edits []edit[*Endpoint]) EndpointList {
	return EndpointList{l.list.with(edits, func(a, b *Endpoint) int { return strings.Compare(a.ID, b.ID) })}
}
