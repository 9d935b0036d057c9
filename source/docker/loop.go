package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/lenient"
)

// maxInspects bounds the looks at a time, so that a container on which the engine is stuck does not hold up others.
const maxInspects = 8

// probePeriod is the time, in units of retryMax, between two looks at a container whose health check Podman runs.
const probePeriod = 5

// loop is the one goroutine that owns the tracker: it takes in events, lists, looks and deaths, and declares.
type loop struct {
	source  *Source
	tracker *tracker
	census  census
	inbox   *inbox
	watch   *pidWatch
	signals *signalWatch

	// jobs are the looks that are wanted or under way; queue are those that wait for their turn, in order.
	jobs  map[string]*job
	queue []string
	// idle are the stopped containers that are to be looked at while nothing else waits.
	idle    []string
	active  int
	results chan look
	workers sync.WaitGroup
	// answers counts the engine's answers. retry are the containers whose look failed.
	answers int
	retry   map[string]bool

	// recheck are the containers to look at once more.
	recheck map[string]bool

	// awaited are the containers of the first list that await their look; nil before that list came.
	awaited  map[string]bool
	ready    bool
	declared []catalog.Registration
	// adopted are the instances, by container, that the catalog held at the start, until the engine has answered about the container.
	adopted map[string][]catalog.Registration
	// endings are the instances that are no longer declared.
	endings endings
	// told are the warnings about names that several services share, as last logged, by the name.
	told map[string]string
	// pending are the times of events whose effect has not been declared.
	pending []time.Time
}

// job is a look at a container.
type job struct {
	running bool
	// again is set if something happened after the look began.
	again bool
	// idle is set if the container is not known to have run since this source began.
	idle  bool
	since []time.Time
	// answers is the count of the engine's answers when the look began.
	answers int
	// began is the time at which the look began.
	began time.Time
}

// look is the engine's answer about a container.
type look struct {
	id   string
	c    *container.InspectResponse
	peer *container.InspectResponse
	// faults are the parts of the answer that cannot be read.
	faults []lenient.Fault
	err    error
}

func (l *loop) run(ctx context.Context) {
	defer l.workers.Wait()
	retry := time.NewTicker(retryMax)
	defer retry.Stop()
	for ticks := 0; ; {
		select {
		case <-l.inbox.wake:
			l.takeInbox(ctx)
		case r := <-l.results:
			l.takeLook(ctx, r)
			l.takeMore(ctx)
		case e := <-l.watch.exits:
			l.signals.remove(e.id) // the pid may become another process's
			l.tracker.exited(e.id, e.startedAt, time.Now())
			l.want(ctx, e.id, time.Time{})
		case q := <-l.source.questions:
			q.answer <- l.tracker.find(q.name)
			continue
		case u := <-l.source.undos:
			u.answer <- l.undo(u.instance)
		case <-retry.C:
			l.tracker.giveUp(time.Now(), l.source.Answers())
			l.wantSurvivors(ctx)
			for id := range l.retry {
				l.want(ctx, id, time.Time{})
			}
			for id := range l.recheck {
				l.want(ctx, id, time.Time{})
			}
			clear(l.recheck)
			if ticks++; l.tracker.options.podman && ticks%probePeriod == 0 {
				for _, id := range l.tracker.probed() {
					l.want(ctx, id, time.Time{})
				}
			}
		case <-ctx.Done():
			return
		}
		l.publish()
	}
}

// undo ends the drain of an instance by a stop signal. Of a container of which the engine has told nothing so far, nobody knows whether
// it runs.
func (l *loop) undo(instance string) error {
	for id, held := range l.adopted {
		if slices.ContainsFunc(held, func(r catalog.Registration) bool { return r.Instance.ID == instance }) && l.retry[id] {
			return catalog.Errorf(catalog.KindUnavailable, "the engine has not answered for the container of %s since Koine's start", instance)
		}
	}
	return l.tracker.undo(instance)
}

// wantSurvivors wants a look at the containers that seem to have survived their stop signals: only an answer of the engine that is asked
// for after that time shows it.
func (l *loop) wantSurvivors(ctx context.Context) {
	if !l.source.Answers() {
		return
	}
	for _, id := range l.tracker.due(time.Now()) {
		l.want(ctx, id, time.Time{})
	}
}

