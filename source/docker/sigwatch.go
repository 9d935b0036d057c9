package docker

import "sync"

// signalWatch reports the stop signals of containers at the moment when they are sent. Podman writes no event before a container has
// died; Docker's event may come late. The kernel reports them: a program on its tracepoint signal_generate compares each signal with
// those that stop the container whose first process it goes to, so that no other signal costs more than that.
type signalWatch struct {
	kernel signalKernel

	mu      sync.Mutex
	watched map[string]process
	byPID   map[uint32]string
	// missed are the running containers whose signals are not seen.
	missed map[string]bool
}

// process is the first process of a container.
type process struct {
	pid  uint32
	mask uint64
}

// maxSignalled bounds the processes that are watched. Those of further containers are seen by the engine's events only.
const maxSignalled = 16384

// newSignalWatch returns a watch, and the reason if it watches nothing.
func newSignalWatch() (*signalWatch, error) {
	w := &signalWatch{watched: make(map[string]process), byPID: make(map[uint32]string), missed: make(map[string]bool)}
	return w, w.kernel.open()
}

// usable reports whether signals are seen.
func (w *signalWatch) usable() bool { return w != nil && w.kernel.usable() }

// sees reports whether the signals of all running containers are seen.
func (w *signalWatch) sees() bool {
	if !w.usable() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.missed) == 0
}

// miss records that the signals of a running container cannot be seen, because its process cannot be watched.
func (w *signalWatch) miss(id string) {
	if !w.usable() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed[id] = true
}

// set watches the process of a container for the signals that stop it. It must be the container's: see pidWatch.
func (w *signalWatch) set(id string, pid, stopSignal int) {
	if !w.usable() || pid <= 0 {
		return
	}
	now := process{uint32(pid), stopSignals(stopSignal)}
	w.mu.Lock()
	defer w.mu.Unlock()
	old, known := w.watched[id]
	if known && old == now {
		return
	}
	if known {
		w.drop(id, old)
	}
	if len(w.watched) >= maxSignalled || w.kernel.put(now) != nil {
		w.missed[id] = true
		return
	}
	delete(w.missed, id)
	w.watched[id], w.byPID[now.pid] = now, id
}

// remove stops watching a container.
func (w *signalWatch) remove(id string) {
	if !w.usable() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.missed, id)
	if old, ok := w.watched[id]; ok {
		w.drop(id, old)
	}
}

// drop is called with mu held.
func (w *signalWatch) drop(id string, old process) {
	delete(w.watched, id)
	if w.byPID[old.pid] == id {
		delete(w.byPID, old.pid)
		w.kernel.remove(old.pid)
	}
}

// container returns the id of the container whose first process has a pid; "" if there is none.
func (w *signalWatch) container(pid uint32) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byPID[pid]
}
