package api

import (
	"bufio"
	"bytes"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// instanceParams choose instances; empty ones choose all.
type instanceParams struct {
	reading
	Node, Service, Source string
}

func (p *instanceParams) fields() []field {
	return append([]field{text("node", &p.Node), text("service", &p.Service), text("source", &p.Source)}, p.reading.fields()...)
}

// listInstances answers GET /instances. The list may be long, so it is written as it is made.
func (s *Server) listInstances(w http.ResponseWriter, r *http.Request, p instanceParams) error {
	scope, err := s.scopeOf(r, "")
	if err != nil {
		return err
	}
	s.stamp(w, s.view.Revision(), catalog.Position{})
	w.Header()["Content-Type"] = s.jsonType
	out := bufio.NewWriterSize(s.paced(w), piece)
	var buffer bytes.Buffer
	encoder := newEncoder(&buffer)
	_, _ = out.WriteString(`{"instances":[`)
	separator := ""
	for e := range s.candidates(p.Node, p.Service) {
		if p.Node != "" && !strings.EqualFold(e.Instance.Node, p.Node) || p.Source != "" && e.Source != p.Source {
			continue
		}
		buffer.Reset()
		buffer.WriteString(separator)
		separator = ","
		shown := instanceOf(e, scope, false)
		s.encodeInstance(&buffer, encoder, &shown)
		if _, err := out.Write(buffer.Bytes()); err != nil {
			return errCut // the client has gone, or takes nothing
		}
	}
	_, _ = out.WriteString("]}\n")
	if out.Flush() != nil {
		return errCut
	}
	return nil
}

// candidates yields the endpoints of a service, else those of a node, else all, by node and ID.
func (s *Server) candidates(node, service string) iter.Seq[*catalog.Endpoint] {
	if service != "" {
		if snapshot := s.view.Service(service); snapshot != nil {
			return slices.Values(snapshot.Endpoints)
		}
		return slices.Values([]*catalog.Endpoint(nil))
	}
	return func(yield func(*catalog.Endpoint) bool) {
		for _, snapshot := range s.nodesNamed(node) {
			for e := range snapshot.Endpoints.All() {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// nodesNamed returns the node of that name if there is one, or all nodes for the empty name.
func (s *Server) nodesNamed(name string) []*catalog.NodeSnapshot {
	if name == "" {
		return s.view.Nodes()
	}
	if node := s.view.Node(name); node != nil {
		return []*catalog.NodeSnapshot{node}
	}
	return nil
}

// getInstance answers GET /nodes/{node}/instances/{id} and its short form.
func (s *Server) getInstance(w http.ResponseWriter, r *http.Request, _ reading) error {
	node, id := s.nodeOf(r), r.PathValue("id")
	s.stamp(w, s.view.Revision(), catalog.Position{})
	e := s.view.Instance(node, id)
	if e == nil {
		return catalog.Errorf(catalog.KindNotFound, "no instance %.300s on node %.100s", id, node)
	}
	scope, err := s.scopeOf(r, "")
	if err != nil {
		return err
	}
	return s.writeJSON(w, instanceOf(e, scope, true))
}

// nodeOf returns the node that the request names, or the server's own.
func (s *Server) nodeOf(r *http.Request) string {
	if node := r.PathValue("node"); node != "" {
		return node
	}
	return s.cfg.Node
}

// putInstance answers PUT /nodes/{node}/instances/{id} and its short form.
func (s *Server) putInstance(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Registrar == nil {
		return noWrites("registrations")
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	registration, err := decodeRegistration(body, s.nodeOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.allowChecks(registration.Checks); err != nil {
		return err
	}
	revision, err := s.cfg.Registrar.Register(r.Context(), registration)
	if err != nil {
		return err
	}
	return s.written(w, revision)
}

// allowChecks refuses checks that only the operator of the host may ask for: those that run commands, unless the operator
// accepts them from clients, and those that run so often that they are an attack on what they check.
func (s *Server) allowChecks(checks []catalog.Check) error {
	for i := range checks {
		c := &checks[i]
		if (c.Type == catalog.CheckScript || len(c.Args) > 0) && !s.cfg.EnableScripts {
			return catalog.Errorf(catalog.KindDenied, "check %.300s is a script, and scripts are not accepted over HTTP", c.ID).
				WithHint("start the server with --enable-script-checks")
		}
		if interval := time.Duration(c.Interval); 0 < interval && interval < catalog.MinIntervalHTTP {
			return catalog.Errorf(catalog.KindInvalid, "check %.300s has the interval %v: at least %v is allowed over HTTP", c.ID,
				interval, catalog.MinIntervalHTTP).WithHint("shorter ones stand in labels and definition files")
		}
	}
	return nil
}

// deleteInstance answers DELETE /nodes/{node}/instances/{id} and its short form.
func (s *Server) deleteInstance(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Registrar == nil {
		return noWrites("registrations")
	}
	revision, err := s.cfg.Registrar.Deregister(r.Context(), s.nodeOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.written(w, revision)
}

// renewInstance answers PUT /nodes/{node}/instances/{id}/renew and its short form.
func (s *Server) renewInstance(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Registrar == nil {
		return noWrites("registrations")
	}
	if err := s.cfg.Registrar.Renew(r.Context(), s.nodeOf(r), r.PathValue("id")); err != nil {
		return err
	}
	return s.written(w, 0)
}
