package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// The default and the maximum of ?last=.
const (
	defaultLast = 100
	maxLast     = 10_000
)

// eventParams choose events.
type eventParams struct {
	// Name is a service, an instance or a node; empty for all.
	Name string
	// Last is the number of past events that come first, if it was given.
	Last *uint64
	// Revision selects all events after it; 0 means that it was not given.
	Revision catalog.Position
	Follow   bool
}

func (p *eventParams) fields() []field {
	return []field{
		text("name", &p.Name), position("revision", &p.Revision), flag("follow", &p.Follow),
		{name: "last", set: func(value string) error {
			last, err := parseNumber("last", value)
			if err == nil && last > maxLast {
				return catalog.Errorf(catalog.KindInvalid, "last=%d is above %d", last, maxLast)
			}
			p.Last = &last
			return err
		}},
	}
}

// events answers GET /events: the last events, those after a revision, and with ?follow what happens from then on.
func (s *Server) events(w http.ResponseWriter, r *http.Request, p eventParams) (err error) {
	if p.Revision, err = resumed(r, p.Revision); err != nil {
		return err
	}
	log := &eventLog{server: s, view: s.view, name: p.Name}
	first := log.begin(p)
	log.out = newStream(w, wantsSSE(r), s.cfg.WriteTimeout)
	if r.Method == http.MethodHead {
		s.hurried(w)
		return nil
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	if log.reset {
		err = log.out.reset(log.id(s.view.Revision()))
	}
	if err == nil {
		err = log.write(first)
	}
	if err == nil && !p.Follow {
		s.hurried(w)
		return nil
	}
	ctx, release := s.waiting(r)
	defer release()
	if err == nil {
		log.run(ctx)
	}
	return log.out.cut(ctx)
}

// resumed returns where a stream goes on from: an EventSource that reconnects requests the same URL again, with the last id
// that it has seen in a header.
func resumed(r *http.Request, revision catalog.Position) (catalog.Position, error) {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return parsePosition("header Last-Event-ID", id)
	}
	return revision, nil
}

// eventLog is one reader of the events. It holds none of them: the View keeps the last ones, and reports how many are lost.
type eventLog struct {
	server *Server
	view   *catalog.View
	// name is a service, an instance or a node; empty for all.
	name     string
	out      *stream
	position uint64
	// reset is set if the client goes on from another history.
	reset bool
}

// begin finds where to begin, and returns the events that come first.
func (l *eventLog) begin(p eventParams) (first []catalog.Event) {
	if p.Revision.Revision > 0 {
		after, why := p.Revision.Revision, "what happened next is not remembered"
		if !l.view.InHistory(p.Revision) {
			after, why, l.reset = 0, "the revision is of another history of the store", true
		}
		position, known := l.view.EventPositionAfter(after)
		if l.position = position; l.reset || !known {
			first = append(first, catalog.Event{
				Revision: min(p.Revision.Revision, l.view.Revision()), Time: time.Now().UTC(), Type: catalog.EventGap, Reason: why,
			})
		}
		return append(first, l.take()...)
	}
	last := uint64(defaultLast)
	if p.Follow {
		last = 0
	}
	if p.Last != nil {
		last = *p.Last
	}
	if last == 0 {
		l.position = l.view.EventPosition()
		return nil
	}
	l.position, _ = l.view.EventPositionAfter(0)
	first = l.take()
	return first[max(0, len(first)-int(last)):]
}

// take returns the events since position that concern the name, and moves position.
func (l *eventLog) take() (list []catalog.Event) {
	events, next := l.view.Events(l.position)
	for e := range events {
		if l.name == "" || e.Concerns(l.name) {
			list = append(list, e)
		}
	}
	l.position = next
	return list
}

// id returns the id of an event.
func (l *eventLog) id(revision uint64) catalog.Position { return l.view.Marks().Position(revision) }

// run writes what happens until the context ends or the client takes nothing any more.
func (l *eventLog) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	wake := make(chan struct{}, 1) // full means that the events will be looked at anyway
	var follower sync.WaitGroup
	defer follower.Wait()
	defer cancel()
	follower.Go(func() {
		notify(wake, func(revision uint64) (uint64, error) { return l.view.WaitList(ctx, l.view.Revision, revision) })
	})
	defer context.AfterFunc(ctx, l.out.hurry)()
	heartbeat := time.NewTicker(l.server.cfg.Heartbeat)
	defer heartbeat.Stop()
	err := l.catchUp(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			if err = l.view.WaitReady(ctx); err == nil { // as watches do, while the View is suspended
				err = l.write(l.take())
			}
		case <-heartbeat.C:
			err = l.catchUp(ctx)
		}
	}
}

// catchUp writes the new events, and then the revision up to which nothing is missing.
func (l *eventLog) catchUp(ctx context.Context) error {
	if err := l.view.WaitReady(ctx); err != nil {
		return err
	}
	at := l.view.Marks()
	reached := at.Position(l.view.Revision())
	if err := l.write(l.take()); err != nil {
		return err
	}
	if err := l.out.progress(reached); err != nil {
		return err
	}
	return l.out.flush()
}

// write writes events. All except the last of a revision have more set, because a stream cannot be resumed between them.
func (l *eventLog) write(events []catalog.Event) error {
	for i := range events {
		raw, err := json.Marshal(&events[i])
		if err != nil {
			return err
		}
		// The stream writes the revision, which comes first.
		_, tail, _ := bytes.Cut(raw, []byte(","))
		more := i+1 < len(events) && events[i+1].Revision == events[i].Revision
		if err := l.out.event(l.id(events[i].Revision), more, append(tail, '\n')); err != nil {
			return err
		}
	}
	if len(events) == 0 {
		return nil
	}
	return l.out.flush()
}
