package catalog

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
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
	RecordPush
	RecordMark
)

// Change is one record as it stands after a write. For RecordSession an empty Session means that the record was deleted;
// for all others the value is in the field of that name, and nil means deleted.
type Change struct {
	Type RecordType
	// Name is the node's name, ID that of the instance or the check on it; a push has those of its check. A drain of a
	// service has no Name, and the service as its ID; a mark has its own ID as its Name.
	Name, ID string

	Node     *Node
	Session  string
	Instance *Instance
	Check    *Check
	Drain    *Drain
	Push     *Push
	Mark     *Mark

	CreateRevision, ModRevision uint64
	// Why is the reason why an instance or a node was deleted, if known.
	Why string
}

// At sets the revisions of the record, and of the check that it holds.
func (c *Change) At(create, mod uint64) {
	c.CreateRevision, c.ModRevision = create, mod
	if c.Check != nil {
		c.Check.CreateRevision = create
	}
}

// maxGone bounds the services without instances that are remembered for their watchers.
const maxGone = 10_000

// writer is the state that only the writing goroutine touches.
type writer struct {
	nodes map[string]*nodeState
	// number is the number of the newest node.
	number uint32
	gone   []string
	// drains are the orders in force, by what they drain.
	drains map[drained]*Drain
	// takers are the nodes that take duties, by name in lower case.
	takers map[string]candidate
	marks  *Marks
	// between is set while a whole catalog is loaded over another: the marks are published at its end.
	between bool
	// batch is used again from one Apply to the next.
	batch batch
}

// nodeState is the raw records of one node, and what was built from them.
type nodeState struct {
	// name is spelled as in the node's record or, without one, as in the first record; key is the name to compare.
	name, key string
	record    *Node
	create    uint64
	mod       uint64
	session   string
	// why is the reason why the record was deleted, if known.
	why       string
	instances map[string]*instanceState
	// checks are those of the node and of its instances, by ID; checksOf has the same by their instance, "" for the node
	// itself, whether the instance exists or not. Its lists may stand in a published snapshot.
	checks   map[string]*Check
	checksOf map[string][]*Check

	host *Host
	// snapshot is the published state: the only field that other goroutines than the writer may read.
	snapshot atomic.Pointer[NodeSnapshot]

	// What the batch has touched: the node at all, its host, some of its instances, and the checks that came, went or
	// moved, by ID.
	touched, hostTouched bool
	dirty                []dirtyInstance
	movedChecks          []string
	// number tells nodes apart, in the order in which they came.
	number uint32
}

// instanceState is one instance; it stays the same while the instance's record exists.
type instanceState struct {
	// endpoint is the published state; nil before the end of its first batch and after its last. It is the only field
	// that other goroutines than the writer may read.
	endpoint atomic.Pointer[Endpoint]
	// next has the endpoint's next record, with its revisions; nil if the record was deleted.
	next *Endpoint
	// node is the instance's node, which never changes, and number is that node's number.
	node   *nodeState
	number uint32
	// dirty reports whether the batch has touched it.
	dirty bool
}

// byNumber orders instances by their node's number, without a look at the node: that makes a search among thousands of
// them quick. Numbers come round after four billion nodes.
func byNumber(a, b *instanceState) int {
	if a.number != b.number {
		return cmp.Compare(a.number, b.number)
	}
	return byNodeName(a, b)
}

// byNodeName orders instances by their node's name. An instance in an index has an endpoint.
func byNodeName(a, b *instanceState) int {
	if a.node == b.node {
		return strings.Compare(a.endpoint.Load().ID, b.endpoint.Load().ID)
	}
	return strings.Compare(a.node.key, b.node.key)
}

type dirtyInstance struct {
	id    string
	state *instanceState
}

// serviceState holds the snapshot of one service for its readers.
type serviceState struct{ snapshot atomic.Pointer[Service] }

