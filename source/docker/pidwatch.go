package docker

import "sync"

// pidWatch reports when the first process of a container ends, so that a container leaves the answers at once even when
// its engine is away. It watches only processes that certainly belong to the container: with Koine in a container of
// its own, the engine's process ids have no meaning here.
type pidWatch struct {
	// exits is read by the loop; it is never closed.
	exits chan exit

	// most bounds the watched processes, each of which takes a descriptor; further containers are followed by the engine's
	// events only.
	most int

	mu      sync.Mutex
	watched map[string]watched
	byFD    map[int32]string
	poller  poller
}

// exit is the end of the process that a container had started with.
type exit struct{ id, startedAt string }

type watched struct {
	startedAt string
	fd        int
}

// newPidWatch returns a watch of at most that many processes; it watches nothing on a system without support.
func newPidWatch(most int) (*pidWatch, error) {
	w := &pidWatch{exits: make(chan exit), most: most, watched: make(map[string]watched), byFD: make(map[int32]string)}
	if most <= 0 {
		return w, nil
	}
	return w, w.poller.open()
}

// add watches the process of a container; it does nothing if it is watched already. It reports whether the process is alive, and
// known to be the container's.
func (w *pidWatch) add(id, startedAt string, pid int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.watched[id]; ok {
		if old.startedAt == startedAt {
			return old.fd >= 0
		}
		w.drop(id, old)
	}
	if pid <= 0 || len(w.watched) >= w.most || !w.poller.usable() {
		return false
	}
	fd, err := w.poller.watch(id, pid)
	if err != nil {
		return false
	}
	w.watched[id] = watched{startedAt, fd}
	w.byFD[int32(fd)] = id
	return true
}

// remove stops watching a container.
func (w *pidWatch) remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.watched[id]; ok {
		w.drop(id, old)
	}
}

// drop is called with mu held.
func (w *pidWatch) drop(id string, old watched) {
	delete(w.watched, id)
	delete(w.byFD, int32(old.fd))
	w.poller.forget(old.fd)
}

// ended returns the containers whose processes ended, and stops watching them.
func (w *pidWatch) ended(fds []int32) (list []exit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fd := range fds {
		id, ok := w.byFD[fd]
		// By now the descriptor may have been closed and belong to another process.
		if !ok || !w.poller.readable(int(fd)) {
			continue
		}
		old := w.watched[id]
		list = append(list, exit{id, old.startedAt})
		delete(w.byFD, fd)
		w.poller.forget(old.fd)
		// The entry stays, without a descriptor, so that the dead process is not looked for again.
		w.watched[id] = watched{old.startedAt, -1}
	}
	return list
}
