package registry

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// SyncNode brings the catalog to a node's declared state. It writes only the difference, in one transaction unless that
// is larger than the store accepts, and renews the node's session. Records of other owners are left alone; a declared
// instance or check that would take the place of one is left out and named in the result's Conflicts.
//
// A node of the same ID under another name is a former name of this one, whose place it takes: see rename.go.
//
// It returns an error of KindInvalid for a state outside the limits, of KindConflict if the node is alive under another
// ID, or under another name and not known to have ended, and of KindUnavailable if the store does not answer.
func (r *Registry) SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error) {
	since := state.Since
	if since.IsZero() {
		since = time.Now()
	}
	state = normalize(state, catalog.OriginOf(ctx))
	if err := state.Validate(); err != nil {
		return catalog.SyncResult{}, err
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return catalog.SyncResult{}, err
	}
	session, err := r.session(ctx, &state)
	if err != nil {
		return catalog.SyncResult{}, err
	}
	var result catalog.SyncResult
	if err := r.takeFormer(ctx, &state, session, &result); err != nil {
		return result, err
	}
	for range maxRounds {
		var d *difference
		more := false
		revision, err := r.attemptSince(ctx, since, func(revision uint64) (*write, error) {
			current := r.view.Node(state.Node.Name)
			if err := r.sameHost(current, &state); err != nil {
				return nil, err
			}
			d = diff(current, state, session, time.Now().UTC())
			var w *write
			w, more = d.write(revision, r.writes.maxBytes, r.writes.width)
			return w, nil
		})
		if err != nil {
			return result, err
		}
		result.Revision, result.Conflicts = revision, d.conflicts
		result.Puts += d.puts
		result.Deletes += d.deletes
		if !more {
			return result, nil
		}
	}
	return result, errContended
}

// maxRounds bounds the writes of one sync. Each takes at least half a request, so a node within the limits needs fewer.
const maxRounds = 1000

// normalize sets the optional parts of a declaration, and its origin. The node has that for all that is declared with it:
// a host of 1,000 instances would store it 1,000 times.
func normalize(state catalog.NodeState, origin *catalog.Origin) catalog.NodeState {
	name := state.Node.Name
	state.Node.Origin = origin
	registrations := make([]catalog.Registration, len(state.Registrations))
	for i, r := range state.Registrations {
		r.Instance.Node, r.Instance.Origin = name, nil
		if !r.Instance.Owner.Declared() {
			r.Instance.Owner = catalog.Owner{Kind: catalog.OwnerSession}
		}
		r.Checks = normalizeChecks(r.Checks, name, r.Instance.ID)
		registrations[i] = r
	}
	state.Registrations = registrations
	state.Checks = normalizeChecks(state.Checks, name, "")
	return state
}

func normalizeChecks(list []catalog.Check, node, instance string) []catalog.Check {
	out := make([]catalog.Check, len(list))
	for i, c := range list {
		c.Node, c.Instance, c.Origin = node, instance, nil
		c.InferType()
		out[i] = c
	}
	return out
}

// sameNode refuses a node that another process keeps alive under the same name.
func sameNode(current *catalog.NodeSnapshot, node catalog.Node) error {
	if current == nil || current.Node == nil || current.Node.ID == node.ID || current.Session == "" {
		return nil
	}
	return catalog.Errorf(catalog.KindConflict, "node %s is alive under another id, %s", node.Name, current.Node.ID).
		WithHint("give one of the two another name with --node, or wait until its session ends")
}

// session returns the lease that keeps a node alive, renewed or new; 0 for a node that needs none.
func (r *Registry) session(ctx context.Context, state *catalog.NodeState) (clientv3.LeaseID, error) {
	node := state.Node
	if node.Owner.Kind != catalog.OwnerSession {
		return 0, nil
	}
	var current *catalog.NodeSnapshot
	err := r.decide(ctx, func() error {
		current = r.view.Node(node.Name)
		return r.sameHost(current, state)
	})
	if err != nil {
		return 0, err
	}
	if current != nil && current.Node != nil && current.Node.Owner == node.Owner {
		if alive, err := r.keepAlive(ctx, current.Session); err != nil || alive {
			return leaseID(current.Session), err
		}
	}
	return r.grant(ctx, node.Owner.TTL)
}
