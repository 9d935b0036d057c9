package catalog

import (
	"slices"
	"strings"
)

// batch collects what the changes of one Apply touch, so that each snapshot is rebuilt once.
type batch struct {
	revision  uint64
	nodes     []*nodeState
	endpoints []edit[*Endpoint] // of one node, or of one service
	services  []endpointChange  // sorted by service before use
	// The changes of the indices, and of the counts of each place.
	addresses     []indexChange[ipKey, *instanceState]
	names         []indexChange[nameOn, *instanceState]
	projects      []indexChange[nameIn, *instanceState]
	ids           []indexChange[string, *instanceState]
	nodeAddresses []indexChange[ipKey, *nodeState]
	nodeIDs       []indexChange[string, *nodeState]
	formerNodes   []indexChange[string, *nodeState]
	// renamed are the instances that may have lost bare names, former the claims that have ended.
	renamed []endpointChange
	former  []claim
	places  map[Locality]int
	// gone are the instances that readers must no longer see.
	gone []*instanceState
	// why has the reasons why instances were deleted.
	why map[*instanceState]string
	// eldest has an instance of each service that began with this batch.
	eldest map[string]*Instance
	// woken are the keys whose waiters are to be woken, changed the services among them.
	woken   []waitKey
	changed []string
	// moved are the nodes that changed for watchers.
	moved []hostChange

	list   bool
	hosts  bool
	drains bool
	duties bool
}

// maxBatch bounds the size of a batch whose memory is kept for the next.
const maxBatch = 4096

func newBatch() batch {
	return batch{eldest: make(map[string]*Instance), places: make(map[Locality]int), why: make(map[*instanceState]string)}
}

// reset forgets what the batch has held, and keeps its memory unless that is large.
func (b *batch) reset() {
	largest := max(cap(b.services), cap(b.endpoints), cap(b.nodes), cap(b.woken), cap(b.addresses), cap(b.names), cap(b.projects), cap(b.nodeAddresses), cap(b.formerNodes), cap(b.renamed), cap(b.former))
	if largest > maxBatch || len(b.places) > maxBatch {
		*b = newBatch()
		return
	}
	clear(b.eldest)
	clear(b.places)
	clear(b.why)
	*b = batch{
		nodes: emptied(b.nodes), endpoints: emptied(b.endpoints), services: emptied(b.services), gone: emptied(b.gone),
		addresses: emptied(b.addresses), names: emptied(b.names), projects: emptied(b.projects), ids: emptied(b.ids), nodeAddresses: emptied(b.nodeAddresses), nodeIDs: emptied(b.nodeIDs), formerNodes: emptied(b.formerNodes),
		renamed: emptied(b.renamed), former: emptied(b.former),
		woken: b.woken[:0], changed: b.changed[:0], eldest: b.eldest, places: b.places, why: b.why,
	}
}

