package catalog

import (
	"slices"
	"strings"
)

// publishNodes makes the snapshots of the nodes that a batch touched, and collects the changes of their services.
func (v *View) publishNodes(b *batch) {
	var fresh map[string]*nodeState
	var removed []string
	for _, n := range b.nodes {
		first := n.host == nil
		if n.hostTouched || first {
			before := n.host
			n.rebuildHost(b)
			v.writer.recordTaker(b, n, before)
		}
		b.endpoints = emptied(b.endpoints)
		for _, d := range n.dirty {
			v.writer.rebuildInstance(b, n, d)
		}
		n.touched, n.hostTouched = false, false
		clear(n.dirty)
		n.dirty = n.dirty[:0]
		b.woken = append(b.woken, nodeKey(n.key))
		if n.record == nil && n.session == "" && len(n.instances) == 0 && len(n.checks) == 0 {
			delete(v.writer.nodes, n.key)
			removed = append(removed, n.key)
			b.hosts = true
			continue
		}
		n.publish(b)
		if first {
			if fresh == nil {
				fresh = make(map[string]*nodeState)
			}
			fresh[n.key] = n
		}
	}
	v.nodes.update(fresh, removed)
}

// publish makes the node's next snapshot.
func (n *nodeState) publish(b *batch) {
	next := &NodeSnapshot{Name: n.name, Host: n.host, Index: b.revision}
	if before := n.snapshot.Load(); before != nil {
		next.Endpoints, next.places = before.Endpoints, before.places
	}
	next.Endpoints = next.Endpoints.with(b.endpoints)
	if len(n.movedChecks) > 0 {
		next.places = n.placeChecks(next.places)
	}
	n.snapshot.Store(next)
}

// rebuildHost rebuilds the node's Host. Every endpoint points at its host, so all are rebuilt too; those that look the same
// wake no watcher.
func (n *nodeState) rebuildHost(b *batch) {
	host := &Host{
		Node: n.record, Session: n.session, Status: Passing, CreateRevision: n.create, ModRevision: n.mod,
		Alive:  n.session != "" || n.record != nil && n.record.Owner.Kind == OwnerPermanent,
		Checks: n.checksOf[""],
	}
	for _, c := range host.Checks {
		host.Status = host.Status.Worse(c.Status)
	}
	if !host.Alive {
		host.Status = Critical
	}
	before := n.host
	n.host = host
	b.addHost(n, before, host)
	if before == nil || !before.looksLike(host) {
		b.hosts = true
		b.moved = append(b.moved, hostChange{n.name, before, host, n.why})
	}
	for id, i := range n.instances {
		n.touch(id, i)
	}
}

// rebuildInstance rebuilds the endpoint of an instance, or drops it if the record was deleted.
func (w *writer) rebuildInstance(b *batch, n *nodeState, d dirtyInstance) {
	i := d.state
	i.dirty = false
	old := i.endpoint.Load()
	if i.next == nil {
		delete(n.instances, d.id)
		if old != nil {
			b.addChange(i, endpointChange{old: old, why: b.why[i]})
			b.gone = append(b.gone, i)
		}
		return
	}
	e := i.next
	if e == old { // the record is the same, but its host or checks are not
		e = &Endpoint{Instance: old.Instance, CreateRevision: old.CreateRevision, ModRevision: old.ModRevision}
	}
	e.Host, e.Checks, e.Status, e.Drained = n.host, n.checksOf[d.id], n.host.Status, w.whyDrained(e.Instance)
	for _, c := range e.Checks {
		e.Status = e.Status.Worse(c.Status)
	}
	i.next = e
	i.endpoint.Store(e)
	b.addChange(i, endpointChange{old: old, new: e})
}

// publishServices makes the snapshots of the services that a batch touched, and collects those whose watchers are to be
// woken.
func (v *View) publishServices(b *batch) {
	// An endpoint changes once in a service at most, so their order within one does not matter.
	slices.SortFunc(b.services, func(a, c endpointChange) int { return strings.Compare(a.service, c.service) })
	var fresh map[string]*serviceState
	for rest := b.services; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].service == rest[0].service {
			n++
		}
		name := rest[0].service
		state, known := v.services.get(name)
		if !known {
			if fresh == nil {
				fresh = make(map[string]*serviceState)
			}
			state = &serviceState{}
			fresh[name] = state
		}
		v.publishService(b, state, rest[:n])
		rest = rest[n:]
	}
	v.services.update(fresh, v.forgetGone(b.revision))
}

func (v *View) publishService(b *batch, state *serviceState, changes []endpointChange) {
	before := state.snapshot.Load()
	after := &Service{Name: changes[0].service, Index: b.revision}
	var old []*Endpoint
	if before != nil {
		after.Name, old = before.Name, before.Endpoints
	}
	b.endpoints = emptied(b.endpoints)
	for _, c := range changes {
		b.endpoints = append(b.endpoints, c.edit())
	}
	after.Endpoints = edited(old, b.endpoints, compareEndpoints)
	after.settle()
	if before != nil && !slices.ContainsFunc(changes, endpointChange.visible) {
		after.Index = before.Index
		state.snapshot.Store(after)
		return
	}
	state.snapshot.Store(after)
	b.list = b.list || len(old) != len(after.Endpoints) || slices.ContainsFunc(changes, endpointChange.listed)
	b.woken = append(b.woken, serviceKey(after.Name))
	b.changed = append(b.changed, after.Name)
	if len(after.Endpoints) == 0 {
		v.writer.gone = append(v.writer.gone, after.Name)
	}
}

// forgetGone returns the names of the services without instances that exceed the bound. One that went just now is never
// among them.
func (v *View) forgetGone(now uint64) (names []string) {
	for len(v.writer.gone) > maxGone {
		name := v.writer.gone[0]
		v.writer.gone = v.writer.gone[1:]
		if s := v.Service(name); s != nil && len(s.Endpoints) == 0 && s.Index != now {
			v.floor.Store(max(v.floor.Load(), s.Index))
			names = append(names, name)
		}
	}
	return names
}
