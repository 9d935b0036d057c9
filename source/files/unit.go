package files

import (
	"cmp"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// unit is what comes into force as a whole or not at all: a service with its own checks, or a check at the top of a
// file. One of the two is set.
type unit struct {
	service *declaredService
	check   *declaredCheck
}

// key is an ID that only one unit may have: of an instance, or of a check.
type key struct {
	check bool
	id    string
}

// units returns all that a file's content declares.
func (c *content) units() []unit {
	list := make([]unit, 0, len(c.services)+len(c.checks))
	for i := range c.services {
		list = append(list, unit{service: &c.services[i]})
	}
	for i := range c.checks {
		list = append(list, unit{check: &c.checks[i]})
	}
	return list
}

// attached reports whether the unit is a check of a service that another unit declares.
func (u unit) attached() bool { return u.check != nil && u.check.service != "" }

// keys returns the IDs of the unit. The first identifies the unit across loads.
func (u unit) keys() []key {
	if u.check != nil {
		return []key{{true, u.check.ID}}
	}
	keys := []key{{false, u.service.Instance.ID}}
	for i := range u.service.Checks {
		keys = append(keys, key{true, u.service.Checks[i].ID})
	}
	return keys
}

func (k key) String() string {
	if k.check {
		return "check " + k.id
	}
	return "instance " + k.id
}

func (u unit) errorf(format string, args ...any) *problem {
	if u.check != nil {
		return problemAt(u.check.line, u.check.column, format, args...)
	}
	return u.service.errorf(format, args...)
}

// registrations returns the services of the units with their checks, sorted by ID. Checks from the top of a file follow
// the service's own, sorted by ID, too: the result must not depend on the order in which files came into force.
func registrations(units []unit) []catalog.Registration {
	list := []catalog.Registration{}
	attached := make(map[string][]catalog.Check)
	for _, u := range units {
		switch {
		case u.service != nil:
			list = append(list, u.service.Registration)
		case u.attached():
			attached[u.check.service] = append(attached[u.check.service], u.check.Check)
		}
	}
	slices.SortFunc(list, func(a, b catalog.Registration) int { return cmp.Compare(a.Instance.ID, b.Instance.ID) })
	for i := range list {
		r := &list[i]
		more := attached[r.Instance.ID]
		sortChecks(more)
		r.Checks = slices.Concat(r.Checks, more)
	}
	return list
}

// nodeChecks returns the checks of the node among the units, sorted by ID.
func nodeChecks(units []unit) (list []catalog.Check) {
	for _, u := range units {
		if u.check != nil && !u.attached() {
			list = append(list, u.check.Check)
		}
	}
	sortChecks(list)
	return list
}

func sortChecks(list []catalog.Check) {
	slices.SortFunc(list, func(a, b catalog.Check) int { return strings.Compare(a.ID, b.ID) })
}

func sameRegistrations(a, b []catalog.Registration) bool {
	return slices.EqualFunc(a, b, sameRegistration)
}

func sameRegistration(r, s catalog.Registration) bool {
	return r.Instance.Equal(&s.Instance) && sameChecks(r.Checks, s.Checks)
}

func sameChecks(a, b []catalog.Check) bool {
	return slices.EqualFunc(a, b, func(c, d catalog.Check) bool { return c.SameDeclaration(&d) })
}
