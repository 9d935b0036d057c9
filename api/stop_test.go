package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func wantStopping(t *testing.T, what string, code int, header http.Header, body string) {
	t.Helper()
	if code != 503 || header.Get("Retry-After") == "" || header.Get("Connection") != "close" ||
		!strings.Contains(body, `"code":"unavailable","message":"this server is stopping"`) {
		t.Errorf("%s: %d %v %q", what, code, header, body)
	}
}

// Every read that can block is refused when the server stops, and so is whatever comes after that.
func TestStopRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		blocked := map[string]func() bool{}
		answers := map[string]*httptest.ResponseRecorder{}
		for _, path := range []string{
			"/services?index=10", "/services/web?index=10", "/services/nope?index=10", "/nodes?index=10", "/nodes/n1?index=10",
		} {
			answers[path], blocked[path] = start(t.Context(), s, path)
			if blocked[path]() {
				t.Fatalf("%s does not block: %s", path, answers[path].Body)
			}
		}
		s.Stop()
		for path, answered := range blocked {
			if !answered() {
				t.Errorf("%s still blocks", path)
			}
			wantStopping(t, path, answers[path].Code, answers[path].Header(), answers[path].Body.String())
		}
		for _, route := range routes() {
			w := httptest.NewRecorder()
			path := root + strings.NewReplacer("{", "", "}", "").Replace(route.path)
			s.Handler().ServeHTTP(w, httptest.NewRequest(route.method, path, strings.NewReader("{}")))
			wantStopping(t, route.method+" "+path, w.Code, w.Header(), w.Body.String())
		}
		if len(f.calls) > 0 {
			t.Errorf("calls %v after the stop", f.calls)
		}
	})
}

// slow is a registrar that holds a registration up until it is let go.
type slow struct {
	*store
	begun, free chan struct{}
}

func (s *slow) Register(ctx context.Context, r catalog.Registration) (uint64, error) {
	close(s.begun)
	select {
	case <-s.free:
		return s.store.Register(ctx, r)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// A write that was taken is finished after the stop, and answered as it ended.
func TestStopFinishesWrites(t *testing.T) {
	for name, test := range map[string]struct {
		finish func(s *slow, cancel func())
		code   int
	}{
		"in time":     {func(s *slow, _ func()) { close(s.free) }, 200},
		"not in time": {func(_ *slow, cancel func()) { cancel() }, 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			registrar := &slow{begun: make(chan struct{}), free: make(chan struct{})}
			f, s := newOffline(t, func(c *Config) {
				registrar.store = c.Registrar.(*store)
				c.Registrar = registrar
			})
			requests, cancel := context.WithCancel(t.Context())
			defer cancel()
			w, done := httptest.NewRecorder(), make(chan struct{})
			go func() {
				defer close(done)
				body := strings.NewReader(`{"service":"web","permanent":true}`)
				s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(requests, "PUT", root+"/instances/x", body))
			}()
			<-registrar.begun
			s.Stop()
			synctest.Wait()
			if w.Body.Len() > 0 {
				t.Fatalf("%s: answered %s before it was finished", name, w.Body)
			}
			test.finish(registrar, cancel)
			<-done
			if w.Code != test.code || w.Body.Len() == 0 {
				t.Errorf("%s: %d %q, want %d", name, w.Code, w.Body, test.code)
			}
			if kept := f.view.Instance("n1", "x") != nil; kept != (test.code == 200) {
				t.Errorf("%s: kept is %t", name, kept)
			}
		})
	}
}

// A stream ends with a line that is no event, and without the end of an answer.
func TestStopCutsStreams(t *testing.T) {
	const reason = `{"error":{"code":"unavailable","message":"this server is stopping","hint":"try again, or ask another server"}}` + "\n"
	for _, path := range []string{"/watch", "/watch?service=web", "/events?follow"} {
		for accept, want := range map[string]string{"": reason, "text/event-stream": "event: end\ndata: " + reason + "\n"} {
			synctest.Test(t, func(t *testing.T) {
				_, s := newOffline(t)
				r := &reader{}
				ended := open(t, s, path, r, "Accept", accept)
				if r.take() == "" {
					t.Fatalf("%s says nothing", path)
				}
				s.Stop()
				<-ended
				if got := r.take(); got != want || !r.aborted {
					t.Errorf("%s ends with %q, aborted is %t; want %q", path, got, r.aborted, want)
				}
			})
		}
	}
}

// A client over a real connection sees that a stream was cut, with and without chunks.
func TestStopCutsConnections(t *testing.T) {
	b := newBed(t)
	response, err := b.http.Client().Get(b.http.URL + root + "/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := json.NewDecoder(response.Body)
	var first client.Event
	if err := lines.Decode(&first); err != nil {
		t.Fatal(err)
	}
	b.server.Stop()
	rest, err := io.ReadAll(io.MultiReader(lines.Buffered(), response.Body))
	if err == nil || !strings.HasSuffix(string(rest), "or ask another server\"}}\n") {
		t.Errorf("%v after %q; want a last line and an error", err, rest)
	}
	for _, err := range b.client.Watch(t.Context(), client.WatchOptions{}) {
		if catalog.KindOf(err) != catalog.KindUnavailable {
			t.Errorf("the client gets %v", err)
		}
		break
	}
}

// A stream whose client has gone, or takes nothing, is aborted, too: it has no end that would be one.
func TestStreamsHaveNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r := &reader{}
		ended := open(t, s, "/watch", r)
		r.take()
		r.breakWith(io.ErrClosedPipe)
		f.apply(instanceChange(instance("web", "z")))
		if <-ended; !r.aborted {
			t.Error("a watch whose reader is gone has ended like an answer")
		}
		r = &reader{}
		if ended := open(t, s, "/events", r); true {
			if <-ended; r.aborted {
				t.Error("the events until now are not a whole answer")
			}
		}
	})
}
