package catalog

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// waiters wakes the goroutines that wait for a change: of one service or node by its key, or of anything.
type waiters struct {
	mu     sync.Mutex
	byName map[waitKey]*waitGroup
	// all is nil while it has no waiters.
	all chan struct{}
	// members counts those of all groups, those that have been fired and not left yet among them.
	members int
}

// waitGroup is the waiters of one key.
type waitGroup struct {
	changed chan struct{}
	members int
}

// waitKey names the node or service that a waiter waits for, in lower case.
type waitKey struct {
	node bool
	name string
}

func nodeKey(name string) waitKey    { return waitKey{node: true, name: name} }
func serviceKey(name string) waitKey { return waitKey{name: name} }

func (w *waiters) join(key waitKey) *waitGroup {
	w.mu.Lock()
	defer w.mu.Unlock()
	group, ok := w.byName[key]
	if !ok {
		group = &waitGroup{changed: make(chan struct{})}
		w.byName[key] = group
	}
	group.members++
	w.members++
	return group
}

// leave drops a group once its last member has left, so that waits for names that never come leave nothing behind.
func (w *waiters) leave(key waitKey, group *waitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	group.members--
	w.members--
	if group.members == 0 && w.byName[key] == group {
		delete(w.byName, key)
	}
}

func (w *waiters) onAll() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(chan struct{})
	}
	return w.all
}

// fire wakes the waiters of some keys, and those of any change.
func (w *waiters) fire(keys []waitKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		if group, ok := w.byName[key]; ok {
			close(group.changed)
			delete(w.byName, key)
		}
	}
	if w.all != nil {
		close(w.all)
		w.all = nil
	}
}

// fireEverybody wakes all waiters.
func (w *waiters) fireEverybody() {
	w.mu.Lock()
	keys := slices.Collect(maps.Keys(w.byName))
	w.mu.Unlock()
	w.fire(keys)
}

// ServiceIndex returns the index of a service, whether the View knows it or not.
func (v *View) ServiceIndex(name string) uint64 {
	if service := v.Service(name); service != nil {
		return service.Index
	}
	return v.absentIndex(name)
}

// WaitService blocks until the service's index is not index, and returns the index then: one above it as things go on,
// one below it if the store was restored to an older state. It returns the context's error when that ends first.
func (v *View) WaitService(ctx context.Context, name string, index uint64) (uint64, error) {
	key := serviceKey(fold(name))
	return v.waitFor(ctx, index, key, func() uint64 { return v.ServiceIndex(name) })
}

// NodeIndex returns the index of a node, whether the View knows it or not, together with its snapshot, which is nil if not.
// The index of such a node is that of the list of nodes, and so at least the revision at which the node went.
func (v *View) NodeIndex(name string) (*NodeSnapshot, uint64) {
	// Read before the node: a batch that brings the node must not lend its revision to the time without it.
	absent := max(v.NodesIndex(), v.absentIndex(name))
	if node := v.Node(name); node != nil {
		return node, node.Index
	}
	return nil, absent
}

// WaitNode blocks until the node's index, as NodeIndex returns it, is not index, and returns it then. It returns the
// context's error when that ends first.
func (v *View) WaitNode(ctx context.Context, name string, index uint64) (uint64, error) {
	return v.waitFor(ctx, index, nodeKey(fold(name)), func() uint64 {
		_, now := v.NodeIndex(name)
		return now
	})
}

// waitFor also returns when the store gets another history, in which the same index may come to stand for another state.
func (v *View) waitFor(ctx context.Context, index uint64, key waitKey, now func() uint64) (uint64, error) {
	seen := v.Marks().Position(index)
	for {
		group := v.wake.join(key)
		if reached := now(); reached != index || !v.InHistory(seen) {
			v.wake.leave(key, group)
			return reached, nil
		}
		select {
		case <-group.changed:
			v.wake.leave(key, group)
		case <-ctx.Done():
			v.wake.leave(key, group)
			return now(), ctx.Err()
		}
	}
}

// WaitList blocks until an index that the View keeps for a list (ListIndex, NodesIndex) or for itself (Revision) is not
// index, and returns it.
func (v *View) WaitList(ctx context.Context, current func() uint64, index uint64) (uint64, error) {
	seen := v.Marks().Position(index)
	err := v.waitUntil(ctx, func() bool { return current() != index || !v.InHistory(seen) })
	return current(), err
}

// WaitRevision blocks until the View has reached a revision, or the store has been restored to an older state: then the
// revision may never come.
func (v *View) WaitRevision(ctx context.Context, revision uint64) error {
	rewinds := v.rewinds.Load()
	return v.waitUntil(ctx, func() bool { return v.Revision() >= revision || v.rewinds.Load() != rewinds })
}

// WaitReady blocks until the View is ready.
func (v *View) WaitReady(ctx context.Context) error {
	if v.waitUntil(ctx, v.Ready) != nil {
		return v.NotReady()
	}
	return nil
}

// WaitLoaded blocks until the View has been loaded, held or not: from then on, writes may be compared with it.
func (v *View) WaitLoaded(ctx context.Context) error {
	if v.waitUntil(ctx, v.loaded.Load) != nil {
		return v.NotReady()
	}
	return nil
}

// waitUntil blocks until something holds that can only change with the View.
func (v *View) waitUntil(ctx context.Context, holds func() bool) error {
	for {
		changed := v.wake.onAll()
		if holds() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
