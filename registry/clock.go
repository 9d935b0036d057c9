package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

// clockKey holds the time of the last change. The store's revisions have no times; the versions of this key give them one.
const clockKey = Root + "clock"

// clockInterval is the shortest time between two writes of times of revisions that came without one.
const clockInterval = time.Second

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
				return nil // another program wrote it
			}
			return c
		}
	}
	return nil
}

// moment is the time at which a revision was seen.
type moment struct {
	revision int64
	time     time.Time
}

// noteClock passes a revision to keepClock if its events change the catalog without a time, because a lease ended or
// another program wrote. A revision that holds only a clock needs none.
func (r *Registry) noteClock(events []*clientv3.Event) {
	revision, records := events[0].Kv.ModRevision, 0
	for _, event := range events {
		if string(event.Kv.Key) == clockKey {
			r.clocked.Store(revision)
			return
		}
		if remarkable(event.Kv.Key) {
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

// keepClock writes the time of revisions that came without one, until the context ends. All processes that follow the
// store see such a revision; the one that has the duty writes its time, and the others remember it until that is done, in
// case the duty becomes theirs.
func (r *Registry) keepClock(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-r.unclocked:
			m, mine := r.awaitClock(ctx, m)
			if !mine {
				continue
			}
			if err := r.writeClock(ctx, m); err != nil && ctx.Err() == nil {
				r.logger.Debug("time of a revision is not known", "revision", m.revision, "error", err)
			}
			pause.For(ctx, clockInterval)
		}
	}
}

// awaitClock waits until a revision has a time, or it is this process's duty to write one. It returns the revision to
// write: the given one, or a later one that came without a time meanwhile.
func (r *Registry) awaitClock(ctx context.Context, m moment) (latest moment, mine bool) {
	for {
		seen := r.view.Revision()
		select {
		case m = <-r.unclocked:
		default:
		}
		if r.clocked.Load() > m.revision {
			return m, false
		}
		if r.holds(catalog.ClockDuty) {
			return m, true
		}
		if _, err := r.view.WaitList(ctx, r.view.Revision, seen); err != nil {
			return m, false
		}
	}
}

// writeClock writes the time at which a revision was seen, unless a time at or after it exists, or this process has lost
// its duties.
func (r *Registry) writeClock(ctx context.Context, m moment) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	w := &write{conditions: []*pb.Compare{modRevision(clockKey, pb.Compare_LESS, uint64(m.revision))}}
	r.asHolder(w, r.view.Revision())
	_, err := r.writes.kv.Txn(ctx, &pb.TxnRequest{Compare: w.conditions, Success: []*pb.RequestOp{putClock(m.time, nil)}})
	return err
}
