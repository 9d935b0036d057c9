package health

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/koine-sd/koine/catalog"
)

const (
	// reportTimeout bounds one call of the Reporter.
	reportTimeout = 10 * time.Second
	// A refused report is tried again after firstRetry, then after twice that and so on up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// queueReport schedules a report of a check's current state, which replaces one not sent yet. It is called with mu held.
func (r *Runner) queueReport(k key, e *entry) {
	e.pending, e.attempts = &outcome{e.state.Status, e.state.Output}, 0
	r.reports.schedule(k, time.Now())
}

// report hands a check's newest outcome to the Reporter and returns the time of the next attempt.
func (r *Runner) report(ctx context.Context, k key) time.Time {
	r.mu.Lock()
	e, ok := r.entries[k]
	if !ok || e.pending == nil {
		r.mu.Unlock()
		return time.Time{}
	}
	sent, check := e.pending, e.check
	r.mu.Unlock()

	sendCtx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	err := r.cfg.Reporter.SetCheck(sendCtx, check, sent.status, sent.output)
	if ctx.Err() != nil {
		return time.Time{}
	}
	r.metrics.reported(err)
	return r.reported(k, e, sent, err)
}

// reported records the result of a report. A newer outcome has scheduled its own report already.
func (r *Runner) reported(k key, e *entry, sent *outcome, err error) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.pending != sent {
		return time.Time{}
	}
	if err == nil {
		e.pending, e.attempts = nil, 0
		return time.Time{}
	}
	if catalog.KindOf(err) == catalog.KindConflict {
		r.yield(k, e)
		return time.Time{}
	}
	delay := retryDelay(e.attempts)
	e.attempts++
	if e.attempts == 1 {
		r.log.Warn("report check", "node", e.check.Node, "check", k.id, "status", sent.status, "error", err)
	}
	return time.Now().Add(delay)
}

// yield forgets the state of a check that another process runs. The check starts again from the stored state, until Set
// removes it or this process is the one that runs it. It is called with mu held.
func (r *Runner) yield(k key, e *entry) {
	r.log.Debug("check is run by another process", "node", e.check.Node, "check", e.check.ID)
	check := e.check
	if n := r.viewed(check.Node); n != nil {
		if stored := n.Check(check.ID); stored != nil {
			check = stored
		}
	}
	r.stop(k)
	r.start(k, check, time.Now())
	r.entries[k].state.Stored = false // that process keeps it up to date
}

// retryDelay returns the delay after a number of attempts, the last part of it random so that the checks of a node do not
// come back all at once.
func retryDelay(attempts int) time.Duration {
	delay := min(firstRetry<<min(attempts, 10), lastRetry)
	return delay*3/4 + rand.N(delay/4)
}
