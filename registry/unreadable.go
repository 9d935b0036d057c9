package registry

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/koine-sd/koine/catalog"
)

// unreadable holds the keys of the records that this version cannot read: a newer one wrote them, or they are damaged. The View does
// not show them, but their places are taken: nothing may overwrite them as if they were free, or remove them unasked.
type unreadable struct {
	count atomic.Int64 // of keys: nearly always 0, and then nothing is locked
	mu    sync.Mutex
	keys  map[string]struct{}
}

func (u *unreadable) add(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[string]struct{})
	}
	u.keys[key] = struct{}{}
	u.count.Store(int64(len(u.keys)))
}

func (u *unreadable) remove(key []byte) {
	if u.count.Load() == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.keys, string(key))
	u.count.Store(int64(len(u.keys)))
}

func (u *unreadable) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.keys)
	u.count.Store(0)
}

// has reports whether there is such a record under a key.
func (u *unreadable) has(key string) bool {
	if u.count.Load() == 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, has := u.keys[key]
	return has
}

// below reports whether there is such a record below one of some prefixes.
func (u *unreadable) below(prefixes ...string) bool {
	if u.count.Load() == 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := range u.keys {
		for _, prefix := range prefixes {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
	}
	return false
}

func errUnreadable(node, id string) error {
	return catalog.Errorf(catalog.KindConflict, "instance %s of node %s has a record that this version of Koine cannot read", id, node).
		WithHint("update this Koine, or deregister the instance first")
}
