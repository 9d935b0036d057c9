package registry

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// grant makes a lease. The store counts in whole seconds, so the TTL is rounded up.
func (r *Registry) grant(ctx context.Context, ttl catalog.Duration) (clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	seconds := int64((time.Duration(ttl) + time.Second - 1) / time.Second)
	lease, err := r.client.Grant(ctx, seconds)
	if err != nil {
		return 0, unavailable(err)
	}
	return lease.ID, nil
}

// keepAlive renews a lease. It returns false if there is none of that id.
func (r *Registry) keepAlive(ctx context.Context, id string) (bool, error) {
	lease := leaseID(id)
	if lease == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, err := r.client.KeepAliveOnce(ctx, lease)
	switch {
	case err == nil:
		return true, nil
	case leaseGone(err):
		return false, nil
	default:
		return false, unavailable(err)
	}
}

func leaseGone(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || strings.Contains(err.Error(), "requested lease not found")
}

// Renew renews the registration of an instance that lives by a lease. The error is of KindNotFound if the instance is
// not there, any more or at all: its owner registers it again.
func (r *Registry) Renew(ctx context.Context, node, id string) error {
	if err := r.awaitLoaded(ctx); err != nil {
		return err
	}
	e := r.view.Instance(node, id)
	if e == nil {
		return noInstance(node, id)
	}
	if e.Owner.Kind != catalog.OwnerLease {
		return catalog.Errorf(catalog.KindConflict, "instance %s does not live by a lease but by %s", id, ownerText(e.Instance))
	}
	alive, err := r.keepAlive(ctx, e.Owner.ID)
	if err == nil && !alive {
		return noInstance(node, id)
	}
	return err
}

// RenewNode renews a node's session. The error is of KindNotFound if it has none: its owner declares it again.
func (r *Registry) RenewNode(ctx context.Context, node string) error {
	if err := r.awaitLoaded(ctx); err != nil {
		return err
	}
	snapshot := r.view.Node(node)
	if snapshot == nil {
		return noNode(node)
	}
	alive, err := r.keepAlive(ctx, snapshot.Session)
	if err == nil && !alive {
		return catalog.Errorf(catalog.KindNotFound, "node %s has no session", node).WithHint("declare its state again")
	}
	return err
}

func noInstance(node, id string) error {
	return catalog.Errorf(catalog.KindNotFound, "no instance %s on node %s", id, node)
}

func noNode(node string) error {
	return catalog.Errorf(catalog.KindNotFound, "no node %s", node)
}
