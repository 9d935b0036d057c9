package health

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/meter"
	"github.com/koine-sd/koine/internal/pulse"
	"github.com/koine-sd/koine/internal/renewal"
)

// Defaults and bounds of a Runner.
const (
	defaultConcurrent = 512
	// reportWidth bounds the reports under way at a time: enough for a store that commits in groups.
	reportWidth = 64
	// firstWithin is the longest that the first run of a check waits, so that many new checks do not run at once and
	// a fresh container's check still runs soon.
	firstWithin = time.Second
	// jitterShare is the part of the interval by which a run may be off its slot, either way.
	jitterShare = 1.0 / 32
)

// Reporter takes changes of status. A Runner calls it for many checks at once, for one check never twice at once,
// and again with a growing delay after an error, until it succeeds or the check has a newer outcome. An error of
// catalog.KindConflict means that another process runs the check: the outcome is dropped, and the check begins again from
// its state in the View.
type Reporter interface {
	SetCheck(ctx context.Context, check *catalog.Check, status catalog.Status, output string) error
}

// prober runs a check once. The context carries the run's timeout; its end is a failure.
type prober interface {
	probe(ctx context.Context, def *catalog.Definition) Result
}

// Config configures a Runner. Only Reporter must be set.
type Config struct {
	Reporter Reporter
	// EnableScripts lets script checks run, and commands in any container; without it they are critical with an output
	// that says so, except for commands in the check's own container.
	EnableScripts bool
	// View shows the targets of alias checks, and the owners of instances; with nil, aliases stay as they begin, no
	// instance is deregistered, and commands run in containers only with EnableScripts.
	View View
	// Execer runs commands in containers; with nil, checks that need one are critical.
	Execer Execer
	// Deregisterer removes instances whose checks have been critical for too long; nil keeps them.
	Deregisterer Deregisterer
	// Clock is that of the process: time in which it stood still ends no check. With nil, it never stands still.
	Clock *pulse.Clock
	// Renewals has the pushes for TTL checks of before the start; nil has none.
	Renewals *renewal.Book
	// MaxConcurrent bounds the probes under way at a time; 0 means 512. Half of them are for checks whose last run timed out, so
	// that targets that hang do not delay the checks of others. Checks that fall due beyond that wait for a free slot, and leave
	// out the runs that they missed.
	MaxConcurrent int
	// Logger receives changes of status and failed reports; nil discards them.
	Logger *slog.Logger
	// Metrics registers the Runner's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Runner runs a desired set of checks. Its methods may be called at any time, from any goroutine.
type Runner struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	prober  prober

	// probes is the timetable of the checks that are run, expiries that of the TTL checks, reports that of the
	// outcomes that the Reporter has not taken yet, removals that of the instances to be deregistered.
	probes, expiries, reports, removals *dispatcher

	// mu guards entries and what they point at. It is taken before a dispatcher's own lock, never after.
	mu      sync.Mutex
	entries map[key]*entry
	// followed are those of the entries that follow the View: aliases, and TTL checks whose pushes show there.
	followed map[key]*entry
	// added is closed, and made again, when a check is entered.
	added chan struct{}
	// changes counts the TTL checks that were begun, and the pushes that the Runner itself has taken.
	changes uint64
}

// entry is a check of the desired set.
type entry struct {
	check *catalog.Check
	state State
	// slot is the time when the latest run was due, jitter not counted.
	slot time.Time
	// heard is the time of the last push for a TTL check, and grace the time before which the check does not turn critical;
	// both are times of the Runner's clock.
	heard, grace time.Duration
	// push is the last push that was seen in the View; nil if there is none, or pushes come to the Runner itself.
	push *catalog.Push
	// pending is the newest outcome that the Reporter has not taken; attempts counts its refusals.
	pending  *outcome
	attempts int
	// removing is set while the instance's deregistration is planned; refused counts its failures.
	removing bool
	refused  int
	// last is the last result, pushed the last one of an application; their outputs are cut to shownOutput.
	last, pushed Result
	// counted is set while the entry is counted among the damped checks.
	counted bool
}

type outcome struct {
	status catalog.Status
	output string
}

