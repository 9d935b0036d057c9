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

// loop is the one goroutine that owns the tracker: it takes in events, lists, looks and deaths, and declares.
type loop struct {
	source  *Source
	tracker *tracker
	inbox   *inbox
	watch   *pidWatch

	// jobs are the looks that are wanted or under way; queue are those that wait for their turn, in order.
	jobs    map[string]*job
	queue   []string
	active  int
	results chan look
	workers sync.WaitGroup
	// answers counts the engine's answers. retry are the containers whose look failed, with the count at that time.
	answers int
	retry   map[string]int

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
	since []time.Time
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
	for {
		select {
		case <-l.inbox.wake:
			l.takeInbox(ctx)
		case r := <-l.results:
			l.takeLook(ctx, r)
			l.takeMore(ctx)
		case e := <-l.watch.exits:
			l.tracker.exited(e.id, e.startedAt, time.Now())
			l.want(ctx, e.id, time.Time{})
		case q := <-l.source.questions:
			q.answer <- l.tracker.find(q.name)
			continue
		case <-retry.C:
			l.tracker.giveUp(time.Now(), l.source.Answers())
			for id := range l.retry {
				l.want(ctx, id, time.Time{})
			}
		case <-ctx.Done():
			return
		}
		l.publish()
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
	changed, ids, listed := l.inbox.take()
	for id, c := range changed {
		if c.signals != 0 {
			l.tracker.kill(id, c.kills)
		}
		if !c.death.at.IsZero() {
			l.tracker.died(id, c.death)
		}
		if c.look {
			l.want(ctx, id, c.since)
		}
	}
	if !listed {
		return
	}
	everything := make(map[string]bool, len(ids))
	for _, id := range ids {
		everything[id] = true
	}
	l.answers++
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
}

// want asks for a look at a container.
func (l *loop) want(ctx context.Context, id string, since time.Time) {
	j, ok := l.jobs[id]
	if !ok {
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
	for l.active < maxInspects && len(l.queue) > 0 {
		id := l.queue[0]
		l.queue = l.queue[1:]
		l.jobs[id].running = true
		l.active++
		// The channel holds a result of every worker, so none waits for the loop.
		l.workers.Go(func() { l.results <- l.source.look(ctx, id) })
	}
}

// takeLook takes in the engine's answer about a container.
func (l *loop) takeLook(ctx context.Context, r look) {
	l.active--
	j := l.jobs[r.id]
	delete(l.jobs, r.id)
	l.apply(ctx, r)
	if j.again {
		l.want(ctx, r.id, time.Time{})
		l.jobs[r.id].since = j.since
	} else {
		l.pending = append(l.pending, j.since...)
	}
	l.startLooks(ctx)
}

// apply updates the tracker by a look, and wants a look at the containers that share the container's network.
func (l *loop) apply(ctx context.Context, r look) {
	_, before := l.tracker.containers[r.id]
	switch {
	case cerrdefs.IsNotFound(r.err):
		l.source.logReport(l.tracker.removed(r.id, time.Now()))
	case r.err != nil:
		l.failed(r)
		return
	default:
		l.source.logReport(l.tracker.update(r.c, r.peer, r.faults...))
	}
	l.answers++
	delete(l.retry, r.id)
	delete(l.awaited, r.id)
	delete(l.adopted, r.id)
	c, after := l.tracker.containers[r.id]
	if after {
		l.watch.add(c.id, c.startedAt, c.pid)
	} else {
		l.watch.remove(r.id)
	}
	if before || after {
		for _, id := range l.tracker.followers(r.id) {
			l.want(ctx, id, time.Time{})
		}
	}
}

// failed keeps the last known state of a container and has it looked at again. The first declaration does not wait for a
// container on which the engine is stuck; only an answer about another one shows that the engine itself is not stuck. An answer that
// cannot be read is one, too.
func (l *loop) failed(r look) {
	if unreadable := (*unreadableError)(nil); errors.As(r.err, &unreadable) {
		l.source.logReport(l.tracker.unread(r.id, unreadable))
		l.retry[r.id] = l.answers
		delete(l.awaited, r.id)
		return
	}
	before, again := l.retry[r.id]
	if !again {
		l.source.log.Debug("container cannot be inspected", "id", shortID(r.id), "error", r.err)
		l.retry[r.id] = l.answers
	} else if l.answers > before && !client.IsErrConnectionFailed(r.err) {
		delete(l.awaited, r.id)
	}
}

// publish declares the whole set if it differs from the one declared last, or if it is the first.
func (l *loop) publish() {
	first := !l.ready && l.awaited != nil && len(l.awaited) == 0
	l.ready = l.ready || first
	if !l.ready {
		return
	}
	now := time.Now()
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
	l.source.metrics.unreadable.WithLabelValues("container").Set(float64(l.tracker.unreadable() + l.source.nameless()))
	for _, at := range l.pending {
		l.source.metrics.events.Observe(max(0, now.Sub(at)).Seconds())
	}
	l.pending = l.pending[:0]
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
		if _, failed := l.retry[id]; !failed {
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
	s.nets.addGateway(ctx, c)
	return s.nets.faultsOf(c)
}
