package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/koine-sd/koine/catalog"
)

// ours reports whether Koine wrote an answer: each of its own carries a revision. Anything else was written by a proxy, or
// by another server, and says nothing about the catalog.
func ours(header http.Header) bool {
	return revision(header) > 0 || header.Get(HeaderRevision) == "0"
}

// refusal makes an error of an answer that is not OK. Only an answer of Koine's own is about the catalog: a 404 of another
// server must not read as "no service".
func refusal(status int, header http.Header, answer []byte) error {
	var body ErrorBody
	if err := json.Unmarshal(answer, &body); err != nil || body.Error.Code == "" || !ours(header) {
		return foreign(status)
	}
	kind, known := kindOfCode(body.Error.Code)
	if !known {
		kind = kindOfStatus(status)
	}
	return body.Error.as(kind)
}

// foreign is the error of an answer that is not Koine's.
func foreign(status int) error {
	return catalog.Errorf(kindOfForeign(status), "answer %d %s", status, http.StatusText(status)).
		WithHint("is this the address of a Koine server?")
}

func (d *ErrorDetail) as(kind catalog.Kind) error {
	return &catalog.Error{Kind: kind, Message: d.Message, Hint: d.Hint}
}

func kindOfCode(code string) (catalog.Kind, bool) {
	for kind := catalog.KindInternal; kind <= catalog.KindUnavailable; kind++ {
		if kind.String() == code {
			return kind, true
		}
	}
	return catalog.KindInternal, false
}

// kindOfStatus is for codes that a newer server has.
func kindOfStatus(status int) catalog.Kind {
	switch status {
	case http.StatusNotFound:
		return catalog.KindNotFound
	case http.StatusConflict:
		return catalog.KindConflict
	case http.StatusForbidden:
		return catalog.KindDenied
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return catalog.KindUnavailable
	}
	if status >= 400 && status < 500 {
		return catalog.KindInvalid
	}
	return catalog.KindInternal
}

// kindOfForeign is KindUnavailable unless something between client and server is known to refuse the request for good.
func kindOfForeign(status int) catalog.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return catalog.KindDenied
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusRequestHeaderFieldsTooLarge:
		return catalog.KindInvalid
	default:
		return catalog.KindUnavailable
	}
}

// lateError is the error of a call that was not answered before the deadline of its context. The server may have carried
// it out. It is context.DeadlineExceeded too.
type lateError struct{ known *catalog.Error }

func (e *lateError) Error() string { return e.known.Error() }

func (e *lateError) Unwrap() error { return e.known }

func (e *lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// noName is the error of a call that names nothing.
func noName(noun string) error {
	return fmt.Errorf("name the %s: %w", noun, catalog.Errorf(catalog.KindInvalid, "empty name"))
}
