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
	// maxEndings is how many instances that are declared no longer are remembered with the reason, and endingAge for how
	// long.
	maxEndings = 1024
	endingAge  = 10 * time.Minute
	// deathGrace is how long an engine that is away may take to speak of a container whose process has been seen to end, and
	// patientGrace one that answers others. Until then its instances are declared, but drained: the engine knows the exit code.
	deathGrace   = 5 * time.Second
	patientGrace = 2 * resync
)

// endedUnseen is the reason while the engine has not spoken of the end: it is replaced when it does.
const endedUnseen = "container's process ended"

// death is what an event has told of a container's end.
type death struct {
	code string
	oom  bool
	at   time.Time
}

// ending is why an instance is declared no longer.
type ending struct {
	container, instance, reason string
	at                          time.Time
}

// end notes how a container has ended. What was known before of the same end counts if there is nothing new.
func (t *tracker) end(id, how string) {
	if len(t.ended) < maxEndings {
		t.ended[id] = how
	}
}

// takeEnded returns how containers have ended since it was called last.
func (t *tracker) takeEnded() map[string]string {
	ended := t.ended
	if len(ended) > 0 {
		t.ended = make(map[string]string)
	}
	return ended
}

// died notes what an event says of a container's end.
func (t *tracker) died(id string, d death) { t.deaths[id] = d }

// endOf says in a few words how a container that is not running has ended.
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

// removal says the same of a container that is not there any more.
func (t *tracker) removal(id string) string {
	d, ok := t.deaths[id]
	if !ok || d.code == "" {
		return "container was removed"
	}
	return exitText(d.code, t.drains[id], d.oom) + ", and was removed"
}

// giveUp has the instances of containers go whose processes ended so long ago that the engine may never speak of them.
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

// compare notes what is in the set before and not in the next, both by ID, and forgets what is declared again.
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

// learn replaces the reasons of containers whose end the engine has spoken of since, and reports whether there are any.
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

// whyGone returns what says why an instance of a container is declared no longer.
func whyGone(outcomes []outcome, ended map[string]string) func(container string) string {
	present := sync.OnceValue(func() map[string]string { return whyChanged(outcomes) })
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

// whyChanged says of each running container why an instance that it had is not there any more.
func whyChanged(outcomes []outcome) map[string]string {
	why := make(map[string]string, len(outcomes))
	for _, o := range outcomes {
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
