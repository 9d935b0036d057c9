package registry

import (
	"bytes"
	"slices"
	"sync"

	"github.com/koine-sd/koine/catalog"
)

// memo remembers the records that this process is about to write, so that the feed need not decode what this process
// has just encoded. A record is used only for exactly the bytes that it was encoded to.
type memo struct {
	mu    sync.Mutex
	byKey map[string]remembered
}

type remembered struct {
	value    []byte
	instance *catalog.Instance
}

// maxRemembered bounds the records whose event has not come yet; past it, events are decoded like those of other
// processes.
const maxRemembered = 4096

// note is a record that a write puts, for the memo.
type note struct {
	key string
	remembered
}

// noteInstance returns an instance in the form that decoding its record would give; false if only decoding can give it.
func noteInstance(key string, value []byte, i *catalog.Instance) (note, bool) {
	if len(i.Extras) > 0 { // they come back compact
		return note{}, false
	}
	own := *i // the View keeps it, and makes it share values that equal those of others
	own.Extras = nil
	own.Ports, own.Tags = orNil(own.Ports), orNil(own.Tags)
	own.Addresses = orNil(slices.Clone(own.Addresses))
	for n := range own.Addresses {
		own.Addresses[n].Names = orNil(own.Addresses[n].Names)
	}
	if len(own.Meta) == 0 {
		own.Meta = nil
	}
	return note{key, remembered{value, &own}}, true
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// add remembers the records of a group.
func (m *memo) add(group []*write) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range group {
		for _, n := range w.notes {
			if len(m.byKey) < maxRemembered {
				m.byKey[n.key] = n.remembered
			}
		}
	}
}

// drop forgets the records of a group that may not have been written.
func (m *memo) drop(group []*write) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range group {
		for _, n := range w.notes {
			delete(m.byKey, n.key)
		}
	}
}

// clear forgets everything.
func (m *memo) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.byKey)
}

// take returns the instance that these bytes were encoded from, or nil.
func (m *memo) take(key, value []byte) *catalog.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byKey[string(key)]
	if !ok {
		return nil
	}
	delete(m.byKey, string(key))
	if !bytes.Equal(r.value, value) {
		return nil
	}
	return r.instance
}
