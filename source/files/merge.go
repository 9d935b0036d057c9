package files

import (
	"cmp"
	"slices"

	"github.com/koine-sd/koine/catalog"
)

// rank is the order in which units are admitted: first one that its file held before and still declares; then one that
// a file in error declared before; then a new one; last one of a missing file, whose place another file may take.
type rank uint8

const (
	rankHeld rank = iota
	rankKept
	rankNew
	rankMissing
)

// candidate is a unit that a file would bring into force.
type candidate struct {
	unit
	file *file
	rank rank
	keys []key
}

// says reports whether the file declares the unit now, so that it is an error if it cannot come into force.
func (c *candidate) says() bool { return c.rank == rankHeld || c.rank == rankNew }

// merged is what all files declare together.
type merged struct {
	// holders has the file of each ID in force; a file that is missing or in error holds what it declared before.
	holders map[key]*file
	// units is what is in force, by is each file's contribution to it.
	units []unit
	by    map[*file][]unit
	// clashes are the errors of units that are valid by themselves but conflict with other files.
	clashes map[*file]problems
}

// merge combines the files, sorted by name. Units in force before keep their IDs; among new ones the order of the files
// decides. An error in a file removes nothing of it: what it declared before stays in force unless it declares that, by
// the same ID, in another way now.
func merge(files []*file, before map[key]*file) *merged {
	inError := make(map[*file]problems)
	for _, f := range files {
		if f.bad != nil || f.latest != nil && len(f.latest.problems) > 0 {
			inError[f] = nil
		}
	}
	for {
		m := mergeOnce(files, before, inError)
		if !m.moreInError(inError) {
			return m
		}
		// The units that files in error keep in force may be in the way of others.
	}
}

// moreInError adds the files whose units clash to those in error, and reports whether there were any. A file found to
// be in error before stays so, even if the units that it keeps in force resolve the error.
func (m *merged) moreInError(inError map[*file]problems) (more bool) {
	for f, clashes := range m.clashes {
		if _, known := inError[f]; !known {
			inError[f] = clashes
			more = true
		}
	}
	for f, clashes := range inError {
		if len(m.clashes[f]) == 0 && len(clashes) > 0 {
			m.clashes[f] = clashes
		}
	}
	return more
}

func mergeOnce(files []*file, before map[key]*file, inError map[*file]problems) *merged {
	m := &merging{
		merged:   merged{holders: make(map[key]*file), by: make(map[*file][]unit), clashes: make(map[*file]problems)},
		reserved: make(map[key]*file), checks: make(map[string]int),
	}
	candidates := gather(files, before, inError)
	for i := range candidates {
		c := &candidates[i]
		for _, k := range c.keys {
			if before[k] == c.file {
				m.reserved[k] = c.file
			}
		}
	}
	for i := range candidates {
		m.admit(&candidates[i])
	}
	return &m.merged
}

// gather returns the candidates in the order of their admission: services before the checks that are attached to them,
// then by rank, then by file.
func gather(files []*file, before map[key]*file, inError map[*file]problems) (list []candidate) {
	add := func(f *file, units []unit, rank rank) {
		for _, u := range units {
			c := candidate{u, f, rank, u.keys()}
			if rank == rankNew && before[c.keys[0]] == f {
				c.rank = rankHeld
			}
			list = append(list, c)
		}
	}
	for _, f := range files {
		if f.missing() {
			add(f, f.inForce, rankMissing)
			continue
		}
		if _, bad := inError[f]; bad {
			add(f, f.inForce, rankKept)
		}
		if f.bad == nil {
			add(f, f.latest.units(), rankNew)
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(order(a.attached())-order(b.attached()), cmp.Compare(a.rank, b.rank))
	})
	return list
}

// order sorts false before true.
func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

// merging is one attempt at it.
type merging struct {
	merged
	// reserved has the files that held an ID before and still have a unit with it.
	reserved map[key]*file
	// services and nodeChecks count those in force, checks those of an instance.
	services, nodeChecks int
	checks               map[string]int
}

// admit brings a unit into force, or records why that is impossible.
func (m *merging) admit(c *candidate) {
	if !c.says() && c.service != nil {
		m.giveUpChecks(c)
	}
	p, ok := m.refusal(c)
	if ok {
		m.take(c)
	} else if p != nil && c.says() {
		m.clashes[c.file] = append(m.clashes[c.file], p)
	}
}

// giveUpChecks takes those checks out of a service declared before whose ID another unit has now: the service itself
// must stay.
func (m *merging) giveUpChecks(c *candidate) {
	isTaken := func(check catalog.Check) bool { return m.inTheWay(c.file, key{true, check.ID}) != nil }
	if !slices.ContainsFunc(c.service.Checks, isTaken) {
		return
	}
	less := *c.service
	less.Checks = slices.DeleteFunc(slices.Clone(less.Checks), isTaken)
	c.service = &less
	c.keys = c.unit.keys()
}

func (m *merging) take(c *candidate) {
	for _, k := range c.keys {
		m.holders[k] = c.file
	}
	switch {
	case c.service != nil:
		m.services++
		m.checks[c.service.Instance.ID] = len(c.service.Checks)
	case c.attached():
		m.checks[c.check.service]++
	default:
		m.nodeChecks++
	}
	m.units = append(m.units, c.unit)
	m.by[c.file] = append(m.by[c.file], c.unit)
}

// refusal reports whether a unit can come into force, and if not, the reason; nil if another error of its file gives
// it.
func (m *merging) refusal(c *candidate) (p *problem, ok bool) {
	for _, k := range c.keys {
		switch other := m.inTheWay(c.file, k); other {
		case nil:
		case c.file: // what it declared before
			return nil, false
		default:
			return c.errorf("%s is declared in %s", k, other.name).withHint("give one of them another id"), false
		}
	}
	switch {
	case c.attached():
		return m.targetRefusal(c)
	case c.service != nil && m.services == catalog.MaxRegistration:
		return c.errorf("all files together declare more than %d instances", catalog.MaxRegistration), false
	case c.check != nil && m.nodeChecks == catalog.MaxChecks:
		return c.errorf("all files together declare more than %d checks of the node", catalog.MaxChecks), false
	}
	return nil, true
}

// inTheWay returns the file that has an ID; nil if the ID is free for the file that claims it. An ID of a missing file
// is free for files written after it disappeared, because the file may have been renamed.
func (m *merging) inTheWay(f *file, k key) *file {
	if holder := m.holders[k]; holder != nil {
		return holder
	}
	other := m.reserved[k]
	if other == nil || other == f || other.missing() && f.decoded >= other.missed {
		return nil
	}
	return other
}

// targetRefusal is the refusal of a check at the top of a file that names its service. If the file declares that
// service itself, the check applies to it alone.
func (m *merging) targetRefusal(c *candidate) (p *problem, ok bool) {
	id := c.check.service
	holder := m.holders[key{false, id}]
	switch {
	case holder != c.file && c.file.declares(id):
		return nil, false
	case holder == nil:
		return c.errorf("check %s is for service_id %s, which no file declares", c.check.ID, id), false
	case m.checks[id] == catalog.MaxChecks:
		return c.errorf("instance %s has more than %d checks", id, catalog.MaxChecks), false
	}
	return nil, true
}
