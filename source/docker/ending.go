package docker

import (
	"cmp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

const (
	// maxEndings bounds the instances no longer declared that are remembered with the reason, endingAge the time for which
	// they are.
	maxEndings = 1024
	endingAge  = 10 * time.Minute
	// deathGrace bounds the wait for an engine that is away to report a container whose process has ended, patientGrace that
	// for an engine which answers for others. Until then its instances are declared, but drained: the engine knows the exit code.
	deathGrace   = 5 * time.Second
	patientGrace = 2 * resync
)

// endedUnseen is the reason while the engine has not reported the end: it is replaced when it does.
const endedUnseen = "container's process ended"

// death is the content of an event about a container's end.
type death struct {
	code string
	oom  bool
	at   time.Time
}

// ending is the reason why an instance is no longer declared.
type ending struct {
	container, instance, reason string
	at                          time.Time
}

// end records the reason of a container's end. A reason recorded before for the same end is replaced.
func (t *tracker) end(id, how string) {
	if len(t.ended) < maxEndings {
		t.ended[id] = how
	}
}

// takeEnded returns the reasons of the ends of containers since the last call.
func (t *tracker) takeEnded() map[string]string {
	ended := t.ended
	if len(ended) > 0 {
		t.ended = make(map[string]string)
	}
	return ended
}

// died records an event about a container's end.
func (t *tracker) died(id string, d death) { t.deaths[id] = d }

// endOf describes in a few words the end of a container that is not running.
func (t *tracker) endOf(c *container.InspectResponse) string {
	return exitText(strconv.Itoa(c.State.ExitCode), t.drains[c.ID], c.State.OOMKilled || t.deaths[c.ID].oom)
}

func exitText(code string, told mark, oom bool) string {
	how := "container exited " + code
	if told.reason != "" {
		how += " after " + cmp.Or(told.signal, strings.TrimPrefix(told.reason, drainPrefix))
	}
	if oom {
		how += ": out of memory"
	}
	return how
}

// removal does the same for a container that no longer exists.
func (t *tracker) removal(id string) string {
	d, ok := t.deaths[id]
	if !ok || d.code == "" {
		return "container was removed"
	}
	return exitText(d.code, t.drains[id], d.oom) + ", and was removed"
}

// giveUp drops the containers whose processes ended so long ago that the engine may never report them.
func (t *tracker) giveUp(now time.Time, answers bool) {
	grace := deathGrace
	if answers {
		grace = patientGrace
	}
	for id, m := range t.dead {
		if !m.over && now.Sub(m.at) >= grace {
			m.over = true
			t.dead[id] = m
			t.end(id, endedUnseen)
		}
	}
}

// endings are the instances that were declared and are no longer, the oldest first.
type endings []ending

// compare records the instances of the set before that are not in the next, both by ID, and forgets those declared again.
func (e *endings) compare(before, next []catalog.Registration, why func(container string) string, now time.Time) {
	declared := make(map[string]bool, len(next))
	for i := range next {
		declared[next[i].Instance.ID] = true
	}
	kept := (*e)[:0]
	for _, old := range *e {
		if !declared[old.instance] && now.Sub(old.at) < endingAge {
			kept = append(kept, old)
		}
	}
	for i := range before {
		if instance := &before[i].Instance; !declared[instance.ID] {
			kept = append(kept, ending{instance.Owner.ID, instance.ID, why(instance.Owner.ID), now})
		}
	}
	*e = kept[max(0, len(kept)-maxEndings):]
}

// learn replaces the reasons of containers whose end the engine has reported since, and reports whether there are any.
func (e endings) learn(ended map[string]string) (learned bool) {
	for i := range e {
		if how, ok := ended[e[i].container]; ok && e[i].reason == endedUnseen && how != endedUnseen {
			e[i].reason, learned = how, true
		}
	}
	return learned
}

// reasons returns the reasons by the instances' IDs.
func (e endings) reasons() map[string]string {
	if len(e) == 0 {
		return nil
	}
	reasons := make(map[string]string, len(e))
	for _, one := range e {
		reasons[one.instance] = one.reason
	}
	return reasons
}

// whyGone returns a function that gives the reason why a container's instance is no longer declared.
func whyGone(verdicts []verdict, ended map[string]string) func(container string) string {
	present := sync.OnceValue(func() map[string]string { return whyChanged(verdicts) })
	return func(container string) string {
		if why, ok := ended[container]; ok {
			return why
		}
		if why, ok := present()[container]; ok {
			return why
		}
		return "container ended while Koine did not run"
	}
}

// whyChanged returns for each running container the reason why an instance that it had no longer exists.
func whyChanged(verdicts []verdict) map[string]string {
	why := make(map[string]string, len(verdicts))
	for _, o := range verdicts {
		var ids []string
		for _, m := range o.instances {
			ids = append(ids, m.Instance.ID)
		}
		why[o.id] = "container is registered as " + strings.Join(ids, ", ")
		if o.why != "" {
			why[o.id] = "container is left out: " + o.why
		}
	}
	return why
}
