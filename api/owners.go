package api

import (
	"context"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// Runs returns the last runs of a check; false if this process does not run it.
type Runs interface {
	Check(node, id string) (catalog.CheckRun, bool)
}

// Keeper returns the time left of a lease, by the ID of an instance's owner or of a node's session, and the time at which a
// revision was written. Either is an error if it is not known.
type Keeper interface {
	TimeLeft(ctx context.Context, id string) (time.Duration, error)
	TimeOf(ctx context.Context, revision uint64) (time.Time, error)
}

const (
	// maxAsked bounds the questions of one explanation to the store; the instances beyond it are explained from the View alone.
	maxAsked = 200
	// askTimeout bounds each of these questions. The first that exceeds it is the last, so a store that is away costs it once.
	askTimeout = time.Second
	// askingTimeout bounds them all.
	askingTimeout = 5 * time.Second
)

// owners explains what keeps the instances of one answer, asking the store about each lease once.
type owners struct {
	server *Server
	leases map[string]time.Duration
	asked  int
	// end is when no more questions are asked; the zero time before the first.
	end time.Time
}

// explain fills in what the View does not know of an instance.
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

// ask asks the store, unless maxAsked is reached or a question before got no answer in time.
func (o *owners) ask(ctx context.Context, question func(context.Context, Keeper) error) {
	if o.server.cfg.Keeper == nil || o.asked == maxAsked {
		return
	}
	if o.end.IsZero() {
		o.end = time.Now().Add(askingTimeout)
	}
	ctx, cancel := context.WithDeadline(ctx, o.end)
	defer cancel()
	if ctx.Err() != nil {
		return
	}
	o.asked++
	ctx, cancel = context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := question(ctx, o.server.cfg.Keeper); err != nil && ctx.Err() != nil {
		o.asked = maxAsked
	}
}

// addRun fills in the node that runs a check, and its last runs if that is this process.
func (s *Server) addRun(c *client.CheckStatus, node string) {
	c.Runner = s.view.Runner(node)
	if s.cfg.Runs == nil {
		return
	}
	if run, ok := s.cfg.Runs.Check(node, c.ID); ok {
		c.Run = &run
	}
}

// keptBy describes what keeps an instance registered. left is the time left of its lease or of its node's session; 0 if it is
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
