package registry

import (
	"container/heap"
	"context"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pulse"
	"github.com/koine-sd/koine/internal/renewal"
)

const (
	// backstop is the TTL in the store of a lease that Leases ends: longer than any standstill.
	backstop = 365 * 24 * time.Hour
	// leaseMark is the upper 16 bits of the id of such a lease.
	leaseMark = 0x6b6f
	// endInterval is the time between two looks for leases that have run out, endRetry the time until a revocation that failed
	// is tried again.
	endInterval = 250 * time.Millisecond
	endRetry    = time.Second
	// endBatch bounds the leases that one look ends, endWidth the revocations at a time.
	endBatch = 4096
	endWidth = 32
)

// Leases are the leases of a store that only this process uses. The store counts the time in which the process stood still, and
// begins each lease again after a restart: so its TTL is a backstop only. Leases counts the time in which the process ran, keeps
// the renewals in memory and in a book, and ends what nobody renews in time by revoking it.
//
// A lease is renewed, or ends, never both: a renewal that was acknowledged counts.
type Leases struct {
	store  pb.LeaseClient
	clock  *pulse.Clock
	book   *renewal.Book
	logger *slog.Logger

	mu   sync.Mutex
	live map[clientv3.LeaseID]*lease
	// due has every lease once, the one that may run out first at its top.
	due dueLeases
	// changes counts the renewals of leases other than own.
	changes uint64
	// own returns the lease that this process keeps for its own node; 0 if none. It never ends: the process is alive.
	own func() clientv3.LeaseID
}

// lease is the state of a lease. All times are those of the clock, and may be before its start.
type lease struct {
	id           clientv3.LeaseID
	ttl, renewed time.Duration
	// grace is the time before which it does not end, whenever it was renewed.
	grace time.Duration
	// look is the time of the next look at it, never later than its end; index is its index in due.
	look  time.Duration
	index int
	// brief is set for a lease that an older version granted: it ends in the store, too, and must be renewed there.
	brief bool
	// ended is set once it is to be revoked. From then on it cannot be renewed.
	ended bool
}

// end returns the time at which the lease runs out.
func (x *lease) end() time.Duration { return max(x.renewed+x.ttl, x.grace) }

// NewLeases returns the leases of a store. Clock and book may be nil; a nil logger discards.
func NewLeases(store pb.LeaseClient, clock *pulse.Clock, book *renewal.Book, logger *slog.Logger) *Leases {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Leases{
		store: store, clock: clock, book: book, logger: logger, live: make(map[clientv3.LeaseID]*lease),
		own: func() clientv3.LeaseID { return 0 },
	}
}

// grant makes a lease.
func (l *Leases) grant(ctx context.Context, ttl time.Duration) (clientv3.LeaseID, error) {
	id := clientv3.LeaseID(leaseMark<<48 | rand.Int64N(1<<48))
	if _, err := l.store.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(id), TTL: int64(backstop / time.Second)}); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(&lease{id: id, ttl: ttl, renewed: l.clock.Running()})
	l.changes++
	return id, nil
}

// brief reports whether a lease ends in the store by the store's clock.
func (l *Leases) brief(id clientv3.LeaseID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.live[id]
	return x != nil && x.brief
}

// grantLike makes a lease to take the place of another one.
func (l *Leases) grantLike(ctx context.Context, other clientv3.LeaseID) (clientv3.LeaseID, error) {
	l.mu.Lock()
	x := l.live[other]
	l.mu.Unlock()
	if x == nil {
		return 0, rpctypes.ErrLeaseNotFound
	}
	return l.grant(ctx, x.ttl)
}

// adopt takes in a lease that the store has from before the start.
func (l *Leases) adopt(id clientv3.LeaseID, ttl time.Duration) {
	if id == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[id] != nil {
		return
	}
	l.changes++
	last, now := l.book.Last(bookKey(id), time.Time{}), l.clock.Running()
	l.add(&lease{id: id, ttl: ttl, renewed: now - last.Age, grace: now + min(last.Grace, ttl), brief: id>>48 != leaseMark})
}

// add is called with mu held.
func (l *Leases) add(x *lease) {
	x.look = x.end()
	l.live[x.id] = x
	heap.Push(&l.due, x)
}

// renew renews a lease. It returns false if the lease has ended, and whether it must be renewed in the store, too.
func (l *Leases) renew(id clientv3.LeaseID) (alive, brief bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.live[id]
	if x == nil || x.ended {
		return false, false
	}
	if x.grace > x.renewed+x.ttl {
		l.book.Renewed()
	}
	x.renewed, x.grace = l.clock.Running(), 0
	if id != l.own() {
		l.changes++
	}
	return true, x.brief
}

// left returns the time until a lease ends without a renewal; false if it has ended.
func (l *Leases) left(id clientv3.LeaseID) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.live[id]
	if x == nil || x.ended {
		return 0, false
	}
	return max(x.end()-l.clock.Running(), 0), true
}

