package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// statusOf is the one table from kinds of error to HTTP's codes.
func statusOf(kind catalog.Kind) int {
	switch kind {
	case catalog.KindInvalid:
		return http.StatusBadRequest
	case catalog.KindNotFound:
		return http.StatusNotFound
	case catalog.KindConflict:
		return http.StatusConflict
	case catalog.KindDenied:
		return http.StatusForbidden
	case catalog.KindNotReady, catalog.KindUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// statusError is an error for which HTTP has a more telling code than its kind's.
type statusError struct {
	status int
	err    *catalog.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// statusClientGone is the status in the metrics for requests whose client did not wait for the answer.
const statusClientGone = 499

// refuse answers a request with an error, and returns the code for the metrics. It always writes: what a handler leaves
// unanswered is 200 to net/http, and the client may have closed only its own half of the connection.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) int {
	status, shown := s.describe(r, err)
	h := w.Header()
	if h[client.HeaderRevision] == nil { // the mark of an answer of Koine's
		h[client.HeaderRevision] = s.revisionHeader(s.view.Revision())
	}
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if s.stopping() || status == http.StatusRequestTimeout {
		h.Set("Connection", "close")
	}
	h["Content-Type"] = s.jsonType
	w.WriteHeader(status)
	body := errorBody(shown)
	var content any = body
	if own, ok := errors.AsType[*unready](err); ok {
		content = struct {
			client.ErrorBody
			client.Health
		}{body, own.state}
	}
	_ = json.NewEncoder(w).Encode(content) // the client may have gone
	if r.Context().Err() != nil && !s.stopping() {
		return statusClientGone
	}
	return status
}

func errorBody(err *catalog.Error) client.ErrorBody {
	return client.ErrorBody{Error: client.ErrorDetail{Code: err.Kind.String(), Message: err.Message, Hint: err.Hint}}
}

// describe returns the code of an error and what the client sees of it. An internal error is logged, and its details stay in
// the log.
func (s *Server) describe(r *http.Request, err error) (status int, shown *catalog.Error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = catalog.Errorf(catalog.KindUnavailable, "no answer in time").WithHint("try again")
	}
	if !errors.As(err, &shown) || shown.Kind == catalog.KindInternal {
		s.log.Error("answer request", "method", r.Method, "path", r.URL.Path, "err", err)
		return http.StatusInternalServerError, catalog.Errorf(catalog.KindInternal, "internal error").
			WithHint("the server's log has the reason")
	}
	status = statusOf(shown.Kind)
	var special *statusError
	if errors.As(err, &special) {
		status = special.status
	}
	return status, shown
}
