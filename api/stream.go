package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// stream writes the events of a watch, as NDJSON or as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	sse     bool

	mu sync.Mutex // guards hurried, and the deadline that goes with it
	// hurried is set once the stream must end: no later deadline is set any more.
	hurried bool

	// head is reused for the beginning of each event.
	head []byte
}

// wantsSSE reports whether the client asked for server-sent events.
func wantsSSE(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

func newStream(w http.ResponseWriter, sse bool, timeout time.Duration) *stream {
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	if sse {
		h.Set("Content-Type", "text/event-stream")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that know it pass events on as they come
	unhurried(w)
	return &stream{w: w, control: http.NewResponseController(w), timeout: timeout, sse: sse}
}

// event writes the state of a service, given as the tail of its body. The id is what an EventSource resumes from, unless more
// of its revision is to come.
func (s *stream) event(id catalog.Position, more bool, tail []byte) error {
	s.head = s.head[:0]
	if s.sse {
		if !more {
			s.head = append(append(append(s.head, "id: "...), id.String()...), '\n')
		}
		s.head = append(s.head, "data: "...)
	}
	s.head = appendRevision(s.head, id)
	if more {
		s.head = append(s.head, `,"more":true`...)
	}
	s.head = append(s.head, ',')
	return s.write(s.head, tail)
}

// appendRevision begins a line.
func appendRevision(line []byte, id catalog.Position) []byte {
	line = append(append(append(line, `{"id":"`...), id.String()...), `","revision":`...)
	return strconv.AppendUint(line, id.Revision, 10)
}

// progress writes the revision up to which nothing is missing. It is the sign of life, too.
func (s *stream) progress(id catalog.Position) error {
	s.head = s.head[:0]
	if s.sse {
		// A block without data moves the id on and is no event to the page.
		s.head = append(append(s.head, ": alive\nid: "...), id.String()...)
		return s.write(s.head, []byte("\n"))
	}
	s.head = append(appendRevision(s.head, id), "}\n"...)
	return s.write(s.head, nil)
}

// reset writes that the watch could not be resumed: services that do not follow have gone.
func (s *stream) reset(id catalog.Position) error {
	s.head = s.head[:0]
	if s.sse {
		s.head = append(s.head, "event: reset\ndata: "...)
	}
	s.head = appendRevision(s.head, id)
	return s.write(append(s.head, `,"reset":true`...), []byte("}\n"))
}

// write writes one line, and for server-sent events the empty one that ends a block. A reader that takes none of it in
// time ends the watch.
func (s *stream) write(head, tail []byte) error {
	s.arm()
	if _, err := s.w.Write(head); err != nil {
		return err
	}
	if _, err := s.w.Write(tail); err != nil || !s.sse {
		return err
	}
	_, err := s.w.Write([]byte("\n"))
	return err
}

// arm gives the client time to take the next line.
func (s *stream) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hurried {
		_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout)) // not every writer has deadlines
	}
}

// hurry ends a write that is under way, and leaves little time for further ones: the stream is to end.
func (s *stream) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurried = true
	_ = s.control.SetWriteDeadline(time.Now().Add(lastWords))
}

// cut ends a stream that has no end of its own, so that its end cannot be taken for one: with a line that names the
// reason, where the server has one, and then by aborting the connection, for which it returns errCut.
func (s *stream) cut(ctx context.Context) error {
	var reason *catalog.Error
	if !errors.As(context.Cause(ctx), &reason) {
		return errCut
	}
	s.hurry()
	line, err := json.Marshal(errorBody(reason))
	if err != nil {
		return err
	}
	head := ""
	if s.sse {
		head = "event: end\ndata: "
	}
	if s.write([]byte(head), append(line, '\n')) == nil {
		_ = s.flush() // the client may have gone
	}
	return errCut
}

func (s *stream) flush() error { return s.control.Flush() }
