package catalog

import (
	"net/netip"
	"slices"
)

// batch collects what the changes of one Apply touch, so that each snapshot is rebuilt once.
type batch struct {
	revision  uint64
	nodes     []*nodeState
	endpoints []endpointChange // of one node
	services  []endpointChange // sorted by service before use
	addresses map[netip.Addr][]indexChange
	names     map[nameOn][]indexChange
	// why says for what reason instances were deleted.
	why map[*instanceState]string
	// eldest has an instance of each service that came with this batch.
	eldest map[string]*Instance
	// woken are those that waiters wait for, changed the services among them.
	woken   []waitKey
	changed []string
	// moved are the nodes that look otherwise than before.
	moved []hostChange

	list   bool
	hosts  bool
	drains bool
}

// maxBatch is how large a batch may have been for its memory to be kept for the next.
const maxBatch = 4096

func newBatch() batch {
	return batch{
		addresses: make(map[netip.Addr][]indexChange), names: make(map[nameOn][]indexChange),
		eldest: make(map[string]*Instance), why: make(map[*instanceState]string),
	}
}

// reset forgets what the batch has held, and keeps its memory unless that is large.
func (b *batch) reset() {
	if cap(b.services) > maxBatch || cap(b.endpoints) > maxBatch || cap(b.nodes) > maxBatch || cap(b.woken) > maxBatch {
		*b = newBatch()
		return
	}
	clear(b.nodes[:cap(b.nodes)])
	clear(b.endpoints[:cap(b.endpoints)])
	clear(b.services[:cap(b.services)])
	clear(b.addresses)
	clear(b.names)
	clear(b.eldest)
	clear(b.why)
	*b = batch{
		nodes: b.nodes[:0], endpoints: b.endpoints[:0], services: b.services[:0], woken: b.woken[:0], changed: b.changed[:0],
		addresses: b.addresses, names: b.names, eldest: b.eldest, why: b.why,
	}
}

// endpointChange replaces old by new in a list, that of a service given by its name in lower case or of a node; either
// may be nil.
type endpointChange struct {
	service  string
	old, new *Endpoint
	// why says for what reason old was deleted.
	why string
}

// indexChange puts an instance under a key of an index, or takes it away from there.
type indexChange struct {
	state *instanceState
	gone  bool
}

// note sorts a change of an endpoint under its node, the services and the addresses that it concerns.
func (b *batch) note(i *instanceState, c endpointChange) {
	b.endpoints = append(b.endpoints, c)
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
	if c.old != nil && c.new != nil && slices.EqualFunc(c.old.Instance.Addresses, c.new.Instance.Addresses, Address.Equal) {
		return // found under the same addresses and names
	}
	b.index(c.old, indexChange{i, true})
	b.index(c.new, indexChange{i, false})
}

// index sorts a change under the addresses and names of an endpoint, if there is one.
func (b *batch) index(e *Endpoint, c indexChange) {
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

// updateIndex changes the lists of instances that stand under some keys.
func updateIndex[K comparable](index *shardMap[K, []*instanceState], changed map[K][]indexChange) {
	if len(changed) == 0 {
		return
	}
	put := make(map[K][]*instanceState, len(changed))
	var gone []K
	for key, changes := range changed {
		old, _ := index.get(key)
		list := slices.Clone(old)
		for _, c := range changes {
			at := slices.Index(list, c.state)
			switch {
			case c.gone && at >= 0:
				list = slices.Delete(list, at, at+1)
			case !c.gone && at < 0:
				list = append(list, c.state)
			}
		}
		if len(list) > 0 {
			put[key] = slices.Clip(list)
		} else {
			gone = append(gone, key)
		}
	}
	index.update(put, gone)
}
