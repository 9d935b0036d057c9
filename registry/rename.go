package registry

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// A node that is declared under another name than before, with the same ID, is the same host: it takes the place of the node of the
// former name. What the declaration does not own (permanent and leased instances, drains) moves with all that belongs to it; what
// it owns is there under the new name before the former node is gone, with the outcomes of its checks.
//
// Two hosts may have one ID, if a machine was cloned or a data directory copied. So a node whose session lives is renamed only if
// the caller knows that the process behind that session has ended.

// formerNodes returns the nodes of the same identity under other names. Only nodes with a session have a former name: two
// permanent nodes are records that clients keep, and may have been given one ID.
func (r *Registry) formerNodes(node *catalog.Node) (list []*catalog.NodeSnapshot) {
	if node.ID == "" || node.Owner.Kind != catalog.OwnerSession {
		return nil
	}
	for s := range r.view.NodesByID(node.ID) {
		if !strings.EqualFold(s.Name, node.Name) && s.Node.Owner.Kind == catalog.OwnerSession {
			list = append(list, s)
		}
	}
	return list
}

// ended reports whether no living process can be behind a node.
func ended(node *catalog.NodeSnapshot, state *catalog.NodeState) bool {
	return node.Session == "" || state.Ended != nil && state.Ended(node.Session)
}

// sameHost refuses a node that another process keeps alive: under the same name and another ID or, unless the node is alive
// itself, under another name and the same ID.
func (r *Registry) sameHost(current *catalog.NodeSnapshot, state *catalog.NodeState) error {
	if err := sameNode(current, state.Node); err != nil || current != nil && current.Session != "" {
		return err
	}
	for _, former := range r.formerNodes(&state.Node) {
		if !ended(former, state) {
			return catalog.Errorf(catalog.KindConflict, "node %s is alive under the id of node %s, %s", former.Name, state.Node.Name, state.Node.ID).
				WithHint("if the host was renamed, wait until that session has ended; if its machine was cloned or its data directory copied, give this one an empty data directory")
		}
	}
	return nil
}

