package health

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Deregisterer removes the instance of a check that has been critical for its deregister_after, if the catalog says so,
// too. The check was begun here at a time; what the catalog says of the time before does not count.
//
// A Runner calls it again with a growing delay after an error, until it succeeds or the check has recovered. Some kinds of
// error say more: catalog.KindNotReady that the catalog says otherwise for now, KindNotFound that the instance is not
// there, and KindConflict that it belongs to what a living node declares (it would be back at once), or that another
// process runs the check. It is never called for an instance that a container owns: that is there while the container runs.
type Deregisterer interface {
	DeregisterCritical(ctx context.Context, node, check string, begun time.Time) error
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
	check, state, now := e.check, e.state, time.Now()
	r.mu.Unlock()
	if state.idle(&check.Definition, now) { // the process stood still: the next run says how the instance is
		return now.Add(interval(&check.Definition))
	}
	if resumed := r.pulse.beat(now); state.Begun.Before(resumed) { // nothing could be pushed meanwhile
		state.Begun = resumed
	}
	if at, ok := state.DeregisterAt(&check.Definition); ok && now.Before(at) {
		return at
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

// deregistered returns when to try a deregistration again, given what came of it.
func (r *Runner) deregistered(k key, e *entry, err error) time.Time {
	kind := catalog.KindOf(err)
	if kind != catalog.KindNotReady { // the catalog's word is no failure
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

// keeps reports whether a check's instance is never deregistered: a container's, and one that is not known.
func (r *Runner) keeps(check *catalog.Check) bool {
	if r.cfg.View == nil {
		return true
	}
	e := r.cfg.View.Instance(check.Node, check.Instance)
	return e == nil || e.Owner.Kind == catalog.OwnerContainer
}