// takeMore takes in the looks that have come meanwhile, so that they are declared together.
func (l *loop) takeMore(ctx context.Context) {
	for range maxInspects {
		select {
		case r := <-l.results:
			l.takeLook(ctx, r)
		default:
			return
		}
	}
}

// takeInbox records signals at once, before any look, and wants a look at everything that changed.
func (l *loop) takeInbox(ctx context.Context) {
	changed, listed := l.inbox.take()
	for id, c := range changed {
		if c.signals != 0 {
			l.tracker.kill(id, c.kills)
		}
		if !c.death.at.IsZero() {
			l.tracker.died(id, c.death)
			l.census.died(id, c.death.at)
		}
		if c.look {
			l.want(ctx, id, c.since)
		}
		if c.recheck {
			l.recheck[id] = true
		}
	}
	if runs := l.inbox.takeRunning(); runs != nil {
		for _, id := range l.tracker.missing(runs) {
			l.want(ctx, id, time.Time{})
		}
	}
	if listed == nil {
		return
	}
	everything := make(map[string]bool, len(listed.running))
	for _, id := range listed.running {
		everything[id] = true
	}
	l.answers++
	l.tracker.options.podman = l.source.podman.Load()
	if !l.ready {
		l.awaited = maps.Clone(everything)
	}
	// A known container that is not listed has ended, or has started after the list was made: a look decides.
	for id := range l.tracker.containers {
		everything[id] = true
	}
	for id := range everything {
		l.want(ctx, id, time.Time{})
	}
	l.takeStopped(ctx, listed.stopped)
}

// takeStopped wants a look at the stopped containers that are not known, and forgets those that no longer exist.
func (l *loop) takeStopped(ctx context.Context, stopped []string) {
	if stopped == nil {
		return
	}
	for _, id := range stopped {
		_, known := l.census.residents[id]
		if _, wanted := l.jobs[id]; !known && !wanted {
			l.jobs[id] = &job{idle: true}
			l.idle = append(l.idle, id)
		}
	}
	for id, r := range l.census.residents {
		if !r.Left.IsZero() && len(stopped) < maxStopped && !slices.Contains(stopped, id) {
			l.census.gone(id)
		}
	}
	l.startLooks(ctx)
}

// want asks for a look at a container.
func (l *loop) want(ctx context.Context, id string, since time.Time) {
	j, ok := l.jobs[id]
	if !ok || j.idle && !j.running {
		j = &job{}
		l.jobs[id] = j
		l.queue = append(l.queue, id)
	}
	j.again = j.running
	if !since.IsZero() && len(j.since) < 16 {
		j.since = append(j.since, since)
	}
	l.startLooks(ctx)
}

// startLooks starts as many of the waiting looks as may be under way.
func (l *loop) startLooks(ctx context.Context) {
	for l.active < maxInspects {
		id, ok := l.next()
		if !ok {
			return
		}
		l.jobs[id].running, l.jobs[id].answers, l.jobs[id].began = true, l.answers, time.Now()
		l.active++
		// The channel holds a result of every worker, so none waits for the loop.
		l.workers.Go(func() { l.results <- l.source.look(ctx, id) })
	}
}

// next returns the container to look at next. Those that are stopped leave room for the others.
func (l *loop) next() (id string, ok bool) {
	if len(l.queue) > 0 {
		id, l.queue = l.queue[0], l.queue[1:]
		return id, true
	}
	for len(l.idle) > 0 && l.active < maxInspects/2 {
		id, l.idle = l.idle[0], l.idle[1:]
		if j, wanted := l.jobs[id]; wanted && j.idle && !j.running {
			return id, true
		}
	}
	return "", false
}

