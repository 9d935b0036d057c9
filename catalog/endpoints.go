package catalog

import (
	"slices"
	"strings"
)

// answered returns the endpoints of a service that are given to askers: the healthy ones, or all that take traffic if the
// healthy ones among them are fewer than the floor asks for.
func answered(all []*Endpoint) (list []*Endpoint, belowFloor bool) {
	list = healthy(all)
	floor, taking := 0, 0
	for _, e := range all {
		floor = max(floor, e.MinHealthy)
		if e.Drained == "" {
			taking++
		}
	}
	if len(list)*100 >= floor*taking {
		return list, false
	}
	list = make([]*Endpoint, 0, taking)
	for _, e := range all {
		if e.Drained == "" {
			list = append(list, e)
		}
	}
	return list, true
}

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
		i, found := slices.BinarySearchFunc(out, c.subject(), compareEndpoints)
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

// mergeEndpoints does what replaceEndpoints does for many changes in one pass: what lies between two of them is copied as
// it stands. The last change of an endpoint counts.
func mergeEndpoints(list []*Endpoint, changes []endpointChange) []*Endpoint {
	ordered := slices.Clone(changes)
	slices.SortStableFunc(ordered, func(a, b endpointChange) int { return compareEndpoints(a.subject(), b.subject()) })
	out := make([]*Endpoint, 0, len(list)+len(ordered))
	for n, c := range ordered {
		if n+1 < len(ordered) && compareEndpoints(c.subject(), ordered[n+1].subject()) == 0 {
			continue
		}
		i, found := slices.BinarySearchFunc(list, c.subject(), compareEndpoints)
		out, list = append(out, list[:i]...), list[i:]
		if found {
			list = list[1:]
		}
		if c.new != nil {
			out = append(out, c.new)
		}
	}
	return slices.Clip(append(out, list...))
}

// subject returns the endpoint as it is after the change or, if that has removed it, as it was before.
func (c endpointChange) subject() *Endpoint {
	if c.new != nil {
		return c.new
	}
	return c.old
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
