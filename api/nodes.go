package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// listNodes answers GET /nodes.
func (s *Server) listNodes(w http.ResponseWriter, r *http.Request, p waiting) error {
	err := s.await(w, r, p, s.view.NodesIndex, func(ctx context.Context, index uint64) (uint64, error) {
		return s.view.WaitList(ctx, s.view.NodesIndex, index)
	})
	if err != nil {
		return err
	}
	at := s.view.Marks()
	revision, index := s.view.Revision(), at.Position(s.view.NodesIndex())
	list := client.NodeList{Index: index, Nodes: []client.NodeSummary{}}
	for _, node := range s.view.Nodes() {
		list.Nodes = append(list.Nodes, nodeOf(node, false))
	}
	s.stamp(w, revision, index)
	return s.writeJSON(w, list)
}

// nodeOf returns a node as the API shows it, without its instances.
func nodeOf(n *catalog.NodeSnapshot, outputs bool) client.NodeSummary {
	shown := client.NodeSummary{
		Name: n.Name, Alive: n.Alive, Status: n.Status, InstanceCount: n.Endpoints.Len(),
	}
	if record := n.Node; record != nil {
		shown.ID, shown.Addresses, shown.Meta = record.ID, record.Addresses, record.Meta
		shown.Locality, shown.Owner, shown.Origin, shown.Former = record.Locality, record.Owner, record.Origin, record.Former
	}
	for _, c := range n.Checks {
		shown.Checks = append(shown.Checks, checkOf(c, outputs))
	}
	return shown
}

// getNode answers GET /nodes/{node}.
func (s *Server) getNode(w http.ResponseWriter, r *http.Request, p waiting) error {
	name := r.PathValue("node")
	current := func() uint64 {
		_, index := s.view.NodeIndex(name)
		return index
	}
	err := s.await(w, r, p, current, func(ctx context.Context, index uint64) (uint64, error) {
		return s.view.WaitNode(ctx, name, index)
	})
	if err != nil {
		return err
	}
	at := s.view.Marks()
	revision := s.view.Revision()
	node, changed := s.view.NodeIndex(name)
	index := at.Position(changed)
	if node == nil {
		s.stamp(w, revision, index)
		absent := s.view.NoNode(name)
		return absent.WithHint("%s", cmp.Or(absent.Hint, "see the list of nodes; a request with ?index= waits for it to appear"))
	}
	scope, err := s.scopeOf(r, "")
	if err != nil {
		return err
	}
	answer := client.Node{Index: index, NodeSummary: nodeOf(node, true), Instances: []client.Instance{}}
	for e := range node.Endpoints.All() {
		answer.Instances = append(answer.Instances, instanceOf(e, scope, true))
	}
	s.stamp(w, revision, index)
	return s.writeJSON(w, answer)
}

// putNode answers PUT /nodes/{node}: the whole state of a node.
func (s *Server) putNode(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Nodes == nil {
		return noWrites("node states")
	}
	body, err := readBody(w, r, maxNodeBody)
	if err != nil {
		return err
	}
	state, err := decodeNode(body, r.PathValue("node"))
	if err != nil {
		return err
	}
	if err := s.allowChecks(state.Checks); err != nil {
		return err
	}
	for i := range state.Registrations {
		if err := s.allowChecks(state.Registrations[i].Checks); err != nil {
			return err
		}
	}
	result, err := s.cfg.Nodes.SyncNode(r.Context(), state)
	if err != nil {
		return err
	}
	w.Header()[client.HeaderRevision] = s.revisionHeader(max(s.view.Revision(), result.Revision))
	return s.writeJSON(w, result)
}

// renewNode answers PUT /nodes/{node}/renew.
func (s *Server) renewNode(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Nodes == nil {
		return noWrites("node states")
	}
	if err := s.cfg.Nodes.RenewNode(r.Context(), r.PathValue("node")); err != nil {
		return err
	}
	return s.written(w, 0)
}

// deleteNode answers DELETE /nodes/{node}.
func (s *Server) deleteNode(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Nodes == nil {
		return noWrites("node states")
	}
	revision, err := s.cfg.Nodes.RemoveNode(r.Context(), r.PathValue("node"))
	if err != nil {
		return err
	}
	return s.written(w, revision)
}

// written answers a write that the catalog holds at a revision; 0 means one that changed nothing in it.
func (s *Server) written(w http.ResponseWriter, revision uint64) error {
	revision = max(revision, s.view.Revision())
	w.Header()[client.HeaderRevision] = s.revisionHeader(revision)
	body := append(make([]byte, 0, 40), `{"revision":`...) // a client.Written
	s.write(w, append(strconv.AppendUint(body, revision, 10), "}\n"...))
	return nil
}

func noWrites(what string) error {
	return catalog.Errorf(catalog.KindUnavailable, "this server takes no %s", what)
}
