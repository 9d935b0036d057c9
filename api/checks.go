package api

import (
	"net/http"
	"strings"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// checkParams choose checks; empty ones choose all.
type checkParams struct {
	reading
	Status        catalog.Status
	Service, Node string
}

func (p *checkParams) fields() []field {
	return append([]field{status("status", &p.Status), text("service", &p.Service), text("node", &p.Node)}, p.reading.fields()...)
}

// listChecks answers GET /checks: the last outcome of each check, its output included. How a check is run is left out,
// because its headers may hold secrets.
func (s *Server) listChecks(w http.ResponseWriter, _ *http.Request, p checkParams) error {
	s.stamp(w, s.view.Revision(), catalog.Position{})
	list := client.CheckList{Checks: []client.CheckStatus{}}
	for _, node := range s.nodesNamed(p.Node) {
		for _, shown := range checksOn(node) {
			s.addRun(&shown, node.Name)
			if (p.Status == "" || shown.Status == p.Status) && (p.Service == "" || strings.EqualFold(shown.Service, p.Service)) {
				list.Checks = append(list.Checks, shown)
			}
		}
	}
	return s.writeJSON(w, list)
}

// checksOn returns the checks of a node and of its instances, each with the thing that it checks.
func checksOn(node *catalog.NodeSnapshot) []client.CheckStatus {
	var list []client.CheckStatus
	add := func(c *catalog.Check, instance, service string) {
		shown := checkOf(c, true)
		shown.Node, shown.Instance, shown.Service = node.Name, instance, service
		list = append(list, shown)
	}
	for _, c := range node.Checks {
		add(c, "", "")
	}
	for e := range node.Endpoints.All() {
		for _, c := range e.Checks {
			add(c, e.ID, e.Service)
		}
	}
	return list
}

// putCheck answers PUT /nodes/{node}/checks/{check} and its short form: the outcome of a TTL check.
func (s *Server) putCheck(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Pusher == nil {
		return noWrites("outcomes of checks")
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	var push client.CheckPush
	if err := decodeStrict(body, &push); err != nil {
		return err
	}
	check := r.PathValue("check")
	if !push.Status.Valid() {
		return catalog.Errorf(catalog.KindInvalid, "check %.300s has status %.20q", check, push.Status).
			WithHint("use passing, warning or critical")
	}
	if err := s.cfg.Pusher.Push(r.Context(), s.nodeOf(r), check, push.Status, push.Output); err != nil {
		return err
	}
	return s.written(w, 0)
}
