package files

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// content is what one file declares. Services and checks in error are left out, and reported in problems.
type content struct {
	services []declaredService
	// checks are those at the file's top: of the node, or of a service that another file may declare.
	checks   []declaredCheck
	problems problems
	warnings []warning
	// ids has the IDs of all services that the file names, of those in error as well.
	ids map[string]bool
}

// warning is a field that is accepted and has no effect.
type warning struct {
	line  int
	field string
}

// decoder reads the definitions of one file.
type decoder struct {
	node       string
	scripts    bool
	nodeChecks bool
	warnings   []warning
}

// format is how to read a file, by its endings, in lower case.
type format struct {
	endings []string
	parse   func(data []byte) (*node, error)
	// nothing is a content that declares nothing.
	nothing string
}

func formats() []format {
	return []format{
		{[]string{".json"}, parseJSON, `{"services": []}`},
		{[]string{".yaml", ".yml"}, parseYAML, "services: []"},
		{[]string{".hcl"}, parseHCL, "services = []"},
	}
}

// formatOf returns the format of a file, and false for a file that is not read. Letter case does not matter.
func formatOf(name string) (format, bool) {
	ending := strings.ToLower(filepath.Ext(name))
	for _, f := range formats() {
		for _, e := range f.endings {
			if e == ending {
				return f, true
			}
		}
	}
	return format{}, false
}

