package client

import (
	"bytes"
	"context"
	"iter"
	"net/url"
	"slices"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// WatchOptions choose what a watch reports.
type WatchOptions struct {
	// Services are the services wanted; none means all.
	Services []string
	// Tags, Meta and Health select among their instances, as in a catalog.Query.
	Tags   []string
	Meta   map[string]string
	Health catalog.Health
	// Near, if set, is the place that the instances are ordered by, as in LookupNear.
	Near string
	// After resumes a watch after the event of that ID, which had no More; the zero value starts with the whole present state. If
	// the server does not remember that far back, or has another history, an event with Reset comes first and then the whole
	// present state.
	After catalog.Position
	// Progress also yields the events without a service, which mean that nothing is missing up to their revision.
	Progress bool
	// Silence is how long the server may send nothing before the watch connects again; 0 means a minute.
	Silence time.Duration
}

// Watch yields the present state of each service asked for, then its whole state again whenever it changes. Intermediate
// states may be left out. It reconnects by itself, and goes on from where it was.
//
// A failed attempt is yielded as an error with a zero Event; the watch goes on after a growing pause unless the caller
// stops. It ends after an error that cannot pass by itself (KindInvalid, KindDenied, KindNotFound), and with the
// context's error.
func (c *Client) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w := &watcher{client: c, options: o, position: o.After, known: make(map[string]bool), yield: yield}
		stream := &stream{
			client: c, path: "/watch", silence: o.Silence, values: w.values, receive: w.receive,
			fail: func(err error) bool { return yield(Event{}, err) },
		}
		stream.run(ctx)
	}
}

// watcher is one iteration over a watch.
type watcher struct {
	client  *Client
	options WatchOptions
	yield   func(Event, error) bool

	// position is where to resume.
	position catalog.Position
	// known are the services that had instances in the last event yielded for them; kept only when all are watched.
	known map[string]bool
	// listed are the services seen since a reset; nil when none is under way.
	listed map[string]bool
}

// values are the parameters of an attempt to connect.
func (w *watcher) values() url.Values {
	w.listed = nil
	o := &w.options
	values := queryValues(catalog.Query{Tags: o.Tags, Meta: o.Meta, Health: o.Health})
	values["service"] = o.Services
	values = set(values, "near", o.Near)
	if w.position.Revision > 0 {
		values.Set("revision", w.position.String())
	}
	return values
}

// receive takes one line of the stream.
func (w *watcher) receive(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	var e Event
	if err := w.client.decodeLine(line, &e); err != nil {
		return err
	}
	if e.Reset {
		return w.startReset(e)
	}
	if e.Service != "" {
		w.note(e)
	}
	if w.listed != nil && !e.More {
		return w.finishReset(e)
	}
	return w.deliver(e)
}

// startReset begins a whole new state. The watch compares the new state with what it has yielded itself; a caller that resumed
// from an event of its own gets the event with Reset, because only the caller knows what it had.
func (w *watcher) startReset(e Event) error {
	w.listed = make(map[string]bool)
	if w.options.After.Revision > 0 && !w.yield(e, nil) {
		return errStopped
	}
	return nil
}

// note keeps track of the services that the caller knows, so that after a reset the watch can report which of them have gone.
func (w *watcher) note(e Event) {
	if w.listed != nil {
		w.listed[e.Service] = true
	}
	if len(w.options.Services) > 0 {
		return
	}
	if len(e.Instances) > 0 {
		w.known[e.Service] = true
	} else {
		delete(w.known, e.Service)
	}
}

// finishReset yields the services that went while the watch was not connected, before the event that completes the state.
func (w *watcher) finishReset(last Event) error {
	var gone []string
	for name := range w.known {
		if !w.listed[name] {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	w.listed = nil
	for _, name := range gone {
		delete(w.known, name)
		if err := w.deliver(Event{ID: last.ID, Revision: last.Revision, More: true, Service: name}); err != nil {
			return err
		}
	}
	return w.deliver(last)
}

func (w *watcher) deliver(e Event) error {
	if e.Service != "" || w.options.Progress {
		if !w.yield(e, nil) {
			return errStopped
		}
	}
	if !e.More {
		w.position = e.ID
	}
	return nil
}
