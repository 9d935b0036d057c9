package catalog

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// recentSize bounds the remembered changes: all instances that one node may have, and some more.
const recentSize = 1 << 14

// recent remembers the last changes that watchers see, for readers of the catalog as events. It keeps the state before
// and after; readers put changes into words.
type recent struct {
	mu sync.RWMutex
	// slots has the changes of the numbers first to next; begun is the number of the first one ever stored there.
	slots              []happening
	begun, first, next uint64
	// since is the revision after which all changes were recorded; the oldest may have been overwritten.
	since uint64
}

// happening is one change of an instance or of a node; with neither it is a break, after which all may be different.
type happening struct {
	revision uint64
	time     int64 // Unix nanoseconds
	endpointChange
	host hostChange
}

// hostChange replaces old by new.
type hostChange struct {
	name     string
	old, new *Host
	// why is the reason why old was removed, if known.
	why string
}

// note records the visible changes of a batch.
func (r *recent) note(b *batch) {
	if len(b.services) == 0 && len(b.moved) == 0 {
		return
	}
	now := time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, host := range b.moved {
		r.add(happening{revision: b.revision, time: now, host: host})
	}
	for _, c := range b.services {
		if c.visible() {
			r.add(happening{revision: b.revision, time: now, endpointChange: c})
		}
	}
}

// add is called with mu held.
func (r *recent) add(h happening) {
	if len(r.slots) < recentSize {
		r.slots = append(r.slots, h)
	} else {
		oldest := r.slot(r.first)
		r.since = oldest.revision
		*oldest = h
		r.first++
	}
	r.next++
}

// slot returns the slot of a change's number.
func (r *recent) slot(number uint64) *happening { return &r.slots[(number-r.begun)%recentSize] }

// begin drops all changes. After a break in the knowledge of the store it records the break as a change.
func (r *recent) begin(revision uint64, broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots, r.begun, r.first, r.since = nil, r.next, r.next, revision
	if broken {
		r.add(happening{revision: revision, time: time.Now().UnixNano()})
	}
}

// EventPosition returns the position behind the last event, to go on from with Events.
func (v *View) EventPosition() uint64 {
	v.recent.mu.RLock()
	defer v.recent.mu.RUnlock()
	return v.recent.next
}

// EventPositionAfter returns the position of the first change after a revision. It returns false if changes after that
// revision are forgotten, or if the View has not reached it.
func (v *View) EventPositionAfter(revision uint64) (position uint64, ok bool) {
	r := &v.recent
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := sort.Search(len(r.slots), func(n int) bool {
		return r.slot(r.first+uint64(n)).revision > revision
	})
	return r.first + uint64(n), revision >= r.since && revision <= v.Revision()
}

// Events returns the changes from a position on, in order of revision, service, node and instance, and the position to
// continue from. If changes between the two are forgotten, the first event is a gap. A revision is never split.
func (v *View) Events(position uint64) (events iter.Seq[Event], next uint64) {
	list, next, gap := v.recent.from(position)
	slices.SortStableFunc(list, func(a, b happening) int {
		return cmp.Or(cmp.Compare(a.revision, b.revision), a.compare(&b))
	})
	return func(yield func(Event) bool) {
		if gap.Missing > 0 && !yield(gap) {
			return
		}
		for i := range list {
			for _, event := range list[i].events() {
				if !yield(event) {
					return
				}
			}
		}
	}, next
}

func (r *recent) from(position uint64) (list []happening, next uint64, gap Event) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if position < r.first {
		gap = Event{Revision: r.since, Time: time.Now().UTC(), Type: EventGap, Missing: r.first - position}
		position = r.first
	}
	for ; position < r.next; position++ {
		list = append(list, *r.slot(position))
	}
	return list, r.next, gap
}

// compare orders the changes of one revision: nodes come first.
func (h *happening) compare(other *happening) int {
	a, b := h.subject(), other.subject()
	switch {
	case a == nil && b == nil:
		return strings.Compare(h.host.name, other.host.name)
	case a == nil:
		return -1
	case b == nil:
		return 1
	default:
		return cmp.Or(strings.Compare(h.service, other.service), compareEndpoints(a, b))
	}
}

// events puts a change into words.
func (h *happening) events() []Event {
	var list []Event
	switch {
	case h.subject() != nil:
		list = EndpointEvents(h.old, h.new, h.why)
	case h.host.new != nil:
		list = HostEvents(h.host.name, h.host.old, h.host.new, h.host.why)
	default:
		list = []Event{{Type: EventGap, Reason: "the store was restored to an older state"}}
	}
	for i := range list {
		list[i].Revision, list[i].Time = h.revision, time.Unix(0, h.time).UTC()
	}
	return list
}
