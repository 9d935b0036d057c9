package docker

import (
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
)

const (
	// maxSettle is the longest that a container which its engine has restarted is left out.
	maxSettle = 10 * time.Second
	// settleMargin is the time by which it has to live longer than before: the lives of a crash loop are alike.
	settleMargin = time.Second
)

// settling is the time that a restarted container has to be up before it is registered, so that one in a crash loop is neither
// answered nor written again and again.
type settling struct {
	until    time.Time
	needs    time.Duration
	restarts int
}

// why returns the reason why a container is not registered yet; "" if it may be.
func (s settling) why(now time.Time) string {
	if !now.Before(s.until) {
		return ""
	}
	times := "once"
	if s.restarts > 1 {
		times = fmt.Sprintf("%d times", s.restarts)
	}
	return fmt.Sprintf("its process ended and the engine has restarted it %s: it is registered once it has been up for %v, longer "+
		"than before, at %s", times, s.needs.Round(time.Millisecond), s.until.UTC().Format(time.RFC3339))
}

// settle returns the settling of a running container, given its last known state. Only the engine's own restarts count: it
// forgets their number when a person starts the container. The life before is unknown after a restart of Koine, and counts as
// the longest.
func (t *tracker) settle(c *container.InspectResponse, before *tracked, now time.Time) settling {
	start := startTime(c)
	switch {
	case c.RestartCount == 0 || start.IsZero():
		return settling{}
	case before != nil && before.startedAt == c.State.StartedAt:
		return before.settling
	}
	last, known := t.lives[c.ID]
	if end, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt); err == nil && before != nil && end.After(before.started) {
		last, known = end.Sub(before.started), true
	}
	last += settleMargin
	if !known || last > maxSettle {
		last = maxSettle
	}
	if start.After(now) { // the engine's clock is ahead
		start = now
	}
	return settling{until: start.Add(last), needs: last, restarts: c.RestartCount}
}

// lived remembers for how long a container lived that does not run, until it runs again or is removed.
func (t *tracker) lived(c *container.InspectResponse) {
	end, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt)
	if err != nil || len(t.lives) >= maxChanged {
		return
	}
	if start := startTime(c); end.After(start) && !start.IsZero() {
		t.lives[c.ID] = end.Sub(start)
	}
}