// Apply brings the View to a revision by the changes since the one before. Only one goroutine may call it, or Load. The
// records belong to the View from then on, which may have them share what is equal in others.
func (v *View) Apply(revision uint64, changes []Change) {
	b := &v.writer.batch
	b.revision = revision
	for i := range changes {
		switch changes[i].Type {
		case RecordDrain:
			v.writer.recordDrain(v, b, &changes[i])
		case RecordPush: // below, all at once
		case RecordMark:
			v.writer.recordMark(&changes[i])
		default:
			v.record(b, &changes[i])
		}
	}
	v.recordPushes(changes)
	v.publishNodes(b)
	v.publishServices(b)
	v.noteFormer(b)
	v.publishIndices(b)
	if b.drains {
		v.publishDrains()
	}
	if b.duties {
		v.publishDuties()
	}
	v.log.add(revision, b.changed)
	if b.list {
		v.listIndex.Store(revision)
	}
	if b.hosts {
		v.nodesIndex.Store(revision)
	}
	if v.loaded.Load() && revision >= v.revision.Load() { // the records of a first or an older store are no news
		v.recent.note(b)
	}
	if !v.writer.between {
		v.marks.Store(v.writer.marks) // before the revision: see Marks.Position
	}
	v.revision.Store(revision)
	v.wake.fire(b.woken)
	b.reset()
}

// publishIndices updates the keys by which instances and nodes are found.
func (v *View) publishIndices(b *batch) {
	v.byIP.update(b.addresses)
	v.byName.update(b.names)
	v.byProject.update(b.projects)
	v.byID.update(b.ids)
	v.nodesByIP.update(b.nodeAddresses)
	v.nodesByID.update(b.nodeIDs)
	v.nodesByFormer.update(b.formerNodes)
	v.places.update(b.places)
	for _, i := range b.gone {
		i.endpoint.Store(nil)
	}
}

// noteFormer remembers the bare names that instances have lost with a batch. It must be called before the
// indices are updated: a reader that no longer finds a name must find that it was somebody's.
func (v *View) noteFormer(b *batch) {
	networks := v.networks.Load()
	for _, c := range b.renamed {
		b.former = networks.endedClaims(b.former, c)
	}
	v.former.note(b.former, time.Now())
}

// record applies one change to the raw state and marks what it touches.
func (v *View) record(b *batch, c *Change) {
	key := fold(c.Name)
	n, ok := v.writer.nodes[key]
	if !ok {
		v.writer.number++
		n = &nodeState{
			name: c.Name, key: key, number: v.writer.number, instances: make(map[string]*instanceState),
			checks: make(map[string]*Check), checksOf: make(map[string][]*Check),
		}
		v.writer.nodes[key] = n
	}
	b.touch(n)
	switch c.Type {
	case RecordNode:
		n.record, n.create, n.mod, n.why = c.Node, c.CreateRevision, c.ModRevision, c.Why
		if c.Node != nil {
			n.name = c.Node.Name
		}
		n.hostTouched = true
	case RecordSession:
		n.session = c.Session
		n.hostTouched = true
	case RecordInstance:
		if c.Instance != nil {
			v.share(b, n, c.Instance)
		}
		n.recordInstance(b, c)
	case RecordCheck:
		n.recordCheck(c)
	}
}

func (b *batch) touch(n *nodeState) {
	if !n.touched {
		n.touched = true
		b.nodes = append(b.nodes, n)
	}
}

// touch marks an instance.
func (n *nodeState) touch(id string, i *instanceState) {
	if !i.dirty {
		i.dirty = true
		n.dirty = append(n.dirty, dirtyInstance{id, i})
	}
}

func (n *nodeState) recordInstance(b *batch, c *Change) {
	i, ok := n.instances[c.ID]
	if c.Instance == nil {
		if ok {
			i.next = nil
			if c.Why != "" {
				b.why[i] = c.Why
			}
			n.touch(c.ID, i)
		}
		return
	}
	if !ok {
		i = &instanceState{node: n, number: n.number}
		n.instances[c.Instance.ID] = i
	}
	i.next = &Endpoint{Instance: c.Instance, CreateRevision: c.CreateRevision, ModRevision: c.ModRevision}
	if c.Instance.Moved() {
		i.next.CreateRevision = c.Instance.Origin.Created
	}
	n.touch(c.Instance.ID, i)
}

func (n *nodeState) recordCheck(c *Change) {
	touch := func(instance string) {
		if instance == "" {
			n.hostTouched = true
		} else if i, ok := n.instances[instance]; ok {
			n.touch(instance, i)
		}
	}
	old, ok := n.checks[c.ID]
	if !ok || c.Check == nil || c.Check.Instance != old.Instance {
		n.movedChecks = append(n.movedChecks, c.ID)
	}
	if ok {
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
	i, _ := slices.BinarySearchFunc(list, c.ID, compareCheckID)
	return slices.Insert(slices.Clip(slices.Clone(list)), i, c)
}

func removeCheck(list []*Check, id string) []*Check {
	return slices.DeleteFunc(slices.Clone(list), func(c *Check) bool { return c.ID == id })
}
