package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// fakeServer keeps one instance in memory, with its registrant, and answers without a network.
type fakeServer struct {
	mu     sync.Mutex
	holder string   // the registrant of the instance; empty without one
	got    []string // the operations, with the time since begin
	begin  time.Time
	// intercept, if set, sees each operation first: "register", "renew" or "deregister". It returns an answer, or an error
	// in place of one, or neither to leave the operation to the server.
	intercept func(r *http.Request, operation string) (*http.Response, error)
}

func newFakeServer() *fakeServer { return &fakeServer{begin: time.Now()} }

func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	operation := "register"
	switch {
	case r.Method == http.MethodDelete:
		operation = "deregister"
	case strings.HasSuffix(r.URL.Path, "/renew"):
		operation = "renew"
	}
	s.mu.Lock()
	s.got = append(s.got, operation+" "+time.Since(s.begin).String())
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil {
		if response, err := intercept(r, operation); response != nil || err != nil {
			return response, err
		}
	}
	return s.take(r, operation), nil
}

// take carries an operation out.
func (s *fakeServer) take(r *http.Request, operation string) *http.Response {
	connected(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	registrant := r.Header.Get(client.HeaderRegistrant)
	switch {
	case operation == "register":
		s.holder = registrant
	case s.holder == "":
		return answer(http.StatusNotFound, `{"error":{"code":"not_found","message":"no instance same"}}`)
	case s.holder != registrant:
		return answer(http.StatusConflict, `{"error":{"code":"conflict","message":"it is that of `+s.holder+`"}}`)
	case operation == "deregister":
		s.holder = ""
	}
	return answer(http.StatusOK, `{"revision": 7}`)
}

// connected tells the client that the request has a connection.
func connected(r *http.Request) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
}

func answer(status int, body string) *http.Response {
	header := http.Header{client.HeaderRevision: {"7"}}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func (s *fakeServer) held() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder
}

// hold gives the instance to a registrant; to none as if its lease had ended.
func (s *fakeServer) hold(registrant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holder = registrant
}

func (s *fakeServer) operations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// keeper returns a keeper of the instance, and what it says.
func (s *fakeServer) keeper(t *testing.T, registrant string, ttl time.Duration) (*keeper, *bytes.Buffer) {
	t.Helper()
	c, err := client.New(client.Config{HTTPClient: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	said := new(bytes.Buffer)
	cmd := &cobra.Command{}
	cmd.SetErr(said)
	return &keeper{cmd: cmd, client: c, registrant: registrant, registration: catalog.Registration{Instance: catalog.Instance{
		ID: "same", Service: "web", Owner: catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(ttl)},
	}}}, said
}

// once intercepts the first operation of a kind.
func once(operation string, do func(r *http.Request) (*http.Response, error)) func(*http.Request, string) (*http.Response, error) {
	done := false
	return func(r *http.Request, got string) (*http.Response, error) {
		if done || got != operation {
			return nil, nil
		}
		done = true
		return do(r)
	}
}

// TestLostAnswer holds that an instance whose registration was never answered is not taken back from one that registered
// it later, and is registered once that one has gone.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.intercept = once("register", func(r *http.Request) (*http.Response, error) {
			server.take(r, "register")
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		older, _ := server.keeper(t, "older", 30*time.Second)
		older.start(t.Context())
		synctest.Wait()
		newer, saidNewer := server.keeper(t, "newer", 30*time.Second)
		newer.start(t.Context())
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := server.held(); got != "newer" || saidNewer.Len() > 0 {
			t.Errorf("held by %s, newer said %q, operations %q", got, saidNewer, server.operations())
		}
		<-newer.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := server.held(); got != "older" {
			t.Errorf("held by %q after the newer one's end", got)
		}
		<-older.stop()
	})
}

