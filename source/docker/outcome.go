package docker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// outcome is what becomes of a container among all of the engine.
type outcome struct {
	*tracked
	// instances are its members as they are declared, none if it is not registered.
	instances []member
	// why says why it is not registered; "" if it is.
	why string
}

// whyEnded is why a container is not registered whose process has ended.
const whyEnded = "its process has ended"

// outcomes returns what becomes of each container, the eldest first. Of instances that claim the same ID the eldest
// container's has it.
func (t *tracker) outcomes() []outcome {
	byAge := slices.SortedFunc(maps.Values(t.containers), func(a, b *tracked) int {
		return cmp.Or(strings.Compare(a.created, b.created), strings.Compare(a.id, b.id))
	})
	taken := make(map[string]bool, len(byAge))
	outcomes := make([]outcome, 0, len(byAge))
	room := make([]member, 0, t.members())
	for _, c := range byAge {
		if why := t.leftWhy(c, len(taken)); why != "" {
			outcomes = append(outcomes, outcome{tracked: c, why: why})
			continue
		}
		first := len(room)
		room = append(room, c.members...)
		o := outcome{tracked: c, instances: room[first:len(room):len(room)]}
		for i := range o.instances {
			m := &o.instances[i]
			if taken[m.Instance.ID] {
				m.Registration = rename(m.Registration, freeID(taken, m.Instance.ID, shortID(c.id)))
			}
			taken[m.Instance.ID] = true
			m.Instance.Drain = t.drainOf(c, m.Instance.Drain)
		}
		outcomes = append(outcomes, o)
	}
	for i := range outcomes {
		followRenamed(outcomes[i])
	}
	return outcomes
}

// freeID puts a container's short id behind an ID that is taken, and a number if that is taken as well.
func freeID(taken map[string]bool, id, short string) string {
	free := extendID(id, "-"+short)
	for n := 2; taken[free]; n++ {
		free = extendID(id, fmt.Sprintf("-%s-%d", short, n))
	}
	return free
}

// members returns how many instances all containers have.
func (t *tracker) members() (n int) {
	for _, c := range t.containers {
		n += len(c.members)
	}
	return n
}

// leftWhy says why a container is not registered, given how many instances are before it; "" if it is.
func (t *tracker) leftWhy(c *tracked, before int) string {
	switch {
	case c.skip != "":
		return c.skip
	case t.dead[c.id].over:
		return whyEnded
	case before+len(c.members) > catalog.MaxRegistration:
		return fmt.Sprintf("it is one more than %d instances", catalog.MaxRegistration)
	default:
		return ""
	}
}

// drainOf says why a container's instances take no traffic: it got its stop signal, its process has ended, or what the engine
// says.
func (t *tracker) drainOf(c *tracked, said string) string {
	if drain, ok := t.drains[c.id]; ok {
		return drain.reason
	}
	if _, dead := t.dead[c.id]; dead {
		return whyEnded
	}
	return said
}

// followRenamed has the instances of a container's ports follow its first one, under whatever ID that is declared.
func followRenamed(o outcome) {
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
func registrations(outcomes []outcome) []catalog.Registration {
	n := 0
	for _, o := range outcomes {
		n += len(o.instances)
	}
	set := make([]catalog.Registration, 0, n)
	for _, o := range outcomes {
		for _, m := range o.instances {
			set = append(set, m.Registration)
		}
	}
	slices.SortFunc(set, func(a, b catalog.Registration) int { return strings.Compare(a.Instance.ID, b.Instance.ID) })
	return set
}
