package registry

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// SetCheck writes the outcome of a check if its status differs from the one kept, or if it is the first of which an
// output is kept. The output is cut to catalog.MaxOutput bytes. The error is of KindNotFound if there is no such check.
func (r *Registry) SetCheck(ctx context.Context, node, id string, status catalog.Status, output string) error {
	if !status.Valid() {
		return catalog.Errorf(catalog.KindInvalid, "check %s has status %q", id, status)
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return err
	}
	_, err := r.attempt(ctx, func(revision uint64) (*write, error) {
		snapshot := r.view.Node(node)
		if snapshot == nil {
			return nil, noNode(node)
		}
		before := snapshot.Check(id)
		if before == nil {
			return nil, catalog.Errorf(catalog.KindNotFound, "no check %s on node %s", id, node)
		}
		if before.Status == status && !firstOutcome(before, output) {
			return nil, nil
		}
		after := *before
		after.Output = output[:min(len(output), catalog.MaxOutput)]
		if after.Status != status {
			after.Status, after.Since = status, time.Now().UTC()
		}
		w := &write{}
		key := checkKey(node, id)
		w.stillThere(key, revision)
		w.replace(key, encode(checkRecord{V: format, Check: &after}))
		return w, nil
	})
	return err
}

// firstOutcome reports whether an output is the first of a check: what is kept says nothing of why the check has its
// status, or only that it has not run.
func firstOutcome(before *catalog.Check, output string) bool {
	return before.Output == catalog.OutputChanged || before.Output == "" && output != ""
}
