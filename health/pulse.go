package health

import (
	"context"
	"sync"
	"time"
)

// pulseInterval is the time between two beats of a process that runs.
const pulseInterval = time.Second

// pulse notices that the process stood still: it was stopped, or its host was suspended.
type pulse struct {
	mu sync.Mutex
	// last is the last beat, resumed the one before which the process stood still; zero before the first.
	last, resumed time.Time
}

// beat notes that the process runs, and returns when it last went on after it had stood still.
func (p *pulse) beat(now time.Time) (resumed time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && now.Sub(p.last) > idleGrace {
		p.resumed = now
	}
	p.last = now
	return p.resumed
}

// run beats until the context ends.
func (p *pulse) run(ctx context.Context) {
	ticker := time.NewTicker(pulseInterval)
	defer ticker.Stop()
	for {
		p.beat(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
