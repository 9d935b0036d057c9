package catalog

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what a caller can do about them. Each protocol has one table from kinds to its own codes.
type Kind uint8

// The kinds of error. An error without a kind is KindInternal.
const (
	KindInternal    Kind = iota // a fault in Koine
	KindInvalid                 // the request can never succeed as it is
	KindNotFound                // the named thing does not exist
	KindConflict                // the state of the catalog forbids it
	KindDenied                  // the caller has no right to it
	KindNotReady                // the view has not loaded; try again soon
	KindUnavailable             // the store cannot be reached; try again
)

// String returns the kind in the form of the native API's error code.
func (k Kind) String() string {
	switch k {
	case KindInvalid:
		return "invalid"
	case KindNotFound:
		return "not_found"
	case KindConflict:
		return "conflict"
	case KindDenied:
		return "denied"
	case KindNotReady:
		return "not_ready"
	case KindUnavailable:
		return "unavailable"
	default:
		return "internal"
	}
}

// Error is an error of a known kind, with a hint for the person who reads it.
type Error struct {
	Kind Kind
	// Message names the thing and what is wrong with it: lower case, no full stop.
	Message string
	// Hint is the way out; it may be empty.
	Hint string
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ": " + e.Hint
}

// Errorf returns an Error of a kind without a hint.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of the error that carries a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	return &Error{Kind: e.Kind, Message: e.Message, Hint: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first Error in err's chain, KindInternal if there is none.
func KindOf(err error) Kind {
	var known *Error
	if errors.As(err, &known) {
		return known.Kind
	}
	return KindInternal
}
