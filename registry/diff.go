package registry

import (
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// difference is the set of records that a sync has to write.
type difference struct {
	node    string
	current *catalog.NodeSnapshot
	// checks are those that the node has now, by ID.
	checks map[string]*catalog.Check

	put  []step
	gone []string
	// session is the put of the node's session, if it is new. It comes last: a node that was dead is not alive again
	// before all that it no longer declares is deleted.
	session   *step
	conflicts []string
	// why has the reasons why deleted records are no longer declared.
	why reasons
	// puts and deletes are the numbers of records in the last write.
	puts, deletes int
}

// step is one record to put, or to delete if the value is nil.
type step struct {
	key   string
	value []byte
	lease clientv3.LeaseID
	// instance is the instance that the value was encoded from, if it is one.
	instance *catalog.Instance
}

func (d *difference) record(key string, record any) {
	d.put = append(d.put, step{key: key, value: encode(record)})
}

func (d *difference) remove(key string) { d.gone = append(d.gone, key) }

func (d *difference) conflict(what, owner string) {
	d.conflicts = append(d.conflicts, what+" is owned by "+owner)
}

// diff compares a node as the catalog has it, nil if it has none, with its declared state.
func diff(current *catalog.NodeSnapshot, state catalog.NodeState, session clientv3.LeaseID, now time.Time) *difference {
	if current == nil {
		current = &catalog.NodeSnapshot{Host: &catalog.Host{}}
	}
	d := &difference{node: state.Node.Name, current: current, checks: make(map[string]*catalog.Check), why: make(reasons)}
	for c := range current.AllChecks() {
		d.checks[c.ID] = c
	}
	d.compareNode(state.Node, session)
	declared := make(map[string]bool, len(state.Registrations))
	for i := range state.Registrations {
		registration := &state.Registrations[i]
		declared[registration.Instance.ID] = true
		d.compareInstance(registration, now)
	}
	for e := range current.Endpoints.All() {
		if e.Owner.Declared() && !declared[e.ID] && !state.Keep[e.ID] {
			key := instanceKey(d.node, e.ID)
			d.remove(key)
			d.why[key] = whyUndeclared(&state, e.Instance)
			d.compareChecks(e.Checks, nil, now)
		}
	}
	existing := current.Checks
	if state.KeepChecks {
		existing = nil
	}
	d.compareChecks(existing, state.Checks, now)
	return d
}

func (d *difference) compareNode(node catalog.Node, session clientv3.LeaseID) {
	if current := d.current.Node; current != nil && current.ID == node.ID {
		node.Former = current.Former
	}
	if current := d.current.Node; current == nil || !current.Equal(&node) || current.Registrant() != node.Registrant() {
		d.record(nodeKey(node.Name), nodeRecord{V: format, Node: &node})
	}
	switch {
	case session != 0 && d.current.Session != sessionID(session):
		record := encode(aliveRecord{V: format, Session: sessionID(session)})
		d.session = &step{key: aliveKey(node.Name), value: record, lease: session}
	case session == 0 && d.current.Session != "":
		d.remove(aliveKey(node.Name))
	}
}

func (d *difference) compareInstance(registration *catalog.Registration, now time.Time) {
	instance := &registration.Instance
	existing := d.current.Endpoint(instance.ID)
	if existing != nil && !existing.Owner.Declared() {
		d.conflict("instance "+instance.ID, ownerText(existing.Instance))
		return
	}
	if existing == nil || !sameAsKept(existing.Instance, instance) {
		value := encode(instanceRecord{V: format, Instance: instance})
		d.put = append(d.put, step{key: instanceKey(instance.Node, instance.ID), value: value, instance: instance})
	}
	var checks []*catalog.Check
	if existing != nil {
		checks = existing.Checks
	}
	d.compareChecks(checks, registration.Checks, now)
}

// ownerText names an instance's owner for a person.
func ownerText(i *catalog.Instance) string {
	return "a registration through " + i.Source + " (" + string(i.Owner.Kind) + ")"
}

// compareChecks compares the checks of one instance, or of the node.
func (d *difference) compareChecks(existing []*catalog.Check, declared []catalog.Check, now time.Time) {
	wanted := make(map[string]bool, len(declared))
	for i := range declared {
		c := &declared[i]
		wanted[c.ID] = true
		before := d.checks[c.ID]
		if before != nil && before.Instance != c.Instance {
			if holder := d.current.Endpoint(before.Instance); holder != nil && !holder.Owner.Declared() {
				d.conflict("check "+c.ID, ownerText(holder.Instance))
				continue
			}
		}
		if after, changed := nextCheck(before, c, now); changed {
			d.record(checkKey(c.Node, c.ID), checkRecord{V: format, Check: &after})
		}
	}
	for _, c := range existing {
		if !wanted[c.ID] {
			d.remove(checkKey(c.Node, c.ID))
		}
	}
}

// nextCheck returns a check as it is to be stored, given the stored one, nil if it is new, and the declared one. The last
// outcome stays unless the declaration has one of its own, or the check's target has changed.
func nextCheck(before, declared *catalog.Check, now time.Time) (after catalog.Check, changed bool) {
	after = *declared
	if before != nil {
		after.Origin = before.Origin
	}
	if before == nil || !before.SameTarget(declared) {
		after.Status, after.Since = firstStatus(declared), now
		if before != nil && declared.Status == "" {
			after.Output = catalog.OutputChanged
		}
		return after, true
	}
	status := before.Status
	if declared.Status != "" {
		status = declared.Status
	}
	stays := declared.Status == "" || before.Status == status && !firstOutput(before, declared)
	if before.SameDeclaration(declared) && before.Status == status && stays {
		return *before, false
	}
	after.Status = status
	if stays {
		after.Output = before.Output
	}
	after.Since = before.Since
	if before.Status != status {
		after.Since = now
	}
	return after, true
}

// firstOutput reports whether a declared check has been run for the first time.
func firstOutput(before, declared *catalog.Check) bool {
	return catalog.AwaitsFirstRun(before.Output) && declared.Output != "" && !catalog.AwaitsFirstRun(declared.Output)
}

func firstStatus(c *catalog.Check) catalog.Status {
	switch {
	case c.Status != "":
		return c.Status
	case c.InitialStatus != "":
		return c.InitialStatus
	default:
		return catalog.Critical
	}
}

// steps returns the records to write, in order.
func (d *difference) steps() []step {
	taken := make(map[string]bool, len(d.put))
	for _, s := range d.put {
		taken[s.key] = true
	}
	steps := make([]step, 0, len(d.gone)+len(d.put)+1)
	for _, key := range d.gone {
		if !taken[key] { // not a check that went from one instance to another: its place stays taken
			steps = append(steps, step{key: key})
		}
	}
	steps = append(steps, d.put...)
	if d.session != nil {
		steps = append(steps, *d.session)
	}
	return steps
}

// write draws up the write of as many records as one request may carry. It returns nil if there is nothing to write,
// and whether records are left over.
func (d *difference) write(revision uint64, maxBytes, maxConditions int) (w *write, more bool) {
	d.puts, d.deletes = 0, 0
	steps := d.steps()
	if len(steps) == 0 {
		return nil, false
	}
	w = &write{}
	for _, s := range steps {
		if w.bytes > maxBytes/2 {
			more = true
			break
		}
		switch {
		case s.value == nil:
			d.deletes++
			w.delete(s.key)
			w.because(s.key, d.why[s.key])
			continue
		case s.instance != nil:
			w.putInstance(s.instance, s.value, 0)
		default:
			w.put(s.key, s.value, s.lease)
		}
		d.puts++
	}
	d.condition(w, revision, maxConditions)
	w.touch(d.node)
	return w, more
}

// condition adds the conditions of a sync: the node's record is as it was, and no other writer has changed its declared
// state or the records that the sync writes. Outcomes of other checks change all the time and do not matter.
func (d *difference) condition(w *write, revision uint64, maxConditions int) {
	if len(w.keys) <= maxConditions {
		for _, key := range w.keys {
			w.unchangedSince(key, revision)
		}
	} else {
		w.unchangedBelow(instancesOf(d.node), revision)
		w.unchangedBelow(checksOf(d.node), revision)
	}
	w.unchangedSince(syncKey(d.node), revision)
	w.sameAs(nodeKey(d.node), d.current.Node != nil, revision)
	w.sameAs(aliveKey(d.node), d.current.Session != "", revision)
}
