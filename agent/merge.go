package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// declaration is all that one source found.
type declaration struct {
	registrations []catalog.Registration
	// reported is set once the source has declared registrations.
	reported   bool
	nodeChecks []catalog.Check
	// gone has the reasons why instances are no longer declared.
	gone map[string]string
	// unsure is the reason why the source does not know all that it declared before the agent started; "" if it does.
	unsure string
	// known holds the ids of instances, and after a slash those of checks, that the source has declared while it was unsure.
	known map[string]bool
	// kept are the registrations that the catalog holds of a source that is silent or unsure.
	kept []catalog.Registration
}

// note records what an unsure source has declared.
func (d *declaration) note(registrations []catalog.Registration) {
	if d.unsure == "" {
		d.known = nil
		return
	}
	if d.known == nil {
		d.known = make(map[string]bool)
	}
	for i := range registrations {
		d.known[registrations[i].Instance.ID] = true
		for j := range registrations[i].Checks {
			d.known["/"+registrations[i].Checks[j].ID] = true
		}
	}
}

// merge gathers the declarations of several sources, in that order, into one state of a node. A registration that conflicts
// with an earlier one, or is outside the limits, is left out and named in complaints; the rest is not affected. What stays only
// because its source is unsure is named in stays.
func merge(node catalog.Node, order []string, declared map[string]declaration) (
	state catalog.NodeState, stays, complaints []string,
) {
	m := merger{
		state: catalog.NodeState{Node: node}, instances: make(map[string]string), checks: make(map[string]bool),
	}
	for _, source := range order {
		m.addInstances(source, declared[source].registrations)
		m.addChecks(declared[source].nodeChecks)
		if declared[source].unsure == "" {
			m.keep(source, declared[source].kept)
		}
	}
	for _, source := range order {
		if d := declared[source]; d.unsure != "" {
			m.stay(source, &d)
		}
	}
	for _, source := range order {
		m.addGone(declared[source].gone)
	}
	return m.state, m.stays, m.complaints
}

// addGone adds a source's reasons why it no longer declares instances. An instance that another source declares is not gone.
func (m *merger) addGone(gone map[string]string) {
	for id, why := range gone {
		if _, declared := m.instances[id]; declared {
			continue
		}
		if m.state.Gone == nil {
			m.state.Gone = make(map[string]string, len(gone))
		}
		m.state.Gone[id] = why
	}
}

// merger is the state gathered so far, with the ids that are taken in it.
type merger struct {
	state      catalog.NodeState
	complaints []string
	// stays names what stays as it is because its source is unsure.
	stays []string
	// instances holds the source of each instance.
	instances map[string]string
	checks    map[string]bool
}

func (m *merger) complain(format string, args ...any) {
	m.complaints = append(m.complaints, fmt.Sprintf(format, args...))
}

func (m *merger) addInstances(source string, registrations []catalog.Registration) {
	tooMany := 0
	for _, r := range registrations {
		r = onNode(r, m.state.Node.Name)
		if err := m.admit(&r, source); err != nil {
			m.complain("%v", err)
			continue
		}
		if len(m.state.Registrations) == catalog.MaxRegistration {
			tooMany++
			continue
		}
		m.instances[r.Instance.ID] = source
		for i := range r.Checks {
			m.checks[r.Checks[i].ID] = true
		}
		m.state.Registrations = append(m.state.Registrations, r)
	}
	if tooMany > 0 {
		m.complain("%d instances of %s left out: node %s has %d, as many as are allowed",
			tooMany, source, m.state.Node.Name, catalog.MaxRegistration)
	}
}

