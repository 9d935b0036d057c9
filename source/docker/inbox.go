package docker

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
)

// maxChanged bounds the changed containers that wait for a look; the engine runs fewer.
const maxChanged = 20_000

// inbox holds the events that the loop has not taken in. Events of one container fold into one change, so that a storm of
// events costs one look; the stream must be read as fast as it comes, or the engine drops events.
type inbox struct {
	mu      sync.Mutex
	changed map[string]change
	listed  *listing
	// runs are the ids of all running containers as of the last short look at the list; nil if there is none.
	runs map[string]bool
	wake chan struct{}
}

// listing is a list of all containers.
type listing struct {
	running []string
	// stopped are those that do not run, the latest first; nil if they were not asked for.
	stopped []string
}

// change is the folded events of one container.
type change struct {
	kills
	// since is the engine's time of the first of the events; zero if none came live.
	since time.Time
	// look is set if the container has to be inspected.
	look bool
	// recheck is set if a look may come too early, and another has to follow.
	recheck bool
	// death is its last end; nothing is known if its time is zero.
	death death
}

func newInbox() *inbox {
	return &inbox{changed: make(map[string]change), wake: make(chan struct{}, 1)}
}

// event folds an event in. It returns false if there are too many: then only a new list helps.
func (b *inbox) event(m events.Message, live bool) bool {
	id := subject(m)
	if id == "" {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c, known := b.changed[id]
	if !known && len(b.changed) >= maxChanged {
		return false
	}
	at := time.Unix(0, m.TimeNano)
	c.fold(m, at)
	if live && c.since.IsZero() {
		c.since = at
	}
	b.changed[id] = c
	b.ring()
	return true
}

// fold adds one event to a change.
func (c *change) fold(m events.Message, at time.Time) {
	c.look = true
	switch m.Action {
	case events.ActionHealthStatus: // without the outcome, which may not be stored yet
		c.recheck = true
	case events.ActionKill:
		if n, err := strconv.Atoi(m.Actor.Attributes["signal"]); err == nil {
			c.signals |= signalBit(n)
			c.at = at
		}
	case events.ActionDisconnect: // by a start that has failed, too: why is stored afterwards
		c.recheck = true
	case events.ActionOOM:
		c.death = death{oom: true, at: at}
	case events.ActionDie:
		c.signals = 0
		c.death.code, c.death.at = exitCode(m), at
	case events.ActionStart:
		c.signals = 0
	}
}

// signal folds in a signal that the kernel has reported. It wants no look: the container still runs.
func (b *inbox) signal(id string, n int, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, known := b.changed[id]
	if !known && len(b.changed) >= maxChanged {
		return
	}
	c.signals |= signalBit(n)
	c.at = at
	b.changed[id] = c
	b.ring()
}

// exitCode returns the exit code in an event, "" if it has none.
func exitCode(m events.Message) string {
	code := m.Actor.Attributes["exitCode"]
	if _, err := strconv.ParseUint(code, 10, 32); err != nil {
		return ""
	}
	return code
}

// list takes in the ids of all containers.
func (b *inbox) list(all listing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listed = &all
	b.ring()
}

// running takes in the ids of all running containers, of which those that are missing are to be looked at.
func (b *inbox) running(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs = make(map[string]bool, len(ids))
	for _, id := range ids {
		b.runs[id] = true
	}
	b.ring()
}

// takeRunning returns the ids of all running containers, nil if there is no new list.
func (b *inbox) takeRunning() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	runs := b.runs
	b.runs = nil
	return runs
}

// len returns the number of containers that have changed and wait for a look.
func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.changed)
}

// ring wakes the loop; it is called with mu held.
func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox. listed is nil if there is no new list of all containers.
func (b *inbox) take() (changed map[string]change, listed *listing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed, listed = b.changed, b.listed
	b.changed, b.listed = make(map[string]change), nil
	return changed, listed
}

// followed are the events that can change what is registered. The many events of HEALTHCHECK's probes, exec_*, are not
// among them.
func followed(action events.Action) bool {
	switch action {
	case events.ActionStart, events.ActionKill, events.ActionDie, events.ActionPause, events.ActionUnPause,
		events.ActionRename, events.ActionRestart, events.ActionStop, events.ActionDestroy, events.ActionUpdate,
		events.ActionOOM, events.ActionConnect, events.ActionDisconnect:
		return true
	}
	return strings.HasPrefix(string(action), string(events.ActionHealthStatus))
}
