package registry

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// TimeLeft returns the time until the lease of an owner, or of a node's session, ends without a renewal. The error is
// of KindNotFound if the lease does not exist any more.
func (r *Registry) TimeLeft(ctx context.Context, id string) (time.Duration, error) {
	lease := leaseID(id)
	if lease == 0 {
		return 0, noLease(id)
	}
	if r.leases != nil {
		left, alive := r.leases.left(lease)
		if !alive {
			return 0, noLease(id)
		}
		return left.Round(time.Second), nil
	}
	resp, err := r.client.TimeToLive(ctx, lease)
	switch {
	case err == nil && resp.TTL <= 0 || err != nil && leaseGone(err):
		return 0, noLease(id)
	case err != nil:
		return 0, storeError(ctx, err)
	}
	return time.Duration(resp.TTL) * time.Second, nil
}

func noLease(id string) error { return catalog.Errorf(catalog.KindNotFound, "no lease %.40q", id) }

// TimeOf returns the time at which a revision was written. The error is of KindNotFound if the store has no time for it, or has
// forgotten it.
func (r *Registry) TimeOf(ctx context.Context, revision uint64) (time.Time, error) {
	resp, err := r.client.Get(ctx, clockKey, clientv3.WithRev(int64(revision)))
	forgotten := compacted(err) || errors.Is(err, rpctypes.ErrFutureRev)
	if err != nil && !forgotten {
		return time.Time{}, storeError(ctx, err)
	}
	if forgotten || len(resp.Kvs) == 0 || uint64(resp.Kvs[0].ModRevision) != revision {
		return time.Time{}, catalog.Errorf(catalog.KindNotFound, "the time of revision %d is not known", revision)
	}
	c, err := decodeClock(resp.Kvs[0].Value)
	if err != nil {
		return time.Time{}, err
	}
	return c.Time, nil
}
