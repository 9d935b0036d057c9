package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// surviveMargin is the time beyond that in which a container was to end, after which one that still runs has evidently survived its
// stop signal. "docker kill -s TERM" and "docker stop -t 600" send the same events, and Docker does not report how long the stop
// waits, so the margin is as long as people wait for a container in practice.
const surviveMargin = 10 * time.Minute

// lift is the end of a drain by a stop signal. It holds until a later signal, or the container's next start.
type lift struct {
	startedAt string
	// after is the time of the last signal before the end of the drain, by the clock of what reported the signal: that signal is
	// reported again when events are replayed. Zero if it is not known.
	after time.Time
	// why is shown when the container is explained.
	why string
}

// undo asks the loop to end the drain of an instance by a stop signal. The channel has room for the answer.
type undo struct {
	instance string
	answer   chan<- error
}

// Undo ends the drain of an instance whose container has survived its stop signal: it is declared without a drain, until the
// next signal. The error is of catalog.KindNotFound if there is no such instance or it is not drained, of KindConflict if it
// cannot be put back by this, and of KindUnavailable if the source does not run.
func (s *Source) Undo(ctx context.Context, instance string) error {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	answer := make(chan error, 1)
	select {
	case s.undos <- undo{instance, answer}:
		return <-answer
	case <-ctx.Done():
		return unanswered(ctx.Err())
	}
}

// undo ends the drain of an instance's container by a stop signal.
func (t *tracker) undo(instance string) error {
	c, drain := t.owner(instance)
	switch m, signalled := t.drains[idOf(c)]; {
	case c == nil:
		return catalog.Errorf(catalog.KindNotFound, "no container is registered as %s", instance)
	case c.stopping:
		return catalog.Errorf(catalog.KindConflict, "the engine is stopping container %s", c.name)
	case signalled && m.killed:
		return catalog.Errorf(catalog.KindConflict, "container %s was sent SIGKILL, which no process survives", c.name)
	case c.paused:
		return catalog.Errorf(catalog.KindConflict, "container %s is paused", c.name).WithHint("docker unpause %s", c.name)
	case t.isDead(c.id):
		return catalog.Errorf(catalog.KindConflict, "the process of container %s has ended", c.name)
	case signalled:
		t.lift(c, fmt.Sprintf("it was sent %s%s, and runs on: its drain was ended by koine drain --undo", m.signalText(), m.atText()))
		return nil
	case drain != "":
		return catalog.Errorf(catalog.KindConflict, "container %s is drained: %s", c.name, drain)
	default:
		return catalog.Errorf(catalog.KindNotFound, "%s is not drained", instance)
	}
}

// owner returns the container that has an instance, and the instance's drain; nil if none has.
func (t *tracker) owner(instance string) (c *tracked, drain string) {
	for _, o := range t.verdicts() {
		for i := range o.instances {
			if o.instances[i].Instance.ID == instance {
				return o.tracked, o.instances[i].Instance.Drain
			}
		}
	}
	return nil, ""
}

func idOf(c *tracked) string {
	if c == nil {
		return ""
	}
	return c.id
}

// lift ends the drain of a container by a stop signal.
func (t *tracker) lift(c *tracked, why string) {
	t.lifts[c.id] = lift{startedAt: c.startedAt, after: t.drains[c.id].last, why: why}
	delete(t.drains, c.id)
}

// lifted reports whether signals to a container are those of a drain that has ended.
func (t *tracker) lifted(c *tracked, k kills) bool {
	l, ok := t.lifts[c.id]
	return ok && l.startedAt == c.startedAt && !k.at.After(l.after)
}

