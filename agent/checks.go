package agent

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

const (
	// feedPause spaces the hand-overs of checks, so that a storm of registrations costs a few and not one each.
	feedPause = 10 * time.Millisecond
	// orphanPause is the interval at which agentless nodes are looked for.
	orphanPause = time.Second
)

// feedChecks hands the checks that are this agent's to run to their runner, whenever they may have changed.
func (a *Agent) feedChecks(ctx context.Context) {
	for ctx.Err() == nil {
		revision := a.cfg.View.Revision()
		node, index := a.cfg.View.NodeIndex(a.cfg.Node.Name)
		a.cfg.Checks.Set(a.checks(node))
		pause.For(ctx, feedPause)
		a.awaitChecks(ctx, index, revision)
	}
}

// awaitChecks waits until this node changes; with Orphans also, looking at times, until anything changes.
func (a *Agent) awaitChecks(ctx context.Context, index, revision uint64) {
	for ctx.Err() == nil {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if a.cfg.Orphans {
			wait, cancel = context.WithTimeout(ctx, orphanPause)
		}
		_, err := a.cfg.View.WaitNode(wait, a.cfg.Node.Name, index)
		cancel()
		if err == nil || a.cfg.View.Revision() > revision {
			return
		}
	}
}

// checks returns the checks of the agent's own node, and with Orphans those of the agentless nodes for which the View
// gives it the duty.
func (a *Agent) checks(own *catalog.NodeSnapshot) []*catalog.Check {
	var list []*catalog.Check
	if own != nil && a.rivalIn(own) == nil {
		for c := range own.AllChecks() {
			list = append(list, c)
		}
	}
	if !a.cfg.Orphans {
		return list
	}
	for _, n := range a.cfg.View.AgentlessNodes() {
		if n == own || !a.cfg.View.Holds(&a.cfg.Node, catalog.ChecksDuty(n.Name)) {
			continue
		}
		for c := range n.AllChecks() {
			list = append(list, c)
		}
	}
	return list
}
