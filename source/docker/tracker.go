package docker

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/lenient"
)

// drainPrefix begins the drain reasons that the source remembers; those found by inspecting do not have it.
const drainPrefix = "stop signal "

// tracker is the source's state of the engine's running containers. It decides; it does no I/O, and only one goroutine uses
// it.
type tracker struct {
	options    options
	containers map[string]*tracked
	// drains are the containers that got their stop signal, until they have another start time.
	drains map[string]mark
	// lifts are the ends of such drains, by a person or because the container lives on.
	lifts map[string]lift
	// dead are the containers whose process has ended, which the engine has not reported yet.
	dead map[string]mark
	// kills are signals to containers not known yet.
	kills map[string]kills
	// deaths are the ends in the engine's events of containers that have not been looked at since.
	deaths map[string]death
	// lives are the lengths of the last lives of containers that do not run.
	lives map[string]time.Duration
	// gone are the last containers that ended, the oldest first.
	gone []catalog.LeftOut
	// ended has the reasons of the ends of containers, until takeEnded is called.
	ended map[string]string
}

// tracked is one running container.
type tracked struct {
	id, created, startedAt string
	started                time.Time
	pid                    int
	stopSignal             int
	// stopTimeout is the time until the engine kills it after its stop signal, unless the stop gives another; negative means for ever.
	stopTimeout time.Duration
	// stopping is set while the engine reports that it is being stopped, which only Podman does.
	stopping, paused bool
	// stopSetting is the name of the setting for the time until the engine kills it after its stop signal.
	stopSetting string
	// peer is the id of the container whose network it shares.
	peer        string
	name, image string
	settling    settling
	// description is its description; its skip is set too if it breaks the catalog's limits.
	description
	warned map[Warning]bool
	// faults are the parts of the engine's last answer that could not be read.
	faults []lenient.Fault
}

// mark is a fact that holds for a container from one start to the next.
type mark struct {
	startedAt, reason string
	// signal is the first signal to stop. at is the time when it was sent, or the process was seen to end; zero if unseen.
	signal string
	at     time.Time
	// last is the time of the last signal, by the same clock as at; seen is when it was learned of, by this process's.
	last, seen time.Time
	// killed is set if one of the signals was SIGKILL.
	killed bool
	// over is set for the end of a process that the engine has not reported in time.
	over bool
}

// kills are the signals sent to a container and the time of the last.
type kills struct {
	signals uint64
	at      time.Time
}

func newTracker(o options) *tracker {
	return &tracker{
		options: o, containers: make(map[string]*tracked), drains: make(map[string]mark), dead: make(map[string]mark),
		lifts: make(map[string]lift), kills: make(map[string]kills), deaths: make(map[string]death), ended: make(map[string]string),
		lives: make(map[string]time.Duration),
	}
}

// report is the part of an update that is logged.
type report struct {
	container string
	warnings  []Warning
	// faults are the parts of the engine's answer that could not be read, and could be before.
	faults []lenient.Fault
	// skip is set if the container was left out and it was not known before, or for another reason.
	skip string
	// invalid is set if it was left out because it breaks the catalog's limits.
	invalid bool
	// added is set if the container was not registered before.
	added bool
	// changed are the names, not chosen by a setting of Koine or Registrator, that were made fit for DNS; nil unless it was added.
	changed []naming
	// hindered is the reason why it could not be started, if that is a port which this process has.
	hindered string
	// lasted is set if the container has ended after a stop signal.
	lasted *lasted
}

