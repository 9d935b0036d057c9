package registry

import (
	"context"
	"errors"
	"sort"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/koine-sd/koine/catalog"
)

const (
	// historyTimeout bounds the reading of one history, and historyWait the wait for the one before it.
	historyTimeout = 30 * time.Second
	historyWait    = 5 * time.Second
	// historyEvents bounds the events of an answer: the last ones are given.
	historyEvents = 10_000
	// historyAttempts bounds the attempts at one reading, which begins again when the store has forgotten revisions that
	// it needs.
	historyAttempts = 3
	// progressInterval is the interval at which the store is asked for the progress of its watch.
	progressInterval = 20 * time.Millisecond
)

// History returns the events of a service, or of the instances of an ID, within a time back from now; 0 means
// catalog.DefaultHistory. It is read from the revisions that the store still keeps, so it is available after a restart,
// too. One history is read at a time.
//
// The error is of KindInvalid for a time below 0 or above catalog.MaxHistory, of KindNotFound if nothing of that name
// existed, and of KindUnavailable if the store does not answer, or not in time.
func (r *Registry) History(ctx context.Context, name string, since time.Duration) (catalog.History, error) {
	if name == "" {
		return catalog.History{}, catalog.Errorf(catalog.KindInvalid, "no name of a service or an instance")
	}
	if since < 0 || since > catalog.MaxHistory {
		return catalog.History{}, catalog.Errorf(catalog.KindInvalid, "history of %v is not between 0 and %v", since, catalog.MaxHistory)
	}
	if since == 0 {
		since = catalog.DefaultHistory
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return catalog.History{}, err
	}
	if err := r.beginReplay(ctx); err != nil {
		return catalog.History{}, err
	}
	defer func() { <-r.replaying }()
	ctx, cancel := context.WithTimeoutCause(ctx, historyTimeout,
		catalog.Errorf(catalog.KindUnavailable, "history of %s takes longer than %v to read", name, historyTimeout).
			WithHint("ask for less history with --since"))
	defer cancel()
	history, err := r.readHistory(ctx, name, time.Now().Add(-since).UTC())
	if err != nil && ctx.Err() != nil {
		return history, givenUp(ctx)
	}
	return history, unavailable(err)
}

// beginReplay waits for its turn: reading a history costs the store work, and memory.
func (r *Registry) beginReplay(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, historyWait)
	defer cancel()
	select {
	case r.replaying <- struct{}{}:
		return nil
	case <-wait.Done():
		if ctx.Err() != nil {
			return givenUp(ctx)
		}
		return catalog.Errorf(catalog.KindUnavailable, "other histories are being read").WithHint("try again in a few seconds")
	}
}

func (r *Registry) readHistory(ctx context.Context, name string, since time.Time) (catalog.History, error) {
	var err error
	for range historyAttempts {
		p := newReplay(r, name)
		if err = p.run(ctx, since); !compacted(err) {
			return p.history, err
		}
	}
	return catalog.History{}, catalog.Errorf(catalog.KindUnavailable, "store forgets its history faster than it can be read: %v", err).
		WithHint("ask for less history with --since")
}

func compacted(err error) bool {
	return errors.Is(err, errCompacted) || errors.Is(err, rpctypes.ErrCompacted)
}

// span is the revisions of a history: the state at base, and the writes after it, up to end.
type span struct {
	base, end int64
	// since is the time of base, whole reports whether that is as far back as requested.
	since time.Time
	whole bool
}

// findSpan finds the last revision before a time, or the oldest that the store has kept.
func (r *Registry) findSpan(ctx context.Context, since time.Time) (s span, err error) {
	if s.base, err = r.oldest(ctx); err != nil {
		return s, err
	}
	resp, err := r.client.Get(ctx, clockKey)
	if err != nil {
		return s, err
	}
	s.end = resp.Header.Revision
	var failed error
	before := func(revision int64) bool {
		at, err := r.timeAt(ctx, revision)
		failed = errors.Join(failed, err)
		return at.Before(since)
	}
	// Times never decrease, as long as the hosts' clocks agree.
	n := sort.Search(int(s.end-s.base+1), func(n int) bool { return failed != nil || !before(s.base+int64(n)) })
	if failed != nil {
		return s, failed
	}
	if n > 0 || s.base == 1 { // nothing existed before the first revision
		s.base += int64(max(n-1, 0))
		s.since, s.whole = since, true
		return s, nil
	}
	s.since, err = r.timeAt(ctx, s.base)
	return s, err
}

// timeAt returns the time of the last clock at or before a revision, the zero time if there is none.
func (r *Registry) timeAt(ctx context.Context, revision int64) (time.Time, error) {
	resp, err := r.client.Get(ctx, clockKey, clientv3.WithRev(revision))
	if err != nil || len(resp.Kvs) == 0 {
		return time.Time{}, err
	}
	c, err := decodeClock(resp.Kvs[0].Value)
	if err != nil {
		return time.Time{}, nil // written by another program
	}
	return c.Time, nil
}

// oldest returns the oldest revision that the store can still show. The store reveals it only when it refuses an older
// one.
func (r *Registry) oldest(ctx context.Context) (int64, error) {
	_, err := r.client.Get(ctx, clockKey, clientv3.WithRev(1))
	if !compacted(err) {
		return 1, err
	}
	ctx, cancel := replayContext(ctx)
	defer cancel()
	for resp := range r.client.Watch(ctx, clockKey, clientv3.WithRev(1)) {
		if resp.CompactRevision != 0 {
			return resp.CompactRevision, nil
		}
		if err := resp.Err(); err != nil {
			return 0, err
		}
	}
	return 0, errors.Join(ctx.Err(), errCompacted)
}

// replayContext gives a watch a stream of its own, so that a long history does not delay the feed's watch.
func replayContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(metadata.AppendToOutgoingContext(watchContext(ctx), "koine-watch", "history"))
}
