package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Pauses between two attempts of a watch to connect, and the silence after which a connection counts as dead: a server
// says something every 15 seconds.
const (
	minPause       = 100 * time.Millisecond
	maxPause       = 5 * time.Second
	defaultSilence = time.Minute
)

// WatchOptions says what a watch reports.
type WatchOptions struct {
	// Services are the services wanted; none means all.
	Services []string
	// Tags, Meta and Health say which of their instances, as in a catalog.Query.
	Tags   []string
	Meta   map[string]string
	Health catalog.Health
	// Near, if set, is the place that the instances are ordered by, as in LookupNear.
	Near string
	// Revision resumes a watch after an event of that revision that had no More; 0 starts with all that is there. Where
	// the server does not remember that far back, an event with Reset comes first and then all that is there.
	Revision uint64
	// Progress also yields the events without a service, which tell that nothing is missing up to their revision.
	Progress bool
	// Silence is how long the server may say nothing before the watch connects again; 0 means a minute.
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
		w := &watcher{client: c, options: o, position: o.Revision, known: make(map[string]bool), yield: yield}
		w.run(ctx)
	}
}

// watcher is one iteration over a watch.
type watcher struct {
	client  *Client
	options WatchOptions
	yield   func(Event, error) bool

	// position is the revision to resume from.
	position uint64
	// known are the services that the caller has been told to have instances; only kept when all are watched.
	known map[string]bool
	// listed are those seen since a reset; nil when none is under way.
	listed map[string]bool
	pause  time.Duration
}

// errStopped tells that the caller wants no more.
var errStopped = errors.New("watch stopped")

func (w *watcher) run(ctx context.Context) {
	for {
		err := w.stream(ctx)
		if errors.Is(err, errStopped) {
			return
		}
		if ctx.Err() != nil {
			w.yield(Event{}, ctx.Err())
			return
		}
		if !w.yield(Event{}, err) || !passes(err) {
			return
		}
		if !w.rest(ctx) {
			w.yield(Event{}, ctx.Err())
			return
		}
	}
}

// passes tells whether an error may go away by itself.
func passes(err error) bool {
	switch catalog.KindOf(err) {
	case catalog.KindInvalid, catalog.KindDenied, catalog.KindNotFound:
		return false
	default:
		return true
	}
}

// rest pauses before the next attempt, longer each time until an attempt succeeds. Its length is random by half, so that
// the clients of a server that comes back do not come all at once.
func (w *watcher) rest(ctx context.Context) bool {
	w.pause = min(max(2*w.pause, minPause), maxPause)
	timer := time.NewTimer(w.pause/2 + rand.N(w.pause/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stream connects once and yields events until the connection ends.
func (w *watcher) stream(ctx context.Context) error {
	silence := w.options.Silence
	if silence <= 0 {
		silence = defaultSilence
	}
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() {
		cancel(catalog.Errorf(catalog.KindUnavailable, "watch of %s fell silent", w.client.base))
	})
	defer alarm.Stop()
	err := w.attempt(attempt, func() { alarm.Reset(silence) })
	if cause := context.Cause(attempt); cause != nil && ctx.Err() == nil && !errors.Is(err, errStopped) {
		return cause
	}
	return err
}

func (w *watcher) attempt(ctx context.Context, heard func()) error {
	w.listed = nil
	response, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		line, err := w.line(ctx, lines)
		if err != nil {
			return err
		}
		heard()
		w.pause = 0
		if err := w.receive(line); err != nil {
			return err
		}
	}
}

func (w *watcher) connect(ctx context.Context) (*http.Response, error) {
	c, o := w.client, &w.options
	values := queryValues(catalog.Query{Tags: o.Tags, Meta: o.Meta, Health: o.Health})
	values["service"] = o.Services
	values = set(values, "near", o.Near)
	if w.position > 0 {
		values.Set("revision", strconv.FormatUint(w.position, 10))
	}
	response, err := c.send(ctx, http.MethodGet, "/watch", values, nil, "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	answer, err := c.read(ctx, response)
	if err != nil {
		return nil, err
	}
	return nil, refusal(response.StatusCode, answer)
}

// line reads one line of bounded length.
func (w *watcher) line(ctx context.Context, r *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		switch {
		case err == nil && long == nil:
			return part, nil
		case err == nil:
			return append(long, part...), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, w.client.unreachable(ctx, err)
		case int64(len(long)+len(part)) > w.client.maxResponse:
			return nil, fmt.Errorf("event of %s has more than %d bytes", w.client.base, w.client.maxResponse)
		}
		long = append(long, part...)
	}
}

// receive takes one line of the stream.
func (w *watcher) receive(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("decode event of %s: %w", w.client.base, err)
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

// startReset begins a whole new state. What the watch has yielded itself it compares with that; a caller that resumed on
// its own has to be told, because only it knows what it had.
func (w *watcher) startReset(e Event) error {
	w.listed = make(map[string]bool)
	if w.options.Revision > 0 && !w.yield(e, nil) {
		return errStopped
	}
	return nil
}

// note keeps track of the services that the caller knows, so that after a reset it can be told which of them have gone.
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

// finishReset tells the caller of services that went while nobody watched, before the event that completes the state.
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
		if err := w.deliver(Event{Revision: last.Revision, More: true, Service: name}); err != nil {
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
		w.position = e.Revision
	}
	return nil
}
