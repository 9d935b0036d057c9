package health

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dispatcher runs jobs when they fall due: at most width at a time, and never two of one key at once. Jobs that are due
// while width others run wait in the timetable, which holds each key once, so it is bounded by the number of keys.
type dispatcher struct {
	width int
	// work runs one job. It returns the time of the next run; the zero time means not until it is scheduled again.
	work func(ctx context.Context, k key) (again time.Time)
	wake chan struct{}
	// late, if set, receives the delay of each job's start, in seconds.
	late prometheus.Observer

	mu      sync.Mutex
	jobs    map[key]*job
	table   timetable
	running int
}

func newDispatcher(width int, work func(context.Context, key) time.Time) *dispatcher {
	return &dispatcher{width: width, work: work, wake: make(chan struct{}, 1), jobs: make(map[key]*job)}
}

// schedule sets the time of a key's next job; if its job runs now, of the one after that run.
func (d *dispatcher) schedule(k key, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j, ok := d.jobs[k]
	if !ok {
		j = &job{key: k, index: -1}
		d.jobs[k] = j
	}
	j.dropped = false
	if j.cancel != nil {
		j.next = at
		return
	}
	d.table.put(j, at)
	if j.index == 0 {
		d.notify()
	}
}

// next returns the time of a key's next job; the zero time if its job runs now, or is not scheduled.
func (d *dispatcher) next(k key) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	j, ok := d.jobs[k]
	if !ok || j.cancel != nil {
		return time.Time{}
	}
	return j.at
}

// load returns the number of jobs that run, or are due and wait for a free slot.
func (d *dispatcher) load() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running + d.table.overdue(0, time.Now())
}

// remove forgets a key. If its job runs now, its context is cancelled; remove does not wait for its end.
func (d *dispatcher) remove(k key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j, ok := d.jobs[k]
	if !ok {
		return
	}
	if j.cancel != nil {
		j.cancel()
		j.dropped, j.next = true, time.Time{}
		return
	}
	d.table.remove(j)
	delete(d.jobs, k)
}

// run starts jobs as they fall due until ctx ends, and waits for those it started.
func (d *dispatcher) run(ctx context.Context) {
	var children sync.WaitGroup
	defer children.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(d.startDue(ctx, &children))
		select {
		case <-timer.C:
		case <-d.wake:
		case <-ctx.Done():
			return
		}
	}
}

// startDue starts the jobs that are due, and returns the time until the next one.
func (d *dispatcher) startDue(ctx context.Context, children *sync.WaitGroup) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for d.running < d.width && ctx.Err() == nil {
		j := d.table.due(now)
		if j == nil {
			break
		}
		runCtx, cancel := context.WithCancel(ctx)
		j.cancel, j.next = cancel, time.Time{}
		d.running++
		if d.late != nil {
			d.late.Observe(now.Sub(j.at).Seconds())
		}
		children.Go(func() { d.runJob(runCtx, j) })
	}
	if d.running >= d.width || len(d.table) == 0 {
		return time.Hour // the end of a job or a call of schedule wakes run
	}
	return d.table[0].at.Sub(now)
}

func (d *dispatcher) runJob(ctx context.Context, j *job) {
	again := d.work(ctx, j.key)
	d.mu.Lock()
	defer d.mu.Unlock()
	j.cancel()
	j.cancel = nil
	d.running--
	if !j.next.IsZero() {
		again = j.next
	}
	if j.dropped || again.IsZero() {
		delete(d.jobs, j.key)
	} else {
		d.table.put(j, again)
	}
	d.notify()
}

func (d *dispatcher) notify() {
	select {
	case d.wake <- struct{}{}:
	default: // a wake-up is waiting already
	}
}
