package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

const (
	// queueSize bounds the writes that wait for a commit; when the queue is full, writers wait.
	queueSize = 1024
	// commitTimeout bounds each part of a write: its wait for a transaction; the transaction, after which its outcome
	// is unknown; and the wait until readers see it.
	commitTimeout = 10 * time.Second
	// stopGrace bounds a transaction under way when the process stops.
	stopGrace = time.Second
	// A group that follows one of at least crowd writes waits for linger before it is closed: under such a load more
	// writes are on their way, and a larger group shares the cost of a disk flush. A lone writer never waits.
	crowd  = 8
	linger = 100 * time.Microsecond
	// committedGroups bounds the groups that are committed and not yet visible.
	committedGroups = 64
)

// committer writes in groups: the writes that arrive while one transaction is in flight go out together in the next.
type committer struct {
	kv transactor
	// maxOps bounds the operations, and the conditions, of one level of a transaction.
	maxOps int
	// width bounds the operations of one level where transactions are nested. The engine counts them along the path
	// from the outermost level to the innermost, so a quarter of its limit leaves room for the group and three levels
	// more. One is reserved for the clock.
	width    int
	maxBytes int
	// visible waits until readers see a revision.
	visible func(ctx context.Context, revision uint64) error
	queue   chan *write
	// committed are the groups that are on disk; they are answered once they are visible. While it is full, no further
	// transaction is made.
	committed chan *committedGroup
	// stopped is closed when no more commits are made.
	stopped chan struct{}
	// memo receives the records before they are written.
	memo    *memo
	metrics *metrics
}

// transactor is the part of the store that a committer needs; etcd's KV client is one.
type transactor interface {
	Txn(ctx context.Context, r *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error)
}

// committedGroup is a group of writes that are on disk and may not be visible yet.
type committedGroup struct {
	group    []*write
	answers  []storeAnswer
	revision uint64
	// deadline bounds the wait of its writers for the group to become visible.
	deadline time.Time
}

var (
	// errStopped is returned for a write that was not made because the process stops.
	errStopped = catalog.Errorf(catalog.KindUnavailable, "registry has stopped").WithHint("try again when koine is back")
	// errBusy is returned for a write that was not made because the writes before it took too long.
	errBusy = catalog.Errorf(catalog.KindUnavailable, "nothing was written: other writes kept the store busy for %v", commitTimeout).
		WithHint("try again")
	// errUnseen is returned for a write that is on disk, and that readers do not see yet.
	errUnseen = catalog.Errorf(catalog.KindUnavailable, "written, but not visible yet: the store's changes do not arrive").
			WithHint("the same call again has the same effect")
)

// commit submits a write and waits for its outcome: until it is visible, if the conditions held. It returns false if
// they did not; the revision is then one at which they did not. A write that has waited for commitTimeout, or whose
// context has ended, before its transaction began is withdrawn, and never made.
func (c *committer) commit(ctx context.Context, w *write) (revision uint64, held bool, err error) {
	o := c.submit(ctx, w)
	w.store = o.store
	return o.revision, o.held, o.err
}

func (c *committer) submit(ctx context.Context, w *write) storeAnswer {
	w.done = make(chan storeAnswer, 1)
	patience := time.NewTimer(commitTimeout)
	defer patience.Stop()
	select {
	case c.queue <- w:
	case <-c.stopped:
		return storeAnswer{err: errStopped}
	case <-ctx.Done():
		return storeAnswer{err: givenUp(ctx)}
	case <-patience.C:
		return storeAnswer{err: errBusy}
	}
	select {
	case o := <-w.done:
		return o
	case <-c.stopped:
		return w.answerAtStop()
	case <-ctx.Done():
		w.withdraw()
		return storeAnswer{err: givenUp(ctx)}
	case <-patience.C:
		if w.withdraw() {
			return storeAnswer{err: errBusy}
		}
	}
	select { // its transaction has begun, and is bounded
	case o := <-w.done:
		return o
	case <-c.stopped:
		return w.answerAtStop()
	case <-ctx.Done():
		return storeAnswer{err: givenUp(ctx)}
	}
}

