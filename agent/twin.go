package agent

import "time"

const (
	// twinUndone is the number of repairs within twinWindow from which another process is taken to declare this node, too. A person
	// who changes the store by hand causes a few.
	twinUndone = 10
	twinWindow = time.Minute
)

// twin notices a process that declares this node under the same id, as of a machine that was cloned or a data directory that was
// copied: each of the two undoes what the other declares.
type twin struct {
	since  time.Time
	undone int
	// withdraw ends the View's report of the twin; nil if there is none.
	withdraw func()
}

// noteSync looks at the result of a sync. Repaired is set if it wrote although no source had declared anything new.
func (a *Agent) noteSync(repaired bool, now time.Time) {
	t := &a.twin
	if now.Sub(t.since) > twinWindow {
		if t.undone < twinUndone && t.withdraw != nil {
			t.withdraw()
			t.withdraw = nil
		}
		t.since, t.undone = now, 0
	}
	if !repaired {
		return
	}
	if t.undone++; t.undone == twinUndone && t.withdraw == nil {
		what := "another process declares node " + a.cfg.Node.Name + " under the same id, and each undoes the other's declarations"
		a.cfg.Logger.Warn(what+": was its machine cloned, or its data directory copied? give one of the two another node name with --node and an empty data directory",
			"id", a.cfg.Node.ID)
		t.withdraw = a.cfg.View.Problem(what)
	}
}
