package registry

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pulse"
)

const (
	// reapInterval is the interval at which dead nodes are looked for.
	reapInterval = 5 * time.Second
	// reapGap bounds the time since the last look: after it, this process counts as having stood still.
	reapGap = 4 * reapInterval
)

// reap purges the nodes whose session ended longer ago than they asked to be kept. The clock starts when this process
// first sees a node dead, so a restart keeps a dead node a little longer, never shorter. Time in which the process stood still
// does not count. Each process keeps that clock, and the one that has the duty for a node purges it.
func (r *Registry) reap(ctx context.Context) {
	ticker := time.NewTicker(reapInterval)
	defer ticker.Stop()
	deadSince := make(map[string]time.Time)
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		r.reapOverdue(ctx, deadSince, last, now)
		last = now
		r.sweepPushes(ctx)
	}
}

// reapOverdue purges the nodes that are overdue. last is the time of the last look.
func (r *Registry) reapOverdue(ctx context.Context, deadSince map[string]time.Time, last, now time.Time) {
	if now.Sub(last) > reapGap {
		clear(deadSince) // this process stood still: a node may have lived meanwhile
	}
	r.forgetLived(deadSince)
	for _, node := range overdue(r.view.Nodes(), deadSince, now, r.clock) {
		r.reapNode(ctx, node)
	}
}

// forgetLived takes the nodes that have lived since the last look out of deadSince.
func (r *Registry) forgetLived(deadSince map[string]time.Time) {
	r.lived.Range(func(name, _ any) bool {
		r.lived.Delete(name)
		maps.DeleteFunc(deadSince, func(dead string, _ time.Time) bool { return strings.EqualFold(dead, name.(string)) })
		return true
	})
}

// overdue returns the names of the nodes to purge, and keeps deadSince.
func overdue(nodes []*catalog.NodeSnapshot, deadSince map[string]time.Time, now time.Time, clock *pulse.Clock) (names []string) {
	dead := make(map[string]bool)
	for _, n := range nodes {
		if n.Alive {
			continue
		}
		dead[n.Name] = true
		since, known := deadSince[n.Name]
		if !known {
			deadSince[n.Name] = now
			continue
		}
		keep := catalog.DefaultPurgeAfter
		if n.Node != nil {
			keep = n.Node.PurgeAfter.Or(catalog.DefaultPurgeAfter)
		}
		if now.Sub(since)-clock.StoodSince(since) >= keep {
			names = append(names, n.Name)
		}
	}
	for name := range deadSince {
		if !dead[name] {
			delete(deadSince, name)
		}
	}
	return names
}

func (r *Registry) reapNode(ctx context.Context, node string) {
	purged, err := r.purge(ctx, node)
	switch {
	case err != nil && ctx.Err() == nil:
		r.logger.Warn("purge of a dead node", "node", node, "error", err)
	case purged && err == nil:
		r.metrics.purged.Inc()
		r.logger.Info("node purged: its session ended long ago", "node", node)
	}
}
