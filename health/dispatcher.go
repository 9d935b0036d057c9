package health

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dispatcher runs jobs when they fall due: at most width at a time, and never two of one key at once. Jobs that are due
// while width others run wait in the timetable, which holds each key once, so it is bounded by the number of keys.
//
// A dispatcher with a second lane keeps jobs that hang away from the others. A job whose last run hung waits, and runs, in the
// slow lane. One that begins to hang has a place among the others: while those wait for it, a run that takes longer than its job
// usually does goes on in the slow lane or, if that is full, is broken off and begins again there.
type dispatcher struct {
	lanes [2]lane
	// work runs one job. It returns the time of the next run; the zero time means not until it is scheduled again.
	work func(ctx context.Context, k key) (again time.Time)
	wake chan struct{}
	// late, if set, receives the delay of each job's start, in seconds.
	late prometheus.Observer

	mu   sync.Mutex
	jobs map[key]*job
}

// lane is a timetable with places to run.
type lane struct {
	width int
	table timetable
	runs  map[*job]struct{}
}

// The lanes of a dispatcher.
const (
	mainLane = iota
	slowLane
)

// patience is the time for which a run keeps its place in the main lane, beyond twice the time that its job's last run took, while
// other jobs wait.
const patience = 200 * time.Millisecond

func newDispatcher(width int, work func(context.Context, key) time.Time) *dispatcher {
	d := &dispatcher{work: work, wake: make(chan struct{}, 1), jobs: make(map[key]*job)}
	d.lanes[mainLane] = lane{width: width, runs: make(map[*job]struct{})}
	d.lanes[slowLane].runs = make(map[*job]struct{})
	return d
}

// widenSlow gives the dispatcher a slow lane.
func (d *dispatcher) widenSlow(width int) { d.lanes[slowLane].width = width }

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
	d.put(j, at)
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

// put enters a job in the timetable of its lane.
func (d *dispatcher) put(j *job, at time.Time) { d.lanes[j.lane].table.put(j, at) }

// load returns the number of jobs that run, or are due and wait for a free slot.
func (d *dispatcher) load() int { return d.loadOf(mainLane) }

func (d *dispatcher) loadOf(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.lanes[n]
	return len(l.runs) + l.table.overdue(0, time.Now())
}

// hung records whether the present run of a key's job has hung: its next one is in the slow lane.
func (d *dispatcher) hung(k key, hung bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if j, ok := d.jobs[k]; ok {
		j.hung = hung
	}
}

// waited returns how long the present run of a key's job has waited for its start.
func (d *dispatcher) waited(k key) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if j, ok := d.jobs[k]; ok && j.cancel != nil {
		return j.started.Sub(j.at)
	}
	return 0
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
	d.lanes[j.lane].table.remove(j)
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
	for {
		wait := time.Hour
		for n := range d.lanes {
			l := &d.lanes[n]
			for len(l.runs) < l.width && ctx.Err() == nil {
				j := l.table.due(now)
				if j == nil {
					break
				}
				d.start(ctx, j, now, children)
			}
			if len(l.runs) < l.width && len(l.table) > 0 { // else the end of a job or a call of schedule wakes run
				wait = min(wait, l.table[0].at.Sub(now))
			}
		}
		again, moved := d.makeRoom(now)
		if !moved {
			return min(wait, again)
		}
	}
}

// start runs a job in its lane.
func (d *dispatcher) start(ctx context.Context, j *job, now time.Time, children *sync.WaitGroup) {
	runCtx, cancel := context.WithCancel(ctx)
	j.cancel, j.next, j.started, j.broken, j.hung = cancel, time.Time{}, now, false, false
	d.lanes[j.lane].runs[j] = struct{}{}
	if d.late != nil && j.lane == mainLane {
		d.late.Observe(now.Sub(j.at).Seconds())
	}
	children.Go(func() { d.runJob(runCtx, j) })
}

// makeRoom takes runs that seem to hang out of the main lane if jobs wait there that may be quick. It returns the time until it is to
// be called again, and whether there is room now.
func (d *dispatcher) makeRoom(now time.Time) (wait time.Duration, moved bool) {
	wait = time.Hour
	l, slow := &d.lanes[mainLane], &d.lanes[slowLane]
	if slow.width == 0 || len(l.runs) < l.width || len(l.table) == 0 {
		return wait, false
	}
	if due := l.table[0].at.Sub(now); due > 0 {
		return due, false
	}
	for j := range l.runs {
		switch left := j.started.Add(patience + 2*j.took).Sub(now); {
		case j.broken:
		case left > 0:
			wait = min(wait, left)
		case len(slow.runs) < slow.width:
			delete(l.runs, j)
			slow.runs[j] = struct{}{}
			j.lane, moved = slowLane, true
		default:
			j.broken = true
			j.cancel()
		}
	}
	return wait, moved
}

func (d *dispatcher) runJob(ctx context.Context, j *job) {
	again := d.work(ctx, j.key)
	d.mu.Lock()
	defer d.mu.Unlock()
	j.cancel()
	j.cancel = nil
	delete(d.lanes[j.lane].runs, j)
	if j.broken && again.IsZero() {
		again, j.hung = j.at, true
	}
	j.lane = mainLane
	switch {
	case !j.hung:
		j.took = time.Since(j.started)
	case d.lanes[slowLane].width > 0:
		j.lane = slowLane
	}
	if !j.next.IsZero() {
		again = j.next
	}
	if j.dropped || again.IsZero() {
		delete(d.jobs, j.key)
	} else {
		d.put(j, again)
	}
	d.notify()
}

func (d *dispatcher) notify() {
	select {
	case d.wake <- struct{}{}:
	default: // a wake-up is waiting already
	}
}
