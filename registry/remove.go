package registry

import (
	"context"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// RemoveNode removes a node and everything on it. The error is of KindNotFound if it does not exist, and of KindConflict
// while its session lives.
func (r *Registry) RemoveNode(ctx context.Context, node string) (uint64, error) {
	if err := r.awaitLoaded(ctx); err != nil {
		return 0, err
	}
	return r.attempt(ctx, func(revision uint64) (*write, error) {
		snapshot := r.view.Node(node)
		if snapshot == nil {
			return nil, r.view.NoNode(node)
		}
		if snapshot.Session != "" {
			return nil, catalog.Errorf(catalog.KindConflict, "node %s is alive", node).
				WithHint("stop its agent first, or wait until its session ends")
		}
		why := strings.TrimSpace("node " + snapshot.Name + " was removed " + catalog.OriginOf(ctx).String())
		return removal(snapshot, revision, why), nil
	})
}

// removal is the write that removes a node without a session, and everything on it.
func removal(node *catalog.NodeSnapshot, revision uint64, why string) *write {
	w := onDeadNode(node, revision)
	w.delete(nodeKey(node.Name))
	w.delete(syncKey(node.Name))
	w.deleteBelow(instancesOf(node.Name))
	w.because(instancesOf(node.Name), why)
	w.deleteBelow(checksOf(node.Name))
	return w
}

// onDeadNode begins a write that is made only if the node was neither declared again nor removed.
func onDeadNode(node *catalog.NodeSnapshot, revision uint64) *write {
	w := &write{}
	w.absent(aliveKey(node.Name))
	w.sameAs(nodeKey(node.Name), node.Node != nil, revision)
	w.unchangedSince(syncKey(node.Name), revision)
	return w
}

// purge removes what a dead node declared, and the node itself if no other owner's records stand on it. It returns false if there
// was nothing to remove, or another process has the duty. Where the View shows that, the store is not asked: every process comes
// here again and again for every node that is long dead.
func (r *Registry) purge(ctx context.Context, node string) (purged bool, err error) {
	plan := func(revision uint64) (*write, error) {
		others := r.unreadable.below(instancesOf(node), checksOf(node))
		w := planPurge(r.view.Node(node), others, revision, r.writes.maxBytes)
		if purged = w != nil && r.holds(catalog.PurgeDuty(node)); !purged {
			return nil, nil
		}
		r.asHolder(w, revision)
		return w, nil
	}
	if w, _ := plan(r.view.Revision()); w == nil {
		return false, nil
	}
	_, err = r.attempt(ctx, plan)
	return purged, err
}

// planPurge draws up the purge of a node, or as much of it as one request may carry; nil if there is nothing to remove. others says
// that records on it are known to be of other owners, or may be.
func planPurge(node *catalog.NodeSnapshot, others bool, revision uint64, maxBytes int) *write {
	if node == nil || node.Alive {
		return nil
	}
	w := onDeadNode(node, revision)
	for e := range node.Endpoints.All() {
		if !e.Owner.Declared() {
			others = true
		} else if w.bytes < maxBytes/2 {
			w.deleteInstance(e)
		}
	}
	if !others {
		w = removal(node, revision, whyPurged(node))
	} else {
		w.because(instancesOf(node.Name), whyPurged(node))
		for _, c := range node.Checks {
			w.delete(checkKey(node.Name, c.ID))
		}
		if len(w.ops) == 0 {
			return nil
		}
		w.touch(node.Name)
	}
	w.unchangedBelow(instancesOf(node.Name), revision) // no instance was registered there since
	return w
}
