package health

import "github.com/koine-sd/koine/catalog"

const (
	// flapWindow is the number of runs that the flap score covers.
	flapWindow = 20
	// A change in the newest run of the window weighs newestWeight, one in the oldest oldestWeight; the weights between
	// them are interpolated, and all together are flapWindow.
	newestWeight, oldestWeight = 1.2, 0.8
	// releaseShare is the part of the threshold below which a damped check is released.
	releaseShare = 0.5
)

// Flaps records in which of a check's last flapWindow runs it became critical or recovered, the newest in bit 0.
// Changes between passing and warning do not count: the instance is answered either way.
type Flaps uint32

// Next returns the history with one more run.
func (f Flaps) Next(changed bool) Flaps {
	f = f << 1 & (1<<flapWindow - 1)
	if changed {
		f |= 1
	}
	return f
}

// Score returns the flap score in percent: 0 for a check that never changes, 100 for one that changes in every run. A
// missing run counts as one without a change.
func (f Flaps) Score() float64 {
	score := 0.0
	for run := range flapWindow {
		if f&(1<<run) != 0 {
			score += newestWeight - (newestWeight-oldestWeight)*float64(run)/(flapWindow-1)
		}
	}
	return score * 100 / flapWindow
}

// flips reports whether a change of status counts for the score.
func flips(from, to catalog.Status) bool {
	return (from == catalog.Critical) != (to == catalog.Critical)
}

// damps reports whether a check is held critical: from the threshold on, until the score is below half of it.
func damps(threshold int, damped bool, score float64) bool {
	switch {
	case threshold <= 0:
		return false
	case damped:
		return score >= releaseShare*float64(threshold)
	}
	return score >= float64(threshold)
}
