package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// unreadable holds the keys of the records that this version cannot read: a newer one wrote them, or they are damaged. The View does
// not show them, but their places are taken: nothing may overwrite them as if they were free, or remove them unasked.
type unreadable struct {
	count atomic.Int64 // of keys: nearly always 0, and then nothing is locked
	// report shows in /health that there are some; "" withdraws that. It may be nil.
	report func(string)
	mu     sync.Mutex
	// keys leads to what is known of each record.
	keys map[string]unread
}

// unread is what is known of a record that cannot be read.
type unread struct {
	why string
	// service is the service that the record seems to be of; empty if it does not say.
	service string
	// ttl is the TTL of the lease that the record seems to be on; 0 if it does not say.
	ttl time.Duration
}

// maxWhy bounds the bytes of a reason that is kept, for each of perhaps very many records.
const maxWhy = 300

// add takes the reason why a record cannot be read.
func (u *unreadable) add(key string, value []byte, err error) {
	var readable struct { // as much of it as can be read
		Service string           `json:"service"`
		TTL     catalog.Duration `json:"ttl"`
		Owner   struct {
			TTL catalog.Duration `json:"ttl"`
		} `json:"owner"`
	}
	_ = json.Unmarshal(value, &readable)
	one := unread{why: err.Error(), service: readable.Service, ttl: time.Duration(max(readable.TTL, readable.Owner.TTL))}
	if len(one.why) > maxWhy {
		one.why = strings.ToValidUTF8(one.why[:maxWhy], "") + "…"
	}
	if len(one.service) > catalog.MaxID {
		one.service = ""
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[string]unread)
	}
	u.keys[key] = one
	u.changed(key)
}

// changed counts the records, and reports them with one of them as an example: that of the key, or if it is "" any. It is called with mu
// held.
func (u *unreadable) changed(key string) {
	u.count.Store(int64(len(u.keys)))
	if u.report == nil {
		return
	}
	example, ok := u.keys[key]
	if !ok {
		for _, example = range u.keys {
			break
		}
	}
	switch n := len(u.keys); n {
	case 0:
		u.report("")
	case 1:
		u.report("a record of the store cannot be read, and is left out: " + example.why)
	default:
		u.report(fmt.Sprintf("%d records of the store cannot be read, and are left out, among them: %s", n, example.why))
	}
}

// about returns the records that cannot be read of an instance, a check, a node or a service. The name may be a key.
func (u *unreadable) about(name string) (left []catalog.LeftOut) {
	if u.count.Load() == 0 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, record := range u.keys {
		change, err := keyOf(key)
		named := err == nil && (change.ID == name || change.ID == "" && strings.EqualFold(change.Name, name))
		if !named && key != name && !strings.EqualFold(record.service, name) {
			continue
		}
		left = append(left, catalog.LeftOut{
			Node: change.Name, Source: "store", Name: cmp.Or(change.ID, change.Name, key), ID: key, Service: record.service, Why: record.why,
		})
	}
	slices.SortFunc(left, func(a, b catalog.LeftOut) int { return strings.Compare(a.ID, b.ID) })
	return left[:min(len(left), maxLeft)]
}

// maxLeft bounds the records that are named at once.
const maxLeft = 64

func (u *unreadable) remove(key []byte) {
	if u.count.Load() == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, had := u.keys[string(key)]; had {
		delete(u.keys, string(key))
		u.changed("")
	}
}

func (u *unreadable) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.keys)
	u.changed("")
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

// unreadTTL is the TTL of a lease whose records do not say it.
const unreadTTL = 24 * time.Hour

// ttl returns the TTL of a lease that some such records are on. Their owner cannot renew it by this version, so it must end.
func (u *unreadable) ttl(keys [][]byte) (ttl time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, key := range keys {
		ttl = max(ttl, u.keys[string(key)].ttl)
	}
	if ttl <= 0 {
		return unreadTTL
	}
	return min(max(ttl, catalog.MinTTL), catalog.MaxTTL)
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