// takeLook takes in the engine's answer about a container.
func (l *loop) takeLook(ctx context.Context, r look) {
	l.active--
	j := l.jobs[r.id]
	delete(l.jobs, r.id)
	switch {
	case j.idle && r.err != nil: // the next list decides
	case j.idle && !running(r.c):
		l.census.note(r.c, time.Now())
	default:
		l.apply(ctx, r, j.answers)
		if r.err == nil {
			l.survived(r.id, j.began)
		}
	}
	if j.again {
		l.want(ctx, r.id, time.Time{})
		l.jobs[r.id].since = j.since
	} else {
		l.pending = append(l.pending, j.since...)
	}
	l.startLooks(ctx)
}

// survived ends the drain of a container that has survived its stop signal, by a look that began at a time.
func (l *loop) survived(id string, began time.Time) {
	if why := l.tracker.survived(id, began); why != "" {
		l.source.log.Warn("container survives its stop signal", "container", l.tracker.containers[id].name, "reason", why)
	}
}

// apply updates the tracker by a look, before which the engine had given some answers, and wants a look at the containers that
// share the container's network.
func (l *loop) apply(ctx context.Context, r look, before int) {
	_, known := l.tracker.containers[r.id]
	switch {
	case cerrdefs.IsNotFound(r.err):
		l.source.logReport(l.tracker.removed(r.id, time.Now()))
		l.census.gone(r.id)
	case r.err != nil:
		l.failed(r, before)
		return
	default:
		l.source.logReport(l.tracker.update(r.c, r.peer, r.faults...))
		l.census.note(r.c, time.Now())
	}
	l.answers++
	delete(l.retry, r.id)
	delete(l.awaited, r.id)
	delete(l.adopted, r.id)
	c, after := l.tracker.containers[r.id]
	if after {
		if l.watch.add(c.id, c.startedAt, c.pid) {
			l.signals.set(c.id, c.pid, c.stopSignal)
		} else {
			l.signals.miss(c.id)
		}
	} else {
		l.watch.remove(r.id)
		l.signals.remove(r.id)
	}
	if known || after {
		for _, id := range l.tracker.followers(r.id) {
			l.want(ctx, id, time.Time{})
		}
	}
}

// failed keeps the last known state of a container and has it looked at again. The first declaration does not wait for a
// container on which the engine is stuck; only that it has answered other questions since the look began shows that the engine
// itself is not stuck. An answer that cannot be read is one, too.
func (l *loop) failed(r look, before int) {
	unreadable := (*unreadableError)(nil)
	switch {
	case errors.As(r.err, &unreadable):
		l.source.logReport(l.tracker.unread(r.id, unreadable))
		delete(l.awaited, r.id)
	case l.answers > before && !client.IsErrConnectionFailed(r.err):
		delete(l.awaited, r.id)
	}
	if !l.retry[r.id] {
		l.source.log.Debug("container cannot be inspected", "id", shortID(r.id), "error", r.err)
	}
	l.retry[r.id] = true
}

// publish declares the whole set if it differs from the one declared last, or if it is the first.
func (l *loop) publish() {
	first := !l.ready && l.awaited != nil && len(l.awaited) == 0
	l.ready = l.ready || first
	if !l.ready {
		return
	}
	l.showResidents()
	now := time.Now()
	l.source.metrics.unreadable.WithLabelValues("container").Set(float64(l.tracker.unreadable() + l.source.nameless()))
	verdicts := l.tracker.verdicts()
	l.logShared(l.tracker.shared(verdicts))
	set, ended := append(registrations(verdicts), l.unseen()...), l.tracker.takeEnded()
	learned := l.endings.learn(ended)
	if first || !same(set, l.declared) {
		l.endings.compare(l.declared, set, whyGone(verdicts, ended), now)
		l.source.declareGone(l.endings)
		l.declared = set
		l.source.declare(set, l.pending)
		l.source.metrics.containers.Set(float64(len(set)))
	} else if learned {
		l.source.declareGone(l.endings)
	}
	for _, at := range l.pending {
		l.source.metrics.events.Observe(max(0, now.Sub(at)).Seconds())
	}
	l.pending = l.pending[:0]
}

// showResidents hands over what is known of all containers. It must come before the declaration of those that are registered,
// so that a name which is no longer declared is known to be a stopped container's.
func (l *loop) showResidents() {
	if l.source.cfg.Residents == nil {
		return
	}
	if list, changed := l.census.take(); changed {
		l.source.cfg.Residents(list)
	}
}