// update takes in the engine's answer about a container, and about the one whose network it shares, and the parts of it that could
// not be read.
func (t *tracker) update(c, peer *container.InspectResponse, faults ...lenient.Fault) report {
	told := report{container: containerName(c)}
	options := t.options
	options.peer, options.faults = peer, faults
	d, err := describe(c, options)
	if err != nil {
		d.skip, told.invalid = err.Error(), true
	}
	if c.State != nil {
		told.lasted = t.lasted(c)
	}
	if !running(c) {
		t.end(c.ID, t.endOf(c))
		t.remove(c.ID)
		if c.State != nil {
			t.lived(c)
		}
		if c.State != nil && portHint(c, t.options) != "" && !t.wasGone(c.ID, d.skip) {
			told.hindered = d.skip
		}
		t.rememberGone(t.leftOut(c.ID, told.container, d))
		return report{container: told.container, lasted: told.lasted, hindered: told.hindered}
	}
	before := t.containers[c.ID]
	now := &tracked{
		id: c.ID, created: c.Created, startedAt: c.State.StartedAt, started: startTime(c), pid: c.State.Pid,
		name: told.container, description: d, warned: make(map[Warning]bool), faults: faults,
	}
	if err == nil {
		now.image, now.stopSignal, now.stopSetting = c.Config.Image, parseSignal(c.Config.StopSignal), stopSetting(c)
		now.stopTimeout, now.stopping, now.paused = stopTimeout(c), isStopping(c), c.State.Paused
		now.peer = c.HostConfig.NetworkMode.ConnectedContainer()
		if m, ok := t.drains[c.ID]; ok && before != nil && before.paused && !now.paused { // only now does its process get the signal
			m.seen = time.Now()
			t.drains[c.ID] = m
		}
	}
	if peer != nil {
		now.peer = peer.ID
	}
	now.settling = t.settle(c, before, time.Now())
	delete(t.lives, c.ID)
	for _, w := range d.warnings {
		if now.warned[w] = true; before == nil || !before.warned[w] {
			told.warnings = append(told.warnings, w)
		}
	}
	for _, f := range faults {
		if before == nil || !slices.Contains(before.faults, f) {
			told.faults = append(told.faults, f)
		}
	}
	if before == nil || before.skip != now.skip {
		told.skip = now.skip
	}
	told.added = now.skip == "" && (before == nil || before.skip != "")
	if told.added {
		told.changed = d.changedNames()
	}
	keepOutput(before, now)
	t.containers[c.ID] = now
	t.forgetGone(c.ID)
	t.forgetMarks(now)
	if isStopping(c) {
		t.stopping(now)
	}
	if k, ok := t.kills[c.ID]; ok {
		t.kill(c.ID, k)
	}
	return told
}

// unread takes in that the engine's answer about a container tells too little of it: its last known state stays, and one that was not
// known is explained.
func (t *tracker) unread(id string, why *unreadableError) (told report) {
	fault := lenient.Fault{Path: "container", Reason: why.reason}
	c, known := t.containers[id]
	if !known {
		c = &tracked{id: id, created: why.created, name: cmp.Or(why.name, id), description: description{skip: why.Error()}}
		t.containers[id] = c
		t.forgetGone(id)
	}
	told.container = c.name
	if !slices.Contains(c.faults, fault) {
		told.faults = []lenient.Fault{fault}
	}
	c.faults = []lenient.Fault{fault}
	return told
}

// unreadable returns the number of containers of which the engine's last answer could not be read in full.
func (t *tracker) unreadable() (n int) {
	for _, c := range t.containers {
		if len(c.faults) > 0 {
			n++
		}
	}
	return n
}

// keepOutput keeps a check's output while its status stays: a new output alone is no news, except that of the first probe.
func keepOutput(before, now *tracked) {
	if before == nil || before.startedAt != now.startedAt {
		return
	}
	outputs := make(map[string]*catalog.Check)
	for _, m := range before.members {
		for i := range m.Checks {
			if m.Checks[i].Type == catalog.CheckDocker && !catalog.AwaitsFirstRun(m.Checks[i].Output) {
				outputs[m.Checks[i].ID] = &m.Checks[i]
			}
		}
	}
	for _, m := range now.members {
		for i := range m.Checks {
			check := &m.Checks[i]
			if old, ok := outputs[check.ID]; ok && check.Type == catalog.CheckDocker && old.Status == check.Status {
				check.Output = old.Output
			}
		}
	}
}

