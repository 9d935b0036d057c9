package registry

import "github.com/koine-sd/koine/catalog"

// ActFor says which node's process the registry is in. From then on it does what one process does for all (purging,
// dating revisions, the outcomes of checks of nodes without an agent) only while the View gives that duty to the node. A
// registry that acts for no node does it while no living node takes duties.
func (r *Registry) ActFor(node catalog.Node) { r.self.Store(&node) }

// holds reports whether a duty is this process's.
func (r *Registry) holds(duty string) bool {
	if self := r.self.Load(); self != nil {
		return r.view.Holds(self, duty)
	}
	return r.view.Holder(duty) == nil
}

// asHolder adds the condition that this process still has the duties that the View gave it at a revision: its node's
// session is the same. A process that stood still for longer than its session lasts writes nothing before it has seen
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
		return catalog.Errorf(catalog.KindConflict, "duty %s is no living node's", duty)
	}
	return catalog.Errorf(catalog.KindConflict, "duty %s is that of node %s", duty, holder.Name)
}