// emptied returns an empty list in the same memory, cleared of references.
func emptied[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// endpointChange replaces old by new in a list, that of a service given by its name in lower case or of a node; either
// may be nil.
type endpointChange struct {
	service  string
	old, new *Endpoint
	// why is the reason why old was deleted.
	why string
}

// addChange files a change of an endpoint under its node, its services, its index keys and its place.
func (b *batch) addChange(i *instanceState, c endpointChange) {
	b.endpoints = append(b.endpoints, c.edit())
	oldService, newService := "", ""
	if c.old != nil {
		oldService = fold(c.old.Service)
	}
	if c.new != nil {
		newService = fold(c.new.Service)
	}
	if oldService == newService {
		b.services = append(b.services, endpointChange{service: newService, old: c.old, new: c.new})
	} else {
		if c.old != nil {
			why := c.why
			if c.new != nil {
				why = movedTo(c.new)
			}
			b.services = append(b.services, endpointChange{service: oldService, old: c.old, why: why})
		}
		if c.new != nil {
			b.services = append(b.services, endpointChange{service: newService, new: c.new})
		}
	}
	b.addIndices(i, c)
	b.addPlace(c)
}

// addIndices files a change under the keys by which the instance is found.
func (b *batch) addIndices(i *instanceState, c endpointChange) {
	if c.old != nil && c.new != nil && c.old.Instance.sameKeys(c.new.Instance) {
		return
	}
	if c.old != nil {
		b.renamed = append(b.renamed, c)
	}
	if c.old == nil || c.new == nil {
		b.ids = append(b.ids, indexChange[string, *instanceState]{key: c.subject().ID, edit: edit[*instanceState]{i, c.new == nil}})
	}
	b.index(c.old, edit[*instanceState]{i, true})
	b.index(c.new, edit[*instanceState]{i, false})
}

// sameKeys reports whether an instance is found by the same keys as another.
func (i *Instance) sameKeys(o *Instance) bool {
	return i == o || slices.EqualFunc(i.Addresses, o.Addresses, Address.Equal) && i.Project() == o.Project() &&
		strings.EqualFold(i.Service, o.Service)
}

// index files an edit under the addresses and names of an endpoint, if there is one.
func (b *batch) index(e *Endpoint, change edit[*instanceState]) {
	if e == nil {
		return
	}
	for _, a := range e.Instance.Addresses {
		if a.IP.IsValid() {
			b.addresses = append(b.addresses, indexChange[ipKey, *instanceState]{key: a.IP.As16(), edit: change})
		}
		for _, name := range a.Names {
			key := nameOn{networkKey(a), fold(name)}
			b.names = append(b.names, indexChange[nameOn, *instanceState]{key: key, edit: change})
		}
	}
	project := e.Project()
	for name := range e.Instance.namesInProject() {
		b.projects = append(b.projects, indexChange[nameIn, *instanceState]{key: nameIn{project, name}, edit: change})
	}
}

// addHost files a change of a node under its ID, its former names, its addresses and its place. The host before is nil for a node that is new.
func (b *batch) addHost(n *nodeState, before, after *Host) {
	var old, now Node
	if before != nil && before.Node != nil {
		old = *before.Node
	}
	if after.Node != nil {
		now = *after.Node
	}
	b.move(old.Locality, now.Locality)
	if old.ID != now.ID {
		b.indexNodeID(old.ID, edit[*nodeState]{n, true})
		b.indexNodeID(now.ID, edit[*nodeState]{n, false})
	}
	if !slices.Equal(old.Former, now.Former) {
		b.indexFormer(old.Former, edit[*nodeState]{n, true})
		b.indexFormer(now.Former, edit[*nodeState]{n, false})
	}
	if slices.EqualFunc(old.Addresses, now.Addresses, Address.Equal) {
		return
	}
	b.indexNode(old.Addresses, edit[*nodeState]{n, true})
	b.indexNode(now.Addresses, edit[*nodeState]{n, false})
}

func (b *batch) indexNodeID(id string, change edit[*nodeState]) {
	if id != "" {
		b.nodeIDs = append(b.nodeIDs, indexChange[string, *nodeState]{key: id, edit: change})
	}
}

func (b *batch) indexFormer(names []string, change edit[*nodeState]) {
	for _, name := range names {
		b.formerNodes = append(b.formerNodes, indexChange[string, *nodeState]{key: fold(name), edit: change})
	}
}

func (b *batch) indexNode(addresses []Address, change edit[*nodeState]) {
	for _, a := range addresses {
		if a.IP.IsValid() {
			b.nodeAddresses = append(b.nodeAddresses, indexChange[ipKey, *nodeState]{key: a.IP.As16(), edit: change})
		}
	}
}

// addPlace counts the places of instances that have a place of their own.
func (b *batch) addPlace(c endpointChange) {
	var from, to Locality
	if c.old != nil && c.old.Instance.Locality != (Locality{}) {
		from = c.old.Place()
	}
	if c.new != nil && c.new.Instance.Locality != (Locality{}) {
		to = c.new.Place()
	}
	b.move(from, to)
}

// move counts one less in a place, and one more in another; the zero Locality is no place.
func (b *batch) move(from, to Locality) {
	if from == to {
		return
	}
	if from != (Locality{}) {
		b.places[from]--
	}
	if to != (Locality{}) {
		b.places[to]++
	}
}