// forgetMarks drops the marks of a container from before its last start.
func (t *tracker) forgetMarks(c *tracked) {
	if m, ok := t.drains[c.id]; ok && m.startedAt != c.startedAt {
		delete(t.drains, c.id)
	}
	if l, ok := t.lifts[c.id]; ok && l.startedAt != c.startedAt {
		delete(t.lifts, c.id)
	}
	if m, ok := t.dead[c.id]; ok && m.startedAt != c.startedAt {
		delete(t.dead, c.id)
	}
	if d, ok := t.deaths[c.id]; ok && d.at.Before(c.started) {
		delete(t.deaths, c.id)
	}
}

// remove forgets a container that is not running.
func (t *tracker) remove(id string) {
	delete(t.containers, id)
	delete(t.drains, id)
	delete(t.lifts, id)
	delete(t.dead, id)
	delete(t.kills, id)
	delete(t.deaths, id)
}

// kill records signals that were sent to a container. Those from before its last start do not count.
func (t *tracker) kill(id string, k kills) {
	c, ok := t.containers[id]
	if !ok {
		t.kills[id] = k
		return
	}
	delete(t.kills, id)
	signal := stopping(k.signals, c.stopSignal)
	if signal == 0 || k.at.Before(c.started) || t.lifted(c, k) {
		return
	}
	m := mark{startedAt: c.startedAt, reason: drainPrefix + signalName(signal), signal: signalName(signal), at: k.at, last: k.at, seen: time.Now()}
	m.killed = k.signals&signalBit(sigKill) != 0
	if first, ok := t.drains[id]; ok && first.startedAt == c.startedAt {
		m.signal, m.at, m.killed = first.signal, first.at, m.killed || first.killed
		if !k.at.After(first.last) { // the same signal again: from the kernel and from the engine, or replayed
			m.last, m.seen = first.last, first.seen
		}
	}
	t.drains[id] = m
	delete(t.lifts, id)
}

// stopping records that a container has got its stop signal, at a time that is not known.
func (t *tracker) stopping(c *tracked) {
	if _, known := t.drains[c.id]; !known {
		signal := signalName(cmp.Or(c.stopSignal, sigTerm))
		t.drains[c.id] = mark{startedAt: c.startedAt, reason: drainPrefix + signal, signal: signal, seen: time.Now()}
		delete(t.lifts, c.id)
	}
}

// missing returns the containers that take traffic and are not in a list of those that run.
func (t *tracker) missing(runs map[string]bool) (ids []string) {
	for id := range t.containers {
		if _, drained := t.drains[id]; !drained && !runs[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// probed returns the containers that have a health check of the engine's.
func (t *tracker) probed() (ids []string) {
	for id, c := range t.containers {
		if len(c.members) > 0 && slices.ContainsFunc(c.members[0].Checks, func(k catalog.Check) bool { return k.Type == catalog.CheckDocker }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// exited records that the first process of a container has ended.
func (t *tracker) exited(id, startedAt string, at time.Time) {
	if c, ok := t.containers[id]; ok && c.startedAt == startedAt {
		t.dead[id] = mark{startedAt: startedAt, at: at}
	}
}

// followers returns the containers that share the network of another one.
func (t *tracker) followers(id string) (ids []string) {
	for _, c := range t.containers {
		if c.peer == id {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// rename gives a copy of a registration another instance ID.
func rename(r catalog.Registration, id string) catalog.Registration {
	r.Checks = slices.Clone(r.Checks)
	for i := range r.Checks {
		r.Checks[i].ID = id + strings.TrimPrefix(r.Checks[i].ID, r.Instance.ID)
		r.Checks[i].Instance = id
	}
	r.Instance.ID = id
	return r
}

// same reports whether two sets of registrations declare the same.
func same(a, b []catalog.Registration) bool {
	return slices.EqualFunc(a, b, func(r, q catalog.Registration) bool {
		return r.Instance.Equal(&q.Instance) && slices.EqualFunc(r.Checks, q.Checks, func(c, d catalog.Check) bool {
			return c.SameDeclaration(&d) && c.Status == d.Status && c.Output == d.Output
		})
	})
}