// decode reads a file's content.
func (d *decoder) decode(name string, data []byte) *content {
	f, ok := formatOf(name)
	if !ok {
		return failed(problemAt(1, 0, "is not a definition file").withHint("its name must end in %s", endings()))
	}
	if len(data) > maxFile {
		return failed(problemAt(1, 0, "is larger than %d bytes", maxFile))
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	empty := problemAt(1, 0, "is empty").withHint("write %s to declare nothing, or remove the file", f.nothing)
	if len(bytes.TrimSpace(data)) == 0 {
		return failed(empty)
	}
	root, err := f.parse(data)
	switch {
	case err != nil:
		return failed(err)
	case root.kind == null:
		return failed(empty)
	}
	return d.file(root)
}

// failed is the content of a file of which nothing can be used.
func failed(err error) *content {
	c := &content{}
	c.problems.add(1, 0, err)
	return c
}

func (d *decoder) file(root *node) *content {
	c := &content{}
	services := func(v *node) error { return eachMapping(v, func(n *node) error { return d.addService(c, n) }) }
	checks := func(v *node) error { return eachMapping(v, func(n *node) error { return d.addCheck(c, n) }) }
	s := schema{"service": services, "services": services, "check": checks, "checks": checks}
	d.addAgentSettings(s)
	misplaced := addServiceFields(s)
	err := s.read("definition file", root)
	if *misplaced { // an apparent check of the node belongs to that service
		c.checks = nil
	}
	c.problems.add(root.line, root.column, err)
	c.problems = append(c.problems, nameServices(c.services)...)
	c.problems = append(c.problems, d.validate(c)...)
	c.leaveOut()
	c.problems = c.problems.sorted()
	c.warnings = d.warnings
	return c
}

func (d *decoder) addService(c *content, n *node) error {
	s, err := d.service(n)
	c.services = append(c.services, s)
	return err
}

func (d *decoder) addCheck(c *content, n *node) error {
	check, err := d.topCheck(n)
	check.bad = err != nil
	c.checks = append(c.checks, check)
	return err
}

// topCheck reads a check outside of a service. Without an ID it gets its name as the ID, as in Consul.
func (d *decoder) topCheck(n *node) (declaredCheck, error) {
	c, err := d.check(n)
	c.Node, c.Instance = d.node, c.service
	if err != nil {
		return c, err
	}
	if c.ID == "" {
		c.ID = c.Name
	}
	if c.ID == "" {
		return c, n.errorf("check has neither id nor name")
	}
	if c.service == "" && !d.nodeChecks {
		return c, n.errorf("check has no service_id: checks of the node are not supported here")
	}
	return c, nil
}

// warn accepts a field and records that it has no effect, unless its value equals the behaviour without it.
func (d *decoder) warn(name string) setter {
	return func(v *node) error {
		if !v.unset() {
			d.warnings = append(d.warnings, warning{v.line, name})
		}
		return nil
	}
}

// setAndWarn reads a field, and records that it has no effect.
func (d *decoder) setAndWarn(name string, set setter) setter {
	warn := d.warn(name)
	return func(v *node) error {
		if err := warn(v); err != nil {
			return err
		}
		return set(v)
	}
}

// nameServices gives IDs to the services without one: the service's name or, if another service has that, name-port. It
// marks those whose ID is taken as bad.
func nameServices(services []declaredService) (found problems) {
	taken := make(map[string]bool, len(services))
	claim := func(s *declaredService, way string) {
		i := &s.Instance
		if taken[i.ID] && !s.bad {
			s.bad = true
			found = append(found, s.errorf("instance %s is declared twice", i.ID).withHint("give one of them %s", way))
		}
		taken[i.ID] = true
	}
	var unnamed []*declaredService
	for i := range services {
		if s := &services[i]; s.Instance.ID != "" {
			claim(s, "another id")
		} else if s.Instance.Service != "" {
			unnamed = append(unnamed, s)
		}
	}
	for _, s := range unnamed {
		s.Instance.ID = defaultID(&s.Instance, taken)
		claim(s, "an id")
	}
	for i := range services {
		nameChecks(&services[i])
	}
	return found
}

func defaultID(i *catalog.Instance, taken map[string]bool) string {
	if taken[i.Service] && len(i.Ports) > 0 {
		return fmt.Sprintf("%s-%d", i.Service, i.Ports[0].Number)
	}
	return i.Service
}

// nameChecks gives IDs to the checks of a service without one, and sets their owner.
func nameChecks(s *declaredService) {
	for i := range s.Checks {
		c := &s.Checks[i]
		c.Node, c.Instance = s.Instance.Node, s.Instance.ID
		if c.ID == "" {
			c.ID = fmt.Sprintf("%s:%d", s.Instance.ID, i+1)
		}
	}
}

// validate applies the catalog's limits to the content, looks for checks with the same ID, and marks what is in error
// as bad.
func (d *decoder) validate(c *content) (found problems) {
	seen := make(map[string]bool)
	for i := range c.services {
		if s := &c.services[i]; !s.bad {
			p := s.validate(seen)
			s.bad = p != nil
			found.add(s.line, s.column, p)
		}
	}
	for i := range c.checks {
		if check := &c.checks[i]; !check.bad {
			p := check.validate(seen)
			check.bad = p != nil
			found.add(check.line, check.column, p)
		}
	}
	return found
}

// validate checks a service and its checks. Seen has the IDs of the checks before it, and gets its own.
func (s *declaredService) validate(seen map[string]bool) error {
	if err := s.Validate(); err != nil {
		return err
	}
	for j := range s.Checks {
		id := s.Checks[j].ID
		if seen[id] {
			return checkTwice(id)
		}
		seen[id] = true
	}
	return nil
}

func (c *declaredCheck) validate(seen map[string]bool) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if seen[c.ID] {
		return checkTwice(c.ID)
	}
	seen[c.ID] = true
	return nil
}

func checkTwice(id string) error {
	return hinted("give one of them another id", "check %s is declared twice", id)
}

// leaveOut removes what is in error. A service with a check in error is removed as a whole: without the check, a failed
// service would count as healthy.
func (c *content) leaveOut() {
	unchecked := make(map[string]bool)
	var checks []declaredCheck
	for _, check := range c.checks {
		if check.bad {
			unchecked[check.service] = true
		} else {
			checks = append(checks, check)
		}
	}
	c.ids = make(map[string]bool, len(c.services))
	var services []declaredService
	for _, s := range c.services {
		c.ids[s.Instance.ID] = true
		if !s.bad && !unchecked[s.Instance.ID] {
			services = append(services, s)
		}
	}
	c.services, c.checks = services, checks
}
