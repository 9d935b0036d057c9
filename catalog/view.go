package catalog

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// View is the in-memory replica of the catalog that every read is served from. One goroutine writes it, through Load
// and Apply; any number read it, and none of the reads takes a lock or waits.
type View struct {
	revision atomic.Uint64
	// The maps lead to places whose content changes, so that they themselves change only for what comes and goes.
	services *shardMap[string, *serviceState]
	nodes    *shardMap[string, *nodeState]
	// byID leads to the instances of an ID on all nodes, nodesByIP and nodesByID to the nodes themselves.
	byIP      index[ipKey, *instanceState]
	byName    index[nameOn, *instanceState]
	byProject index[nameIn, *instanceState]
	byID      index[string, *instanceState]
	nodesByIP index[ipKey, *nodeState]
	nodesByID index[string, *nodeState]
	// nodesByFormer leads to nodes by the names that they have had, in lower case.
	nodesByFormer index[string, *nodeState]
	// places are the places of nodes and instances.
	places places
	// pushes are the statuses that applications have pushed for checks of nodes without an agent.
	pushes *shardMap[pushKey, *Push]
	// drains are the orders in force.
	drains atomic.Pointer[[]*Drain]
	// duties are given to the nodes that take any.
	duties atomic.Pointer[duties]
	// networks are those of this host.
	networks atomic.Pointer[networks]
	// residents are the containers of this host; nil before they are known. former are the names of those that have gone.
	residents atomic.Pointer[residents]
	former    *former
	// interfaces are the interfaces of this host.
	interfaces atomic.Pointer[interfaces]

	// listIndex is the last revision at which the list of services, their tags or the number of instances changed.
	listIndex atomic.Uint64
	// nodesIndex is the last revision at which a node came, went or changed, instances not counted.
	nodesIndex atomic.Uint64
	// floor is the index of every service that the View has never seen, or has forgotten.
	floor atomic.Uint64

	// marks are those of the store's history.
	marks atomic.Pointer[Marks]
	// rewinds counts the loads of an older state than the View had.
	rewinds atomic.Uint64

	// made is the time when the View was made, contact that of its last contact with the store, in nanoseconds since made and one more; 0 before
	// its keeper sets it.
	made    time.Time
	contact atomic.Int64

	loaded atomic.Bool
	ready  atomic.Bool
	// hold has the reasons to wait besides the first load; problems are those of a process that still answers.
	hold, problems reasons
	wake           waiters
	log            changeLog
	recent         recent
	slots          atomic.Int32

	writer writer
}

// NewView returns an empty View that is not ready.
func NewView() *View {
	v := &View{
		made:     time.Now(),
		places:   newPlaces(),
		services: newShardMap[string, *serviceState](manyShards),
		nodes:    newShardMap[string, *nodeState](manyShards),
		byIP:     newIndex[ipKey](byNumber), byName: newIndex[nameOn](byNumber), byProject: newIndex[nameIn](byNumber), byID: newIndex[string](byNodeName),
		nodesByIP: newIndex[ipKey](byKey), nodesByID: newIndex[string](byKey), nodesByFormer: newIndex[string](byKey),
		pushes: newShardMap[pushKey, *Push](fewShards), former: newFormer(),
	}
	v.networks.Store(newNetworks(nil))
	v.writer.marks = new(Marks)
	v.marks.Store(v.writer.marks)
	v.writer.drains = make(map[drained]*Drain)
	v.writer.takers = make(map[string]candidate)
	v.writer.nodes = make(map[string]*nodeState)
	v.writer.batch = newBatch()
	v.wake.byName = make(map[waitKey]*waitGroup)
	return v
}

// byKey orders nodes by their name.
func byKey(a, b *nodeState) int { return strings.Compare(a.key, b.key) }

// Revision returns the store revision that the View has reached.
func (v *View) Revision() uint64 { return v.revision.Load() }

// ListIndex returns the last revision at which the list of services changed.
func (v *View) ListIndex() uint64 { return v.listIndex.Load() }

// NodesIndex returns the last revision at which the list of nodes changed.
func (v *View) NodesIndex() uint64 { return v.nodesIndex.Load() }

// Slot hands out a place for derived values. A protocol asks once, when it is made; it panics when there are none left,
// which is a mistake in the wiring.
func (v *View) Slot() Slot {
	slot := v.slots.Add(1) - 1
	if slot >= slots {
		panic("catalog: more protocols than slots for derived values")
	}
	return Slot(slot)
}

// Service returns the snapshot of a service, or nil if the View knows of none. A service whose last instance has gone
// stays for a while as a snapshot without endpoints, so that watchers can tell when it went.
func (v *View) Service(name string) *Service {
	state, ok := v.services.get(fold(name))
	if !ok {
		return nil
	}
	return state.snapshot.Load()
}

