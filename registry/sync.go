package registry

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// SyncNode brings the catalog to a node's declared state. It writes only the difference, in one transaction unless that
// is larger than the store accepts, and renews the node's session. Records of other owners are left alone; where a
// declared instance or check would take the place of one, it is left out and named in the result's Conflicts.
//
// It returns an error of KindInvalid for a state outside the limits, of KindConflict if the node is alive under another
// ID, and of KindUnavailable if the store does not answer.
func (r *Registry) SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error) {
	state = normalize(state)
	if err := state.Validate(); err != nil {
		return catalog.SyncResult{}, err
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return catalog.SyncResult{}, err
	}
	session, err := r.session(ctx, state.Node)
	if err != nil {
		return catalog.SyncResult{}, err
	}
	var result catalog.SyncResult
	for range maxAttempts {
		var d difference
		more := false
		revision, err := r.attempt(ctx, func(revision uint64) (*write, error) {
			current := r.view.Node(state.Node.Name)
			if err := sameNode(current, state.Node); err != nil {
				return nil, err
			}
			d = diff(current, state, session, time.Now().UTC())
			var w *write
			w, more = d.write(state.Node.Name, revision, r.writes.maxBytes)
			return w, nil
		})
		if err != nil {
			return result, err
		}
		result.Revision, result.Conflicts = revision, d.conflicts
		result.Puts += d.puts
		result.Deletes += d.deletes
		if !more {
			return result, nil
		}
	}
	return result, errContended
}

// normalize fills in what a declaration may leave out.
func normalize(state catalog.NodeState) catalog.NodeState {
	name := state.Node.Name
	registrations := make([]catalog.Registration, len(state.Registrations))
	for i, r := range state.Registrations {
		r.Instance.Node = name
		if !r.Instance.Owner.Declared() {
			r.Instance.Owner = catalog.Owner{Kind: catalog.OwnerSession}
		}
		r.Checks = normalizeChecks(r.Checks, name, r.Instance.ID)
		registrations[i] = r
	}
	state.Registrations = registrations
	state.Checks = normalizeChecks(state.Checks, name, "")
	return state
}

func normalizeChecks(list []catalog.Check, node, instance string) []catalog.Check {
	out := make([]catalog.Check, len(list))
	for i, c := range list {
		c.Node, c.Instance = node, instance
		c.InferType()
		out[i] = c
	}
	return out
}

// sameNode refuses a node that somebody else keeps alive under the same name.
func sameNode(current *catalog.NodeSnapshot, node catalog.Node) error {
	if current == nil || current.Node == nil || current.Node.ID == node.ID || current.Session == "" {
		return nil
	}
	return catalog.Errorf(catalog.KindConflict, "node %s is alive under another id, %s", node.Name, current.Node.ID).
		WithHint("give one of the two another name with --node, or wait until its session ends")
}

// session returns the lease that keeps a node alive, renewed or new; 0 for a node that needs none.
func (r *Registry) session(ctx context.Context, node catalog.Node) (clientv3.LeaseID, error) {
	if node.Owner.Kind != catalog.OwnerSession {
		return 0, nil
	}
	current := r.view.Node(node.Name)
	if err := sameNode(current, node); err != nil {
		return 0, err
	}
	if current != nil && current.Node != nil && current.Node.Owner == node.Owner {
		if alive, err := r.keepAlive(ctx, current.Session); err != nil || alive {
			return leaseID(current.Session), err
		}
	}
	return r.grant(ctx, node.Owner.TTL)
}

// difference is what a sync has to write.
type difference struct {
	put       []step
	gone      []string
	conflicts []string
	// puts and deletes are how many records the last write took.
	puts, deletes int
}

// step is one record to put.
type step struct {
	key, value string
	lease      clientv3.LeaseID
}

func (d *difference) record(key string, record any) {
	d.put = append(d.put, step{key: key, value: encode(record)})
}

func (d *difference) remove(key string) { d.gone = append(d.gone, key) }

func (d *difference) conflict(what, owner string) {
	d.conflicts = append(d.conflicts, what+" is owned by "+owner)
}