// forget takes out a lease that the store no longer has.
func (l *Leases) forget(id clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.live[id]; x != nil {
		delete(l.live, id)
		heap.Remove(&l.due, x.index)
	}
}

// run ends the leases that run out, until the context ends.
func (l *Leases) run(ctx context.Context) {
	ticker := time.NewTicker(endInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for {
			out := l.runOut()
			l.revoke(ctx, out)
			if len(out) < endBatch || ctx.Err() != nil {
				break
			}
		}
	}
}

// runOut returns leases that have run out. They cannot be renewed any more.
func (l *Leases) runOut() (out []clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, now := l.own(), l.clock.Running() // a clock that knows of a standstill that has just ended
	for len(l.due) > 0 && len(out) < endBatch {
		x := l.due[0]
		if x.look > now {
			break
		}
		if x.id == own {
			x.renewed = now
		}
		if x.look = x.end(); x.look <= now {
			x.ended, x.look = true, now+endRetry
			out = append(out, x.id)
		}
		heap.Fix(&l.due, 0)
	}
	return out
}

// revoke ends leases in the store. Those that it does not get to are ended by a later look.
func (l *Leases) revoke(ctx context.Context, ids []clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	var workers sync.WaitGroup
	for part := range slices.Chunk(ids, max(len(ids)/endWidth+1, 1)) {
		workers.Go(func() {
			for _, id := range part {
				_, err := l.store.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: int64(id)})
				switch {
				case err == nil || leaseGone(err):
					l.forget(id)
				case ctx.Err() == nil:
					l.logger.Warn("end a lease that has run out: it is tried again", "lease", sessionID(id), "error", err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// sweep takes in the leases that no record names which could be read. It ends those that a crash has left between their grant and
// their first use: no key would end with them. The others have the TTL that ttlOf returns for their keys.
func (l *Leases) sweep(ctx context.Context, ttlOf func(keys [][]byte) time.Duration) error {
	list, err := l.store.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		return err
	}
	var unused []clientv3.LeaseID
	for _, status := range list.Leases {
		id := clientv3.LeaseID(status.ID)
		if _, known := l.left(id); known || id>>48 != leaseMark {
			continue
		}
		resp, err := l.store.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: status.ID, Keys: true})
		if err != nil {
			return err
		}
		if len(resp.Keys) == 0 {
			unused = append(unused, id)
			continue
		}
		l.adopt(id, ttlOf(resp.Keys))
	}
	l.revoke(ctx, unused)
	return nil
}

// Changes implements renewal.Source.
func (l *Leases) Changes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}

// Renewals implements renewal.Source.
func (l *Leases) Renewals() iter.Seq2[string, renewal.Entry] {
	return func(yield func(string, renewal.Entry) bool) {
		for id, e := range l.entries() {
			if !yield(bookKey(id), e) {
				return
			}
		}
	}
}

// entries copies the renewals, so that the book is written without the lock.
func (l *Leases) entries() map[clientv3.LeaseID]renewal.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, now := l.own(), l.clock.Running()
	list := make(map[clientv3.LeaseID]renewal.Entry, len(l.live))
	for id, x := range l.live {
		if id == own {
			continue
		}
		e := renewal.Entry{Age: now - x.renewed}
		if x.grace > x.renewed+x.ttl {
			e.Grace = max(x.grace-now, time.Millisecond)
		}
		list[id] = e
	}
	return list
}

// bookKey is the key of a lease in the book.
func bookKey(id clientv3.LeaseID) string { return "lease/" + sessionID(id) }

// adoptAll takes in the leases of all records.
func (l *Leases) adoptAll(records []catalog.Change) {
	sessions := make(map[string]time.Duration)
	for i := range records {
		if n := records[i].Node; n != nil {
			sessions[nodeSegment(n.Name)] = time.Duration(n.Owner.TTL)
		}
	}
	for i := range records {
		switch c := &records[i]; {
		case c.Type == catalog.RecordSession:
			l.adopt(leaseID(c.Session), max(sessions[nodeSegment(c.Name)], catalog.MinTTL))
		case c.Instance != nil && c.Instance.Owner.Kind == catalog.OwnerLease:
			l.adopt(leaseID(c.Instance.Owner.ID), time.Duration(c.Instance.Owner.TTL))
		case c.Push != nil:
			l.adopt(leaseID(c.Push.Lease), time.Duration(c.Push.TTL))
		}
	}
}

// dueLeases is a heap of leases by the time of the next look at them.
type dueLeases []*lease

func (d dueLeases) Len() int           { return len(d) }
func (d dueLeases) Less(i, j int) bool { return d[i].look < d[j].look }

func (d dueLeases) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push implements heap.Interface.
func (d *dueLeases) Push(x any) {
	added := x.(*lease)
	added.index = len(*d)
	*d = append(*d, added)
}

// Pop implements heap.Interface.
func (d *dueLeases) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return x
}
