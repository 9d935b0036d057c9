package catalog

import (
	"net/netip"
	"slices"
	"strings"
)

// RecordType is the type of a record in the store.
type RecordType uint8

// The types of record.
const (
	RecordNode RecordType = iota
	RecordSession
	RecordInstance
	RecordCheck
	RecordDrain
)

// Change is one record as it stands after a write. For RecordSession an empty Session means that the record was deleted;
// for all others the value is in the field of that name and nil means that.
type Change struct {
	Type RecordType
	// Name is the node's name, ID that of the instance or the check on it. A drain of a service has no Name, and the
	// service as its ID.
	Name, ID string

	Node     *Node
	Session  string
	Instance *Instance
	Check    *Check
	Drain    *Drain

	CreateRevision, ModRevision uint64
}

// maxGone is how many services without instances are remembered, for those who still watch them.
const maxGone = 10_000

// writer is the state that only the writing goroutine touches.
type writer struct {
	nodes map[string]*nodeState
	gone  []string
	// drains are the orders in force, by what they drain.
	drains map[drained]*Drain
}

// nodeState is the raw records of one node, and what was built from them.
type nodeState struct {
	// name is as the node's record spells it, or whoever came first if there is none; key is the name to compare.
	name, key string
	record    *Node
	create    uint64
	mod       uint64
	session   string
	instances map[string]*instanceState
	// checks are those of the node and of its instances, by ID; checksOf has the same by their instance, "" for the node
	// itself, whether that is there or not. Its lists may stand in a published snapshot.
	checks   map[string]*Check
	checksOf map[string][]*Check

	host     *Host
	snapshot *NodeSnapshot
}

type instanceState struct {
	record      *Instance
	create, mod uint64
	endpoint    *Endpoint
}

// batch collects what the changes of one Apply touch, so that each snapshot is rebuilt once.
type batch struct {
	revision  uint64
	nodes     map[*nodeState]*dirtyNode
	services  map[string][]endpointChange
	addresses map[netip.Addr][]endpointChange
	names     map[nameOn][]endpointChange
	list      bool
	hosts     bool
	drains    bool
}

type dirtyNode struct {
	host      bool
	instances map[string]bool
}

// endpointChange replaces old by new in a list; either may be nil.
type endpointChange struct{ old, new *Endpoint }

// Apply brings the View to a revision by the changes since the one before. Only one goroutine may call it, or Load.
func (v *View) Apply(revision uint64, changes []Change) {
	b := &batch{
		revision:  revision,
		nodes:     make(map[*nodeState]*dirtyNode),
		services:  make(map[string][]endpointChange),
		addresses: make(map[netip.Addr][]endpointChange),
		names:     make(map[nameOn][]endpointChange),
	}
	for i := range changes {
		if changes[i].Type == RecordDrain {
			v.writer.recordDrain(v, b, &changes[i])
		} else {
			v.writer.record(b, &changes[i])
		}
	}
	nodes, removed := v.rebuildNodes(b)
	keys, names := v.publishServices(b)
	v.byIP.update(rebuildIndex(v.byIP, b.addresses))
	v.byName.update(rebuildIndex(v.byName, b.names))
	if b.drains {
		v.publishDrains()
	}
	for name := range nodes {
		keys = append(keys, nodeKey(name))
	}
	for _, name := range removed {
		keys = append(keys, nodeKey(name))
	}
	v.nodes.update(nodes, removed)
	v.log.add(revision, names)
	if b.list {
		v.listIndex.Store(revision)
	}
	if b.hosts {
		v.nodesIndex.Store(revision)
	}
	v.revision.Store(revision)
	v.wake.fire(keys)
}

