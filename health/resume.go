package health

import (
	"fmt"
	"iter"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/renewal"
)

// resume sets the last push for a TTL check: that of before the start if the book has it, else the check counts from now. It is
// called with mu held.
func (r *Runner) resume(e *entry) {
	if e.check.Type != catalog.CheckTTL {
		return
	}
	r.changes++
	now, last := r.cfg.Clock.Running(), r.cfg.Renewals.Last(bookKey(e.check), e.check.Since)
	e.heard, e.grace = now-last.Age, now+min(last.Grace, time.Duration(e.check.TTL))
}

// deadline returns the time at which a TTL check turns critical unless something is pushed, or its push counts as another run. A
// standstill puts it off. It is called with mu held.
func (r *Runner) deadline(e *entry, now time.Time) time.Time {
	end := max(e.heard+time.Duration(e.check.TTL), e.grace)
	return now.Add(end - r.cfg.Clock.Running())
}

// bookKey is the key of a check's last push in the book. A check that was registered again is another one; one whose node was
// renamed is the same.
func bookKey(check *catalog.Check) string {
	registered := check.Registered()
	k := keyOf(registered.Node, registered.ID)
	return fmt.Sprintf("check/%s/%s@%d", k.node, k.id, registered.Revision)
}

// Changes implements renewal.Source.
func (r *Runner) Changes() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

// Renewals implements renewal.Source: it lists the last pushes for the TTL checks that are run here. Those that any process takes
// lie in the store, on leases.
func (r *Runner) Renewals() iter.Seq2[string, renewal.Entry] {
	return func(yield func(string, renewal.Entry) bool) {
		for key, e := range r.pushed() {
			if !yield(key, e) {
				return
			}
		}
	}
}

// pushed copies the last pushes, so that the book is written without the lock.
func (r *Runner) pushed() map[string]renewal.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Running()
	list := make(map[string]renewal.Entry)
	for _, e := range r.entries {
		if e.check.Type != catalog.CheckTTL {
			continue
		}
		last := renewal.Entry{Age: now - e.heard}
		if e.grace > e.heard+time.Duration(e.check.TTL) {
			last.Grace = max(e.grace-now, time.Millisecond)
		}
		list[bookKey(e.check)] = last
	}
	return list
}
