package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
)

// pushPatience bounds the wait of a push until its check runs here. The agent hands a check over some milliseconds after the
// View has it.
const pushPatience = 3 * time.Second

// checkRunner is the part of a health.Runner that takes pushes. Await waits until a check is run here.
type checkRunner interface {
	api.Pusher
	Await(ctx context.Context, node, check string) error
}

// pusher hands pushed outcomes to the runner of checks. A registration is acknowledged when the View has it, and its checks
// run a moment later: an application that registers and pushes at once, to this process or to another, must not get a 404
// for its check.
type pusher struct {
	checks  checkRunner
	barrier api.Barrier
	view    *catalog.View
	// node is the name of this host.
	node string
}

// Push implements api.Pusher.
func (p *pusher) Push(ctx context.Context, node, check string, status catalog.Status, output string) error {
	if catalog.CallerOf(ctx).Registrant != "" { // another process may have registered the instance for another registrant
		if _, err := p.barrier.Barrier(ctx); err != nil {
			return err
		}
	}
	if err := p.owned(ctx, node, check); err != nil {
		return err
	}
	err := p.checks.Push(ctx, node, check, status, output)
	if catalog.KindOf(err) != catalog.KindNotFound {
		return err
	}
	if _, err := p.barrier.Barrier(ctx); err != nil { // another process may have registered it
		return err
	}
	switch n := p.view.Node(node); {
	case n == nil || n.Check(check) == nil:
		return err
	case n.Agentless(): // taken by the store, now that the View knows the check
	case !strings.EqualFold(node, p.node):
		return catalog.Errorf(catalog.KindConflict, "check %s is run by node %s itself", check, n.Name).
			WithHint("push to the Koine of that node")
	default:
		patience, cancel := context.WithTimeout(ctx, pushPatience)
		defer cancel()
		if p.checks.Await(patience, node, check) != nil {
			if ctx.Err() != nil { // "not found" would be a guess
				return ctx.Err()
			}
			return err
		}
	}
	return p.checks.Push(ctx, node, check, status, output)
}

// owned refuses a caller that speaks for an instance which another registrant has taken over.
func (p *pusher) owned(ctx context.Context, node, check string) error {
	n := p.view.Node(node)
	if n == nil {
		return nil
	}
	c := n.Check(check)
	if c == nil || c.Instance == "" {
		return nil
	}
	if e := n.Endpoint(c.Instance); e != nil {
		return e.OwnedBy(ctx)
	}
	return nil
}