// record notes one change in the raw state and marks what it makes dirty.
func (w *writer) record(b *batch, c *Change) {
	key := fold(c.Name)
	n, ok := w.nodes[key]
	if !ok {
		n = &nodeState{
			name: c.Name, key: key, instances: make(map[string]*instanceState),
			checks: make(map[string]*Check), checksOf: make(map[string][]*Check),
		}
		w.nodes[key] = n
	}
	dirty, ok := b.nodes[n]
	if !ok {
		dirty = &dirtyNode{instances: make(map[string]bool)}
		b.nodes[n] = dirty
	}
	switch c.Type {
	case RecordNode:
		n.record, n.create, n.mod = c.Node, c.CreateRevision, c.ModRevision
		if c.Node != nil {
			n.name = c.Node.Name
		}
		dirty.host = true
	case RecordSession:
		n.session = c.Session
		dirty.host = true
	case RecordInstance:
		n.recordInstance(c)
		dirty.instances[c.ID] = true
	case RecordCheck:
		n.recordCheck(c, dirty)
	}
}

func (n *nodeState) recordInstance(c *Change) {
	i, ok := n.instances[c.ID]
	if !ok {
		i = &instanceState{}
		n.instances[c.ID] = i
	}
	i.record, i.create, i.mod = c.Instance, c.CreateRevision, c.ModRevision
}

func (n *nodeState) recordCheck(c *Change, dirty *dirtyNode) {
	touch := func(instance string) {
		if instance == "" {
			dirty.host = true
		} else if _, ok := n.instances[instance]; ok {
			dirty.instances[instance] = true
		}
	}
	if old, ok := n.checks[c.ID]; ok {
		touch(old.Instance)
		delete(n.checks, c.ID)
		if rest := removeCheck(n.checksOf[old.Instance], c.ID); len(rest) > 0 {
			n.checksOf[old.Instance] = rest
		} else {
			delete(n.checksOf, old.Instance)
		}
	}
	if c.Check == nil {
		return
	}
	touch(c.Check.Instance)
	n.checks[c.ID] = c.Check
	n.checksOf[c.Check.Instance] = insertCheck(n.checksOf[c.Check.Instance], c.Check)
}

// insertCheck and removeCheck return a new list: the old one may stand in a published snapshot.
func insertCheck(list []*Check, c *Check) []*Check {
	i, _ := slices.BinarySearchFunc(list, c.ID, func(c *Check, id string) int { return strings.Compare(c.ID, id) })
	return slices.Insert(slices.Clip(slices.Clone(list)), i, c)
}

func removeCheck(list []*Check, id string) []*Check {
	return slices.DeleteFunc(slices.Clone(list), func(c *Check) bool { return c.ID == id })
}

// rebuildNodes rebuilds the endpoints of the nodes that a batch touched, and the nodes' snapshots.
func (v *View) rebuildNodes(b *batch) (put map[string]*NodeSnapshot, removed []string) {
	put = make(map[string]*NodeSnapshot, len(b.nodes))
	for n, dirty := range b.nodes {
		if dirty.host || n.host == nil {
			v.rebuildHost(b, n, dirty)
		}
		changes := make([]endpointChange, 0, len(dirty.instances))
		for id := range dirty.instances {
			if change, ok := v.writer.rebuildInstance(n, id); ok {
				changes = append(changes, change)
				b.note(change)
			}
		}
		if n.record == nil && n.session == "" && len(n.instances) == 0 && len(n.checks) == 0 {
			delete(v.writer.nodes, n.key)
			removed = append(removed, n.key)
			b.hosts = true
			continue
		}
		var before []*Endpoint
		if n.snapshot != nil {
			before = n.snapshot.Endpoints
		}
		n.snapshot = &NodeSnapshot{Name: n.name, Host: n.host, Index: b.revision, Endpoints: replaceEndpoints(before, changes)}
		put[n.key] = n.snapshot
	}
	return put, removed
}

// rebuildHost makes the node's Host anew; if it differs in what watchers are told of, all of its instances are dirty.
func (v *View) rebuildHost(b *batch, n *nodeState, dirty *dirtyNode) {
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
	b.hosts = b.hosts || before == nil || !before.looksLike(host)
	// Every endpoint points at its host, so all are made anew; those that look the same wake nobody.
	for id := range n.instances {
		dirty.instances[id] = true
	}
}

