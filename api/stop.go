package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// errStopping is the error of a request that comes while the server stops, or that waits then.
var errStopping = catalog.Errorf(catalog.KindUnavailable, "this server is stopping").
	WithHint("try again, or ask another server")

// errCut is returned by a handler whose answer must not look complete: serve aborts the connection.
var errCut = errors.New("answer cut off")

// Stop makes the server refuse new requests, and those that wait for a change, with 503, and ends watches so that they do
// not look complete. Requests that it has taken before are finished and answered.
func (s *Server) Stop() { s.stop() }

func (s *Server) stopping() bool { return s.stopped.Err() != nil }

// waiting returns a context for a request that waits: it ends with the request, and when the server stops. Its cause is
// errStopping then.
func (s *Server) waiting(r *http.Request) (ctx context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(r.Context())
	release := context.AfterFunc(s.stopped, func() { end(errStopping) })
	return ctx, func() { release(); end(nil) }
}

// lastWords bounds the time to write a stream's last line when the server stops.
const lastWords = 200 * time.Millisecond
