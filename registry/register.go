package registry

import (
	"cmp"
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// Register writes one instance with its checks, owned by a lease of its own or permanent. The same registration again
// renews the lease and writes nothing. A registration under another registrant's name replaces the one before: it has a
// new lease, and the owner that was replaced can neither renew nor remove it.
//
// It returns an error of KindInvalid for a registration outside the limits, of KindNotFound if its node does not exist, of
// KindConflict if its ID belongs to the node's declared state, and of KindUnavailable if the store does not answer.
func (r *Registry) Register(ctx context.Context, registration catalog.Registration) (uint64, error) {
	i := &registration.Instance
	i.Origin = catalog.OriginOf(ctx)
	registration.Checks = normalizeChecks(registration.Checks, i.Node, i.ID)
	if err := validateOwner(i); err != nil {
		return 0, err
	}
	if err := registration.Validate(); err != nil {
		return 0, err
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return 0, err
	}
	named := i.Node
	err := r.decide(ctx, func() (err error) { // refuse before granting a lease
		if i.Node, err = r.standing(named, i.ID); err != nil {
			return err
		}
		node, _, err := r.admit(i)
		if err == nil {
			i.Node = node.Name
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	registration.Checks = normalizeChecks(registration.Checks, i.Node, i.ID)
	for range 2 { // the lease may end between the look at it and its use
		lease, err := r.instanceLease(ctx, i)
		if err != nil {
			return 0, err
		}
		revision, err := r.attempt(ctx, func(revision uint64) (*write, error) {
			return r.planRegister(registration, lease, revision)
		})
		if err == nil || !leaseGone(err) {
			return revision, err
		}
	}
	return 0, errContended
}

func validateOwner(i *catalog.Instance) error {
	switch i.Owner.Kind {
	case catalog.OwnerPermanent:
		return nil
	case catalog.OwnerLease:
		if ttl := i.Owner.TTL.Or(0); ttl < catalog.MinTTL || ttl > catalog.MaxTTL {
			return catalog.Errorf(catalog.KindInvalid, "instance %s has a ttl of %v: %v to %v are allowed",
				i.ID, ttl, catalog.MinTTL, catalog.MaxTTL)
		}
		return nil
	default:
		return catalog.Errorf(catalog.KindInvalid, "instance %s has owner %q", i.ID, i.Owner.Kind).
			WithHint("give it a ttl, or make it permanent")
	}
}

// instanceLease returns the lease for an instance, that of its present record renewed or a new one, and sets it in the
// instance; 0 for a permanent one.
func (r *Registry) instanceLease(ctx context.Context, i *catalog.Instance) (clientv3.LeaseID, error) {
	if i.Owner.Kind != catalog.OwnerLease {
		return 0, nil
	}
	existing := r.view.Instance(i.Node, i.ID)
	if existing != nil && existing.Owner.Kind == catalog.OwnerLease && existing.Owner.TTL == i.Owner.TTL &&
		existing.Registrant() == i.Registrant() {
		alive, err := r.keepAlive(ctx, existing.Owner.ID)
		if err != nil {
			return 0, err
		}
		if alive {
			i.Owner.ID = existing.Owner.ID
			return leaseID(i.Owner.ID), nil
		}
	}
	lease, err := r.grant(ctx, i.Owner.TTL)
	i.Owner.ID = sessionID(lease)
	return lease, err
}

// admit returns the node that a new instance is for, and the instance there that has its id, or nil. It returns an error if
// there is no node, or if the node's own declaration holds the id.
func (r *Registry) admit(i *catalog.Instance) (node *catalog.NodeSnapshot, existing *catalog.Endpoint, err error) {
	node = r.view.Node(i.Node)
	if node == nil || node.Node == nil {
		absent := r.view.NoNode(i.Node)
		return nil, nil, absent.WithHint("%s", cmp.Or(absent.Hint, "declare the node first"))
	}
	if existing = node.Endpoint(i.ID); existing != nil && existing.Owner.Declared() && node.Alive {
		return nil, nil, catalog.Errorf(catalog.KindConflict, "instance %s is owned by %s", i.ID, ownerText(existing.Instance)).
			WithHint("choose another id")
	}
	if existing == nil && r.unreadable.has(instanceKey(i.Node, i.ID)) {
		return nil, nil, errUnreadable(i.Node, i.ID)
	}
	return node, existing, nil
}

func (r *Registry) planRegister(registration catalog.Registration, lease clientv3.LeaseID, revision uint64) (*write, error) {
	i := &registration.Instance
	node, existing, err := r.admit(i)
	if err != nil {
		return nil, err
	}
	w := &write{conditions: make([]*pb.Compare, 0, 2), reads: make([]string, 0, 2)}
	w.stillAt(nodeKey(i.Node), node.ModRevision)
	w.sameAs(instanceKey(i.Node, i.ID), existing != nil, revision)
	// All of the checks go to the same lease as the instance, so a new lease rewrites them too.
	fresh := existing == nil || existing.Owner != i.Owner
	if len(registration.Checks) > 0 || existing != nil && len(existing.Checks) > 0 {
		if err := w.registerChecks(node, existing, registration, fresh, lease, revision); err != nil {
			return nil, err
		}
	}
	// A change of its checks alone rewrites the instance, too: its revision then shows which checks another writer knew.
	if existing == nil || !sameAsKept(existing.Instance, i) || existing.Registrant() != i.Registrant() || len(w.ops) > 0 {
		if existing != nil && existing.Moved() {
			i.Origin = i.Origin.CreatedAt(existing.CreateRevision)
		}
		w.putInstance(i, encode(instanceRecord{V: format, Instance: i}), lease)
	}
	if len(w.ops) == 0 {
		return nil, nil
	}
	if existing != nil && existing.Owner.Declared() { // it takes the place of a dead node's
		w.unchangedSince(syncKey(i.Node), revision)
		w.touch(i.Node)
	}
	return w, nil
}

func (w *write) registerChecks(node *catalog.NodeSnapshot, existing *catalog.Endpoint, registration catalog.Registration,
	fresh bool, lease clientv3.LeaseID, revision uint64) error {
	i := &registration.Instance
	now := time.Now().UTC()
	wanted := make(map[string]bool, len(registration.Checks))
	for n := range registration.Checks {
		c := &registration.Checks[n]
		if wanted[c.ID] {
			return catalog.Errorf(catalog.KindInvalid, "instance %s declares check %s twice", i.ID, c.ID)
		}
		wanted[c.ID] = true
		before := node.Check(c.ID)
		if before != nil && before.Instance != i.ID {
			return catalog.Errorf(catalog.KindConflict, "check %s belongs to instance %q", c.ID, before.Instance).
				WithHint("choose another check id")
		}
		after, changed := nextCheck(before, c, now)
		if !changed && !fresh {
			continue
		}
		w.unchangedSince(checkKey(i.Node, c.ID), revision)
		w.put(checkKey(i.Node, c.ID), encode(checkRecord{V: format, Check: &after}), lease)
	}
	if existing != nil {
		for _, c := range existing.Checks {
			if !wanted[c.ID] {
				w.unchangedSince(checkKey(i.Node, c.ID), revision)
				w.delete(checkKey(i.Node, c.ID))
			}
		}
	}
	return nil
}

// Deregister removes an instance and its checks; for a caller that names its registrant, only what that registered. The
// error is of KindNotFound if it does not exist, and of KindConflict if another registrant has registered it since, or if it
// belongs to the declared state of a living node: its owner would only declare it again.
func (r *Registry) Deregister(ctx context.Context, node, id string) (uint64, error) {
	if err := r.awaitLoaded(ctx); err != nil {
		return 0, err
	}
	return r.attempt(ctx, func(revision uint64) (*write, error) {
		on, err := r.standing(node, id)
		if err != nil {
			return nil, err
		}
		return r.planDeregister(ctx, &write{}, on, id, whyDeregistered(ctx), revision)
	})
}

// planDeregister adds the removal of an instance to a write, for a reason.
func (r *Registry) planDeregister(ctx context.Context, w *write, node, id, why string, revision uint64) (*write, error) {
	e := r.view.Instance(node, id)
	if key := instanceKey(node, id); e == nil && r.unreadable.has(key) {
		if catalog.CallerOf(ctx).Registrant != "" { // whose it is cannot be read either
			return nil, errUnreadable(node, id)
		}
		w.stillThere(key, revision)
		w.delete(key)
		w.because(key, why)
		return w, nil
	}
	if e == nil {
		return nil, r.noInstance(node, id)
	}
	if e.Owner.Declared() && e.Host.Session != "" {
		return nil, catalog.Errorf(catalog.KindConflict, "instance %s belongs to what node %s declares", id, node).
			WithHint("%s", howToRemove(e.Instance))
	}
	if err := e.OwnedBy(ctx); err != nil {
		return nil, err
	}
	w.stillThere(instanceKey(node, id), revision) // and so its checks are those that are known here
	for _, c := range e.Checks {                  // they may belong to another instance by now
		w.unchangedSince(checkKey(node, c.ID), revision)
	}
	w.deleteInstance(e)
	w.because(instanceKey(e.Instance.Node, e.ID), why)
	if e.Owner.Declared() {
		w.unchangedSince(syncKey(node), revision)
		w.touch(node)
	}
	return w, nil
}

// deleteInstance deletes an instance and its checks.
func (w *write) deleteInstance(e *catalog.Endpoint) {
	w.delete(instanceKey(e.Instance.Node, e.ID))
	for _, c := range e.Checks {
		w.delete(checkKey(e.Instance.Node, c.ID))
	}
}

func howToRemove(i *catalog.Instance) string {
	switch i.Source {
	case "docker":
		return "stop the container, or give it the label koine.ignore=true"
	case "file":
		return "remove it from its definition file"
	default:
		return "declare the node without it"
	}
}
