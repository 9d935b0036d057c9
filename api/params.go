package api

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Limits of what a request may ask for.
const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
	// maxValues is how often one parameter may be repeated.
	maxValues = 256
)

// params reads the request's parameters. Names that the route does not know are refused: a filter that is silently left
// out would answer more than was asked for.
func params(r *http.Request, known ...string) (url.Values, error) {
	if r.URL.RawQuery == "" && len(known) == 0 {
		return nil, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "query of the URL: %v", err)
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			err := catalog.Errorf(catalog.KindInvalid, "unknown parameter %.100q", name)
			if len(known) == 0 {
				return nil, err.WithHint("leave it out: there are none here")
			}
			return nil, err.WithHint("use %s", strings.Join(known, ", "))
		}
		if len(list) > maxValues {
			return nil, catalog.Errorf(catalog.KindInvalid, "parameter %s is there %d times: %d are allowed",
				name, len(list), maxValues)
		}
	}
	return values, nil
}

// readParams reads the parameters of a read, and makes the View fresh enough where ?consistent asks for it.
func (s *Server) readParams(r *http.Request, known ...string) (url.Values, error) {
	values, err := params(r, append(known, "consistent")...)
	if err != nil {
		return nil, err
	}
	if consistent, err := boolOf(values, "consistent"); err != nil || !consistent {
		return values, err
	}
	if s.cfg.Barrier == nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "this server has no consistent reads").WithHint("leave out ?consistent")
	}
	revision, err := s.cfg.Barrier.Barrier(r.Context())
	if err != nil {
		return nil, err
	}
	return values, s.view.WaitRevision(r.Context(), revision)
}

// boolOf reads a parameter that is true where it stands without a value.
func boolOf(values url.Values, name string) (bool, error) {
	if !values.Has(name) {
		return false, nil
	}
	switch text := values.Get(name); text {
	case "", "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	default:
		return false, catalog.Errorf(catalog.KindInvalid, "%s=%.20q is neither true nor false", name, text)
	}
}

// queryOf reads which instances of a service are wanted.
func queryOf(values url.Values) (catalog.Query, error) {
	q := catalog.Query{Tags: values["tag"]}
	switch health := values.Get("health"); health {
	case "", "healthy":
	case "passing":
		q.Health = catalog.OnlyPassing
	case "any":
		q.Health = catalog.AnyHealth
	default:
		return q, catalog.Errorf(catalog.KindInvalid, "unknown health %.20q", health).
			WithHint("use healthy, passing or any")
	}
	for _, pair := range values["meta"] {
		key, value, ok := strings.Cut(pair, ":")
		if !ok {
			return q, catalog.Errorf(catalog.KindInvalid, "meta %.100q has no colon", pair).WithHint("write it as key:value")
		}
		if q.Meta == nil {
			q.Meta = make(map[string]string)
		}
		q.Meta[key] = value
	}
	return q, nil
}

// blocking tells whether a request may wait for a change.
func blocking(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "index=") }

// await blocks a read with ?index=N while the index of what it reads is N, for the time of ?wait at most. Any other
// index is answered at once: a higher one is the change that was waited for, and a lower one tells that the store has
// been restored from an older state.
func (s *Server) await(w http.ResponseWriter, r *http.Request, values url.Values, current func() uint64,
	wait func(ctx context.Context, index uint64) (uint64, error)) error {
	index, err := numberOf(values, "index")
	if err != nil {
		return err
	}
	longest, err := waitOf(values)
	if err != nil || index == 0 || current() != index {
		return err
	}
	unhurried(w)
	s.metrics.reads.Inc()
	defer s.metrics.reads.Dec()
	waiting, release := s.waiting(r)
	defer release()
	ctx, cancel := context.WithTimeout(waiting, longest)
	defer cancel()
	if _, err := wait(ctx, index); err == nil || waiting.Err() == nil {
		return nil // it has changed, or the time is over: what there is now is the answer
	}
	return context.Cause(waiting)
}

// waitOf returns how long a read may block. A little is added at random, so that those who began together do not all
// come back together.
func waitOf(values url.Values) (time.Duration, error) {
	wait := defaultWait
	if text := values.Get("wait"); text != "" {
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed <= 0 {
			return 0, catalog.Errorf(catalog.KindInvalid, "wait %.20q is not a duration above zero", text).
				WithHint("write it as 30s or 5m")
		}
		wait = min(parsed, maxWait)
	}
	return wait + rand.N(wait/16+1), nil
}

func numberOf(values url.Values, name string) (uint64, error) {
	text := values.Get(name)
	if text == "" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, catalog.Errorf(catalog.KindInvalid, "%s %.30q is not a number", name, text)
	}
	return number, nil
}

// unhurried lifts the deadlines that the HTTP server may have set for requests that are answered at once.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	// Not every writer has deadlines, and one without needs none lifted.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
}