// answerAtStop returns the outcome of a write once no more commits are made.
func (w *write) answerAtStop() storeAnswer {
	select {
	case o := <-w.done: // answered before the end
		return o
	default:
		return storeAnswer{err: errStopped}
	}
}

// run commits until the context ends. Writes that still wait then get an error.
func (c *committer) run(ctx context.Context) {
	defer close(c.stopped)
	var answering sync.WaitGroup
	answering.Go(func() { c.answer(ctx) })
	defer answering.Wait()
	defer close(c.committed)
	last := 0       // the size of the group before
	var held *write // taken from the queue, but must not share a group with an earlier write
	for ctx.Err() == nil {
		first := held
		if first == nil {
			select {
			case first = <-c.queue:
			case <-ctx.Done():
				return
			}
		}
		if last >= crowd {
			pause.For(ctx, linger)
		}
		var group []*write
		group, held = c.gather(first)
		last = len(group)
		if group = begun(group); len(group) > 0 {
			c.commitGroup(ctx, group)
		}
	}
}

// begun returns the writes of a group that were not withdrawn, and prevents their withdrawal.
func begun(group []*write) []*write {
	return slices.DeleteFunc(group, func(w *write) bool { return !w.begin() })
}

// gather collects the waiting writes that fit into one transaction. The engine evaluates all conditions of a
// transaction before it makes any of its writes, so a write whose conditions depend on the keys of an earlier one must
// wait.
func (c *committer) gather(first *write) (group []*write, held *write) {
	group = append(group, first)
	written := &keySet{keys: make(map[string]bool, len(first.keys))}
	written.add(first.keys)
	bytes := first.bytes
	for len(group) < c.width {
		select {
		case w := <-c.queue:
			if bytes += w.bytes; bytes > c.maxBytes || w.dependsOn(written) {
				return group, w
			}
			written.add(w.keys)
			group = append(group, w)
		default:
			return group, nil
		}
	}
	return group, nil
}

// answer acknowledges each group's writes once readers see the group. At the stop of the process it does not wait for
// readers: the committed writes are on disk.
func (c *committer) answer(ctx context.Context) {
	for g := range c.committed {
		wait, cancel := context.WithDeadline(ctx, g.deadline)
		err := c.visible(wait, g.revision)
		cancel()
		c.memo.drop(g.group) // refused writes, and those that have become visible in the meantime
		for i, w := range g.group {
			if g.answers[i].held && err != nil && ctx.Err() == nil {
				g.answers[i].err = errUnseen
			}
			w.done <- g.answers[i]
		}
	}
}

// commitGroup makes one transaction of a group. If the engine refuses the whole because of one of its writes, each is
// tried alone, so that only that one fails.
func (c *committer) commitGroup(ctx context.Context, group []*write) {
	start := time.Now()
	c.memo.add(group)
	answers, err := c.transact(ctx, group)
	c.metrics.committed(group, start)
	if err != nil && len(group) > 1 && refused(err) {
		for _, w := range group {
			c.commitGroup(ctx, []*write{w})
		}
		return
	}
	if err != nil {
		c.memo.drop(group)
		for _, w := range group {
			w.done <- storeAnswer{err: unavailable(err)}
		}
		return
	}
	g := &committedGroup{group: group, answers: answers, deadline: time.Now().Add(commitTimeout)}
	for _, answer := range answers {
		if answer.held {
			g.revision = answer.revision
		}
	}
	c.committed <- g // answer takes it, until run has ended
}

func (c *committer) transact(ctx context.Context, group []*write) ([]storeAnswer, error) {
	// A write under way is finished even when the process stops, if the store answers soon.
	stop := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), commitTimeout)
	defer cancel()
	defer context.AfterFunc(stop, func() { pause.For(ctx, stopGrace); cancel() })()
	clock := putClock(time.Now(), reasonsOf(group))
	if conditions, ops, ok := c.flat(group); ok {
		resp, err := c.kv.Txn(ctx, &pb.TxnRequest{Compare: conditions, Success: append(ops, clock)})
		if err != nil {
			return nil, clientv3.ContextError(ctx, err)
		}
		if resp.Succeeded || len(group) == 1 {
			return allAlike(len(group), answerOf(resp, resp.Succeeded)), nil
		}
	}
	return c.transactNested(ctx, group, clock)
}

