package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/lenient"
)

// maxAnswer bounds the bytes of an engine's answer that are kept to be read a second time.
const maxAnswer = 64 << 20

// idleTimeout is the time after which an unused connection to the engine is closed.
const idleTimeout = 30 * time.Second

// answer keeps the text of an engine's answer. The client library gives up a whole answer for one value that does not fit its types,
// and engines differ in what they write: Podman's "no address" is the text "<nil>".
type answer struct {
	text bytes.Buffer
	lost bool
}

// answerKey is the key of the *answer in the context of a call.
type answerKey struct{}

// Write keeps text up to the bound.
func (a *answer) Write(text []byte) (int, error) {
	if a.lost = a.lost || a.text.Len()+len(text) > maxAnswer; !a.lost {
		a.text.Write(text)
	}
	return len(text), nil
}

// answers is a transport of HTTP that keeps those answers which a call wants to keep, while the client reads them, and corrects
// streams of events.
type answers struct {
	http.RoundTripper
	podman *atomic.Bool
}

func (a answers) RoundTrip(request *http.Request) (*http.Response, error) {
	r, err := a.RoundTripper.RoundTrip(request)
	if err != nil {
		return r, err
	}
	noteEngine(r, a.podman)
	if r.StatusCode != http.StatusOK {
		return r, nil
	}
	if strings.HasSuffix(request.URL.Path, "/events") {
		r.Body = body{newEventReader(r.Body), r.Body}
	}
	if kept, ok := request.Context().Value(answerKey{}).(*answer); ok {
		*kept = answer{} // the call may have asked for the engine's version before
		r.Body = body{io.TeeReader(r.Body, kept), r.Body}
	}
	return r, nil
}

// readLeniently returns a client of the engine at an address, which is asked for again whenever the engine has not answered. Leniently can
// read its answers again, and it keeps podman up to date.
func readLeniently(locate func() string, podman *atomic.Bool) (*negotiator, *http.Transport, error) {
	var dialer atomic.Pointer[client.Client]
	transport := &http.Transport{
		MaxIdleConns: maxInspects, IdleConnTimeout: idleTimeout,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.Load().Dialer()(ctx) }, // with TLS, if the engine wants that
	}
	reader, err := newNegotiator(func() (*client.Client, error) {
		c, err := dial(locate())
		if err != nil {
			return nil, err
		}
		dialer.Store(c)
		return client.New(client.WithAPIVersionFromEnv(), client.WithHost(c.DaemonHost()), client.WithHTTPClient(&http.Client{
			Transport: answers{transport, podman}, CheckRedirect: client.CheckRedirect,
		}))
	})
	return reader, transport, err
}

// body is a response's body that is read through something else.
type body struct {
	io.Reader
	io.Closer
}

// leniently makes a call of the engine. If the client cannot decode the answer, again is called with its text. The error is an
// *unreadableError if the answer is no JSON.
func leniently(ctx context.Context, call func(context.Context) error, again func(text []byte) error) error {
	kept := &answer{}
	err := call(context.WithValue(ctx, answerKey{}, kept))
	if err == nil || kept.lost || kept.text.Len() == 0 || ctx.Err() != nil {
		return err
	}
	fault := again(kept.text.Bytes())
	if syntax := (*json.SyntaxError)(nil); fault != nil && errors.As(err, &syntax) {
		return &unreadableError{reason: fault.Error()}
	}
	if fault != nil { // cut off: the engine may have ended
		return err
	}
	return nil
}

// inspect returns the engine's answer about a container, and the parts of it that cannot be read.
func inspect(ctx context.Context, engine Engine, id string) (c *container.InspectResponse, faults []lenient.Fault, err error) {
	c = new(container.InspectResponse)
	err = leniently(ctx, func(ctx context.Context) error {
		result, err := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		*c = result.Container
		return err
	}, func(text []byte) (err error) {
		faults, err = lenient.Unmarshal(text, c)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if reason := vitalFault(faults); reason != "" {
		return nil, nil, &unreadableError{name: containerName(c), created: c.Created, reason: reason}
	}
	if c.State == nil || c.Config == nil || c.HostConfig == nil {
		return nil, nil, &unreadableError{name: containerName(c), created: c.Created, reason: "it is incomplete"}
	}
	return c, faults, nil
}

// listed is an element of a list and the parts of it that cannot be read.
type listed[T any] struct {
	value  T
	faults []lenient.Fault
}

// listLeniently returns the elements of a list that the engine makes.
func listLeniently[T any](ctx context.Context, call func(context.Context) ([]T, error)) (items []listed[T], err error) {
	err = leniently(ctx, func(ctx context.Context) error {
		values, err := call(ctx)
		for _, value := range values {
			items = append(items, listed[T]{value: value})
		}
		return err
	}, func(text []byte) error {
		items = nil
		var elements []json.RawMessage
		if err := json.Unmarshal(text, &elements); err != nil {
			return fmt.Errorf("decode a list: %w", err)
		}
		for _, element := range elements {
			var item listed[T]
			if item.faults, err = lenient.Unmarshal(element, &item.value); err != nil {
				return err
			}
			items = append(items, item)
		}
		return nil
	})
	return items, err
}

// unreadableError says that the engine has answered about a container, and that the answer tells too little of it.
type unreadableError struct {
	// name and created are known if the answer has them.
	name, created string
	reason        string
}

func (e *unreadableError) Error() string {
	return "the engine's answer about it cannot be read: " + e.reason
}

// vital are the parts of a container without which nothing is known of it: their zero values would say that it has ended, or has
// another network.
var vital = map[string]bool{
	"": true, "Id": true, "State": true, "State.Running": true, "State.Restarting": true, "State.Dead": true, "State.Paused": true,
	"Config": true, "HostConfig": true, "HostConfig.NetworkMode": true,
}

// vitalFault returns the first of the faults in a vital part, or "".
func vitalFault(faults []lenient.Fault) string {
	for _, f := range faults {
		if vital[f.Path] {
			return strings.TrimPrefix(f.String(), ": ")
		}
	}
	return ""
}

// faultsText returns faults in one line.
func faultsText(faults []lenient.Fault) string {
	var texts []string
	for _, f := range faults[:min(len(faults), maxKeptWarnings)] {
		texts = append(texts, strings.TrimPrefix(f.String(), ": "))
	}
	return strings.Join(texts, "; ")
}

// eventReader passes on a stream of events. One that the client's type does not fit, at which the client would give up the stream,
// is replaced by the part of it that does.
type eventReader struct {
	from *json.Decoder
	next bytes.Buffer
}

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{from: json.NewDecoder(separatorsOut{r})}
}

func (r *eventReader) Read(p []byte) (int, error) {
	if r.next.Len() == 0 {
		var text json.RawMessage
		if err := r.from.Decode(&text); err != nil {
			return 0, err
		}
		var event events.Message
		if faults, err := lenient.Unmarshal(text, &event); err == nil && len(faults) > 0 {
			if text, err = json.Marshal(event); err != nil {
				return 0, err
			}
		}
		r.next.Reset()
		r.next.Write(text)
		r.next.WriteByte('\n')
	}
	return r.next.Read(p)
}

// separatorsOut makes the record separators of a JSON sequence (RFC 7464) spaces.
type separatorsOut struct{ from io.Reader }

func (s separatorsOut) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	for i, b := range p[:n] {
		if b == 0x1e {
			p[i] = ' '
		}
	}
	return n, err
}
