package daemon

import (
	"context"
	"time"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
)

const (
	// pushPatience is how long a push waits for its check to be run: longer than the agent takes to notice the checks of
	// a node that has no agent of its own.
	pushPatience = 3 * time.Second
	pushRetry    = 2 * time.Millisecond
)

// pusher hands pushed outcomes to whoever runs the checks. A registration is acknowledged when the View has it, and its
// checks are run a moment later: an application that registers and pushes at once must not be told that its check is
// not there.
type pusher struct {
	checks api.Pusher
	view   *catalog.View
	node   string
}

// Push implements api.Pusher.
func (p *pusher) Push(ctx context.Context, node, check string, status catalog.Status, output string) error {
	patience, cancel := context.WithTimeout(ctx, pushPatience)
	defer cancel()
	again := time.NewTicker(pushRetry)
	defer again.Stop()
	for {
		err := p.checks.Push(ctx, node, check, status, output)
		if catalog.KindOf(err) != catalog.KindNotFound || !p.runsSoon(node, check) {
			return err
		}
		select {
		case <-again.C:
		case <-patience.Done():
			if ctx.Err() != nil { // "not found" would be a guess
				return ctx.Err()
			}
			return err
		}
	}
}

// runsSoon tells whether a check is one that this process is about to run.
func (p *pusher) runsSoon(node, check string) bool {
	n := p.view.Node(node)
	if n == nil || n.Check(check) == nil {
		return false
	}
	return node == p.node || n.Node != nil && n.Node.Owner.Kind == catalog.OwnerPermanent
}
