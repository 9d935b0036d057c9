package registry

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// barriers proves to readers that the View is no older than their call. A proof costs a round trip to the store, so all
// readers that ask while one is under way share the next.
type barriers struct {
	// prove asks the store for its revision and waits until the View has reached it.
	prove func(ctx context.Context) (uint64, error)
	// wanted holds a token while a reader waits for a proof.
	wanted chan struct{}
	// stopped is closed when no more proofs are made.
	stopped chan struct{}

	mu   sync.Mutex
	next *proof
}

// proof is one round trip that any number of readers share. Its fields are set before done is closed.
type proof struct {
	done     chan struct{}
	revision uint64
	err      error
}

func newBarriers(prove func(ctx context.Context) (uint64, error)) *barriers {
	return &barriers{
		prove: prove, wanted: make(chan struct{}, 1), stopped: make(chan struct{}), next: &proof{done: make(chan struct{})},
	}
}

// run makes proofs until the context ends. Readers that still wait then get an error.
func (b *barriers) run(ctx context.Context) {
	defer close(b.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wanted:
		}
		b.make(ctx, b.begin())
	}
}

// begin closes a proof to further readers: from now on it may prove less than their calls need.
func (b *barriers) begin() *proof {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.wanted: // from a reader that joined this proof a moment ago
	default:
	}
	p := b.next
	b.next = &proof{done: make(chan struct{})}
	return p
}

func (b *barriers) make(ctx context.Context, p *proof) {
	bounded, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	p.revision, p.err = b.prove(bounded)
	if p.err != nil && ctx.Err() != nil {
		p.err = errStopped
	}
	close(p.done)
}

// join returns a proof that has not begun.
func (b *barriers) join() *proof {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.wanted <- struct{}{}:
	default: // wanted already
	}
	return b.next
}

// wait returns a revision that the View has reached, and that the store had when wait was called or later.
func (b *barriers) wait(ctx context.Context) (uint64, error) {
	p := b.join()
	select {
	case <-p.done:
		return p.revision, p.err
	case <-b.stopped:
		return 0, errStopped
	case <-ctx.Done():
		return 0, givenUp(ctx)
	}
}

// Barrier returns a revision at which all writes acknowledged before the call are visible, after the View has reached
// it: a linearizable read is a Barrier followed by a read of the View. The error is of KindUnavailable if the store does
// not answer, and the context's own if that ends first.
func (r *Registry) Barrier(ctx context.Context) (uint64, error) { return r.barriers.wait(ctx) }

// prove asks the store for its revision, and waits until the View has reached it.
func (r *Registry) prove(ctx context.Context) (uint64, error) {
	if err := r.awaitLoaded(ctx); err != nil { // before that there is no store to compare with
		return 0, err
	}
	seen := r.view.Revision()
	resp, err := r.client.Get(ctx, Root, clientv3.WithCountOnly())
	if err != nil {
		return 0, unavailable(err)
	}
	revision := uint64(resp.Header.Revision)
	if err := r.sameStore(resp.Header.ClusterId, revision, seen); err != nil {
		return 0, err
	}
	for r.view.Revision() < revision {
		// Writes outside the catalog produce no event for this watch: ask for its progress.
		if err := r.client.RequestProgress(watchContext(ctx)); err != nil {
			return 0, unavailable(err)
		}
		step, done := context.WithTimeout(ctx, retryDelay)
		err := r.view.WaitRevision(step, revision)
		done()
		if err != nil && ctx.Err() != nil {
			return 0, unavailable(ctx.Err())
		}
	}
	return revision, nil
}