// takeFormer moves everything from the node's former names, and adds to the result what it has moved.
func (r *Registry) takeFormer(ctx context.Context, state *catalog.NodeState, session clientv3.LeaseID, result *catalog.SyncResult) error {
	for _, former := range r.formerNodes(&state.Node) {
		if !ended(former, state) {
			continue // this node is alive, and so is that one
		}
		done := catalog.Rename{From: former.Name}
		for attempts := 0; ; {
			var m *move
			_, err := r.attempt(ctx, func(revision uint64) (*write, error) {
				current := r.view.Node(state.Node.Name)
				if err := r.sameHost(current, state); err != nil {
					return nil, err
				}
				m = r.newMove(former.Name, current, state, session, revision)
				return m.plan(), nil
			})
			if err != nil && leaseGone(err) && attempts < maxAttempts { // of an instance that was to move
				attempts++
				if _, err := r.Barrier(ctx); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			done.Moved += m.moved
			done.Notes = append(done.Notes, m.notes...)
			if !m.more {
				break
			}
		}
		if done.Moved > 0 || r.view.Node(former.Name) == nil {
			result.Renamed = append(result.Renamed, done)
		}
	}
	return nil
}

// move is the move of a node, or of as much of it as one request may carry, to the node's new name.
type move struct {
	*write
	r        *Registry
	state    *catalog.NodeState
	session  clientv3.LeaseID
	revision uint64
	// from is the former node; nil if it is gone. to is the node of the new name, an empty one if there is none.
	from, to *catalog.NodeSnapshot
	why      string
	now      time.Time
	// declared are the instances of the declaration, by ID, and orders those for instances of the former node.
	declared map[string]*catalog.Registration
	orders   map[string]*catalog.Drain
	// put are the keys that the write puts.
	put map[string]bool
	// moved counts the instances in the write, notes says what became of those whose IDs are taken, more reports whether
	// instances are left over.
	moved int
	notes []string
	more  bool
}

func (r *Registry) newMove(from string, to *catalog.NodeSnapshot, state *catalog.NodeState, session clientv3.LeaseID, revision uint64) *move {
	if to == nil {
		to = &catalog.NodeSnapshot{Name: state.Node.Name, Host: &catalog.Host{}}
	}
	m := &move{
		write: &write{}, r: r, state: state, session: session, revision: revision, from: r.view.Node(from), to: to,
		why: catalog.WhyRenamed(from, state.Node.Name), now: time.Now().UTC(), declared: make(map[string]*catalog.Registration),
		orders: make(map[string]*catalog.Drain), put: make(map[string]bool),
	}
	for i := range state.Registrations {
		m.declared[state.Registrations[i].Instance.ID] = &state.Registrations[i]
	}
	for _, d := range r.view.Drains() {
		if strings.EqualFold(d.Node, from) {
			m.orders[d.Instance] = d
		}
	}
	return m
}

// plan draws up the write; nil if there is nothing to move.
func (m *move) plan() *write {
	if m.from == nil || m.from.Node == nil || m.from.Node.ID != m.state.Node.ID || !ended(m.from, m.state) || m.onlyUnreadable() {
		return nil
	}
	m.condition()
	for e := range m.from.Endpoints.All() {
		if !e.Owner.Declared() && m.fits() {
			m.stillAt(instanceKey(m.from.Name, e.ID), e.ModRevision)
			m.moveRegistered(e)
		}
	}
	for e := range m.from.Endpoints.All() {
		if e.Owner.Declared() && m.fits() {
			m.moveDeclared(e)
		}
	}
	if m.more {
		m.touch(m.from.Name)
	} else {
		m.moveNode()
	}
	m.arrive()
	return m.write
}

func (m *move) hasUnreadable() bool {
	return m.r.unreadable.below(instancesOf(m.from.Name), checksOf(m.from.Name))
}

// onlyUnreadable reports whether everything has moved but records that this version cannot read.
func (m *move) onlyUnreadable() bool {
	return m.from.Endpoints.Len() == 0 && m.from.Session == "" && m.hasUnreadable()
}

// condition adds the conditions of a move: both nodes, what they declare and what stands under the new name are as they were, and no
// check of the former node has another outcome. That an instance was removed meanwhile is a condition of each that moves.
func (m *move) condition() {
	for _, node := range []*catalog.NodeSnapshot{m.from, m.to} {
		m.sameAs(nodeKey(node.Name), node.Node != nil, m.revision)
		m.sameAs(aliveKey(node.Name), node.Session != "", m.revision)
		m.unchangedSince(syncKey(node.Name), m.revision)
		m.unchangedBelow(checksOf(node.Name), m.revision)
	}
	m.unchangedBelow(instancesOf(m.to.Name), m.revision)
}

// fits reports whether the request may carry another instance, and records that some are left over if not.
func (m *move) fits() bool {
	m.more = m.more || m.bytes > m.r.writes.maxBytes/2 || len(m.conditions) >= m.r.writes.width && m.moved > 0
	return !m.more
}

// moveRegistered moves an instance that the node's declaration does not own.
func (m *move) moveRegistered(e *catalog.Endpoint) {
	moved := *e.Instance
	moved.Node, moved.Origin = m.state.Node.Name, e.Instance.Origin.CreatedAt(e.CreateRevision)
	held := m.to.Endpoint(e.ID)
	switch {
	case held != nil && held.Owner.Declared():
		m.dropChecks(held)
	case held != nil && sameRegistration(held.Instance, &moved):
		m.note("instance %s is registered under both names alike, and counts once", e.ID)
		m.leave(e)
		return
	case held != nil || m.r.unreadable.has(instanceKey(m.to.Name, e.ID)):
		moved.ID = m.freeID(e.ID)
		m.note("instance %s is %s now: node %s has another one of that id", e.ID, moved.ID, m.to.Name)
	}
	m.putMoved(e, &moved)
	m.leave(e)
}

// sameRegistration reports whether two instances are registered alike, whatever their leases.
func sameRegistration(a, b *catalog.Instance) bool {
	other := *b
	other.Owner.ID = a.Owner.ID
	return a.Equal(&other)
}

// putMoved puts an instance under its new key, with its checks and its drain.
func (m *move) putMoved(e *catalog.Endpoint, moved *catalog.Instance) {
	lease := clientv3.LeaseID(0)
	if moved.Owner.Kind == catalog.OwnerLease {
		lease = leaseID(moved.Owner.ID)
	}
	m.putOnce(instanceKey(moved.Node, moved.ID), encode(instanceRecord{V: format, Instance: moved}), lease)
	for _, c := range e.Checks {
		check := c.MovedTo(moved.Node)
		check.Instance = moved.ID
		if before := m.to.Check(c.ID); moved.ID != e.ID || before != nil && before.Instance != moved.ID {
			check.ID = m.freeCheckID(c.ID)
		}
		m.putOnce(checkKey(check.Node, check.ID), encode(checkRecord{V: format, Check: &check}), lease)
	}
	m.moveOrder(e.ID, moved.ID)
	m.moved++
}

// moveDeclared puts what the node declares under its new name, with the outcomes that its checks had under the former. What it does
// not declare goes with the former node.
func (m *move) moveDeclared(e *catalog.Endpoint) {
	registration := m.declared[e.ID]
	held := m.to.Endpoint(e.ID)
	switch {
	case held != nil || registration == nil && !m.state.Keep[e.ID]:
		m.deleteInstance(e)
		m.because(instanceKey(m.from.Name, e.ID), whyUndeclared(m.state, e.Instance))
		return
	case registration == nil:
		moved := *e.Instance
		moved.Node = m.state.Node.Name
		m.putMoved(e, &moved)
	default:
		m.putOnce(instanceKey(m.to.Name, e.ID), encode(instanceRecord{V: format, Instance: &registration.Instance}), 0)
		m.putDeclaredChecks(registration.Checks)
		m.moveOrder(e.ID, e.ID)
		m.moved++
	}
	m.leave(e)
}

// putDeclaredChecks puts declared checks as they follow from those of the former node.
func (m *move) putDeclaredChecks(checks []catalog.Check) {
	for i := range checks {
		declared := &checks[i]
		if m.to.Check(declared.ID) != nil { // the sync that follows compares it
			continue
		}
		before := m.from.Check(declared.ID)
		if before != nil {
			moved := before.MovedTo(m.state.Node.Name)
			before = &moved
		}
		after, _ := nextCheck(before, declared, m.now)
		m.putOnce(checkKey(after.Node, after.ID), encode(checkRecord{V: format, Check: &after}), 0)
	}
}

// leave deletes an instance of the former node, and its checks.
func (m *move) leave(e *catalog.Endpoint) {
	m.deleteInstance(e)
	m.because(instanceKey(m.from.Name, e.ID), m.why)
}

// dropChecks deletes the checks of an instance of the new node whose place is taken.
func (m *move) dropChecks(held *catalog.Endpoint) {
	for _, c := range held.Checks {
		if before := m.from.Check(c.ID); before == nil || before.Instance != held.ID {
			m.delete(checkKey(m.to.Name, c.ID))
		}
	}
}

// moveNode moves what belongs to the former node itself, and removes that.
func (m *move) moveNode() {
	if m.state.KeepChecks {
		for _, c := range m.from.Checks {
			check := c.MovedTo(m.state.Node.Name)
			if m.to.Check(c.ID) == nil {
				m.putOnce(checkKey(check.Node, check.ID), encode(checkRecord{V: format, Check: &check}), 0)
			}
		}
	}
	m.putDeclaredChecks(m.state.Checks)
	for id := range m.orders {
		m.moveOrder(id, id)
	}
	if m.from.Session != "" {
		m.delete(aliveKey(m.from.Name))
	}
	if m.hasUnreadable() { // nothing else shows where those belong
		return
	}
	m.delete(nodeKey(m.from.Name))
	m.delete(syncKey(m.from.Name))
	m.deleteBelow(instancesOf(m.from.Name))
	m.deleteBelow(checksOf(m.from.Name))
	m.because(nodeKey(m.from.Name), m.why)
	m.because(instancesOf(m.from.Name), m.why)
}

// moveOrder moves an order to drain an instance, or the node if the ids are empty. One that the new name has stays.
func (m *move) moveOrder(id, to string) {
	d := m.orders[id]
	if d == nil {
		return
	}
	delete(m.orders, id)
	if len(m.conditions) < m.r.writes.width {
		m.stillThere(drainKey(d), m.revision)
	}
	moved := *d
	moved.Node, moved.Instance = m.state.Node.Name, to
	if m.r.findDrain(&moved) == nil {
		m.putOnce(drainKey(&moved), encode(drainRecord{V: format, Drain: &moved}), 0)
	}
	m.delete(drainKey(d))
}

// arrive puts the node of the new name and its session, so that what has moved to it is alive from the first request on.
func (m *move) arrive() {
	if m.to.Session == "" {
		m.refresh()
	}
	node := m.state.Node
	node.Former = m.from.Node.FormerNames(node.Name)
	m.putOnce(nodeKey(node.Name), encode(nodeRecord{V: format, Node: &node}), 0)
	if m.session != 0 && m.to.Session != sessionID(m.session) {
		m.putOnce(aliveKey(node.Name), encode(aliveRecord{V: format, Session: sessionID(m.session)}), m.session)
	}
	m.touch(node.Name)
}

// refresh brings what the node of the new name declared when it was last alive to the present declaration, before it is alive again.
func (m *move) refresh() {
	for e := range m.to.Endpoints.All() {
		registration := m.declared[e.ID]
		key := instanceKey(m.to.Name, e.ID)
		switch {
		case !e.Owner.Declared() || m.put[key] || registration == nil && m.state.Keep[e.ID]:
		case registration == nil:
			m.deleteInstance(e)
			m.because(key, whyUndeclared(m.state, e.Instance))
		case !sameAsKept(e.Instance, &registration.Instance):
			m.putOnce(key, encode(instanceRecord{V: format, Instance: &registration.Instance}), 0)
		}
	}
}

// putOnce puts a key, unless the write has put it before.
func (m *move) putOnce(key string, value []byte, lease clientv3.LeaseID) {
	if !m.put[key] {
		m.put[key] = true
		m.write.put(key, value, lease)
	}
}

func (m *move) note(formatted string, args ...any) {
	m.notes = append(m.notes, catalog.Errorf(catalog.KindConflict, formatted, args...).Message)
}

// freeID returns an ID for an instance whose own is taken under the new name: its ID and the former name.
func (m *move) freeID(id string) string {
	return free(id, m.from.Name, func(id string) bool {
		key := instanceKey(m.to.Name, id)
		return m.to.Endpoint(id) == nil && m.declared[id] == nil && m.from.Endpoint(id) == nil && !m.put[key] && !m.r.unreadable.has(key)
	})
}

// freeCheckID is freeID for a check.
func (m *move) freeCheckID(id string) string {
	return free(id, m.from.Name, func(id string) bool {
		key := checkKey(m.to.Name, id)
		return m.to.Check(id) == nil && m.from.Check(id) == nil && !m.put[key] && !m.r.unreadable.has(key)
	})
}

// free returns the first of id@name, id@name@name, … that is free.
func free(id, name string, isFree func(string) bool) string {
	for suffix := "@" + name; ; suffix += "@" {
		if candidate := cut(id, catalog.MaxID-len(suffix)) + suffix; isFree(candidate) {
			return candidate
		}
	}
}
