package catalog

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Push is the status that an application has pushed for a TTL check of a node without an agent. Any process takes it, and
// the one that runs the check sees it in the View. The record exists while the application pushes in time.
type Push struct {
	Status Status `json:"status"`
	// Output is the output pushed when Status last changed, at most MaxOutput bytes.
	Output string `json:"output,omitempty"`
	// Time is the time when Status was first pushed.
	Time time.Time `json:"time"`
	// TTL is that of the check, and Lease is the id of the lease that timely pushes renew.
	TTL   Duration `json:"ttl"`
	Lease string   `json:"lease"`
	// CheckRevision is the revision at which the check was registered: a check registered again needs a new push.
	CheckRevision uint64 `json:"check_revision"`

	// Node and Check name the check, ModRevision is the revision of the record; all are those of its key.
	Node, Check string `json:"-"`
	ModRevision uint64 `json:"-"`
}

// For reports whether the push is for a check as it is declared now. It is not if the check was removed and registered
// again, or has another TTL.
func (p *Push) For(c *Check) bool {
	return c.Type == CheckTTL && p.TTL == c.TTL && p.CheckRevision == c.CreateRevision
}

// AcceptsPush returns an error of KindInvalid unless the status can be pushed to the check.
func (c *Check) AcceptsPush(status Status) error {
	switch {
	case !status.Valid():
		return Errorf(KindInvalid, "check %s cannot be %q", c.ID, status).WithHint("use passing, warning or critical")
	case c.Type != CheckTTL:
		return Errorf(KindInvalid, "check %s is of type %s", c.ID, c.Type).WithHint("only the status of a ttl check can be pushed")
	}
	return nil
}

// pushKey names the check that a push is for, the node in lower case.
type pushKey struct{ node, check string }

// Push returns the status pushed for a check of a node without an agent, or nil.
func (v *View) Push(node, check string) *Push {
	push, _ := v.pushes.get(pushKey{fold(node), check})
	return push
}

// Pushes yields all pushed statuses, in no order.
func (v *View) Pushes() iter.Seq[*Push] {
	return func(yield func(*Push) bool) {
		for _, push := range v.pushes.all() {
			if !yield(push) {
				return
			}
		}
	}
}

// recordPushes keeps the pushes among some changes. They belong to no snapshot and wake no watcher of a service or node.
func (v *View) recordPushes(changes []Change) {
	if !slices.ContainsFunc(changes, func(c Change) bool { return c.Type == RecordPush }) {
		return
	}
	put := make(map[pushKey]*Push)
	gone := make(map[pushKey]bool)
	for i := range changes {
		c := &changes[i]
		if c.Type != RecordPush {
			continue
		}
		key := pushKey{fold(c.Name), c.ID}
		delete(put, key)
		if gone[key] = c.Push == nil; !gone[key] {
			c.Push.Node, c.Push.Check, c.Push.ModRevision = c.Name, c.ID, c.ModRevision
			put[key] = c.Push
		}
	}
	maps.DeleteFunc(gone, func(_ pushKey, gone bool) bool { return !gone })
	v.pushes.update(put, slices.Collect(maps.Keys(gone)))
}