// TestContinued holds that an instance that was taken out, as by Ctrl-Z, is left to one that registered its id meanwhile.
func TestContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		older, saidOlder := server.keeper(t, "older", 30*time.Second)
		older.start(t.Context())
		synctest.Wait()
		<-older.stop()
		older.start(t.Context())
		synctest.Wait()
		if got := server.held(); got != "older" {
			t.Fatalf("continued, held by %q", got)
		}
		<-older.stop()
		newer, _ := server.keeper(t, "newer", 30*time.Second)
		newer.start(t.Context())
		synctest.Wait()
		older.start(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := server.held(); got != "newer" {
			t.Errorf("held by %q", got)
		}
		if want := "koine: it is that of newer: the command goes on, and is not registered again\n"; saidOlder.String() != want {
			t.Errorf("said %q, want %q", saidOlder, want)
		}
		<-older.stop()
		<-newer.stop()
	})
}

// TestUnsentRegistration holds that a registration which cannot have been made does not count: the remains of a killed
// process are replaced although the server was away, or not ready, at first.
func TestUnsentRegistration(t *testing.T) {
	for name, first := range map[string]func(*http.Request) (*http.Response, error){
		"away": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"not ready": func(r *http.Request) (*http.Response, error) {
			connected(r)
			return answer(http.StatusServiceUnavailable, `{"error":{"code":"not_ready","message":"not ready"}}`), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newFakeServer()
				server.hold("killed")
				server.intercept = once("register", first)
				k, _ := server.keeper(t, "restarted", time.Hour)
				k.start(t.Context())
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := server.held(); got != "restarted" {
					t.Errorf("held by %q, operations %q", got, server.operations())
				}
				<-k.stop()
			})
		})
	}
}

// TestLostLease holds that an instance whose lease has ended is registered again.
func TestLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		k, said := server.keeper(t, "older", 30*time.Second)
		k.start(t.Context())
		synctest.Wait()
		server.hold("")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := server.held(); got != "older" || said.Len() > 0 {
			t.Errorf("held by %q, said %q", got, said)
		}
		<-k.stop()
	})
}

// TestFailedRegistrationIsTriedSoon holds that after a failure the TTL does not define the pause.
func TestFailedRegistrationIsTriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, failures := newFakeServer(), 0
		server.intercept = func(*http.Request, string) (*http.Response, error) {
			if failures++; failures <= 5 {
				return nil, errors.New("connection refused")
			}
			return nil, nil
		}
		k, _ := server.keeper(t, "older", time.Hour)
		k.start(t.Context())
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		want := []string{"register 0s", "register 1s", "register 3s", "register 7s", "register 12s", "register 17s", "renew 20m17s"}
		if got := server.operations(); !slices.Equal(got, want) {
			t.Errorf("operations %q, want %q", got, want)
		}
		<-k.stop()
	})
}

func TestPauseAfter(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 1000: 5 * time.Second} {
		if got := pauseAfter(failures); got != want {
			t.Errorf("%v after %d failures, want %v", got, failures, want)
		}
	}
}

// TestStopWithinOneDeadline holds that a server that hangs delays a signal for the command once, not once for each call.
func TestStopWithinOneDeadline(t *testing.T) {
	for _, hanging := range []string{"register", "renew", "none"} {
		t.Run(hanging, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newFakeServer()
				k, said := server.keeper(t, "older", 3*time.Second)
				server.intercept = func(r *http.Request, operation string) (*http.Response, error) {
					if operation == "register" && hanging != "register" {
						return nil, nil
					}
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				k.start(t.Context())
				if hanging == "renew" {
					time.Sleep(1500 * time.Millisecond) // half a second after it began
				}
				synctest.Wait()
				begin := time.Now()
				done := k.stop()
				<-done
				if got := time.Since(begin); got != writeTimeout {
					t.Errorf("it took %v, want %v; operations %q", got, writeTimeout, server.operations())
				}
				if strings.Contains(said.String(), context.Canceled.Error()) {
					t.Errorf("said %q", said)
				}
				if got := server.operations(); !strings.HasPrefix(got[len(got)-1], "deregister") {
					t.Errorf("operations %q", got)
				}
			})
		})
	}
}
