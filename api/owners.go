package api

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// Runs tells of the runs of a check; false if this process does not run it.
type Runs interface {
	Check(node, id string) (catalog.CheckRun, bool)
}

// Keeper tells how long a lease, by the ID of an instance's owner or of a node's session, still runs if nobody renews it,
// and when a revision was written. Either may not be known, which is an error.
type Keeper interface {
	TimeLeft(ctx context.Context, id string) (time.Duration, error)
	TimeOf(ctx context.Context, revision uint64) (time.Time, error)
}

const (
	// maxAsked bounds what one explanation asks the store; of instances beyond that less is told.
	maxAsked = 200
	// askTimeout bounds each of these questions, and maxAsked of them take no longer than a store that is away.
	askTimeout = time.Second
)

// owners explains what keeps the instances of one answer, asking the store about each lease once.
type owners struct {
	server *Server
	leases map[string]time.Duration
	asked  int
}

// explain fills in what the View alone does not tell of an instance.
func (o *owners) explain(ctx context.Context, x *client.Explanation, e *catalog.Endpoint) {
	x.NodeAlive = e.Host.Alive
	lease := ""
	switch {
	case e.Owner.Kind == catalog.OwnerLease:
		lease = e.Owner.ID
	case e.Owner.Kind != catalog.OwnerPermanent:
		lease = e.Host.Session
	}
	left := o.timeLeft(ctx, lease)
	x.LeaseLeft, x.KeptBy = catalog.Duration(left), keptBy(e, left)
	x.RegisteredAt = o.timeOf(ctx, e.CreateRevision)
	for i := range x.Checks {
		o.server.addRun(&x.Checks[i], e.Instance.Node)
	}
}

// timeLeft returns how long a lease still runs; 0 if that is not known.
func (o *owners) timeLeft(ctx context.Context, id string) time.Duration {
	if left, known := o.leases[id]; known || id == "" {
		return left
	}
	if o.leases == nil {
		o.leases = make(map[string]time.Duration)
	}
	o.ask(ctx, func(ctx context.Context, k Keeper) (err error) {
		o.leases[id], err = k.TimeLeft(ctx, id)
		return err
	})
	return o.leases[id]
}

// timeOf returns when a revision was written; the zero time if that is not known.
func (o *owners) timeOf(ctx context.Context, revision uint64) (at time.Time) {
	o.ask(ctx, func(ctx context.Context, k Keeper) (err error) {
		at, err = k.TimeOf(ctx, revision)
		return err
	})
	return at
}

// ask asks the store, unless it has been asked often enough, or did not answer in time before.
func (o *owners) ask(ctx context.Context, question func(context.Context, Keeper) error) {
	if o.server.cfg.Keeper == nil || o.asked == maxAsked {
		return
	}
	o.asked++
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := question(ctx, o.server.cfg.Keeper); err != nil && ctx.Err() != nil {
		o.asked = maxAsked
	}
}

// addRun adds to a check on a node the node that runs it, and what is known of its runs.
func (s *Server) addRun(c *client.CheckStatus, node string) {
	c.Runner = s.view.Runner(node)
	if s.cfg.Runs == nil {
		return
	}
	if run, ok := s.cfg.Runs.Check(node, c.ID); ok {
		c.Run = &run
	}
}

// keptBy says what keeps an instance registered. What is left of its lease, or of its node's session, is 0 if that is
// not known.
func keptBy(e *catalog.Endpoint, left time.Duration) string {
	remains := ""
	if left > 0 {
		remains = ", " + left.String() + " left"
	}
	session := "the session of node " + e.Instance.Node
	switch {
	case e.Host.Session != "":
		session += ", which is alive" + remains
	case e.Host.Alive:
		session = "node " + e.Instance.Node + ", which is permanent"
	default:
		session += ", which has ended"
	}
	switch e.Owner.Kind {
	case catalog.OwnerContainer:
		return "container " + e.Owner.ID[:min(12, len(e.Owner.ID))] + ", and " + session
	case catalog.OwnerLease:
		return "a lease of " + e.Owner.TTL.String() + " that its owner renews" + remains
	case catalog.OwnerPermanent:
		return "nobody: it is permanent"
	default:
		return session
	}
}