// due returns the containers that run, as far as is known, long after they were to have ended.
func (t *tracker) due(now time.Time) (ids []string) {
	for id := range t.drains {
		if t.survives(id, now) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (t *tracker) survives(id string, now time.Time) bool {
	c, known := t.containers[id]
	m, drains := t.drains[id]
	_, dead := t.dead[id]
	return known && drains && !dead && c.outlives(m, now)
}

// survived ends the drain of a container that a look has shown to run long after it was to have ended; the look must have begun after
// that time. It returns the reason, "" if it is not so.
func (t *tracker) survived(id string, now time.Time) string {
	if !t.survives(id, now) {
		return ""
	}
	c, m := t.containers[id], t.drains[id]
	why := fmt.Sprintf("it was sent %s%s, and runs on: it is answered again until the next signal", m.signalText(), m.atText())
	t.lift(c, why)
	return why
}

// outlives reports whether a container has outlived the time after its stop signal by so much that nobody can be stopping it.
func (c *tracked) outlives(m mark, now time.Time) bool {
	switch {
	case c.stopping, c.paused, c.stopTimeout < 0: // the engine says so, it has not got the signal yet, or the engine waits for ever
		return false
	case m.killed: // its process cannot run on, and may be stuck in the kernel
		return false
	default:
		return now.Sub(m.seen) >= c.stopTimeout+c.drain+surviveMargin
	}
}

// signalText names the first signal of a drain.
func (m mark) signalText() string {
	if m.signal != "" {
		return m.signal
	}
	return strings.TrimPrefix(m.reason, drainPrefix)
}

// atText is the time of the first signal, if it is known.
func (m mark) atText() string {
	if m.at.IsZero() {
		return ""
	}
	return " at " + m.at.UTC().Format(time.RFC3339)
}

// keepMarks notes in a container's instance what is known of its stop signals, for the next process and for explaining it. The copy
// that the tracker has stays as it is.
func (t *tracker) keepMarks(c *tracked, m *member) {
	if d, ok := t.drains[c.id]; ok {
		m.kept.DrainedAt, m.kept.SignalledAt, m.kept.Killed = d.at, nextMinute(d.last), d.killed
		m.hint(c.whenAnswered(d))
	} else if l, ok := t.lifts[c.id]; ok && l.startedAt == c.startedAt {
		m.kept.UndrainedAt, m.kept.Undrained = l.after, l.why
		m.warn(l.why)
	}
}

// whenAnswered says when a container that survives its stop signal is answered again.
func (c *tracked) whenAnswered(m mark) string {
	if c.stopping || c.stopTimeout < 0 || m.killed {
		return ""
	}
	return fmt.Sprintf("if it survives its stop signal it is answered again at %s: koine drain --undo ends the drain now",
		nextMinute(m.seen.Add(c.stopTimeout+c.drain+surviveMargin)).UTC().Format(time.RFC3339))
}

// nextMinute rounds a time up to the minute: what is declared must not change with each of several signals.
func nextMinute(t time.Time) time.Time {
	if t.IsZero() || t.Truncate(time.Minute).Equal(t) {
		return t
	}
	return t.Truncate(time.Minute).Add(time.Minute)
}

// adopt takes over the drains, and the ends of drains, that the catalog holds from before.
func (t *tracker) adopt(registrations []catalog.Registration, now time.Time) {
	for _, r := range registrations {
		var kept extras
		if json.Unmarshal(r.Instance.Extras[sourceName], &kept) != nil || kept.ContainerID == "" || kept.StartedAt == "" {
			continue
		}
		switch at := kept.DrainedAt; {
		case strings.HasPrefix(r.Instance.Drain, drainPrefix):
			last := kept.SignalledAt
			if last.IsZero() {
				last = at
			}
			seen := last // at most a minute too late
			if seen.IsZero() || seen.After(now) {
				seen = now
			}
			killed := kept.Killed || r.Instance.Drain == drainPrefix+signalName(sigKill)
			t.drains[kept.ContainerID] = mark{startedAt: kept.StartedAt, reason: r.Instance.Drain, at: at, last: last, seen: seen, killed: killed}
		case kept.Undrained != "":
			t.lifts[kept.ContainerID] = lift{startedAt: kept.StartedAt, after: kept.UndrainedAt, why: kept.Undrained}
		}
	}
}

func (t *tracker) isDead(id string) bool {
	_, dead := t.dead[id]
	return dead
}
