package files

import (
	"fmt"
	"maps"
	"slices"

	"github.com/koine-sd/koine/catalog"
)

// file is one definition file between two loads.
type file struct {
	name string
	// sum is of the bytes that were read last, so that a file that has not changed is not decoded again.
	sum  [32]byte
	read bool
	// latest is what the file says now; nil if that is in error, which is then bad.
	latest *content
	bad    *problem
	// inForce is what the file contributes: latest, or what it was before it was in error; nil if there was nothing.
	inForce *content
	// clash is why latest cannot come into force although it is in order by itself.
	clash *problem
	// told is the error that was logged last.
	told string
}

// problem returns why the file is in error, nil if it is not.
func (f *file) problem() *problem {
	if f.bad != nil {
		return f.bad
	}
	return f.clash
}

// merge puts the files, sorted by name, together. A file whose latest content clashes with an earlier file, or has a
// check for a service that nobody declares, is marked and contributes what it did before, less what clashes.
func merge(files []*file) *merged {
	for _, f := range files {
		f.clash = nil
	}
	// Each further round marks at least one file, so there are at most as many rounds as files.
	for {
		m, again := mergeOnce(files)
		if !again {
			for _, f := range files {
				if f.problem() == nil {
					f.inForce = f.latest
				}
			}
			return m
		}
	}
}

// mergeOnce puts the files together. It returns again if it marked a file whose services it had taken already.
func mergeOnce(files []*file) (m *merged, again bool) {
	m = &merged{services: make(map[string]*catalog.Registration), checks: make(map[string]string)}
	for _, f := range files {
		if f.problem() == nil {
			f.clash = m.clash(f.latest)
		}
		if f.problem() == nil {
			m.take(f.name, f.latest)
		} else if f.inForce != nil {
			m.take(f.name, f.inForce)
		}
	}
	for _, f := range files {
		if f.problem() == nil {
			f.clash = m.attach(f.latest)
			again = again || f.clash != nil
		} else if f.inForce != nil {
			_ = m.attach(f.inForce) // what no longer fits is left out: the file's error is told already
		}
	}
	return m, again
}

// merged is what all files declare together.
type merged struct {
	services map[string]*catalog.Registration
	// checks has the file of each check's ID.
	checks     map[string]string
	nodeChecks []catalog.Check
}

// clash tells why content cannot be added.
func (m *merged) clash(c *content) *problem {
	if len(m.services)+len(c.services) > catalog.MaxRegistration {
		return &problem{1, 0, fmt.Sprintf("all files together declare more than %d instances", catalog.MaxRegistration)}
	}
	for i := range c.services {
		s := &c.services[i]
		if _, taken := m.services[s.Instance.ID]; taken {
			return &problem{s.line, s.column,
				fmt.Sprintf("instance %s is declared in an earlier file: give one of them another id", s.Instance.ID)}
		}
		for j := range s.Checks {
			if p := m.checkClash(&s.Checks[j], s.line, s.column); p != nil {
				return p
			}
		}
	}
	nodeChecks := len(m.nodeChecks)
	for i := range c.checks {
		check := &c.checks[i]
		if p := m.checkClash(&check.Check, check.line, check.column); p != nil {
			return p
		}
		if check.service == "" {
			nodeChecks++
		}
		if nodeChecks > catalog.MaxChecks {
			return &problem{check.line, check.column,
				fmt.Sprintf("all files together declare more than %d checks of the node", catalog.MaxChecks)}
		}
	}
	return nil
}

func (m *merged) checkClash(c *catalog.Check, line, column int) *problem {
	if other, taken := m.checks[c.ID]; taken {
		return &problem{line, column, fmt.Sprintf("check %s is declared in %s: give one of them another id", c.ID, other)}
	}
	return nil
}

// take adds the services of a file and the checks of the node, less those whose ID is taken.
func (m *merged) take(name string, c *content) {
	for i := range c.services {
		s := &c.services[i]
		if _, taken := m.services[s.Instance.ID]; taken || len(m.services) == catalog.MaxRegistration {
			continue
		}
		r := &catalog.Registration{Instance: s.Instance}
		for _, check := range s.Checks {
			if m.claim(check.ID, name) {
				r.Checks = append(r.Checks, check)
			}
		}
		m.services[s.Instance.ID] = r
	}
	for i := range c.checks {
		check := &c.checks[i]
		if check.service == "" && len(m.nodeChecks) < catalog.MaxChecks && m.claim(check.ID, name) {
			m.nodeChecks = append(m.nodeChecks, check.Check)
		}
	}
}

// claim takes a check's ID for a file and tells whether it was free.
func (m *merged) claim(id, name string) bool {
	if _, taken := m.checks[id]; taken {
		return false
	}
	m.checks[id] = name
	return true
}

// attach adds a file's checks of services that any file may declare. It goes on after the first that does not fit.
func (m *merged) attach(c *content) (first *problem) {
	for i := range c.checks {
		check := &c.checks[i]
		if check.service == "" {
			continue
		}
		if reason := m.attachOne(check); reason != "" && first == nil {
			first = &problem{check.line, check.column, reason}
		}
	}
	return first
}

func (m *merged) attachOne(check *declaredCheck) (reason string) {
	r, ok := m.services[check.service]
	switch {
	case !ok:
		return fmt.Sprintf("check %s is for service_id %s, which no file declares", check.ID, check.service)
	case len(r.Checks) == catalog.MaxChecks:
		return fmt.Sprintf("instance %s has more than %d checks", check.service, catalog.MaxChecks)
	case !m.claim(check.ID, ""):
		return fmt.Sprintf("check %s is declared twice: give one of them another id", check.ID)
	}
	r.Checks = append(r.Checks, check.Check)
	return ""
}

// registrations returns what is declared, sorted by ID.
func (m *merged) registrations() []catalog.Registration {
	list := make([]catalog.Registration, 0, len(m.services))
	for _, id := range slices.Sorted(maps.Keys(m.services)) {
		list = append(list, *m.services[id])
	}
	return list
}

func sameRegistrations(a, b []catalog.Registration) bool {
	return slices.EqualFunc(a, b, func(r, s catalog.Registration) bool {
		return r.Instance.Equal(&s.Instance) && sameChecks(r.Checks, s.Checks)
	})
}

func sameChecks(a, b []catalog.Check) bool {
	return slices.EqualFunc(a, b, func(c, d catalog.Check) bool { return c.SameDeclaration(&d) })
}