func answerOf(resp *pb.TxnResponse, held bool) storeAnswer {
	return storeAnswer{store: resp.Header.ClusterId, revision: uint64(resp.Header.Revision), held: held}
}

func allAlike(n int, o storeAnswer) []storeAnswer {
	answers := make([]storeAnswer, n)
	for i := range answers {
		answers[i] = o
	}
	return answers
}

// flat returns a group as one list of conditions and one of operations: nearly always all conditions hold, and the
// engine is faster with this form than with a nested transaction for each write. It returns false for a group that is
// too large for it.
func (c *committer) flat(group []*write) (conditions []*pb.Compare, ops []*pb.RequestOp, ok bool) {
	wide, long := 0, 1
	for _, w := range group {
		wide, long = wide+len(w.conditions), long+len(w.ops)
	}
	if wide > c.maxOps || long > c.maxOps {
		return nil, nil, false
	}
	conditions, ops = make([]*pb.Compare, 0, wide), make([]*pb.RequestOp, 0, long)
	for _, w := range group {
		conditions, ops = append(conditions, w.conditions...), append(ops, w.ops...)
	}
	return conditions, ops, true
}

// transactNested makes each write of a group under its own conditions.
func (c *committer) transactNested(ctx context.Context, group []*write, clock *pb.RequestOp) ([]storeAnswer, error) {
	nested := make([]*pb.RequestOp, len(group), len(group)+1)
	for i, w := range group {
		nested[i] = opTxn(w.conditions, c.fold(w.ops))
	}
	if len(group) == 1 { // a refused write must leave no time behind, either
		nested[0] = opTxn(group[0].conditions, append(slices.Clip(c.fold(group[0].ops)), clock))
	} else {
		nested = append(nested, clock)
	}
	resp, err := c.kv.Txn(ctx, &pb.TxnRequest{Success: nested})
	if err != nil {
		return nil, clientv3.ContextError(ctx, err)
	}
	answers := make([]storeAnswer, len(group))
	for i := range answers {
		answers[i] = answerOf(resp, resp.Responses[i].GetResponseTxn().Succeeded)
	}
	return answers, nil
}

// fold nests operations so that no level has more of them than width.
func (c *committer) fold(ops []*pb.RequestOp) []*pb.RequestOp {
	for len(ops) > c.width {
		var folded []*pb.RequestOp
		for len(ops) > 0 {
			n := min(c.width, len(ops))
			folded = append(folded, opTxn(nil, ops[:n]))
			ops = ops[n:]
		}
		ops = folded
	}
	return ops
}

// refused reports whether the engine received the request and rejected it, as opposed to not having answered.
func refused(err error) bool {
	code := status.Code(err)
	var own rpctypes.EtcdError
	if errors.As(err, &own) {
		code = own.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.OutOfRange:
		return true
	}
	return leaseGone(err)
}

// full reports whether an error says that the store takes no more writes.
func full(err error) bool {
	return errors.Is(err, rpctypes.ErrNoSpace) || strings.Contains(err.Error(), "database space exceeded")
}

// unavailable gives an error of the engine its kind.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	var known *catalog.Error
	if errors.As(err, &known) {
		return err
	}
	if full(err) {
		return catalog.Errorf(catalog.KindUnavailable, "store is full").WithHint("remove services, or wait for compaction")
	}
	if tooLarge(err) {
		return catalog.Errorf(catalog.KindInvalid, "write is larger than the store accepts").WithHint("declare less meta, or fewer checks")
	}
	return fmt.Errorf("%w: %w", catalog.Errorf(catalog.KindUnavailable, "store does not answer"), err)
}

// storeError returns the error of a call to the store that was made under a caller's context.
func storeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return givenUp(ctx)
	}
	return unavailable(err)
}

// givenUp is the error of a call whose own context has ended: the caller is the cause, because the store may be well.
func givenUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", catalog.Errorf(catalog.KindUnavailable, "the store did not answer in the caller's time"), context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// tooLarge reports whether one request exceeds the limit of the store, or of the connection to it.
func tooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) || strings.Contains(err.Error(), "request is too large") ||
		strings.Contains(err.Error(), "trying to send message larger than max")
}
