package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

// Pauses between two attempts to connect to a stream, and the silence after which a connection counts as dead: a server
// sends a line every 15 seconds.
const (
	minPause       = 100 * time.Millisecond
	maxPause       = 5 * time.Second
	defaultSilence = time.Minute
)

// errStopped means that the caller has stopped the iteration.
var errStopped = errors.New("watch stopped")

// stream reads a long response line by line, and connects again when it breaks.
type stream struct {
	client  *Client
	path    string
	silence time.Duration
	// values returns the parameters of the next attempt.
	values func() url.Values
	// receive takes one line; it returns errStopped when the caller has stopped the iteration.
	receive func(line []byte) error
	// fail yields an error to the caller; it returns false when the caller has stopped the iteration.
	fail  func(error) bool
	pause time.Duration
}

func (s *stream) run(ctx context.Context) {
	for {
		err := s.connection(ctx)
		if errors.Is(err, errStopped) {
			return
		}
		if ctx.Err() != nil {
			s.fail(ctx.Err())
			return
		}
		if !s.fail(err) || !passes(err) {
			return
		}
		if !s.rest(ctx) {
			s.fail(ctx.Err())
			return
		}
	}
}

// passes reports whether an error may go away by itself.
func passes(err error) bool {
	switch catalog.KindOf(err) {
	case catalog.KindInvalid, catalog.KindDenied, catalog.KindNotFound:
		return false
	default:
		return true
	}
}

// rest pauses before the next attempt, longer each time until an attempt succeeds. Its length is random by half, so that
// the clients of a server that comes back do not come all at once.
func (s *stream) rest(ctx context.Context) bool {
	s.pause = min(max(2*s.pause, minPause), maxPause)
	return pause.For(ctx, s.pause/2+rand.N(s.pause/2+1))
}

// connection connects once and takes lines until the connection ends.
func (s *stream) connection(ctx context.Context) error {
	silence := s.silence
	if silence <= 0 {
		silence = defaultSilence
	}
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := startAlarm(silence, func() {
		cancel(catalog.Errorf(catalog.KindUnavailable, "watch of %s fell silent", s.client.base))
	})
	defer alarm.listen(false)
	err := s.attempt(attempt, alarm.listen)
	if cause := context.Cause(attempt); cause != nil && ctx.Err() == nil && !errors.Is(err, errStopped) {
		return cause
	}
	return err
}

// attempt calls listen with true before it waits for a line, and with false before it hands one over: however long the caller takes
// for that, it is not the server that is silent.
func (s *stream) attempt(ctx context.Context, listen func(waits bool)) error {
	response, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		line, err := s.line(ctx, lines)
		if err != nil {
			return err
		}
		listen(false)
		s.pause = 0
		if err := s.receive(line); err != nil {
			return err
		}
		listen(true)
	}
}

func (s *stream) connect(ctx context.Context) (*http.Response, error) {
	response, err := s.client.send(ctx, http.MethodGet, s.path, s.values(), nil, "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK && ours(response.Header) {
		return response, nil
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil, foreign(response.StatusCode)
	}
	answer, err := s.client.read(ctx, response)
	if err != nil {
		return nil, err
	}
	return nil, refusal(response.StatusCode, response.Header, answer)
}

// decodeLine decodes a line of a stream, which is one JSON object. A line with the reason why the stream ends is an error.
func (c *Client) decodeLine(line []byte, into any) error {
	var end struct {
		Error *ErrorDetail `json:"error"`
	}
	if bytes.HasPrefix(line, []byte(`{"error":`)) && json.Unmarshal(line, &end) == nil && end.Error != nil {
		kind, known := kindOfCode(end.Error.Code)
		if !known {
			kind = catalog.KindUnavailable
		}
		return end.Error.as(kind)
	}
	err := json.Unmarshal(line, into)
	if err == nil && line[0] != '{' {
		err = errors.New("not an object")
	}
	if err != nil {
		return fmt.Errorf("decode event of %s: %w", c.server(), err)
	}
	return nil
}

// line reads one line of bounded length.
func (s *stream) line(ctx context.Context, r *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		switch {
		case err == nil && long == nil:
			return part, nil
		case err == nil:
			return append(long, part...), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, s.client.unreachable(ctx, err)
		case int64(len(long)+len(part)) > s.client.maxResponse:
			return nil, fmt.Errorf("event of %s has more than %d bytes", s.client.base, s.client.maxResponse)
		}
		long = append(long, part...)
	}
}
