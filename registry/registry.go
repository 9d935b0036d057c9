package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/meter"
	"github.com/koine-sd/koine/internal/pulse"
)

// Config configures a Registry.
type Config struct {
	// Client reaches the store, and KV the same one for transactions, without the client's copies.
	Client *clientv3.Client
	KV     pb.KVClient
	// MaxOps and MaxBytes are the store's limits on one transaction; 0 means etcd's defaults.
	MaxOps, MaxBytes int
	// View is fed from the store.
	View *catalog.View
	// Leases are those of a store that only this process uses. With nil, the store's own leases end what is not renewed.
	Leases *Leases
	// Clock is that of the process; with nil, the process never stands still.
	Clock *pulse.Clock
	// Logger receives the store's failures; nil discards them.
	Logger *slog.Logger
	// Metrics registers the counters; with nil they are not exported.
	Metrics prometheus.Registerer
}

// Registry writes the catalog, and feeds the View.
type Registry struct {
	client   *clientv3.Client
	view     *catalog.View
	leases   *Leases // nil if other processes use the store
	clock    *pulse.Clock
	logger   *slog.Logger
	metrics  *metrics
	writes   *committer
	memo     *memo
	barriers *barriers
	// self is the node that this process acts for; nil if none.
	self atomic.Pointer[catalog.Node]
	// resume ends the suspension of the View since the session of self has ended; nil if it lives. It is the feed's alone.
	resume func()
	// store is the id of the etcd cluster that the View was loaded from. replaced holds a token once the store was found to
	// be another one, or at a revision below the View's.
	store      atomic.Uint64
	replaced   chan struct{}
	unreadable unreadable
	// marked is set once this process has written its mark of the present history. It is the feed's alone.
	marked bool
	// unmarked is set while the store is too full for a mark. It is the feed's alone.
	unmarked bool
	// lived holds the names, in lower case, of the nodes of which a session has begun since the last look for dead ones.
	lived sync.Map
	// clocked is the last revision that is known to have a time, unclocked holds the last one that is known to have none.
	clocked   atomic.Int64
	unclocked chan moment
	// replaying has room for the one history that may be read at a time.
	replaying chan struct{}
}

// New returns a Registry. It does nothing before Run.
func New(cfg Config) (*Registry, error) {
	if cfg.Client == nil || cfg.KV == nil || cfg.View == nil {
		return nil, errors.New("registry needs a client and a view")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxOps == 0 {
		cfg.MaxOps = 128
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 1 << 20
	}
	m := newMetrics(cfg.Metrics, cfg.View)
	own := &memo{byKey: make(map[string]remembered)}
	r := &Registry{
		client: cfg.Client, view: cfg.View, leases: cfg.Leases, clock: cfg.Clock, memo: own, logger: cfg.Logger, metrics: m, replaced: make(chan struct{}, 1),
		unclocked: make(chan moment, 1), replaying: make(chan struct{}, 1),
		writes: &committer{
			kv: cfg.KV, maxOps: cfg.MaxOps, width: max((cfg.MaxOps-1)/4, 1), maxBytes: cfg.MaxBytes, metrics: m, memo: own,
			visible: cfg.View.WaitRevision,
			queue:   make(chan *write, queueSize), committed: make(chan *committedGroup, committedGroups), stopped: make(chan struct{}),
		},
	}
	r.barriers = newBarriers(r.prove)
	if r.leases != nil {
		r.leases.own = r.ownSession
	}
	r.unreadable.report = cfg.View.ProblemSetter()
	m.countUnreadable(cfg.Metrics, &r.unreadable)
	meter.Queue(cfg.Metrics, "registry_writes", queueSize, func() int { return len(r.writes.queue) })
	return r, nil
}

// Unreadable returns the records of an instance, a check, a node or a service that this version cannot read, at most 64 of them; so they are
// missing in the View. The ID of each is its key.
func (r *Registry) Unreadable(name string) []catalog.LeftOut { return r.unreadable.about(name) }

// View returns the replica that the Registry feeds.
func (r *Registry) View() *catalog.View { return r.view }

// Run commits writes, feeds the View and purges nodes that have long been dead, until the context ends.
func (r *Registry) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { r.writes.run(ctx) })
	wg.Go(func() { r.feed(ctx) })
	wg.Go(func() { r.barriers.run(ctx) })
	wg.Go(func() { r.keepInTouch(ctx) })
	wg.Go(func() { r.keepClock(ctx) })
	wg.Go(func() { r.reap(ctx) })
	if r.leases != nil {
		wg.Go(func() { r.leases.run(ctx) })
		wg.Go(func() { r.moveBrief(ctx) })
	}
	wg.Wait()
	return nil
}

// maxAttempts bounds the plans of one write, which is planned again when the catalog changed under it.
const maxAttempts = 20

// errContended is returned after maxAttempts lost races.
var errContended = catalog.Errorf(catalog.KindUnavailable, "others keep changing the same records").
	WithHint("try again")

// attempt makes the write that plan draws up from the View, and returns once the View shows it. A nil write from plan
// means that there is nothing to do.
//
// plan may run up to maxAttempts times: again when the conditions of its write did not hold, and again when it found
// nothing to do, or refused, by a View that may be older than the call. It must read the View only after it was given
// the revision, and must have no side effects.
func (r *Registry) attempt(ctx context.Context, plan func(revision uint64) (*write, error)) (uint64, error) {
	return r.attemptSince(ctx, time.Now(), plan)
}

// attemptSince is attempt for a change that happened at a time: the time until it shows is measured from then.
func (r *Registry) attemptSince(
	ctx context.Context, since time.Time, plan func(revision uint64) (*write, error),
) (uint64, error) {
	current := false // whether the View is known to be no older than the call
	for range maxAttempts {
		revision := r.view.Revision()
		w, err := plan(revision)
		if current && err != nil {
			return 0, err
		}
		if current && w == nil {
			return revision, nil
		}
		if err == nil && w != nil {
			reached, held, err := r.write(ctx, w, revision)
			if err != nil {
				return 0, err
			}
			if held {
				r.metrics.observeVisible(w, since)
				return reached, nil
			}
		}
		// A write may be refused by a key outside the catalog, whose change is no event: wait only for what the View can see.
		if _, err := r.Barrier(ctx); err != nil {
			return 0, err
		}
		current = true
	}
	return 0, errContended
}

// write commits a write that was drawn up at a revision, and reports whether its conditions held.
func (r *Registry) write(ctx context.Context, w *write, revision uint64) (reached uint64, held bool, err error) {
	w.handed = time.Now()
	reached, held, err = r.writes.commit(ctx, w)
	if err != nil {
		return 0, false, err
	}
	// The conditions were about the store that the View was loaded from.
	return reached, held, r.sameStore(w.store, reached, revision)
}

// decide calls decision, which reads the View, and calls it again by a View that is no older than the call if it refuses.
func (r *Registry) decide(ctx context.Context, decision func() error) error {
	err := decision()
	if err == nil {
		return nil
	}
	if _, err := r.Barrier(ctx); err != nil {
		return err
	}
	return decision()
}

// awaitLoaded waits until the View has loaded, so that a plan is never drawn up from nothing.
func (r *Registry) awaitLoaded(ctx context.Context) error {
	return unavailable(r.view.WaitLoaded(ctx))
}
