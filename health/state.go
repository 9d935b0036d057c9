package health

import (
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Result is the outcome of one run of a check, or what an application pushed.
type Result struct {
	Status catalog.Status
	// Output is for people; Step keeps at most catalog.MaxOutput bytes of it.
	Output string
}

// State is what is known of a check between two runs.
type State struct {
	Status catalog.Status
	// Output is that of the result that brought Status about.
	Output string
	// Since is when Status last changed.
	Since time.Time
	// Successes counts the results in a row that were not critical, Failures those that were. One of them is 0.
	Successes, Failures int
	// Settled tells that an outcome is stored for the check. The first outcome of a check that is not settled counts
	// as a change.
	Settled bool
}

// Begin returns the state in which a check starts: its stored status if it has one, else its initial status. A stored
// status other than passing that does not say why is not settled.
func Begin(check *catalog.Check, now time.Time) State {
	if check.Status.Valid() {
		return State{
			Status: check.Status, Output: check.Output, Since: check.Since,
			Settled: check.Status == catalog.Passing || check.Output != "",
		}
	}
	status := check.InitialStatus
	if !status.Valid() {
		status = catalog.Critical
	}
	return State{Status: status, Since: now}
}

// Step returns the state after a result, and whether that is a change to be reported.
//
// A critical result counts towards FailuresBeforeCritical and FailuresBeforeWarning, every other one towards
// SuccessBeforePassing: a warning leaves critical as slowly as a pass does, because an instance that warns is answered
// again. A check that is not critical turns warning at once on a warning. A failure never makes a status better.
func (s State) Step(def *catalog.Definition, r Result, now time.Time) (State, bool) {
	if !r.Status.Valid() {
		r.Status = catalog.Critical
	}
	next := s
	if r.Status == catalog.Critical {
		next.Successes, next.Failures = 0, min(s.Failures, maxCount)+1
	} else {
		next.Successes, next.Failures = min(s.Successes, maxCount)+1, 0
	}
	next.Status = next.judge(def, r.Status)
	changed := next.Status != s.Status
	if changed {
		next.Since = now
	} else if s.Settled || r.Status != next.Status {
		return next, false
	}
	next.Output, next.Settled = CutOutput(r.Output), true
	return next, true
}

// maxCount keeps the counters of a check that runs for years from overflowing.
const maxCount = 1 << 30

// judge returns the status that the counters and the latest result make of the current one.
func (s State) judge(def *catalog.Definition, latest catalog.Status) catalog.Status {
	if def.Type == catalog.CheckTTL {
		return latest
	}
	switch {
	case latest == catalog.Critical:
		return s.fail(def)
	case s.Successes >= max(def.SuccessBeforePassing, 1):
		return latest
	case latest == catalog.Warning:
		return s.Status.Worse(catalog.Warning)
	}
	return s.Status
}

// fail returns the status after Failures failures in a row.
func (s State) fail(def *catalog.Definition) catalog.Status {
	switch {
	case s.Failures >= max(def.FailuresBeforeCritical, 1):
		return catalog.Critical
	case def.FailuresBeforeWarning > 0 && s.Failures >= def.FailuresBeforeWarning:
		return s.Status.Worse(catalog.Warning)
	}
	return s.Status
}
