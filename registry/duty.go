package registry

import (
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// ActFor sets the node whose process the registry is in. From then on the registry takes a duty (purging, dating revisions,
// the outcomes of checks of nodes without an agent) only while the View assigns it to the node. A registry that acts for no
// node takes every duty while no living node takes any.
func (r *Registry) ActFor(node catalog.Node) { r.self.Store(&node) }

// ownSession returns the lease of the session of the node that this process acts for; 0 if there is none.
func (r *Registry) ownSession() clientv3.LeaseID {
	self := r.self.Load()
	if self == nil {
		return 0
	}
	node := r.view.Node(self.Name)
	if node == nil || node.Session == "" || node.Node == nil || !node.Node.Is(self) {
		return 0
	}
	return leaseID(node.Session)
}

// holds reports whether a duty is this process's.
func (r *Registry) holds(duty string) bool {
	if self := r.self.Load(); self != nil {
		return r.view.Holds(self, duty)
	}
	return r.view.Holder(duty) == nil
}

// asHolder adds the condition that this process still has the duties that the View assigned to it at a revision: its node's
// session is the same. A process that stood still for longer than its session lasts must write nothing before it has seen
// that others have taken over.
func (r *Registry) asHolder(w *write, revision uint64) {
	if self := r.self.Load(); self != nil {
		w.stillThere(aliveKey(self.Name), revision)
	}
}

// others returns the error for a write that is another process's duty.
func (r *Registry) others(duty string) error {
	holder := r.view.Holder(duty)
	if holder == nil {
		return catalog.Errorf(catalog.KindConflict, "no living node has duty %s", duty)
	}
	return catalog.Errorf(catalog.KindConflict, "node %s has duty %s", holder.Name, duty)
}
