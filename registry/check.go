package registry

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// SetCheck writes the outcome of a check if its status differs from the stored one, if it is the first outcome whose output
// is stored, or if it is of a TTL check and its output differs. The output is cut to catalog.MaxOutput bytes. The outcome is
// that of the check with the given CreateRevision or, without one, of any check with its node and ID. The error is of
// KindNotFound if there is no such check, and of KindConflict if it was registered again since, if its target has changed, or
// if another process runs it: the node's own, or the one that has the duty for a node without an agent.
func (r *Registry) SetCheck(ctx context.Context, ran *catalog.Check, status catalog.Status, output string) error {
	node, id := ran.Node, ran.ID
	if !status.Valid() {
		return catalog.Errorf(catalog.KindInvalid, "check %s has status %q", id, status)
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return err
	}
	if err := r.catchUpFor(ctx, node); err != nil {
		return err
	}
	_, err := r.attempt(ctx, func(revision uint64) (*write, error) {
		w := &write{}
		before, err := r.ownCheck(w, node, id, revision)
		if err == nil && !ranAs(ran, before) {
			err = catalog.Errorf(catalog.KindConflict, "check %s is no longer the one that was run", id)
		}
		output = output[:min(len(output), catalog.MaxOutput)]
		if err != nil || before.Status == status && !showsOutput(before, output) {
			return nil, err
		}
		after := *before
		after.Output = output
		if after.Status != status {
			after.Status, after.Since = status, time.Now().UTC()
		}
		w.replace(checkKey(node, id), encode(checkRecord{V: format, Check: &after}))
		return w, nil
	})
	return err
}

// catchUpFor waits until the View has all earlier writes, if a node has no agent. The duty to run its checks may have
// moved meanwhile, unseen by a process whose watch stands still.
func (r *Registry) catchUpFor(ctx context.Context, node string) error {
	if snapshot := r.view.Node(node); snapshot == nil || !snapshot.Agentless() {
		return nil
	}
	_, err := r.Barrier(ctx)
	return err
}

// ranAs reports whether the outcome of a check belongs to the check that the catalog holds.
func ranAs(ran, held *catalog.Check) bool {
	return ran.CreateRevision == 0 || ran.CreateRevision == held.CreateRevision && ran.SameTarget(held)
}

// showsOutput reports whether an output is stored although the status stays: what an application pushes, and the first output
// of any check: the stored one is empty, or says only that the check has not run.
func showsOutput(before *catalog.Check, output string) bool {
	if before.Type == catalog.CheckTTL {
		return before.Output != output
	}
	return before.Output == catalog.OutputChanged || before.Output == "" && output != ""
}

// ownCheck returns a check whose outcome this process may write, and adds the conditions for that: the check's record is as
// the View has it at a revision, and this process still runs the check.
func (r *Registry) ownCheck(w *write, node, id string, revision uint64) (*catalog.Check, error) {
	snapshot, check, err := r.findCheck(node, id)
	if err != nil {
		return nil, err
	}
	switch duty, self := catalog.ChecksDuty(node), r.self.Load(); {
	case snapshot.Agentless() && !r.holds(duty):
		return nil, r.others(duty)
	case snapshot.Agentless():
		r.asHolder(w, revision)
	case self != nil && snapshot.Node != nil && !snapshot.Node.Is(self):
		return nil, catalog.Errorf(catalog.KindConflict, "check %s is run by node %s itself", id, snapshot.Name)
	}
	w.stillThere(checkKey(node, id), revision)
	return check, nil
}

// findCheck returns a check and its node.
func (r *Registry) findCheck(node, id string) (*catalog.NodeSnapshot, *catalog.Check, error) {
	snapshot := r.view.Node(node)
	if snapshot == nil {
		return nil, nil, r.view.NoNode(node)
	}
	check := snapshot.Check(id)
	if check == nil {
		return nil, nil, catalog.Errorf(catalog.KindNotFound, "no check %s on node %s", id, node)
	}
	return snapshot, check, nil
}

// DeregisterCritical removes the instance of a check that has been critical for its deregister_after, by the catalog and
// by the caller, which has run the check since begun. The errors are those of Deregister; the error is of KindNotReady
// while the catalog says otherwise, or another process has the duty to run the check.
func (r *Registry) DeregisterCritical(ctx context.Context, node, check string, begun time.Time) (uint64, error) {
	if err := r.awaitLoaded(ctx); err != nil {
		return 0, err
	}
	if err := r.catchUpFor(ctx, node); err != nil {
		return 0, err
	}
	return r.attempt(ctx, func(revision uint64) (*write, error) {
		w := &write{}
		c, err := r.ownCheck(w, node, check, revision)
		if catalog.KindOf(err) == catalog.KindConflict { // the duty may come back
			return nil, catalog.Errorf(catalog.KindNotReady, "%v", err)
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if err := stays(c, begun, now); err != nil {
			return nil, err
		}
		return r.planDeregister(ctx, w, node, c.Instance, whyCritical(c, now), revision)
	})
}

// stays returns the reason why a check does not remove its instance, going by the catalog; nil if it does. The time before
// begun does not count, because the check did not run here.
func stays(c *catalog.Check, begun, now time.Time) error {
	if c.DeregisterAfter <= 0 || c.Instance == "" {
		return catalog.Errorf(catalog.KindConflict, "check %s deregisters nothing", c.ID)
	}
	if c.Status != catalog.Critical {
		return catalog.Errorf(catalog.KindNotReady, "check %s is %s in the catalog", c.ID, c.Status)
	}
	from := c.Since
	if from.Before(begun) {
		from = begun
	}
	if left := time.Duration(c.DeregisterAfter) - now.Sub(from); left > 0 {
		return catalog.Errorf(catalog.KindNotReady, "check %s deregisters its instance in %v", c.ID, left)
	}
	return nil
}
