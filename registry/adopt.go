package registry

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// adoptLeases takes in the leases of all records of the store, before the View shows any of them.
func (r *Registry) adoptLeases(ctx context.Context, records []catalog.Change) error {
	if r.leases == nil {
		return nil
	}
	r.leases.adoptAll(records)
	if r.view.Revision() > 0 { // writers are granting leases by now
		return nil
	}
	return r.leases.sweep(ctx, r.unreadable.ttl)
}

// moveBrief moves the records of an older version to leases that do not end by the store's clock.
func (r *Registry) moveBrief(ctx context.Context) {
	if r.awaitLoaded(ctx) != nil {
		return
	}
	for _, n := range r.view.Nodes() {
		if old := leaseID(n.Session); r.leases.brief(old) {
			r.moveTo(ctx, old, func(w *write, lease clientv3.LeaseID, revision uint64) {
				if now := r.view.Node(n.Name); now != nil && now.Session == n.Session {
					w.stillThere(aliveKey(n.Name), revision)
					w.put(aliveKey(n.Name), encode(aliveRecord{V: format, Session: sessionID(lease)}), lease)
				}
			})
		}
		for e := range n.Endpoints.All() {
			if old := leaseID(e.Owner.ID); e.Owner.Kind == catalog.OwnerLease && r.leases.brief(old) {
				r.moveTo(ctx, old, func(w *write, lease clientv3.LeaseID, revision uint64) {
					if now := r.view.Instance(n.Name, e.ID); now != nil && now.Owner == e.Owner {
						w.moveInstance(now, lease, revision)
					}
				})
			}
		}
	}
	for push := range r.view.Pushes() {
		if old := leaseID(push.Lease); r.leases.brief(old) {
			r.moveTo(ctx, old, func(w *write, lease clientv3.LeaseID, _ uint64) {
				if now := r.view.Push(push.Node, push.Check); now != nil && now.Lease == push.Lease {
					moved := *now
					moved.Lease = sessionID(lease)
					key := pushKey(push.Node, push.Check)
					w.stillAt(key, now.ModRevision)
					w.put(key, encode(pushRecord{V: format, Push: &moved}), lease)
				}
			})
		}
	}
}

// moveInstance writes an instance and its checks again, with another lease.
func (w *write) moveInstance(e *catalog.Endpoint, lease clientv3.LeaseID, revision uint64) {
	i := *e.Instance
	i.Owner.ID = sessionID(lease)
	w.stillThere(instanceKey(i.Node, i.ID), revision)
	w.putInstance(&i, encode(instanceRecord{V: format, Instance: &i}), lease)
	for _, c := range e.Checks {
		w.stillThere(checkKey(i.Node, c.ID), revision)
		w.put(checkKey(i.Node, c.ID), encode(checkRecord{V: format, Check: c}), lease)
	}
}

// moveTo makes the write that plan adds to, with a new lease in the place of an old one. Plan adds nothing if the old one is no
// longer in use. A record that cannot be moved keeps its lease: it is renewed in the store as before. Once the context has ended it
// does nothing: the next start moves what is left.
func (r *Registry) moveTo(ctx context.Context, old clientv3.LeaseID, plan func(w *write, lease clientv3.LeaseID, revision uint64)) {
	if ctx.Err() != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	lease, err := r.leases.grantLike(bounded, old)
	if err == nil {
		_, err = r.attempt(bounded, func(revision uint64) (*write, error) {
			w := &write{}
			if plan(w, lease, revision); len(w.ops) == 0 {
				return nil, nil
			}
			return w, nil
		})
	}
	if err != nil && ctx.Err() == nil {
		r.logger.Warn("move a record to a lease that outlasts a standstill", "lease", sessionID(old), "error", err)
	}
}
