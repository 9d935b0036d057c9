package catalog

import "sync"

// changeLogSize bounds the changes of services that a watcher may fall behind before everything is sent to it again.
const changeLogSize = 1 << 16

// changeLog remembers which services changed lately, so that a watcher of all of them can continue from a revision.
type changeLog struct {
	mu      sync.RWMutex
	entries []logEntry
	next    int // where the next entry goes once entries is full
	// since is the revision after which the log is complete.
	since uint64
}

type logEntry struct {
	revision uint64
	service  string
}

func (l *changeLog) reset(revision uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.next, l.since = nil, 0, revision
}

func (l *changeLog) add(revision uint64, services []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, service := range services {
		entry := logEntry{revision, service}
		if len(l.entries) < changeLogSize {
			l.entries = append(l.entries, entry)
			continue
		}
		l.since = l.entries[l.next].revision
		l.entries[l.next] = entry
		l.next = (l.next + 1) % changeLogSize
	}
}

// ChangedSince returns the names of the services that changed after a revision, in no order. It returns false if the
// View does not go back that far, or has not reached the revision because the store was restored to an older
// state: then everything may have changed.
func (v *View) ChangedSince(revision uint64) (names []string, ok bool) {
	l := &v.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	if revision < l.since || revision > v.Revision() {
		return nil, false
	}
	seen := make(map[string]bool)
	for i := range l.entries {
		// From the newest to the oldest: a watcher is rarely far behind.
		entry := l.entries[(l.next+2*len(l.entries)-1-i)%len(l.entries)]
		if entry.revision <= revision {
			break
		}
		if !seen[entry.service] {
			seen[entry.service] = true
			names = append(names, entry.service)
		}
	}
	return names, true
}
