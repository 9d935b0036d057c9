package health

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Deregisterer removes an instance whose check has been critical for its deregister_after. A Runner calls it again with
// a growing delay after an error, until it succeeds, the instance is not there (catalog.KindNotFound), it belongs to what
// a living node declares (catalog.KindConflict: it would be back at once), or the check has recovered. It never calls it for an instance that a container owns: that is there while the container runs.
type Deregisterer interface {
	Deregister(ctx context.Context, node, id string) error
}

// deregisterWidth is how many instances are deregistered at a time.
const deregisterWidth = 8

// plan enters the check's instance in the timetable of deregistrations, or takes it out. It is called with mu held.
func (r *Runner) plan(k key, e *entry) {
	if r.cfg.Deregisterer == nil || e.check.DeregisterAfter <= 0 || e.check.Instance == "" {
		return
	}
	at, ok := e.state.DeregisterAt(&e.check.Definition)
	switch {
	case !ok:
		r.removals.remove(k)
		e.removing, e.refused = false, 0
	case !e.removing:
		e.removing = true
		r.removals.schedule(k, at)
	}
}

// deregister removes a check's instance, and returns when to try again.
func (r *Runner) deregister(ctx context.Context, k key) time.Time {
	r.mu.Lock()
	e, ok := r.entries[k]
	if !ok || !e.removing || r.keeps(e.check) {
		r.mu.Unlock()
		return time.Time{}
	}
	since := e.state.Since
	r.mu.Unlock()
	callCtx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	err := r.cfg.Deregisterer.Deregister(callCtx, k.node, e.check.Instance)
	if ctx.Err() != nil {
		return time.Time{} // stopped, or recovered
	}
	if err == nil {
		r.log.Warn("instance deregistered: its check was critical for too long", "node", k.node,
			"instance", e.check.Instance, "check", k.id, "since", since, "deregister_after", e.check.DeregisterAfter)
	}
	r.metrics.removed(err)
	if err == nil || catalog.KindOf(err) == catalog.KindNotFound {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.refused++; e.refused == 1 {
		r.log.Warn("deregister instance", "node", k.node, "instance", e.check.Instance, "error", err)
	}
	if catalog.KindOf(err) == catalog.KindConflict {
		return time.Time{}
	}
	return time.Now().Add(retryDelay(e.refused - 1))
}

// keeps tells whether a check's instance is never deregistered: a container's, and one that is not known.
func (r *Runner) keeps(check *catalog.Check) bool {
	if r.cfg.View == nil {
		return true
	}
	e := r.cfg.View.Instance(check.Node, check.Instance)
	return e == nil || e.Owner.Kind == catalog.OwnerContainer
}
