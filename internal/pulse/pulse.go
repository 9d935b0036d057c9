// Package pulse measures the time in which the process ran. A process that stood still (its virtual machine was frozen, it was
// stopped by a signal, its memory was swapped out) has heard from nobody meanwhile, and must conclude nothing from that time.
package pulse

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	// beat is the time between two looks of a clock that runs.
	beat = 250 * time.Millisecond
	// Standstill is the longest time between two looks of a process that runs, however busy its machine is: after more, it
	// counts as having stood still.
	Standstill = time.Second
	// sayEvery is the least time between two lines in the log, unless the process stood still for sayAtOnce since the last: on a busy
	// machine one short standstill follows another.
	sayEvery  = time.Minute
	sayAtOnce = 5 * time.Second
	// maxGaps bounds the standstills that are remembered one by one.
	maxGaps = 64
)

// Clock measures the time in which the process ran. It notices a standstill when it is read, so no reader ever sees a time
// that includes one, whichever goroutine goes on first. Its methods may be called from any goroutine. A nil Clock is one that
// never stands still.
type Clock struct {
	logger *slog.Logger
	total  prometheus.Counter

	mu   sync.Mutex
	base time.Time
	// last is the last look, since base. running is set while Run looks: without it, a long time without a look means nothing.
	last    time.Duration
	running bool
	stood   time.Duration
	// unsaid is the part of stood that was not logged yet, said when the rest was.
	unsaid time.Duration
	said   time.Time
	// gaps are the last standstills, in order.
	gaps []gap
}

// gap is a standstill, or several that are remembered as one.
type gap struct {
	end    time.Time
	length time.Duration
}

// New returns a clock. It notices standstills while Run runs, and logs them; logger and metrics may be nil.
func New(logger *slog.Logger, metrics prometheus.Registerer) *Clock {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Clock{logger: logger, base: time.Now(), total: promauto.With(metrics).NewCounter(prometheus.CounterOpts{
		Name: "koine_stood_still_seconds_total", Help: "Time in which the process stood still, in all.",
	})}
}

// started is the base of the clock that never stands still.
var started = time.Now()

// Running returns the time for which the process has run since the clock was made. It never goes back.
func (c *Clock) Running() time.Duration {
	if c == nil {
		return time.Since(started)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look() - c.stood
}

// Since returns the time for which the process has run since a time.
func (c *Clock) Since(t time.Time) time.Duration { return time.Since(t) - c.StoodSince(t) }

// StoodSince returns the time for which the process has stood still since a time. For one long ago it may return more.
func (c *Clock) StoodSince(t time.Time) (stood time.Duration) {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	for _, g := range c.gaps {
		if after := g.end.Sub(t); after > 0 {
			stood += min(after, g.length)
		}
	}
	return stood
}

// Stood returns the time for which the process has stood still in all. Where it has not changed, the process ran all the time.
func (c *Clock) Stood() time.Duration {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.stood
}

// Note counts a time up to now as one in which the process stood still. It is for tests: the clock notices what Run sees.
func (c *Clock) Note(length time.Duration) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(length)
}

// look returns the time since base, and notices a standstill since the last look. It is called with mu held.
func (c *Clock) look() time.Duration {
	now := time.Since(c.base)
	if still := now - c.last; c.running && still > Standstill {
		c.note(still)
	}
	c.last = now
	return now
}

// note is called with mu held.
func (c *Clock) note(length time.Duration) {
	c.stood += length
	c.unsaid += length
	c.total.Add(length.Seconds())
	c.gaps = append(c.gaps, gap{time.Now(), length})
	if len(c.gaps) > maxGaps { // the two oldest become one that ends with the later
		c.gaps[1].length += c.gaps[0].length
		c.gaps = c.gaps[1:]
	}
}

// Run looks at the time until the context ends.
func (c *Clock) Run(ctx context.Context) error {
	if c == nil {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	c.run(true)
	defer c.run(false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.Running()
			c.report()
		}
	}
}

func (c *Clock) run(running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	c.running = running
}

// report logs the standstill since the last report.
func (c *Clock) report() {
	c.mu.Lock()
	length := c.unsaid
	if length == 0 || !c.said.IsZero() && time.Since(c.said) < sayEvery && length < sayAtOnce {
		c.mu.Unlock()
		return
	}
	c.unsaid, c.said = 0, time.Now()
	c.mu.Unlock()
	c.logger.Warn("the process stood still: no lease and no check ends by that time", "for", length.Round(time.Millisecond))
}
