package catalog

import (
	"slices"
	"strings"
)

// healthy returns the healthy ones of a list: the list itself if all are.
func healthy(all []*Endpoint) []*Endpoint {
	n := 0
	for _, e := range all {
		if e.Healthy() {
			n++
		}
	}
	if n == len(all) {
		return all
	}
	list := make([]*Endpoint, 0, n)
	for _, e := range all {
		if e.Healthy() {
			list = append(list, e)
		}
	}
	return list
}

// replaceEndpoints returns a new list, sorted by node and ID, with the changes made.
func replaceEndpoints(list []*Endpoint, changes []endpointChange) []*Endpoint {
	if len(changes) > 8 {
		return mergeEndpoints(list, changes)
	}
	out := make([]*Endpoint, len(list), len(list)+len(changes))
	copy(out, list)
	for _, c := range changes {
		e := c.new
		if e == nil {
			e = c.old
		}
		i, found := slices.BinarySearchFunc(out, e, compareEndpoints)
		switch {
		case c.new == nil && found:
			out = slices.Delete(out, i, i+1)
		case c.new != nil && found:
			out[i] = c.new
		case c.new != nil:
			out = slices.Insert(out, i, c.new)
		}
	}
	return out
}

// mergeEndpoints does what replaceEndpoints does for many changes in one pass. The last change of an endpoint counts.
func mergeEndpoints(list []*Endpoint, changes []endpointChange) []*Endpoint {
	type key struct{ node, id string }
	keyOf := func(e *Endpoint) key { return key{fold(e.Node), e.ID} }
	latest := make(map[key]*Endpoint, len(changes))
	for _, c := range changes {
		if c.new != nil {
			latest[keyOf(c.new)] = c.new
		} else {
			latest[keyOf(c.old)] = nil
		}
	}
	out := make([]*Endpoint, 0, len(list)+len(latest))
	for _, e := range list {
		if _, changed := latest[keyOf(e)]; !changed {
			out = append(out, e)
		}
	}
	for _, e := range latest {
		if e != nil {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, compareEndpoints)
	return slices.Clip(out)
}

// compareEndpoints orders by node and ID. Records of one node may spell its name in different letter case.
func compareEndpoints(a, b *Endpoint) int {
	if a.Node != b.Node {
		if c := strings.Compare(fold(a.Node), fold(b.Node)); c != 0 {
			return c
		}
	}
	return strings.Compare(a.ID, b.ID)
}