// keep declares what a silent source had registered, drained. An instance that an older version accepted, and that exceeds
// this version's limits, cannot be declared: it stays as it is.
func (m *merger) keep(source string, held []catalog.Registration) {
	drained := make([]catalog.Registration, 0, len(held))
	for _, r := range held {
		if r.Instance.Drain == "" { // else the source's own reason, which it takes up after the next restart, would be lost
			r.Instance.Drain = source + " has not answered since the agent started"
		}
		for i := range r.Checks {
			r.Checks[i].Status = "" // its runner may know better by now
		}
		if err := r.Validate(); err != nil {
			m.complain("instance %s stays as it is until %s answers, and is not drained: %v", r.Instance.ID, source, err)
			if m.state.Keep == nil {
				m.state.Keep = make(map[string]bool)
			}
			m.state.Keep[r.Instance.ID] = true
			continue
		}
		drained = append(drained, r)
	}
	m.addInstances(source, drained)
}

// maxNamed bounds how much of what stays is named.
const maxNamed = 10

// stay leaves as it is what the catalog holds of an unsure source and nobody declares: instances, and checks of instances that
// the source does declare.
func (m *merger) stay(source string, d *declaration) {
	declared := make(map[string]*catalog.Registration, len(m.state.Registrations))
	for i := range m.state.Registrations {
		declared[m.state.Registrations[i].Instance.ID] = &m.state.Registrations[i]
	}
	var names []string
	for i := range d.kept {
		held := &d.kept[i]
		id := held.Instance.ID
		switch r := declared[id]; {
		case r == nil && !d.known[id]:
			if m.state.Keep == nil {
				m.state.Keep = make(map[string]bool)
			}
			m.state.Keep[id] = true
			names = append(names, "instance "+id)
		case r != nil && m.instances[id] == source:
			names = append(names, m.stayChecks(r, held.Checks, d.known)...)
		}
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("%d more", more))
	}
	if len(names) > 0 {
		m.stays = append(m.stays, fmt.Sprintf("%s of %s: %s", strings.Join(names, ", "), source, d.unsure))
	}
}

// stayChecks adds to a declared instance the checks that the catalog holds of it and that its source may not know any more. It
// returns what it has added.
func (m *merger) stayChecks(r *catalog.Registration, held []catalog.Check, known map[string]bool) (names []string) {
	for _, c := range held {
		if known["/"+c.ID] || m.checks[c.ID] || len(r.Checks) >= catalog.MaxChecks || c.Validate() != nil {
			continue
		}
		c.Status = "" // its runner may know better by now
		m.checks[c.ID] = true
		r.Checks = append(r.Checks, c)
		names = append(names, "check "+c.ID)
	}
	return names
}

// onNode returns a copy of a registration with its node set; the source's value is not changed.
func onNode(r catalog.Registration, node string) catalog.Registration {
	r.Instance.Node = node
	r.Checks = slices.Clone(r.Checks)
	for i := range r.Checks {
		r.Checks[i].Node, r.Checks[i].Instance = node, r.Instance.ID
	}
	return r
}

// admit returns the reason why a registration is left out, or nil.
func (m *merger) admit(r *catalog.Registration, source string) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if other, taken := m.instances[r.Instance.ID]; taken {
		return fmt.Errorf("instance %s of %s has the id of one of %s", r.Instance.ID, source, other)
	}
	own := make(map[string]bool, len(r.Checks))
	for i := range r.Checks {
		id := r.Checks[i].ID
		if m.checks[id] || own[id] {
			return fmt.Errorf("instance %s of %s has a check %s that is declared twice", r.Instance.ID, source, id)
		}
		own[id] = true
	}
	return nil
}

func (m *merger) addChecks(checks []catalog.Check) {
	name := m.state.Node.Name
	tooMany := 0
	for _, c := range checks {
		c.Node, c.Instance = name, ""
		if err := c.Validate(); err != nil {
			m.complain("%v", err)
			continue
		}
		if m.checks[c.ID] {
			m.complain("check %s of node %s is declared twice", c.ID, name)
			continue
		}
		if len(m.state.Checks) == catalog.MaxChecks {
			tooMany++
			continue
		}
		m.checks[c.ID] = true
		m.state.Checks = append(m.state.Checks, c)
	}
	if tooMany > 0 {
		m.complain("%d checks of node %s left out: it has %d, as many as are allowed", tooMany, name, catalog.MaxChecks)
	}
}
