package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/internal/pause"
)

// clockKey holds the time of the last change. The store's revisions have no times; the versions of this key give them one.
const clockKey = Root + "clock"

const (
	// clockSpread is how long a process waits at most before it writes the time of a revision that came without one:
	// all that follow the store see it at once, and one of them is enough.
	clockSpread = 200 * time.Millisecond
	// clockInterval is the shortest time between two such writes of one process.
	clockInterval = time.Second
)

// clockRecord dates its own revision and every revision since the previous clockRecord.
type clockRecord struct {
	V    int       `json:"v"`
	Time time.Time `json:"t"`
	// Why has the reasons for which the revision deletes instances, by their keys, or by a prefix of keys that ends in '/'.
	Why reasons `json:"why,omitempty"`
}

// putClock returns the operation that gives a transaction its time, and the reasons for what it deletes.
func putClock(now time.Time, why reasons) *pb.RequestOp {
	value := encode(clockRecord{V: format, Time: now.UTC().Truncate(time.Microsecond), Why: why})
	return opPut(&pb.PutRequest{Key: []byte(clockKey), Value: value})
}

func decodeClock(value []byte) (*clockRecord, error) {
	c := new(clockRecord)
	if err := json.Unmarshal(value, c); err != nil {
		return nil, fmt.Errorf("value of %q: %w", clockKey, err)
	}
	if c.V != format || c.Time.IsZero() {
		return nil, fmt.Errorf("value of %q: no time of format %d", clockKey, format)
	}
	return c, nil
}

// clockOf returns the clock among the events of one revision; nil if it has none that can be read.
func clockOf(events []*clientv3.Event) *clockRecord {
	for _, event := range slices.Backward(events) { // it is written last
		if string(event.Kv.Key) == clockKey && event.Type == clientv3.EventTypePut {
			c, err := decodeClock(event.Kv.Value)
			if err != nil {
				return nil // somebody else wrote it
			}
			return c
		}
	}
	return nil
}

// moment is when a revision was seen.
type moment struct {
	revision int64
	time     time.Time
}

// noteClock looks at the events of one revision. If the catalog changed and nobody wrote when, because a lease ran out or
// somebody else wrote, that is left to keepClock. A revision that is nothing but a clock asks for none.
func (r *Registry) noteClock(events []*clientv3.Event) {
	revision, records := events[0].Kv.ModRevision, 0
	for _, event := range events {
		if string(event.Kv.Key) == clockKey {
			r.clocked.Store(revision)
			return
		}
		if recorded(event.Kv.Key) {
			records++
		}
	}
	if records == 0 {
		return
	}
	select {
	case <-r.unclocked: // a later time will do for both
	default:
	}
	r.unclocked <- moment{revision, time.Now()} // only the feed sends, so there is room
}

// keepClock writes the time of revisions that came without one, until the context ends.
func (r *Registry) keepClock(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-r.unclocked:
			pause.For(ctx, rand.N(clockSpread))
			if r.clocked.Load() > m.revision {
				continue // somebody else was quicker
			}
			if err := r.writeClock(ctx, m); err != nil && ctx.Err() == nil {
				r.logger.Debug("time of a revision is not known", "revision", m.revision, "error", err)
			}
			pause.For(ctx, clockInterval)
		}
	}
}

// writeClock writes when a revision was seen, unless a time at or after it is there.
func (r *Registry) writeClock(ctx context.Context, m moment) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, err := r.writes.kv.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{modRevision(clockKey, pb.Compare_LESS, uint64(m.revision))},
		Success: []*pb.RequestOp{putClock(m.time, nil)},
	})
	return err
}