// Services returns the services that have instances, by name.
func (v *View) Services() []*Service {
	list := make([]*Service, 0, v.services.len())
	for _, state := range v.services.all() {
		if service := state.snapshot.Load(); len(service.Endpoints) > 0 {
			list = append(list, service)
		}
	}
	slices.SortFunc(list, func(a, b *Service) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Node returns the snapshot of a node, or nil if the View knows of none.
func (v *View) Node(name string) *NodeSnapshot {
	state, ok := v.nodes.get(fold(name))
	if !ok {
		return nil
	}
	return state.snapshot.Load()
}

// NodesByID yields the nodes of an ID, by name: more than one if a host's node was declared under another name.
func (v *View) NodesByID(id string) iter.Seq[*NodeSnapshot] {
	return func(yield func(*NodeSnapshot) bool) {
		for state := range v.nodesByID.all(id) {
			if s := state.snapshot.Load(); s.Node != nil && s.Node.ID == id && !yield(s) {
				return
			}
		}
	}
}

// NodesFormerly returns the nodes that had a name before, by name; none if another node has the name now.
func (v *View) NodesFormerly(name string) (list []*NodeSnapshot) {
	if v.Node(name) != nil {
		return nil
	}
	for state := range v.nodesByFormer.all(fold(name)) {
		s := state.snapshot.Load()
		if s.Node != nil && slices.ContainsFunc(s.Node.Former, func(former string) bool { return strings.EqualFold(former, name) }) {
			list = append(list, s)
		}
	}
	return list
}

// NoNode is the error for a name that no node has. Its hint names the nodes that had the name before, if there are any.
func (v *View) NoNode(name string) *Error {
	err := Errorf(KindNotFound, "no node %.100s", name)
	if now := v.NodesFormerly(name); len(now) > 0 {
		return err.WithHint("node %s was renamed: it is %s now", name, NodeNames(now))
	}
	return err
}

// NodeNames returns the names of a few nodes, as a choice: "alpha or beta".
func NodeNames(nodes []*NodeSnapshot) string {
	var names []string
	for _, n := range nodes[:min(len(nodes), 8)] {
		names = append(names, n.Name)
	}
	return strings.Join(names, " or ")
}

// Nodes returns all nodes, by name.
func (v *View) Nodes() []*NodeSnapshot {
	return v.nodesThat(v.nodes.len(), func(*NodeSnapshot) bool { return true })
}

// AgentlessNodes returns the nodes without an agent, by name. It looks at all nodes, but sorts only these.
func (v *View) AgentlessNodes() []*NodeSnapshot {
	return v.nodesThat(0, (*NodeSnapshot).Agentless)
}

func (v *View) nodesThat(expected int, match func(*NodeSnapshot) bool) []*NodeSnapshot {
	list := make([]*NodeSnapshot, 0, expected)
	for _, state := range v.nodes.all() {
		if s := state.snapshot.Load(); match(s) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *NodeSnapshot) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Instance returns one instance, or nil if the View knows of none.
func (v *View) Instance(node, id string) *Endpoint {
	snapshot := v.Node(node)
	if snapshot == nil {
		return nil
	}
	return snapshot.Endpoint(id)
}

// Endpoint returns the node's instance of that ID, or nil.
func (n *NodeSnapshot) Endpoint(id string) *Endpoint { return n.Endpoints.find(id) }

// AllChecks yields the checks of the node and of its instances.
func (n *NodeSnapshot) AllChecks() iter.Seq[*Check] {
	return func(yield func(*Check) bool) {
		for _, check := range n.Checks {
			if !yield(check) {
				return
			}
		}
		for e := range n.Endpoints.All() {
			for _, check := range e.Checks {
				if !yield(check) {
					return
				}
			}
		}
	}
}

// ipKey is an IP address without its zone, and IPv4 as IPv6 writes it.
type ipKey [16]byte

// ByIP yields the instances that have an address of their own, those of one node together; instances that use their node's
// address are not among them.
func (v *View) ByIP(ip netip.Addr) iter.Seq[*Endpoint] { return endpointsOf(v.byIP.all(ip.As16())) }

// ByID yields the instances of an ID, by their node's name.
func (v *View) ByID(id string) iter.Seq[*Endpoint] { return endpointsOf(v.byID.all(id)) }

// endpointsOf yields the endpoints of instances as they are now.
func endpointsOf(states iter.Seq[*instanceState]) iter.Seq[*Endpoint] {
	return func(yield func(*Endpoint) bool) {
		for state := range states {
			if e := state.endpoint.Load(); e != nil && !yield(e) {
				return
			}
		}
	}
}

// absentIndex is the index of a service or a node that has no snapshot.
func (v *View) absentIndex(string) uint64 { return max(v.floor.Load(), 1) }

// Hold keeps the View from becoming ready until release is called: its answers are not yet known to be true.
// The reason names what the View waits for.
func (v *View) Hold(reason string) (release func()) { return v.hold.add(reason, v.settleReady) }

// Suspend makes a ready View not ready until release is called, because the state that it is about to show is known to be
// out of date. It must be called before the change is applied, so that a reader that the change wakes finds the View not ready.
func (v *View) Suspend(reason string) (release func()) {
	release = v.hold.add(reason, v.settleReady)
	v.hold.mu.Lock()
	defer v.hold.mu.Unlock()
	v.ready.Store(false)
	return release
}

// settleReady is called with hold.mu held.
func (v *View) settleReady() {
	if !v.ready.Load() && v.loaded.Load() && len(v.hold.list) == 0 {
		v.ready.Store(true)
		v.wake.fire(nil)
	}
}

// Ready reports whether the View may be answered from. Once it is, it stays so unless it is suspended.
func (v *View) Ready() bool { return v.ready.Load() }

// NotReady returns the error that a reader gets while the View is not ready; it names the reasons to wait.
func (v *View) NotReady() error {
	waiting := strings.Join(v.WaitingFor(), ", ")
	return Errorf(KindNotReady, "not ready: waiting for %s", waiting).WithHint("try again in a second")
}

// WaitingFor returns the reasons why the View is not ready; none once it is.
func (v *View) WaitingFor() []string {
	v.hold.mu.Lock()
	defer v.hold.mu.Unlock()
	if v.ready.Load() {
		return nil
	}
	waiting := slices.Clone(v.hold.list)
	if !v.loaded.Load() {
		waiting = append(waiting, "the catalog's first load")
	}
	return waiting
}
