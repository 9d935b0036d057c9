package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// listServices answers GET /services.
func (s *Server) listServices(w http.ResponseWriter, r *http.Request, p waiting) error {
	err := s.await(w, r, p, s.view.ListIndex, func(ctx context.Context, index uint64) (uint64, error) {
		return s.view.WaitList(ctx, s.view.ListIndex, index)
	})
	if err != nil {
		return err
	}
	at := s.view.Marks()
	revision, index := s.view.Revision(), at.Position(s.view.ListIndex())
	var buffer bytes.Buffer
	buffer.WriteString(`{"index":"` + index.String() + `","services":[`)
	for i, service := range s.view.Services() {
		if i > 0 {
			buffer.WriteByte(',')
		}
		buffer.Write(s.summaryOf(service, at))
	}
	buffer.WriteString("]}\n")
	s.stamp(w, revision, index)
	s.write(w, buffer.Bytes())
	return nil
}

// summary is a service's line in the list; like a scopedBody, it is for the marks of the time when it was made.
type summary struct {
	marks *catalog.Marks
	line  []byte
}

func newSummary(*catalog.Service) any { return new(atomic.Pointer[summary]) }

// summaryOf returns a service's line in the list.
func (s *Server) summaryOf(service *catalog.Service, at *catalog.Marks) []byte {
	place := service.Derived(s.summaries, newSummary).(*atomic.Pointer[summary])
	if known := place.Load(); known != nil && known.marks == at {
		return known.line
	}
	made := &summary{at, summarize(service, at)}
	place.Store(made)
	return made.line
}

func summarize(service *catalog.Service, at *catalog.Marks) []byte {
	line := client.ServiceSummary{
		Name: service.Spelling(), Instances: len(service.Endpoints), Healthy: len(service.Healthy), Index: at.Position(service.Index),
	}
	for _, e := range service.Endpoints {
		line.Tags = append(line.Tags, e.Tags...)
	}
	slices.Sort(line.Tags)
	line.Tags = slices.Compact(line.Tags)
	encoded, _ := json.Marshal(line) // strings and numbers can always be encoded
	return encoded
}

// selection is the choice of a service's instances and of how they are shown.
type selection struct {
	catalog.Query
	// Network is the network that the client is on; empty means that of its source address.
	Network string
	// Near is the place that the instances are ordered by; empty means none.
	Near string
}

func (p *selection) fields() []field {
	return []field{
		health("health", &p.Health), texts("tag", &p.Tags), pairs("meta", &p.Meta), text("network", &p.Network), text("near", &p.Near),
	}
}

// serviceParams are those of a lookup.
type serviceParams struct {
	waiting
	selection
}

func (p *serviceParams) fields() []field { return append(p.selection.fields(), p.waiting.fields()...) }

// getService answers GET /services/{name}. Nearly all requests have no parameters, and for these everything except the
// revision is ready on the snapshot.
func (s *Server) getService(w http.ResponseWriter, r *http.Request, p serviceParams) error {
	name := r.PathValue("name")
	if r.URL.RawQuery != "" {
		return s.queryService(w, r, name, &p)
	}
	at := s.view.Marks()
	revision := s.view.Revision()
	service := s.view.Service(name)
	if service == nil || len(service.Endpoints) == 0 {
		return s.noService(w, at, revision, name)
	}
	scope, err := s.scopeOf(r, "")
	if err != nil {
		return err
	}
	b := s.bodyOf(service, scope, at)
	s.writeBody(w, max(revision, service.Index), b.index, &b.healthy)
	return nil
}

func (s *Server) writeBody(w http.ResponseWriter, revision uint64, index []string, b *body) {
	h := w.Header()
	h[client.HeaderRevision] = s.revisionHeader(revision)
	h[client.HeaderIndex] = index
	h["Content-Type"] = s.jsonType
	h["Content-Length"] = b.length
	s.deliver(w, b.bytes)
}

// noService is the answer about a service without any instance. It has an index, so that a client can wait for the service.
func (s *Server) noService(w http.ResponseWriter, at *catalog.Marks, revision uint64, name string) error {
	s.stamp(w, revision, at.Position(s.view.ServiceIndex(name)))
	return catalog.Errorf(catalog.KindNotFound, "no service %.100s", name).
		WithHint("see the list of services; a request with ?index= waits for it to appear")
}

func (s *Server) queryService(w http.ResponseWriter, r *http.Request, name string, p *serviceParams) error {
	if err := s.awaitService(w, r, p.waiting, name); err != nil {
		return err
	}
	scope, err := s.scopeOf(r, p.Network)
	if err != nil {
		return err
	}
	near, err := s.placeOf(r, p.Near)
	if err != nil {
		return err
	}
	at := s.view.Marks()
	revision := s.view.Revision()
	service := s.view.Service(name)
	if service == nil || len(service.Endpoints) == 0 {
		return s.noService(w, at, revision, name)
	}
	b := s.selectBody(service, at, &p.Query, scope, near)
	s.writeBody(w, max(revision, service.Index), s.bodyOf(service, scope, at).index, &b)
	return nil
}

func (s *Server) awaitService(w http.ResponseWriter, r *http.Request, p waiting, name string) error {
	current := func() uint64 { return s.view.ServiceIndex(name) }
	return s.await(w, r, p, current, func(ctx context.Context, index uint64) (uint64, error) {
		return s.view.WaitService(ctx, name, index)
	})
}
