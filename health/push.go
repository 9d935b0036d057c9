package health

import (
	"context"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Sharer is a Reporter that takes pushes for the checks of nodes without an agent: any process may take a push, and the
// one that runs the check sees it in the View. If the Reporter is no Sharer, or there is no View, each Runner takes the
// pushes for the checks that it runs.
type Sharer interface {
	PushCheck(ctx context.Context, node, id string, status catalog.Status, output string) error
}

// Push takes the status of a TTL check from its application; it holds until the check's TTL has passed without another
// push. A change is reported in the background. The error is of KindNotFound if there is no such check here, of KindInvalid
// if it is not a TTL check or status is none, and otherwise the Sharer's.
func (r *Runner) Push(ctx context.Context, node, id string, status catalog.Status, output string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !status.Valid() {
		return (&catalog.Check{ID: id}).AcceptsPush(status)
	}
	if sharer, ok := r.shares(node); ok {
		return sharer.PushCheck(ctx, node, id, status, CutOutput(output))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := keyOf(node, id)
	e, ok := r.entries[k]
	if !ok {
		return catalog.Errorf(catalog.KindNotFound, "node %s runs no check %s", node, id)
	}
	if err := e.check.AcceptsPush(status); err != nil {
		return err
	}
	r.changes++
	r.take(k, e, Result{Status: status, Output: output}, time.Now())
	return nil
}

// Await waits until a check is run here.
func (r *Runner) Await(ctx context.Context, node, id string) error {
	for {
		r.mu.Lock()
		_, ok := r.entries[keyOf(node, id)]
		added := r.added
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes a pushed status, which holds for the check's TTL. It is called with mu held.
func (r *Runner) take(k key, e *entry, pushed Result, now time.Time) {
	if e.grace > e.heard+time.Duration(e.check.TTL) {
		r.cfg.Renewals.Renewed()
	}
	e.heard, e.grace = r.cfg.Clock.Running(), 0
	r.expiries.schedule(k, r.deadline(e, now))
	r.step(k, e, pushed, now)
	e.pushed = e.last
}

// shares returns the Sharer that takes the pushes for a node's checks; false if they are the Runner's own.
func (r *Runner) shares(node string) (Sharer, bool) {
	sharer, ok := r.cfg.Reporter.(Sharer)
	if !ok {
		return nil, false
	}
	n := r.viewed(node)
	return sharer, n != nil && n.Agentless()
}

// viewed returns a node as the View has it, or nil.
func (r *Runner) viewed(node string) *catalog.NodeSnapshot {
	if r.cfg.View == nil {
		return nil
	}
	return r.cfg.View.Node(node)
}

// lookAtPush updates a check by the last push for it to any process. It is called with mu held.
func (r *Runner) lookAtPush(k key, e *entry, now time.Time) {
	if !r.current(e.check) {
		return
	}
	push := r.cfg.View.Push(e.check.Node, e.check.ID)
	if push != nil && !push.For(e.check) {
		push = nil
	}
	switch before := e.push; {
	case push == nil && before == nil: // no push since the check was begun: its deadline counts
	case push == nil:
		e.push = nil
		r.expiries.remove(k)
		r.step(k, e, e.silent(), now)
	case before == nil || push.ModRevision != before.ModRevision:
		e.push = push
		e.state.OutputAt = time.Time{} // who wrote it has limited how often
		r.take(k, e, Result{push.Status, push.Output}, now)
	}
}

// current reports whether the View holds no other check in the place of one. If it does, because the check was registered
// again or its declaration changed, the push is for the check that Set has still to bring.
func (r *Runner) current(check *catalog.Check) bool {
	n := r.viewed(check.Node)
	if n == nil {
		return true
	}
	now := n.Check(check.ID)
	return now == nil || now.CreateRevision == check.CreateRevision && now.TTL == check.TTL
}

// silence begins the output of a TTL check without a push in time.
const silence = "no status was pushed within"

// silent is the result of a TTL check without a push in time, with what its application said last.
func (e *entry) silent() Result {
	switch {
	case e.pushed.Output == "" && e.state.Status == catalog.Critical && strings.HasPrefix(e.state.Output, silence):
		return Result{catalog.Critical, e.state.Output} // it was silent before this process began
	case e.pushed.Output == "":
		return critical(silence+" %s", e.check.TTL)
	}
	return critical(silence+" %s; the last one was %s: %s", e.check.TTL, e.pushed.Status, e.pushed.Output)
}

// expire turns a TTL check critical if its deadline has passed, and returns the deadline if it has not. A check whose pushes
// show in the View has such a deadline only until the first push, because the View shows the end of a push. Then each TTL
// counts as a run.
func (r *Runner) expire(_ context.Context, k key) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[k]
	if !ok {
		return time.Time{}
	}
	now := time.Now()
	switch deadline := r.deadline(e, now); {
	case now.Before(deadline):
		return deadline
	case e.push != nil:
		e.heard, e.grace = r.cfg.Clock.Running(), 0
		r.step(k, e, Result{e.push.Status, e.push.Output}, now)
		return r.deadline(e, now)
	}
	r.step(k, e, e.silent(), now)
	return time.Time{}
}
