package docker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// verdict is the decision about a container among all of the engine.
type verdict struct {
	*tracked
	// instances are its members as declared, none if it is not registered.
	instances []member
	// why is the reason why it is not registered; "" if it is.
	why string
}

// whyEnded is the reason why a container whose process has ended is not registered.
const whyEnded = "its process has ended"

// verdicts decides about each container, the oldest first. Of instances that claim the same ID, the oldest container's gets
// it.
func (t *tracker) verdicts() []verdict {
	byAge := slices.SortedFunc(maps.Values(t.containers), func(a, b *tracked) int {
		return cmp.Or(strings.Compare(a.created, b.created), strings.Compare(a.id, b.id))
	})
	taken := make(map[string]bool, len(byAge))
	verdicts := make([]verdict, 0, len(byAge))
	room := make([]member, 0, t.members())
	for _, c := range byAge {
		if why := t.leftWhy(c, len(taken)); why != "" {
			verdicts = append(verdicts, verdict{tracked: c, why: why})
			continue
		}
		first := len(room)
		room = append(room, c.members...)
		o := verdict{tracked: c, instances: room[first:len(room):len(room)]}
		for i := range o.instances {
			m := &o.instances[i]
			if taken[m.Instance.ID] {
				m.Registration = rename(m.Registration, freeID(taken, m.Instance.ID, shortID(c.id)))
			}
			taken[m.Instance.ID] = true
			m.Instance.Drain = t.drainOf(c, m.Instance.Drain)
			t.keepMarks(c, m)
		}
		verdicts = append(verdicts, o)
	}
	for i := range verdicts {
		followRenamed(verdicts[i])
	}
	return verdicts
}

// freeID appends a container's short id to an ID that is taken, and a number if that is taken as well.
func freeID(taken map[string]bool, id, short string) string {
	free := extendID(id, "-"+short)
	for n := 2; taken[free]; n++ {
		free = extendID(id, fmt.Sprintf("-%s-%d", short, n))
	}
	return free
}

// members returns the number of instances of all containers.
func (t *tracker) members() (n int) {
	for _, c := range t.containers {
		n += len(c.members)
	}
	return n
}

// leftWhy returns the reason why a container is not registered, given the number of instances before it; "" if it is.
func (t *tracker) leftWhy(c *tracked, before int) string {
	switch {
	case c.skip != "":
		return c.skip
	case t.dead[c.id].over:
		return whyEnded
	case c.settling.why(time.Now()) != "":
		return c.settling.why(time.Now())
	case before+len(c.members) > catalog.MaxRegistration:
		return fmt.Sprintf("it is one more than %d instances", catalog.MaxRegistration)
	default:
		return ""
	}
}

// drainOf returns the reason why a container's instances take no traffic: its stop signal, the end of its process, or else
// the engine's.
func (t *tracker) drainOf(c *tracked, said string) string {
	if drain, ok := t.drains[c.id]; ok {
		return drain.reason
	}
	if _, dead := t.dead[c.id]; dead {
		return whyEnded
	}
	return said
}

// followRenamed makes the instances of a container's ports follow its first one under the ID with which that is declared.
func followRenamed(o verdict) {
	if len(o.instances) < 2 || o.instances[0].Instance.ID == o.members[0].Instance.ID {
		return
	}
	before, now := o.members[0].Instance.ID, o.instances[0].Instance.ID
	for i := range o.instances {
		m := &o.instances[i]
		m.Checks = slices.Clone(m.Checks)
		for n := range m.Checks {
			if m.Checks[n].Type == catalog.CheckAlias && m.Checks[n].AliasService == before {
				m.Checks[n].AliasService = now
			}
		}
	}
}

// registrations returns the whole set that is declared, by ID.
func registrations(verdicts []verdict) []catalog.Registration {
	n := 0
	for _, o := range verdicts {
		n += len(o.instances)
	}
	set := make([]catalog.Registration, 0, n)
	for _, o := range verdicts {
		for _, m := range o.instances {
			set = append(set, m.Registration)
		}
	}
	slices.SortFunc(set, func(a, b catalog.Registration) int { return strings.Compare(a.Instance.ID, b.Instance.ID) })
	return set
}
