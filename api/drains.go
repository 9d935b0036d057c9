package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// listDrains answers GET /drains: the orders in force, and the instances that their owners drain.
func (s *Server) listDrains(w http.ResponseWriter, _ *http.Request, _ reading) error {
	s.stamp(w, s.view.Revision(), catalog.Position{})
	list := client.DrainList{Drains: []catalog.Drain{}, Instances: s.drainedByOwners()}
	for _, d := range s.view.Drains() {
		list.Drains = append(list.Drains, *d)
	}
	slices.SortFunc(list.Drains, byTarget)
	return s.writeJSON(w, list)
}

func byTarget(a, b catalog.Drain) int {
	return strings.Compare(a.Service+"/"+a.Node+"/"+a.Instance, b.Service+"/"+b.Node+"/"+b.Instance)
}

// drainedByOwners returns the instances that their owners drain.
func (s *Server) drainedByOwners() []catalog.Drain {
	list := []catalog.Drain{}
	for _, node := range s.view.Nodes() {
		for e := range node.Endpoints.All() {
			if e.Instance.Drain != "" {
				since := noted(e.Instance).DrainedAt
				list = append(list, catalog.Drain{Node: e.Instance.Node, Instance: e.ID, Reason: e.Instance.Drain, Since: since})
			}
		}
	}
	slices.SortFunc(list, byTarget)
	return list
}

// putDrain answers PUT /drains: an order to take a service, a node or an instance out of the answers.
func (s *Server) putDrain(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Drainer == nil {
		return noWrites("drains")
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	var order client.DrainOrder
	if err := decodeStrict(body, &order); err != nil {
		return err
	}
	d := s.order(order.Service, order.Node, order.Instance)
	d.Reason, d.Since = order.Reason, time.Now().UTC().Truncate(time.Second)
	revision, err := s.cfg.Drainer.Drain(r.Context(), d)
	if err != nil {
		return err
	}
	return s.written(w, revision)
}

// order returns the order for the thing named; an instance without a node is one of the server's own node.
func (s *Server) order(service, node, instance string) catalog.Drain {
	if instance != "" && node == "" {
		node = s.cfg.Node
	}
	return catalog.Drain{Service: service, Node: node, Instance: instance}
}

// drainParams name what an order is about.
type drainParams struct{ Service, Node, Instance string }

func (p *drainParams) fields() []field {
	return []field{text("service", &p.Service), text("node", &p.Node), text("instance", &p.Instance)}
}

// deleteDrain answers DELETE /drains: the end of an order or, without one, of a drain by a stop signal that a container has survived.
func (s *Server) deleteDrain(w http.ResponseWriter, r *http.Request, p drainParams) error {
	if s.cfg.Drainer == nil {
		return noWrites("drains")
	}
	d := s.order(p.Service, p.Node, p.Instance)
	revision, err := s.cfg.Drainer.Undrain(r.Context(), d)
	if err != nil {
		return err
	}
	return s.written(w, revision)
}
