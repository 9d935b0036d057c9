package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// Limits of a request's body.
const (
	maxBody     = 1 << 20  // bytes of a body
	maxNodeBody = 16 << 20 // bytes of the body that holds a node's whole state
	// prompt is the longest body for which a buffer is made before any of it has arrived.
	prompt = 64 << 10
)

// readBody reads a request's whole body. A body whose stated length is too large is refused before a byte of it is read.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, &statusError{
			status: http.StatusUnsupportedMediaType,
			err: catalog.Errorf(catalog.KindInvalid, "content encoding %.30q is not supported", encoding).
				WithHint("send the body as it is"),
		}
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	if 0 < r.ContentLength && r.ContentLength <= prompt { // its length is kept to by net/http
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, badBody(err, limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	return body, badBody(err, limit)
}

// noBody refuses a request that has a body, on a route that takes none.
func noBody(r *http.Request) error {
	if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n == 0 { // chunked, and empty
		return nil
	}
	return catalog.Errorf(catalog.KindInvalid, "a %s of this path has no body", r.Method).WithHint("leave the body out")
}

// badBody gives an error of reading a body its code.
func badBody(err error, limit int64) error {
	switch _, beyond := errors.AsType[*http.MaxBytesError](err); {
	case err == nil:
		return nil
	case beyond:
		return tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &statusError{
			status: http.StatusRequestTimeout,
			err:    catalog.Errorf(catalog.KindUnavailable, "the body did not come in time").WithHint("send it faster"),
		}
	default:
		return catalog.Errorf(catalog.KindInvalid, "read body: %v", err)
	}
}

func tooLarge(limit int64) error {
	return &statusError{
		status: http.StatusRequestEntityTooLarge,
		err:    catalog.Errorf(catalog.KindInvalid, "body has more than %d bytes", limit),
	}
}
