package health

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Deregisterer removes the instance of a check that has been critical for its deregister_after, if that is so in the
// catalog, too. The check was begun here at a time; the time before it does not count, whatever the catalog holds.
//
// A Runner calls it again with a growing delay after an error, until it succeeds or the check has recovered. Some kinds of
// error say more: catalog.KindNotReady that the catalog does not agree yet, KindNotFound that the instance does not exist,
// and KindConflict that it belongs to the declared state of a living node (it would be back at once), or that another
// process runs the check. It is never called for an instance that a container owns: that exists while the container runs.
type Deregisterer interface {
	DeregisterCritical(ctx context.Context, node, check string, begun time.Time) error
}

// deregisterWidth bounds the deregistrations at a time.
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

// deregister removes a check's instance, and returns the time of the next attempt.
func (r *Runner) deregister(ctx context.Context, k key) time.Time {
	r.mu.Lock()
	e, ok := r.entries[k]
	if !ok || !e.removing || r.keeps(e.check) {
		r.mu.Unlock()
		return time.Time{}
	}
	check, state, now := e.check, e.state, time.Now()
	r.mu.Unlock()
	if state.idle(&check.Definition, now) { // the process stood still: wait for the next run
		return now.Add(interval(&check.Definition))
	}
	if at, ok := state.DeregisterAt(&check.Definition); ok {
		from := at.Add(-time.Duration(check.DeregisterAfter))
		stood := r.cfg.Clock.StoodSince(from) // nothing could be pushed meanwhile
		if at = at.Add(stood); now.Before(at) {
			return at
		}
		state.Begun = from.Add(stood)
	}
	callCtx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	err := r.cfg.Deregisterer.DeregisterCritical(callCtx, check.Node, check.ID, state.Begun)
	if ctx.Err() != nil {
		return time.Time{} // stopped, or recovered
	}
	if err == nil {
		r.log.Warn("instance deregistered: its check was critical for too long", "node", check.Node,
			"instance", check.Instance, "check", check.ID, "since", state.Since, "deregister_after", check.DeregisterAfter)
	}
	return r.deregistered(k, e, err)
}

// deregistered returns the time of the next attempt at a deregistration, given the result of this one.
func (r *Runner) deregistered(k key, e *entry, err error) time.Time {
	kind := catalog.KindOf(err)
	if kind != catalog.KindNotReady { // a catalog that does not agree yet is no failure
		r.metrics.removed(err)
	}
	if err == nil || kind == catalog.KindNotFound {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[k] != e {
		return time.Time{}
	}
	if e.refused++; e.refused == 1 && kind != catalog.KindNotReady {
		r.log.Warn("deregister instance", "node", e.check.Node, "instance", e.check.Instance, "error", err)
	}
	if kind == catalog.KindConflict {
		return time.Time{}
	}
	return time.Now().Add(retryDelay(e.refused - 1))
}

// keeps reports whether a check's instance is never deregistered: a container's, and an unknown one.
func (r *Runner) keeps(check *catalog.Check) bool {
	if r.cfg.View == nil {
		return true
	}
	e := r.cfg.View.Instance(check.Node, check.Instance)
	return e == nil || e.Owner.Kind == catalog.OwnerContainer
}