// New returns a Runner without checks. Nothing runs until Run is called.
func New(cfg Config) (*Runner, error) {
	if cfg.Reporter == nil {
		return nil, catalog.Errorf(catalog.KindInternal, "health: no reporter")
	}
	if cfg.MaxConcurrent <= 0 {
		cfg.MaxConcurrent = defaultConcurrent
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		cfg: cfg, log: cfg.Logger, metrics: m, entries: make(map[key]*entry),
		followed: make(map[key]*entry), added: make(chan struct{}), prober: &probers{scripts: cfg.EnableScripts, containers: cfg.Execer},
	}
	width := (cfg.MaxConcurrent + 1) / 2
	r.probes = newDispatcher(width, r.runProbe)
	r.probes.widenSlow(max(cfg.MaxConcurrent-width, 1))
	r.probes.late = m.lateness
	r.expiries = newDispatcher(1, r.expire)
	r.reports = newDispatcher(reportWidth, r.report)
	r.removals = newDispatcher(deregisterWidth, r.deregister)
	meter.Queue(cfg.Metrics, "checks", width, r.probes.load)
	meter.Queue(cfg.Metrics, "slow_checks", max(cfg.MaxConcurrent-width, 1), func() int { return r.probes.loadOf(slowLane) })
	meter.Queue(cfg.Metrics, "check_reports", reportWidth, r.reports.load)
	return r, nil
}

// Run runs the checks until ctx ends and waits for the probes and reports that are under way. Outcomes that were not
// reported by then are forgotten: the next runner reports its own. Run may be called once. It returns nil.
func (r *Runner) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, d := range []*dispatcher{r.probes, r.expiries, r.reports, r.removals} {
		loops.Go(func() { d.run(ctx) })
	}
	loops.Go(func() { r.followView(ctx) })
	loops.Wait()
	return nil
}

// Set sets the checks to run. A check that is declared as before keeps its state and its timetable; one with the same
// target but other times, thresholds or another name keeps its state; one with another target begins again; one that is
// missing stops. Docker's checks are ignored. The checks must not be changed afterwards.
//
// A check begins with its stored Status. If that differs from the status of a running check, the outcome is reported once
// more, so that a check whose record was created again does not stay at its initial status.
func (r *Runner) Set(checks []*catalog.Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	desired := make(map[key]bool, len(checks))
	for _, check := range checks {
		if check.Type == catalog.CheckDocker {
			continue
		}
		k := keyOf(check.Node, check.ID)
		desired[k] = true
		e, ok := r.entries[k]
		switch {
		case !ok || !e.check.SameTarget(check) || e.check.CreateRevision != check.CreateRevision:
			r.stop(k)
			r.start(k, check, now)
		case e.check.SameDeclaration(check):
			r.repair(k, e, check.Status)
		default:
			r.adjust(k, e, check, now)
		}
	}
	for k := range r.entries {
		if !desired[k] {
			r.stop(k)
		}
	}
	r.metrics.checks.Set(float64(len(r.entries)))
}

// start enters a check. It is called with mu held.
func (r *Runner) start(k key, check *catalog.Check, now time.Time) {
	e := &entry{check: check, state: Begin(check, now)}
	r.resume(e)
	r.entries[k] = e
	close(r.added)
	r.added = make(chan struct{})
	r.begin(k, e, now)
}

// adjust gives a running check other times or thresholds. A run that is under way ends without a result. It is called
// with mu held.
func (r *Runner) adjust(k key, e *entry, check *catalog.Check, now time.Time) {
	r.probes.remove(k)
	r.removals.remove(k)
	r.metrics.forget(e)
	e.check, e.push, e.removing, e.refused = check, nil, false, 0
	e.heard, e.grace = r.cfg.Clock.Running(), 0
	r.begin(k, e, now)
	r.repair(k, e, check.Status)
	r.plan(k, e)
}

// begin enters a check in its timetable. It is called with mu held.
func (r *Runner) begin(k key, e *entry, now time.Time) {
	check := e.check
	r.metrics.flap(e)
	switch check.Type {
	case catalog.CheckTTL:
		r.expiries.schedule(k, r.deadline(e, now))
		if _, shared := r.shares(check.Node); shared {
			r.followed[k] = e
			r.lookAtPush(k, e, now)
		}
		return
	case catalog.CheckAlias:
		r.followed[k] = e
		r.lookAtAlias(k, e, now)
		return
	}
	first, slot := firstRun(now, interval(&check.Definition), rand.Float64(), rand.Float64())
	e.slot = slot
	r.probes.schedule(k, first)
}