// byContainer returns registrations by the container that owns them.
func byContainer(list []catalog.Registration) map[string][]catalog.Registration {
	owned := make(map[string][]catalog.Registration)
	for _, r := range list {
		if r.Instance.Owner.Kind == catalog.OwnerContainer {
			owned[r.Instance.Owner.ID] = append(owned[r.Instance.Owner.ID], r)
		}
	}
	return owned
}

// unseen returns the adopted instances, drained, of containers that the engine lists but cannot inspect: as far as is known, they
// have not ended.
func (l *loop) unseen() (list []catalog.Registration) {
	for _, id := range slices.Sorted(maps.Keys(l.adopted)) {
		if !l.retry[id] {
			continue
		}
		for _, r := range l.adopted[id] {
			if r.Instance.Drain == "" {
				r.Instance.Drain = "docker has not answered for the container since the agent started"
			}
			r.Checks = slices.Clone(r.Checks)
			for i := range r.Checks {
				r.Checks[i].Status = "" // its runner may know better by now
			}
			list = append(list, r)
		}
	}
	return list
}

// logShared logs each name that several services share, once until its warning changes.
func (l *loop) logShared(warnings map[string]string) {
	l.source.metrics.shared.Set(float64(len(warnings)))
	maps.DeleteFunc(l.told, func(name, _ string) bool { _, shared := warnings[name]; return !shared })
	for name, warning := range warnings {
		if l.told[name] != warning {
			l.source.log.Warn("services share a name", "service", name, "reason", warning)
		}
		if l.told == nil || len(l.told) > maxChanged {
			l.told = make(map[string]string)
		}
		l.told[name] = warning
	}
}

// declareGone hands over the reasons why instances are no longer declared.
func (s *Source) declareGone(e endings) {
	if sink, ok := s.cfg.Sink.(GoneSink); ok {
		sink.DeclareGone(sourceName, e.reasons())
	}
}

// declare hands over the whole set, and the time of the oldest event that led to it.
func (s *Source) declare(set []catalog.Registration, events []time.Time) {
	sink, timed := s.cfg.Sink.(TimedSink)
	if !timed {
		s.cfg.Sink.Declare(sourceName, set)
		return
	}
	var since time.Time
	if len(events) > 0 {
		since = slices.MinFunc(events, time.Time.Compare)
	}
	sink.DeclareSince(sourceName, since, set)
}

// look inspects a container, and the one whose network it shares.
func (s *Source) look(ctx context.Context, id string) look {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	c, faults, err := inspect(ctx, s.engine, id)
	if err != nil {
		return look{id: id, err: fmt.Errorf("inspect: %w", err)}
	}
	// Without this check a name in place of an id would be kept under the name and removed under the id.
	if c.ID != id {
		return look{id: id, err: fmt.Errorf("inspect %s: the engine answered with container %q", id, c.ID)}
	}
	s.images.complete(ctx, c)
	s.swarm.complete(ctx, c)
	if !c.HostConfig.NetworkMode.IsContainer() {
		faults = append(faults, s.seeNetworks(ctx, c)...)
		return look{id: id, c: c, faults: faults}
	}
	peer, more, err := inspect(ctx, s.engine, c.HostConfig.NetworkMode.ConnectedContainer())
	switch {
	case cerrdefs.IsNotFound(err):
		return look{id: id, c: c, faults: faults}
	case err != nil:
		return look{id: id, err: fmt.Errorf("inspect the container whose network it shares: %w", err)}
	}
	more = append(more, s.seeNetworks(ctx, peer)...)
	return look{id: id, c: c, peer: peer, faults: append(faults, more...)}
}

// seeNetworks lists the networks of a container if they are unknown, and completes its addresses on them. It returns the parts of
// these networks that cannot be read.
func (s *Source) seeNetworks(ctx context.Context, c *container.InspectResponse) []lenient.Fault {
	s.nets.know(ctx, c)
	s.nets.note(c)
	s.nets.addGateway(ctx, c)
	return s.nets.faultsOf(c)
}