// rebuildInstance makes the endpoint of an instance anew. It returns false if there was none and is none.
func (w *writer) rebuildInstance(n *nodeState, id string) (endpointChange, bool) {
	i, ok := n.instances[id]
	if !ok {
		return endpointChange{}, false
	}
	old := i.endpoint
	if i.record == nil {
		delete(n.instances, id)
		return endpointChange{old: old}, old != nil
	}
	i.endpoint = &Endpoint{
		Instance: i.record, Host: n.host, Checks: n.checksOf[id], Status: n.host.Status, Drained: w.whyDrained(i.record),
		CreateRevision: i.create, ModRevision: i.mod,
	}
	for _, c := range i.endpoint.Checks {
		i.endpoint.Status = i.endpoint.Status.Worse(c.Status)
	}
	return endpointChange{old: old, new: i.endpoint}, true
}

// note sorts a change of an endpoint under the services and the addresses that it concerns.
func (b *batch) note(c endpointChange) {
	oldService, newService := "", ""
	if c.old != nil {
		oldService = fold(c.old.Service)
	}
	if c.new != nil {
		newService = fold(c.new.Service)
	}
	if oldService == newService {
		b.services[newService] = append(b.services[newService], c)
	} else {
		if c.old != nil {
			b.services[oldService] = append(b.services[oldService], endpointChange{old: c.old})
		}
		if c.new != nil {
			b.services[newService] = append(b.services[newService], endpointChange{new: c.new})
		}
	}
	b.index(c.old, endpointChange{old: c.old})
	b.index(c.new, endpointChange{new: c.new})
}

// index sorts a change under the addresses and names of an endpoint, if there is one.
func (b *batch) index(e *Endpoint, c endpointChange) {
	if e == nil {
		return
	}
	for _, a := range e.Instance.Addresses {
		if ip := a.IP.Unmap(); ip.IsValid() {
			b.addresses[ip] = append(b.addresses[ip], c)
		}
		for _, name := range a.Names {
			key := nameOn{networkKey(a), fold(name)}
			b.names[key] = append(b.names[key], c)
		}
	}
}

// publishServices rebuilds the snapshots of the services that a batch touched. It returns the waiters' keys and the
// names of those that changed in what watchers are told of.
func (v *View) publishServices(b *batch) (keys, changed []string) {
	put := make(map[string]*Service, len(b.services))
	for name, changes := range b.services {
		before, _ := v.services.get(name)
		after := &Service{Name: name, Index: b.revision}
		var old []*Endpoint
		if before != nil {
			old = before.Endpoints
		}
		after.Endpoints = replaceEndpoints(old, changes)
		after.Healthy, after.BelowFloor = answered(after.Endpoints)
		put[name] = after
		if before != nil && !slices.ContainsFunc(changes, endpointChange.visible) {
			after.Index = before.Index
			continue
		}
		b.list = b.list || len(old) != len(after.Endpoints) || slices.ContainsFunc(changes, endpointChange.listed)
		keys = append(keys, serviceKey(name))
		changed = append(changed, name)
		if len(after.Endpoints) == 0 {
			v.writer.gone = append(v.writer.gone, name)
		}
	}
	v.services.update(put, v.forgetGone(put))
	return keys, changed
}

// forgetGone returns the names of services without instances that are too many to remember.
func (v *View) forgetGone(put map[string]*Service) (names []string) {
	for len(v.writer.gone) > maxGone {
		name := v.writer.gone[0]
		v.writer.gone = v.writer.gone[1:]
		if _, fresh := put[name]; fresh {
			continue
		}
		if s, ok := v.services.get(name); ok && len(s.Endpoints) == 0 {
			v.floor.Store(max(v.floor.Load(), s.Index))
			names = append(names, name)
		}
	}
	return names
}

// rebuildIndex returns the lists of endpoints by key that a batch changes, and the keys that have none any more.
func rebuildIndex[K comparable](
	current *shardMap[K, []*Endpoint], changed map[K][]endpointChange,
) (put map[K][]*Endpoint, gone []K) {
	put = make(map[K][]*Endpoint, len(changed))
	for key, changes := range changed {
		old, _ := current.get(key)
		if list := replaceEndpoints(old, changes); len(list) > 0 {
			put[key] = list
		} else {
			gone = append(gone, key)
		}
	}
	return put, gone
}
