package catalog

import "strings"

// settle sets what follows from the service's endpoints: those that clients get, which are the healthy ones, or all that take
// traffic if fewer of these are healthy than the floor requires; and the limit.
func (s *Service) settle() {
	s.Healthy = healthy(s.Endpoints)
	floor, taking := 0, 0
	for _, e := range s.Endpoints {
		floor, s.DNSLimit = max(floor, int(e.MinHealthy)), StricterLimit(s.DNSLimit, int(e.DNSLimit))
		if e.Drained == "" {
			taking++
		}
	}
	if s.BelowFloor = len(s.Healthy)*100 < floor*taking; !s.BelowFloor {
		return
	}
	s.Healthy = make([]*Endpoint, 0, taking)
	for _, e := range s.Endpoints {
		if e.Drained == "" {
			s.Healthy = append(s.Healthy, e)
		}
	}
}

// StricterLimit returns the smaller of two limits of answers, where 0 is none.
func StricterLimit(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
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
