package files

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/koine-sd/koine/catalog"
)

// content is what one file declares.
type content struct {
	services []declaredService
	// checks are those at the file's top: of the node, or of a service that may stand in another file.
	checks   []declaredCheck
	warnings []warning
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

// decode reads a file's content. Every error is a *problem.
func (d *decoder) decode(name string, data []byte) (*content, error) {
	if len(data) > maxFile {
		return nil, &problem{1, 0, fmt.Sprintf("is larger than %d bytes", maxFile)}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, emptyFile()
	}
	parse := parseYAML
	if filepath.Ext(name) == ".json" {
		parse = parseJSON
	}
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	if root.kind == null {
		return nil, emptyFile()
	}
	return d.file(root)
}

func emptyFile() error {
	return &problem{1, 0, "is empty: write services: [] to declare nothing, or remove the file"}
}

func (d *decoder) file(root *node) (*content, error) {
	c := &content{}
	addService := func(n *node) error {
		s, err := d.service(n)
		c.services = append(c.services, s)
		return err
	}
	addCheck := func(n *node) error {
		check, err := d.topCheck(n)
		c.checks = append(c.checks, check)
		return err
	}
	err := schema{
		"service": addService, "services": func(n *node) error { return each(n, addService) },
		"check": addCheck, "checks": func(n *node) error { return each(n, addCheck) },
	}.read("definition file", root)
	if err != nil {
		return nil, err
	}
	if err := nameServices(c.services); err != nil {
		return nil, err
	}
	c.warnings = d.warnings
	return c, d.validate(c)
}

// topCheck reads a check that stands outside of a service. Its ID is its name where it has none, as in Consul.
func (d *decoder) topCheck(n *node) (declaredCheck, error) {
	c, err := d.check(n)
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
	c.Node, c.Instance = d.node, c.service
	return c, nil
}

// warn accepts a field and notes that it has no effect.
func (d *decoder) warn(name string) setter {
	return func(v *node) error {
		if v.kind != null {
			d.warnings = append(d.warnings, warning{v.line, name})
		}
		return nil
	}
}

// setAndWarn reads a field, and notes that it has no effect.
func (d *decoder) setAndWarn(name string, set setter) setter {
	warn := d.warn(name)
	return func(v *node) error {
		if err := warn(v); err != nil {
			return err
		}
		return set(v)
	}
}

// nameServices gives IDs to the services that have none: the service's name; if another one has that, name-port.
func nameServices(services []declaredService) error {
	taken := make(map[string]bool, len(services))
	for i := range services {
		s := &services[i]
		if id := s.Instance.ID; id != "" {
			if taken[id] {
				return s.errorf("instance %s is declared twice: give one of them another id", id)
			}
			taken[id] = true
		}
	}
	for i := range services {
		s := &services[i]
		if s.Instance.ID == "" {
			id, err := defaultID(s, taken)
			if err != nil {
				return err
			}
			s.Instance.ID = id
			taken[id] = true
		}
		nameChecks(s)
	}
	return nil
}

func defaultID(s *declaredService, taken map[string]bool) (string, error) {
	id := s.Instance.Service
	if taken[id] && len(s.Instance.Ports) > 0 {
		id = fmt.Sprintf("%s-%d", id, s.Instance.Ports[0].Number)
	}
	if taken[id] {
		return "", s.errorf("instance %s is declared twice: give one of them an id", id)
	}
	return id, nil
}

// nameChecks gives IDs to the checks of a service that have none, and says whose checks they are.
func nameChecks(s *declaredService) {
	for i := range s.Checks {
		c := &s.Checks[i]
		c.Node, c.Instance = s.Instance.Node, s.Instance.ID
		if c.ID == "" {
			c.ID = fmt.Sprintf("%s:%d", s.Instance.ID, i+1)
		}
	}
}

// validate holds the content against the catalog's limits, and looks for checks of one ID.
func (d *decoder) validate(c *content) error {
	seen := make(map[string]bool)
	unique := func(line, column int, check *catalog.Check) error {
		if seen[check.ID] {
			return &problem{line, column, fmt.Sprintf("check %s is declared twice: give one of them another id", check.ID)}
		}
		seen[check.ID] = true
		return nil
	}
	for i := range c.services {
		s := &c.services[i]
		if err := s.Validate(); err != nil {
			return s.errorf("%v", err)
		}
		for j := range s.Checks {
			if err := unique(s.line, s.column, &s.Checks[j]); err != nil {
				return err
			}
		}
	}
	for i := range c.checks {
		check := &c.checks[i]
		if err := check.Validate(); err != nil {
			return &problem{check.line, check.column, err.Error()}
		}
		if err := unique(check.line, check.column, &check.Check); err != nil {
			return err
		}
	}
	return nil
}
