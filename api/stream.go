package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// stream writes the events of a watch, as NDJSON or as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	sse     bool
	// head is reused for the beginning of each event.
	head []byte
}

// wantsSSE tells whether the client asked for server-sent events.
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

// event writes the state of a service, given as the tail of its body. The revision becomes the id from which an
// EventSource resumes, unless more of it is to come.
func (s *stream) event(revision uint64, more bool, tail []byte) error {
	s.head = s.head[:0]
	if s.sse {
		if !more {
			s.head = append(strconv.AppendUint(append(s.head, "id: "...), revision, 10), '\n')
		}
		s.head = append(s.head, "data: "...)
	}
	s.head = strconv.AppendUint(append(s.head, `{"revision":`...), revision, 10)
	if more {
		s.head = append(s.head, `,"more":true`...)
	}
	s.head = append(s.head, ',')
	return s.write(s.head, tail)
}

// progress tells that nothing is missing up to a revision; it is the sign of life, too.
func (s *stream) progress(revision uint64) error {
	s.head = s.head[:0]
	if s.sse {
		// A block without data moves the id on and is no event to the page.
		s.head = strconv.AppendUint(append(s.head, ": alive\nid: "...), revision, 10)
		return s.write(s.head, []byte("\n"))
	}
	s.head = append(strconv.AppendUint(append(s.head, `{"revision":`...), revision, 10), "}\n"...)
	return s.write(s.head, nil)
}

// reset tells that the watch could not be resumed: what does not follow has gone.
func (s *stream) reset(revision uint64) error {
	s.head = s.head[:0]
	if s.sse {
		s.head = append(s.head, "event: reset\ndata: "...)
	}
	s.head = strconv.AppendUint(append(s.head, `{"revision":`...), revision, 10)
	return s.write(append(s.head, `,"reset":true`...), []byte("}\n"))
}

// write writes one line, and for server-sent events the empty one that ends a block. A reader that takes none of it in
// time ends the watch.
func (s *stream) write(head, tail []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout)) // not every writer has deadlines
	if _, err := s.w.Write(head); err != nil {
		return err
	}
	if _, err := s.w.Write(tail); err != nil || !s.sse {
		return err
	}
	_, err := s.w.Write([]byte("\n"))
	return err
}

func (s *stream) flush() error { return s.control.Flush() }
