package main

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/koine-sd/koine/client"
)

// newest reads a watch while the caller is busy with an event of it, and passes on the newest event of each service that came
// meanwhile, in the order in which their services changed first. So a caller that takes its time, such as a command that
// reloads a proxy, is behind by one event at most. The events that it holds are bounded by the number of services watched.
func newest(ctx context.Context, watch func(context.Context) iter.Seq2[client.Event, error]) iter.Seq2[client.Event, error] {
	return func(yield func(client.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		q := &newestEvents{changed: make(chan struct{}, 1)}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for event, err := range watch(ctx) {
				q.put(event, err)
			}
		}()
		defer func() { cancel(); <-ended }()
		for {
			if event, err, ok := q.take(); ok {
				if !yield(event, err) {
					return
				}
				continue
			}
			select {
			case <-q.changed:
			case <-ended:
				if q.empty() {
					return
				}
			}
		}
	}
}

// newestEvents are the events of a watch that wait: one of each service, and the error that came after them.
type newestEvents struct {
	// changed holds a value if something was put since the last take that found nothing.
	changed chan struct{}

	mu     sync.Mutex
	events []client.Event
	err    error
}

func (q *newestEvents) put(event client.Event, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	same := func(e client.Event) bool { return strings.EqualFold(e.Service, event.Service) }
	switch i := slices.IndexFunc(q.events, same); {
	case err != nil:
		q.err = err
	case i >= 0:
		q.events[i], q.err = event, nil
	default:
		q.events, q.err = append(q.events, event), nil
	}
	select {
	case q.changed <- struct{}{}:
	default: // it says so already
	}
}

// take returns the event of the service that has waited longest, or else the error after it; false if there is none.
func (q *newestEvents) take() (event client.Event, err error, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		err, q.err = q.err, nil
		return event, err, err != nil
	}
	event = q.events[0]
	q.events = slices.Delete(q.events, 0, 1)
	return event, nil, true
}

func (q *newestEvents) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err == nil && len(q.events) == 0
}
