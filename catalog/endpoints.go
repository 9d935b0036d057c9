package catalog

import "strings"

// answered returns the endpoints of a service that clients get: the healthy ones, or all that take traffic if fewer of
// these are healthy than the floor requires.
func answered(all []*Endpoint) (list []*Endpoint, belowFloor bool) {
	list = healthy(all)
	floor, taking := 0, 0
	for _, e := range all {
		floor = max(floor, int(e.MinHealthy))
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

// healthy returns the healthy endpoints of a list: the list itself if all are.
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

// subject returns the endpoint after the change or, if the change has removed it, before.
func (c endpointChange) subject() *Endpoint {
	if c.new != nil {
		return c.new
	}
	return c.old
}

// edit returns the change as an edit of a list of endpoints.
func (c endpointChange) edit() edit[*Endpoint] { return edit[*Endpoint]{c.subject(), c.new == nil} }

// compareEndpoints orders by node and ID. Records of one node may spell its name in different letter case.
func compareEndpoints(a, b *Endpoint) int {
	if a.Node != b.Node {
		if c := strings.Compare(fold(a.Node), fold(b.Node)); c != 0 {
			return c
		}
	}
	return strings.Compare(a.ID, b.ID)
}