// firstRun returns the time of a check's first run, and the slot from which its timetable goes on. Checks that begin together
// run first within firstWithin, and would stay together ever after: so the second run comes after half an interval to one
// and a half, and all further ones an interval apart. Both random numbers are between 0 and 1.
func firstRun(now time.Time, interval time.Duration, chance, phase float64) (first, slot time.Time) {
	first = now.Add(time.Duration(chance * float64(min(interval, firstWithin))))
	if interval <= firstWithin { // they are spread over all of it
		return first, first
	}
	return first, first.Add(time.Duration((phase - 0.5) * float64(interval)))
}

// stop forgets a check, its run that is under way and its outcome that is not reported. It is called with mu held.
func (r *Runner) stop(k key) {
	r.probes.remove(k)
	r.expiries.remove(k)
	r.reports.remove(k)
	r.removals.remove(k)
	if e, ok := r.entries[k]; ok {
		r.metrics.forget(e)
	}
	delete(r.entries, k)
	delete(r.followed, k)
}

// repair reports a running check's outcome again if the store holds another one. It is called with mu held.
func (r *Runner) repair(k key, e *entry, stored catalog.Status) {
	if !stored.Valid() || stored == e.state.Status || !e.state.Settled || e.pending != nil {
		return
	}
	r.queueReport(k, e)
}

// runProbe runs a check once and returns the time of its next run.
func (r *Runner) runProbe(ctx context.Context, k key) time.Time {
	r.mu.Lock()
	e, ok := r.entries[k]
	if !ok {
		r.mu.Unlock()
		return time.Time{}
	}
	check := e.check
	r.mu.Unlock()
	started, stood := time.Now(), r.cfg.Clock.Stood()
	result := r.probeOnce(ctx, check)
	now := time.Now()
	if result.Status == catalog.Critical && r.cfg.Clock.Stood() != stood {
		return now // the process stood still meanwhile: that says nothing about the target
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil || r.entries[k] != e {
		return time.Time{} // stopped while it ran: the result is dropped
	}
	r.metrics.observeDuration(check.Type, now.Sub(started))
	r.probes.hung(k, now.Sub(started) >= check.Timeout.Or(catalog.DefaultTimeout))
	if !e.state.Ran.IsZero() { // the time in which it waited for a place is none in which the process stood still
		e.state.Ran = e.state.Ran.Add(r.probes.waited(k))
	}
	r.step(k, e, result, now)
	var at time.Time
	e.slot, at = nextRun(e.slot, interval(&check.Definition), now, 2*rand.Float64()-1)
	return at
}

func (r *Runner) probeOnce(ctx context.Context, check *catalog.Check) Result {
	if check.Type == catalog.CheckExec && !r.mayExec(check) {
		return critical("commands run in other containers than the checked one only with --enable-script-checks")
	}
	ctx, cancel := context.WithTimeout(ctx, check.Timeout.Or(catalog.DefaultTimeout))
	defer cancel()
	return r.prober.probe(ctx, &check.Definition)
}

// step applies a result to a check and has a change reported. It is called with mu held.
func (r *Runner) step(k key, e *entry, result Result, now time.Time) {
	before := e.state
	e.last = Result{result.Status, cut(result.Output, shownOutput)}
	r.metrics.countResult(e.check.Type, result.Status)
	state, changed := e.state.Step(&e.check.Definition, result, now)
	e.state = state
	if before.Flaps != state.Flaps {
		r.metrics.flap(e)
	}
	r.plan(k, e)
	if !changed {
		return
	}
	log := r.log.With("node", e.check.Node, "check", k.id, "instance", e.check.Instance)
	switch {
	case state.Status != before.Status || state.Damped != before.Damped:
		log.Info("check changed", "from", before.Status, "to", state.Status, "flapping", state.Damped)
	case !before.Settled:
		log.Info("check has its first outcome", "status", state.Status)
	}
	r.queueReport(k, e)
}

// interval returns the time between two runs of a check, which is never 0.
func interval(def *catalog.Definition) time.Duration {
	return max(def.Interval.Or(catalog.DefaultInterval), catalog.MinInterval)
}

// nextRun returns the first slot of the timetable after now that is not the given one, and when the run of that slot
// starts: up to a small share of the interval off, jitter being between -1 and 1.
func nextRun(slot time.Time, interval time.Duration, now time.Time, jitter float64) (next, at time.Time) {
	missed := max(now.Sub(slot)/interval, 0)
	next = slot.Add((missed + 1) * interval)
	return next, next.Add(time.Duration(jitter * jitterShare * float64(interval)))
}
