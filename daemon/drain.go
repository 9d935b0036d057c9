package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/registry"
)

// undrainTimeout bounds the wait for an instance that the Docker source has put back to be answered.
const undrainTimeout = 10 * time.Second

// drainer hands orders to drain to the store, and the end of drains by stop signals to the Docker source, which drains again what the
// store alone would put back. The source is made after the listeners.
type drainer struct {
	*registry.Registry
	d *Daemon
}

// Undrain cancels an order. If there is none for an instance whose container has survived its stop signal, it ends that drain. The
// error is of KindNotFound if neither is, and of KindConflict if the instance is drained otherwise, or on another host.
func (r drainer) Undrain(ctx context.Context, d catalog.Drain) (uint64, error) {
	revision, err := r.Registry.Undrain(ctx, d)
	if catalog.KindOf(err) != catalog.KindNotFound || d.Instance == "" {
		return revision, err
	}
	e := r.d.view.Instance(d.Node, d.Instance)
	if e == nil || e.Instance.Drain == "" {
		return revision, err
	}
	switch {
	case e.Owner.Kind != catalog.OwnerContainer:
		return 0, catalog.Errorf(catalog.KindConflict, "%s is drained by its owner: %s", e.ID, e.Instance.Drain).
			WithHint("register it without the drain")
	case !strings.EqualFold(d.Node, r.d.cfg.Node) || r.d.docker == nil:
		return 0, catalog.Errorf(catalog.KindConflict, "%s is drained by the Koine of node %s: %s", e.ID, e.Instance.Node, e.Instance.Drain).
			WithHint("undo it there: only that one knows its container")
	}
	if err := r.d.docker.Undo(ctx, e.ID); err != nil {
		return 0, err
	}
	return r.answered(ctx, e)
}

// answered waits until an instance is no longer drained by its owner, and returns a revision at which it is so.
func (r drainer) answered(ctx context.Context, e *catalog.Endpoint) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, undrainTimeout)
	defer cancel()
	for {
		_, index := r.d.view.NodeIndex(e.Instance.Node)
		now := r.d.view.Instance(e.Instance.Node, e.ID)
		if now == nil || now.Instance.Drain == "" {
			return r.d.view.Revision(), nil
		}
		if _, err := r.d.view.WaitNode(ctx, e.Instance.Node, index); err != nil {
			return 0, catalog.Errorf(catalog.KindUnavailable, "%s is put back, and not answered yet: %v", e.ID, err)
		}
	}
}
