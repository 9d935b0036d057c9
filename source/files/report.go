package files

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// told is what was logged and need not be logged again.
type told struct {
	// directory is the error of the directory, listing that of its length; empty if there is none.
	directory, listing string
	// others are the files that look like definition files and are not read.
	others map[string]bool
}

// reportDirectory logs the error of the directory when it appears or a reload was requested, and when it is over.
func (s *Source) reportDirectory(err error, asked bool) {
	before := s.told.directory
	s.told.directory = ""
	if err == nil {
		if before != "" {
			s.log.Info("config directory can be read again", "dir", s.cfg.Dir)
		}
		return
	}
	s.told.directory = err.Error()
	s.cfg.Problem("the definition files cannot be read, and are in force as they were: " + err.Error())
	if asked || s.told.directory != before {
		s.log.Error("config directory cannot be read: keeping its last definitions", "error", err, "services", len(s.declared))
	}
}

// reportListing warns once of each file whose author may wait in vain, and logs that the directory has too many files.
func (s *Source) reportListing(others []string, tooMany error) {
	now := make(map[string]bool, len(others))
	for _, name := range others {
		now[name] = true
		if !s.told.others[name] && len(s.told.others) < maxFiles {
			s.log.Warn("file is not read: its name lacks the ending of a definition file", "file", name, "read", endings())
		}
	}
	s.told.others = now
	before := s.told.listing
	s.told.listing = ""
	if tooMany != nil {
		s.told.listing = tooMany.Error()
		if s.told.listing != before {
			s.log.Error("not all definition files are read", "error", tooMany)
		}
	}
}

// reportWarnings logs the fields of a file that have no effect, in one line.
func (s *Source) reportWarnings(f *file) {
	if f.latest == nil || len(f.latest.warnings) == 0 {
		return
	}
	fields := make([]string, len(f.latest.warnings))
	for i, w := range f.latest.warnings {
		fields[i] = fmt.Sprintf("%s (line %d)", w.field, w.line)
	}
	s.log.Warn("fields have no effect in koine", "file", f.name, "fields", shorten(fields))
}

// reportFiles logs the errors of files when they appear, and the files that are in order again. It returns all errors.
func (s *Source) reportFiles() (errs []error) {
	bad := 0
	for _, f := range s.sorted() {
		now := make(map[string]bool)
		for _, p := range f.problems() {
			err := p.at(f.path)
			errs = append(errs, err)
			now[err.Error()] = true
			if !f.told[err.Error()] {
				attrs := []any{"error", err}
				if s.settled { // before that, only the sink knows what it holds of the file
					attrs = append(attrs, "kept", len(f.inForce) > 0)
				}
				s.log.Error("definition file is in error", attrs...)
			}
		}
		if len(now) > 0 {
			bad++
		} else if len(f.told) > 0 {
			s.log.Info("definition file is in order again", "file", f.name)
		}
		f.told = now
	}
	s.reportProblem(bad, errs)
	s.metrics.files.Set(float64(len(s.files)))
	s.metrics.bad.Set(float64(bad))
	return errs
}

// reportProblem reports the number of files in error in /health, and the first error.
func (s *Source) reportProblem(bad int, errs []error) {
	switch bad {
	case 0:
		s.cfg.Problem(s.told.listing)
	case 1:
		s.cfg.Problem("a definition file is in error: " + errs[0].Error())
	default:
		s.cfg.Problem(fmt.Sprintf("%d definition files are in error, the first of them: %v", bad, errs[0]))
	}
}

// Explain returns the definition files in error that have a name, or that have an instance or a service of the name: what they say of it may not
// be in force.
func (s *Source) Explain(name string) (left []catalog.LeftOut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.sorted() {
		problems := f.problems()
		if len(problems) == 0 || f.name != name && !f.names(name) {
			continue
		}
		l := catalog.LeftOut{Node: s.cfg.Node, Source: sourceName, Name: f.name, ID: f.path, Why: problems[0].at(f.path).Error()}
		if f.name != name {
			l.Service = name
		}
		left = append(left, l)
	}
	return left
}

// at returns the problem as the error of a file, with the place in it.
func (p *problem) at(path string) error {
	where := filepath.Clean(path)
	for _, n := range []int{p.line, p.column} {
		if n == 0 {
			break
		}
		where += fmt.Sprintf(":%d", n)
	}
	return catalog.Errorf(catalog.KindInvalid, "%s: %s", where, p.reason).WithHint("%s", p.hint)
}

// reportLoad logs what a load has read and what has changed.
func (s *Source) reportLoad(c changes, errs int) {
	attrs := []any{"files", len(s.files), "services", len(s.declared)}
	for _, kind := range []struct {
		name string
		ids  []string
	}{{"added", c.added}, {"changed", c.changed}, {"removed", c.removed}} {
		if len(kind.ids) > 0 {
			attrs = append(attrs, kind.name, shorten(kind.ids))
		}
	}
	message := "read definition files"
	if c.none() {
		message = "read definition files: nothing has changed"
	}
	s.log.Info(message, append(attrs, "errors", errs)...)
}

// shorten returns the beginning of a list as text.
func shorten(list []string) string {
	const most = 10
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// changes are the IDs that a load has added, changed and removed: of instances, and "check ID" for checks of the node.
type changes struct{ added, changed, removed []string }

func (c *changes) none() bool { return len(c.added)+len(c.changed)+len(c.removed) == 0 }

// difference compares the former declarations with the present ones. All lists are sorted by ID.
func difference(services, servicesNow []catalog.Registration, checks, checksNow []catalog.Check) (c changes) {
	compare(&c, services, servicesNow, func(r catalog.Registration) string { return r.Instance.ID }, sameRegistration)
	compare(&c, checks, checksNow, func(c catalog.Check) string { return "check " + c.ID },
		func(a, b catalog.Check) bool { return a.SameDeclaration(&b) })
	return c
}

func compare[T any](c *changes, before, now []T, id func(T) string, same func(a, b T) bool) {
	old := make(map[string]T, len(before))
	for _, item := range before {
		old[id(item)] = item
	}
	for _, item := range now {
		previous, found := old[id(item)]
		switch {
		case !found:
			c.added = append(c.added, id(item))
		case !same(previous, item):
			c.changed = append(c.changed, id(item))
		}
		delete(old, id(item))
	}
	for _, item := range before {
		if _, left := old[id(item)]; left {
			c.removed = append(c.removed, id(item))
		}
	}
}
