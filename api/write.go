package api

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// piece is the part of an answer, in bytes, that a client must read within one WriteTimeout. Shorter answers have the deadline
// of the request.
const piece = 64 << 10

// write answers with bytes that are JSON.
func (s *Server) write(w http.ResponseWriter, encoded []byte) {
	h := w.Header()
	h["Content-Type"] = s.jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(encoded))}
	s.deliver(w, encoded)
}

// writeJSON answers with a value.
func (s *Server) writeJSON(w http.ResponseWriter, value any) error {
	var buffer bytes.Buffer
	if err := newEncoder(&buffer).Encode(value); err != nil {
		return err
	}
	s.write(w, buffer.Bytes())
	return nil
}

// deliver writes an answer's body. An error means that the client has gone or reads nothing, and needs no action.
func (s *Server) deliver(w http.ResponseWriter, b []byte) {
	if len(b) <= piece {
		_, _ = w.Write(b)
		return
	}
	_, _ = s.paced(w).Write(b)
}

// paced returns a writer with a deadline for each piece of a long answer instead of one for the whole: a slow client gets all
// of it, and a client that reads nothing loses its connection.
func (s *Server) paced(w http.ResponseWriter) *pacedWriter {
	return &pacedWriter{w, http.NewResponseController(w), s.cfg.WriteTimeout}
}

type pacedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (p *pacedWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout)) // not every writer has deadlines
		var n int
		n, err = p.w.Write(b[:min(len(b), piece)])
		written, b = written+n, b[n:]
	}
	return written, err
}

// hurried sets the deadline of an answer again that unhurried has lifted.
func (s *Server) hurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // as above
}
