package health

import (
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// shownOutput bounds the bytes of each run's output that are kept in memory, for explanations. The catalog keeps more of
// an output that changed a check's status.
const shownOutput = 512

// Check returns the state of a check's runs; false if the check is not run here.
func (r *Runner) Check(node, id string) (catalog.CheckRun, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := keyOf(node, id)
	e, ok := r.entries[k]
	if !ok {
		return catalog.CheckRun{}, false
	}
	return catalog.CheckRun{
		FlapScore: e.state.Flaps.Score(), Damped: e.state.Damped,
		Status: e.last.Status, Output: e.last.Output, Last: e.state.Ran, Next: r.next(k, e),
	}, true
}

// next is called with mu held.
func (r *Runner) next(k key, e *entry) time.Time {
	switch e.check.Type {
	case catalog.CheckAlias:
		return time.Time{}
	case catalog.CheckTTL:
		if e.push != nil { // its lease in the store ends it
			return time.Time{}
		}
		now := time.Now()
		if deadline := r.deadline(e, now); deadline.After(now) {
			return deadline
		}
		return time.Time{} // it has turned critical already
	}
	return r.probes.next(k)
}

// cut returns the head of a text, valid UTF-8 of at most size bytes, in memory of its own if the text is longer.
func cut(text string, size int) string {
	if len(text) <= size {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.Clone(strings.ToValidUTF8(text[:size], ""))
}
