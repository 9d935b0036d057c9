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
)

// Config is what a Registry is made of.
type Config struct {
	// Client reaches the store, and KV the same one for transactions, without the client's copies.
	Client *clientv3.Client
	KV     pb.KVClient
	// MaxOps and MaxBytes are what the store accepts in one transaction; 0 means etcd's defaults.
	MaxOps, MaxBytes int
	// View is fed from the store.
	View *catalog.View
	// Logger receives what goes wrong with the store; nil discards it.
	Logger *slog.Logger
	// Metrics is where counters are registered; nil keeps them to itself.
	Metrics prometheus.Registerer
}

// Registry writes the catalog, and feeds the View.
type Registry struct {
	client  *clientv3.Client
	view    *catalog.View
	logger  *slog.Logger
	metrics *metrics
	writes  *committer
	memo    *memo
	// back holds a token when the store was seen at a revision below the View's.
	back chan struct{}
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
		client: cfg.Client, view: cfg.View, memo: own, logger: cfg.Logger, metrics: m, back: make(chan struct{}, 1),
		unclocked: make(chan moment, 1), replaying: make(chan struct{}, 1),
		writes: &committer{
			kv: cfg.KV, maxOps: cfg.MaxOps, width: max((cfg.MaxOps-1)/4, 1), maxBytes: cfg.MaxBytes, metrics: m, memo: own,
			visible: cfg.View.WaitRevision,
			queue:   make(chan *write, queueSize), landed: make(chan *landing, landedGroups), stopped: make(chan struct{}),
		},
	}
	meter.Queue(cfg.Metrics, "registry_writes", queueSize, func() int { return len(r.writes.queue) })
	return r, nil
}

// View returns the replica that the Registry feeds.
func (r *Registry) View() *catalog.View { return r.view }

// Run commits writes, feeds the View and purges what has long been dead, until the context ends.
func (r *Registry) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { r.writes.run(ctx) })
	wg.Go(func() { r.feed(ctx) })
	wg.Go(func() { r.keepInTouch(ctx) })
	wg.Go(func() { r.keepClock(ctx) })
	wg.Go(func() { r.reap(ctx) })
	wg.Wait()
	return nil
}

// maxAttempts bounds how often a write is made anew because the catalog changed under it.
const maxAttempts = 20

// errContended is what a writer gets who lost every race.
var errContended = catalog.Errorf(catalog.KindUnavailable, "others keep changing the same records").
	WithHint("try again")

// attempt makes a write, as plan draws it up from the View, until its conditions hold. A nil write from plan means that
// there is nothing to do. It returns once the View shows the write.
func (r *Registry) attempt(ctx context.Context, plan func(revision uint64) (*write, error)) (uint64, error) {
	return r.attemptSince(ctx, time.Now(), plan)
}

// attemptSince is attempt for a change that came about at a time, from which it is measured how long it takes to show.
func (r *Registry) attemptSince(
	ctx context.Context, since time.Time, plan func(revision uint64) (*write, error),
) (uint64, error) {
	for range maxAttempts {
		revision := r.view.Revision()
		w, err := plan(revision)
		if err != nil {
			return 0, err
		}
		if w == nil {
			return revision, nil
		}
		w.handed = time.Now()
		reached, held, err := r.writes.commit(ctx, w)
		if err != nil {
			return 0, err
		}
		if reached < revision { // its conditions were about another store
			return 0, r.wentBack(revision, reached)
		}
		if held {
			r.metrics.shown(w, since)
			return reached, nil
		}
		// What refused it may not be of the catalog, and come as no event: only what the View can see is waited for.
		if _, err := r.Barrier(ctx); err != nil {
			return 0, err
		}
	}
	return 0, errContended
}

// awaitLoaded waits until the View has loaded, so that a plan is never drawn up from nothing.
func (r *Registry) awaitLoaded(ctx context.Context) error {
	return unavailable(r.view.WaitLoaded(ctx))
}
