package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// grant makes a lease. A store that other processes use counts in whole seconds: for it, the TTL is rounded up.
func (r *Registry) grant(ctx context.Context, ttl catalog.Duration) (clientv3.LeaseID, error) {
	bounded, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if r.leases != nil {
		id, err := r.leases.grant(bounded, time.Duration(ttl))
		if err != nil {
			return 0, storeError(ctx, err)
		}
		return id, nil
	}
	seconds := int64((time.Duration(ttl) + time.Second - 1) / time.Second)
	lease, err := r.client.Grant(bounded, seconds)
	if err != nil {
		return 0, storeError(ctx, err)
	}
	return lease.ID, nil
}

// keepAlive renews a lease. It returns false if the lease does not exist.
func (r *Registry) keepAlive(ctx context.Context, id string) (bool, error) {
	lease := leaseID(id)
	if lease == 0 {
		return false, nil
	}
	if r.leases != nil {
		if alive, brief := r.leases.renew(lease); !alive || !brief {
			return alive, nil
		}
	}
	bounded, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, err := r.client.KeepAliveOnce(bounded, lease)
	switch {
	case err == nil:
		return true, nil
	case leaseGone(err):
		return false, nil
	default:
		return false, storeError(ctx, err)
	}
}

func leaseGone(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || strings.Contains(err.Error(), "requested lease not found")
}

// Renew renews the registration of an instance with a lease. The error is of KindNotFound if the instance does not exist:
// its owner must register it again. It is of KindConflict if the instance has no lease, or if another registrant than the
// caller has registered it since.
func (r *Registry) Renew(ctx context.Context, node, id string) error {
	return r.renew(ctx, func() (string, error) {
		on, err := r.standing(node, id)
		if err != nil {
			return "", err
		}
		e := r.view.Instance(on, id)
		switch {
		case e == nil:
			return "", r.noInstance(node, id)
		case e.OwnedBy(ctx) != nil:
			return "", e.OwnedBy(ctx)
		case e.Owner.Kind != catalog.OwnerLease:
			return "", catalog.Errorf(catalog.KindConflict, "instance %s has no lease: it is owned by %s", id, ownerText(e.Instance))
		}
		return e.Owner.ID, nil
	}, r.noInstance(node, id))
}

// RenewNode renews a node's session. The error is of KindNotFound if it has none: its owner must declare the node
// again.
func (r *Registry) RenewNode(ctx context.Context, node string) error {
	gone := catalog.Errorf(catalog.KindNotFound, "node %s has no session", node).WithHint("declare its state again")
	return r.renew(ctx, func() (string, error) {
		snapshot := r.view.Node(node)
		switch {
		case snapshot == nil:
			return "", r.view.NoNode(node)
		case snapshot.Session == "":
			return "", gone
		}
		return snapshot.Session, nil
	}, gone)
}

// renew renews the lease that find reads from the View; gone is the error to return if that lease has ended. The View
// may be older than the call, and the record may have another lease by now: so the lease is renewed first, and then
// must equal the one that a current View names.
func (r *Registry) renew(ctx context.Context, find func() (lease string, err error), gone error) error {
	if err := r.awaitLoaded(ctx); err != nil {
		return err
	}
	for range maxAttempts {
		lease, err := find()
		alive := false
		if err == nil {
			if alive, err = r.keepAlive(ctx, lease); err != nil {
				return err
			}
		}
		if err := r.awaitOthers(ctx); err != nil {
			return err
		}
		current, err := find()
		switch {
		case err != nil:
			return err
		case current == lease && !alive:
			return gone
		case current == lease:
			return nil
		}
	}
	return errContended
}

// awaitOthers waits until the View has what other processes wrote before the call. What this one acknowledged is there already.
func (r *Registry) awaitOthers(ctx context.Context) error {
	if r.leases != nil {
		return nil
	}
	_, err := r.Barrier(ctx)
	return err
}

// noInstance is the error for an instance that does not exist. Its hint names the node that had the name before, if there is one.
func (r *Registry) noInstance(node, id string) error {
	err := catalog.Errorf(catalog.KindNotFound, "no instance %s on node %s", id, node)
	if r.view.Node(node) != nil {
		return err
	}
	return err.WithHint("%s", r.view.NoNode(node).Hint)
}

// standing returns the name of the node that an instance is on. An instance that was registered under a former name of its node has
// moved with it, and is found under that name still. One that was registered since is not: the name may be another host's next. The
// error is of catalog.KindConflict if instances on several nodes, which all had the name, may be meant.
func (r *Registry) standing(node, id string) (string, error) {
	now := slices.DeleteFunc(r.view.NodesFormerly(node), func(n *catalog.NodeSnapshot) bool {
		e := n.Endpoint(id)
		return e == nil || !e.Moved()
	})
	switch len(now) {
	case 0:
		return node, nil
	case 1:
		return now[0].Name, nil
	default:
		return "", catalog.Errorf(catalog.KindConflict, "several nodes that were called %s have an instance %s", node, id).
			WithHint("name the node: it is %s now", catalog.NodeNames(now))
	}
}
