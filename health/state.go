package health

import (
	"fmt"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Result is the outcome of one run of a check, or a push of an application.
type Result struct {
	Status catalog.Status
	// Output is for people; Step keeps at most catalog.MaxOutput bytes of it.
	Output string
}

// State is the state of a check between two runs.
type State struct {
	Status catalog.Status
	// Output is the output of the result that led to Status or, of a TTL check, of one since; OutputAt is the time of that
	// result.
	Output   string
	OutputAt time.Time
	// Since is the time when Status last changed.
	Since time.Time
	// Begun is the time when this process started the check, or went on after it stood still. DeregisterAt never counts the
	// time before it. Ran is the time of the last result; zero before the first.
	Begun, Ran time.Time
	// Successes counts the results in a row that were not critical, Failures those that were. One of them is 0.
	Successes, Failures int
	// Settled is set once an outcome is stored for the check. The first outcome of a check that is not settled counts
	// as a change.
	Settled bool
	// Stored is set until the first result if Status is an outcome from before this process ran the check. Nobody knows how
	// long ago it was true: the first result replaces it, whatever the thresholds.
	Stored bool
	// Flaps is the history from which the flap score is computed.
	Flaps Flaps
	// Damped is set while the check is held critical because it flaps; Beneath is its status without that.
	Damped  bool
	Beneath catalog.Status
}

// Begin returns the state in which a check starts: its stored status if it has one, else its initial status. A stored
// status other than passing without an output is not settled, nor is one of before the definition changed.
func Begin(check *catalog.Check, now time.Time) State {
	if check.Status.Valid() {
		ran := check.Output != catalog.OutputChanged
		return State{
			Status: check.Status, Output: check.Output, OutputAt: now, Since: check.Since, Begun: now,
			Settled: ran && (check.Status == catalog.Passing || check.Output != ""),
			Stored:  ran && (check.Status != initialStatus(check) || check.Output != ""),
		}
	}
	return State{Status: initialStatus(check), OutputAt: now, Since: now, Begun: now}
}

func initialStatus(check *catalog.Check) catalog.Status {
	if check.InitialStatus.Valid() {
		return check.InitialStatus
	}
	return catalog.Critical
}

// undamped returns the status by the thresholds alone, without damping.
func (s State) undamped() catalog.Status {
	if s.Damped {
		return s.Beneath
	}
	return s.Status
}

// Step returns the state after a result, and whether that is a change to be reported.
//
// A critical result counts towards FailuresBeforeCritical and FailuresBeforeWarning, every other one towards
// SuccessBeforePassing: a warning leaves critical as slowly as a pass does, because an instance that warns is answered
// again. A check that is not critical turns warning at once on a warning. A failure never makes a status better.
//
// With a FlapThreshold, a check that flaps too much is damped: critical whatever its results are.
func (s State) Step(def *catalog.Definition, r Result, now time.Time) (State, bool) {
	if !r.Status.Valid() {
		r.Status = catalog.Critical
	}
	next := s.count(r.Status)
	if s.idle(def, now) {
		next.Begun = now
	}
	next.Ran, next.Stored = now, false
	status := r.Status
	if !s.Stored {
		status = next.judge(def, r.Status)
	}
	ran := s.Successes+s.Failures > 0 // the status before the first run was no outcome of a run
	next.Flaps = s.Flaps.Next(ran && flips(s.undamped(), status))
	next.Damped = damps(def.FlapThreshold, s.Damped, next.Flaps.Score())
	next.Status, next.Beneath = status, ""
	if next.Damped {
		next.Status, next.Beneath = catalog.Critical, status
	}
	if next.Status != s.Status {
		next.Since = now
	} else if next.Damped == s.Damped && (s.Settled || r.Status != next.Status) && !s.outdated(def, r, now) {
		return next, false
	}
	next.Output, next.OutputAt, next.Settled = CutOutput(next.explain(def, r.Output)), now, true
	return next, true
}

// outputEvery is the shortest time between two outputs of one status that are reported for a TTL check.
const outputEvery = time.Minute

// outdated reports whether an application has had something else to say than the state's output for long enough.
func (s State) outdated(def *catalog.Definition, r Result, now time.Time) bool {
	return def.Type == catalog.CheckTTL && !s.Damped && now.Sub(s.OutputAt) >= outputEvery && CutOutput(r.Output) != s.Output
}

// count returns the state with one result more.
func (s State) count(latest catalog.Status) State {
	if latest == catalog.Critical {
		s.Successes, s.Failures = 0, min(s.Failures, maxCount)+1
	} else {
		s.Successes, s.Failures = min(s.Successes, maxCount)+1, 0
	}
	return s
}

// explain returns a result's output, behind the reason why a damped check is critical all the same.
func (s State) explain(def *catalog.Definition, output string) string {
	if !s.Damped {
		return output
	}
	return fmt.Sprintf("flapping: score %.0f %%, held critical until it is below %g %%; last run:\n%s",
		s.Flaps.Score(), releaseShare*float64(def.FlapThreshold), output)
}

// DeregisterAt returns the time at which the check's instance is to be deregistered; false if it is not. Only runs in this
// process count: one must have failed, and the time before Begun does not count. A check that is critical only because it
// flaps keeps its instance.
func (s State) DeregisterAt(def *catalog.Definition) (time.Time, bool) {
	if def.DeregisterAfter <= 0 || s.Failures == 0 || s.Damped || s.Status != catalog.Critical {
		return time.Time{}, false
	}
	from := s.Since
	if from.Before(s.Begun) {
		from = s.Begun
	}
	return from.Add(time.Duration(def.DeregisterAfter)), true
}

// idleGrace is added to the time within which a polled check must run, for a process that is busy.
const idleGrace = 10 * time.Second

// idle reports whether the last result is so long ago that the process must have stood still.
func (s State) idle(def *catalog.Definition, now time.Time) bool {
	if s.Ran.IsZero() || def.Type == catalog.CheckTTL || def.Type == catalog.CheckAlias {
		return false
	}
	return now.Sub(s.Ran) > 3*interval(def)+def.Timeout.Or(catalog.DefaultTimeout)+idleGrace
}

// maxCount keeps the counters of a check that runs for years from overflowing.
const maxCount = 1 << 30

// judge returns the next status, by the current one, the counters and the latest result.
func (s State) judge(def *catalog.Definition, latest catalog.Status) catalog.Status {
	if def.Type == catalog.CheckTTL || def.Type == catalog.CheckAlias {
		return latest
	}
	switch {
	case latest == catalog.Critical:
		return s.fail(def)
	case s.Successes >= max(def.SuccessBeforePassing, 1):
		return latest
	case latest == catalog.Warning:
		return s.undamped().Worse(catalog.Warning)
	}
	return s.undamped()
}

// fail returns the status after Failures failures in a row.
func (s State) fail(def *catalog.Definition) catalog.Status {
	switch {
	case s.Failures >= max(def.FailuresBeforeCritical, 1):
		return catalog.Critical
	case def.FailuresBeforeWarning > 0 && s.Failures >= def.FailuresBeforeWarning:
		return s.undamped().Worse(catalog.Warning)
	}
	return s.undamped()
}