// diff compares a node as the catalog has it, nil if it has none, with its declared state.
func diff(current *catalog.NodeSnapshot, state catalog.NodeState, session clientv3.LeaseID, now time.Time) difference {
	if current == nil {
		current = &catalog.NodeSnapshot{Host: &catalog.Host{}}
	}
	var d difference
	d.node(current, state.Node, session)
	declared := make(map[string]bool, len(state.Registrations))
	for i := range state.Registrations {
		registration := &state.Registrations[i]
		declared[registration.Instance.ID] = true
		d.instance(current, registration, now)
	}
	for _, e := range current.Endpoints {
		if e.Owner.Declared() && !declared[e.ID] {
			d.remove(instanceKey(e.Instance.Node, e.ID))
			d.checks(current, e.Checks, nil, now)
		}
	}
	d.checks(current, current.Checks, state.Checks, now)
	return d
}

func (d *difference) node(current *catalog.NodeSnapshot, node catalog.Node, session clientv3.LeaseID) {
	if current.Node == nil || !current.Node.Equal(&node) {
		d.record(nodeKey(node.Name), nodeRecord{V: format, Node: &node})
	}
	switch {
	case session != 0 && current.Session != sessionID(session):
		record := encode(aliveRecord{V: format, Session: sessionID(session)})
		d.put = append(d.put, step{key: aliveKey(node.Name), value: record, lease: session})
	case session == 0 && current.Session != "":
		d.remove(aliveKey(node.Name))
	}
}

func (d *difference) instance(current *catalog.NodeSnapshot, registration *catalog.Registration, now time.Time) {
	instance := &registration.Instance
	existing := current.Endpoint(instance.ID)
	if existing != nil && !existing.Owner.Declared() {
		d.conflict("instance "+instance.ID, ownerText(existing.Instance))
		return
	}
	if existing == nil || !existing.Instance.Equal(instance) {
		d.record(instanceKey(instance.Node, instance.ID), instanceRecord{V: format, Instance: instance})
	}
	var checks []*catalog.Check
	if existing != nil {
		checks = existing.Checks
	}
	d.checks(current, checks, registration.Checks, now)
}

// ownerText names an instance's owner for a person.
func ownerText(i *catalog.Instance) string {
	return "a registration through " + i.Source + " (" + string(i.Owner.Kind) + ")"
}

// checks compares the checks of one instance, or of the node.
func (d *difference) checks(current *catalog.NodeSnapshot, existing []*catalog.Check, declared []catalog.Check, now time.Time) {
	wanted := make(map[string]bool, len(declared))
	for i := range declared {
		c := &declared[i]
		wanted[c.ID] = true
		before := current.Check(c.ID)
		if before != nil && before.Instance != c.Instance {
			if holder := current.Endpoint(before.Instance); holder != nil && !holder.Owner.Declared() {
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

// nextCheck returns a check as it is to be kept, given how it was, nil if it is new, and how it is declared. The last
// outcome stays unless the declaration has one of its own.
func nextCheck(before, declared *catalog.Check, now time.Time) (after catalog.Check, changed bool) {
	after = *declared
	if before == nil {
		after.Status = firstStatus(declared)
		after.Since = now
		return after, true
	}
	status := before.Status
	if declared.Status != "" {
		status = declared.Status
	}
	if before.SameDeclaration(declared) && before.Status == status {
		return *before, false
	}
	after.Status = status
	if declared.Status == "" || before.Status == status {
		after.Output = before.Output
	}
	after.Since = before.Since
	if before.Status != status {
		after.Since = now
	}
	return after, true
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

// write draws up the write of as many records as one request may carry. It returns nil if there is nothing to write,
// and whether records are left over.
func (d *difference) write(node string, revision uint64, maxBytes int) (w *write, more bool) {
	d.puts, d.deletes = 0, 0
	w = &write{}
	w.unchangedSince(nodeKey(node), revision)
	w.unchangedSince(aliveKey(node), revision)
	w.unchangedBelow(instancesOf(node), revision)
	w.unchangedBelow(checksOf(node), revision)
	put := make(map[string]bool, len(d.put))
	for _, s := range d.put {
		if w.bytes > maxBytes/2 {
			return w, true
		}
		put[s.key] = true
		d.puts++
		if s.lease != 0 {
			w.put(s.key, s.value, clientv3.WithLease(s.lease))
		} else {
			w.put(s.key, s.value)
		}
	}
	for _, key := range d.gone {
		if w.bytes > maxBytes/2 {
			return w, true
		}
		if put[key] {
			continue // a check that went from one instance to another: its place stays taken
		}
		d.deletes++
		w.delete(key)
	}
	if len(w.ops) == 0 {
		return nil, false
	}
	return w, false
}
