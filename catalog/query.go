package catalog

import "slices"

// Health is the least health of the instances that a query wants.
type Health uint8

// The choices of a query. OnlyHealthy is the default.
const (
	OnlyHealthy Health = iota // not critical and taking traffic
	OnlyPassing               // healthy without a warning
	AnyHealth                 // all, drained and critical ones too
)

// Query selects instances of a service.
type Query struct {
	// Service is the service's name in any letter case.
	Service string
	// Tags must all be present.
	Tags []string
	// Meta must all be present with these values.
	Meta map[string]string
	// Health is the least health wanted.
	Health Health
}

// Result is the answer to a query.
type Result struct {
	// Index is the last revision at which the service changed.
	Index uint64
	// Known reports whether the service has any instance at all, wanted or not.
	Known bool
	// Endpoints are the instances found. They belong to the View: do not change the slice.
	Endpoints []*Endpoint
}

// Lookup answers a query. It returns an error of KindNotReady while the View is not ready.
func (v *View) Lookup(q Query) (Result, error) {
	if !v.Ready() {
		return Result{}, v.NotReady()
	}
	service := v.Service(q.Service)
	if service == nil {
		return Result{Index: v.absentIndex(q.Service)}, nil
	}
	return Result{Index: service.Index, Known: len(service.Endpoints) > 0, Endpoints: service.Select(q)}, nil
}

// Select returns the endpoints of the snapshot that a query wants; it ignores the query's service.
func (s *Service) Select(q Query) []*Endpoint {
	candidates := s.Endpoints
	if q.Health != AnyHealth {
		candidates = s.Healthy
	}
	if len(q.Tags) == 0 && len(q.Meta) == 0 && q.Health != OnlyPassing {
		return candidates
	}
	var found []*Endpoint
	for _, e := range candidates {
		if q.wants(e) {
			found = append(found, e)
		}
	}
	return found
}

func (q *Query) wants(e *Endpoint) bool {
	if q.Health == OnlyPassing && e.Status != Passing {
		return false
	}
	for _, tag := range q.Tags {
		if !slices.Contains(e.Tags, tag) {
			return false
		}
	}
	for key, value := range q.Meta {
		if got, ok := e.Meta[key]; !ok || got != value {
			return false
		}
	}
	return true
}
