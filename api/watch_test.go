package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// reader is the client's end of a watch within a bubble.
type reader struct {
	mu     sync.Mutex
	header http.Header
	buffer bytes.Buffer
	// gate is nil for a reader that takes everything at once; otherwise each write waits for a value.
	gate chan struct{}
	fail error
	// aborted reports whether the server has aborted the connection; it may be read once the watch has ended.
	aborted bool
}

// aborts reports whether a handler panicked to abort its connection; any other panic goes on.
func aborts(panicked any) bool {
	if err, ok := panicked.(error); panicked != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
		panic(panicked)
	}
	return panicked != nil
}

func (r *reader) Header() http.Header { return r.header }
func (r *reader) WriteHeader(int)     {}
func (r *reader) Flush()              {}
func (r *reader) Write(p []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return 0, r.fail
	}
	return r.buffer.Write(p)
}

// take returns what has come since the last call, once the server has nothing more to do.
func (r *reader) take() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.buffer.String()
	r.buffer.Reset()
	return text
}

func (r *reader) breakWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// open starts a watch that ends with the bubble's test.
func open(t *testing.T, s *Server, path string, r *reader, header ...string) (ended <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.header = http.Header{}
	request := httptest.NewRequestWithContext(ctx, "GET", root+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	go func() {
		defer close(done)
		defer func() { r.aborted = aborts(recover()) }()
		s.Handler().ServeHTTP(r, request)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return done
}

// brief shortens events to "revision service ids" with a + for more.
func brief(t *testing.T, ndjson string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(ndjson) {
		var e client.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		text := fmt.Sprint(e.Revision)
		if e.More {
			text += "+"
		}
		if e.Reset {
			text += " reset"
		}
		if e.Service != "" {
			text += " " + e.Service + "[" + ids(t, line) + "]"
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, ", ")
}

func remove(id string) catalog.Change {
	return catalog.Change{Type: catalog.RecordInstance, Name: "n1", ID: id}
}

func TestWatch(t *testing.T) {
	web2 := instanceChange(instance("web", "z"))
	for name, test := range map[string]struct {
		path, first string
		steps       []catalog.Change
		want        []string
	}{
		"all services": {
			"/watch", "10+ db[c], 10 web[a]",
			[]catalog.Change{web2, instanceChange(instance("new", "n")), remove("n")},
			[]string{"11 web[a z]", "12 new[n]", "13 new[]"},
		},
		"one service is not woken by others": {
			"/watch?service=WEB&service=web", "10 web[a]",
			[]catalog.Change{instanceChange(instance("db", "d")), web2, remove("a"), remove("z")},
			[]string{"", "12 web[a z]", "13 web[z]", "14 web[]"},
		},
		"a service that is not there yet": {
			"/watch?service=new", "10 new[]",
			[]catalog.Change{web2, instanceChange(instance("new", "n"))},
			[]string{"", "12 new[n]"},
		},
		"the same content twice is one event": {
			"/watch?service=web", "10 web[a]",
			[]catalog.Change{
				checkChange(check("z:1", "z", catalog.Critical)), web2, // critical from the start
				checkChange(check("z:1", "z", catalog.Passing)),
			},
			[]string{"", "", "13 web[a z]"},
		},
		"outputs are no event": {
			"/watch?service=web&health=any", "10 web[a]",
			[]catalog.Change{checkChange(check("a:1", "a", catalog.Passing)), func() catalog.Change {
				c := check("a:1", "a", catalog.Passing)
				c.Output = "other"
				return checkChange(c)
			}()},
			[]string{"11 web[a]", ""},
		},
		"a tag": {
			"/watch?tag=blue", "10 web[a]",
			[]catalog.Change{web2, instanceChange(instance("db", "d", "blue")), instanceChange(instance("db", "d"))},
			[]string{"", "12 db[d]", "13 db[]"},
		},
		"resumed":                       {"/watch?revision=10", "10", []catalog.Change{web2}, []string{"11 web[a z]"}},
		"resumed, one service":          {"/watch?service=web&revision=10", "10", []catalog.Change{web2}, []string{"11 web[a z]"}},
		"resumed from too long ago":     {"/watch?revision=3", "10 reset, 10+ db[c], 10 web[a]", nil, nil},
		"resumed from before a restore": {"/watch?revision=99", "10 reset, 10+ db[c], 10 web[a]", nil, nil},
		"resumed, then a service went": {
			"/watch?revision=10", "10", []catalog.Change{remove("a")}, []string{"11 web[]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newOffline(t)
				r := &reader{}
				open(t, s, test.path, r)
				if got := brief(t, r.take()); got != test.first {
					t.Fatalf("first: %s, want %s", got, test.first)
				}
				for i, change := range test.steps {
					f.apply(change)
					if got := brief(t, r.take()); got != test.want[i] {
						t.Errorf("step %d: %q, want %q", i, got, test.want[i])
					}
				}
			})
		})
	}
}

// A watch that goes on from a revision gets what it missed, and nothing else.
func TestWatchResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		f.apply(instanceChange(instance("web", "z")))
		f.apply(instanceChange(instance("new", "n")), instanceChange(instance("api", "n2")))
		for _, test := range []struct{ path, want string }{
			{"/watch?revision=10", "12+ api[n2], 12+ new[n], 12 web[a z]"},
			{"/watch?revision=11", "12+ api[n2], 12 new[n]"},
			{"/watch?revision=12", "12"},
			{"/watch?revision=11&service=web&service=new", "12 new[n]"},
		} {
			r := &reader{}
			open(t, s, test.path, r)
			if got := brief(t, r.take()); got != test.want {
				t.Errorf("%s: %s, want %s", test.path, got, test.want)
			}
		}
	})
}

func TestWatchHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r, page := &reader{}, &reader{}
		open(t, s, "/watch?service=web", r)
		open(t, s, "/watch?service=web", page, "Accept", "text/event-stream")
		r.take()
		page.take()
		f.apply(instanceChange(instance("db", "d")))
		if got := r.take(); got != "" {
			t.Fatalf("woken: %s", got)
		}
		time.Sleep(15 * time.Second) // the bubble's clock
		if got := r.take(); got != `{"id":"11","revision":11}`+"\n" {
			t.Errorf("heartbeat %q", got)
		}
		if got := page.take(); got != ": alive\nid: 11\n\n" {
			t.Errorf("heartbeat of server-sent events %q", got)
		}
	})
}

// Nothing is queued for a slow reader: when it reads again it gets the present state.
func TestWatchSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r := &reader{gate: make(chan struct{})}
		open(t, s, "/watch?service=web", r)
		synctest.Wait() // the watch is stuck in its first write
		for i := range 1000 {
			f.apply(instanceChange(instance("web", fmt.Sprintf("i%03d", i))), remove(fmt.Sprintf("i%03d", i-1)))
		}
		close(r.gate)
		if got := brief(t, r.take()); got != "10 web[a], 1010 web[a i999]" {
			t.Errorf("%s", got)
		}
	})
}

func TestWatchEndsWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r := &reader{}
		ended := open(t, s, "/watch", r)
		r.take()
		r.breakWith(errors.New("gone"))
		f.apply(instanceChange(instance("web", "z")))
		<-ended
	})
}

// A watcher that fell further behind than the View remembers gets everything that differs, what has gone as well.
func TestWatchFallsBehind(t *testing.T) {
	for path, want := range map[string]string{
		"/watch":             "20+ db[], 20+ new[n], 20 web[z]",
		"/watch?revision=10": "20 reset, 20+ new[n], 20 web[z]",
	} {
		synctest.Test(t, func(t *testing.T) {
			f, s := newOffline(t)
			r := &reader{}
			open(t, s, path, r)
			r.take()
			r.gate = make(chan struct{})
			f.apply(instanceChange(instance("web", "lost")))
			synctest.Wait() // stuck in writing that
			f.view.Load(20, append(nodeChange("n1"), instanceChange(instance("web", "z")), instanceChange(instance("new", "n"))))
			close(r.gate)
			got := brief(t, r.take())
			if _, rest, _ := strings.Cut(got, ", "); rest != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		})
	}
}

// A store that was restored to an older state takes its watchers back with it.
func TestWatchGoesBackWithItsStore(t *testing.T) {
	for path, want := range map[string]string{"/watch?service=web": "5 web[old]", "/watch": "5+ db[], 5 web[old]"} {
		synctest.Test(t, func(t *testing.T) {
			f, s := newOffline(t)
			r := &reader{}
			open(t, s, path, r)
			f.apply(instanceChange(instance("web", "lost")))
			r.take()
			f.view.Load(5, append(nodeChange("n1"), instanceChange(instance("web", "old"))))
			if got := brief(t, r.take()); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		})
	}
}

// Events of a change that the View is in the middle of applying say that more is to come.
func TestWatchSeesPartOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r := &reader{header: http.Header{}}
		w := &watch{server: s, view: f.view, names: []string{"db", "web"}, out: newStream(r, false, time.Second)}
		w.begin(catalog.Position{})
		p := &pending{index: 12, body: s.emptyBody("web", f.view.Marks().Position(12))}
		if err := w.send(p, f.view.Marks(), 10, true); err != nil {
			t.Fatal(err)
		}
		if got := r.take(); got != `{"id":"12","revision":12,"more":true,"service":"web","instances":[]}`+"\n" {
			t.Errorf("%s", got)
		}
		w.owed = true
		f.view.Apply(12, nil)
		w.position.Revision = 12
		if err := w.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.take(); got != `{"id":"12","revision":12}`+"\n" || w.owed {
			t.Errorf("%q", got)
		}
	})
}

// events reads server-sent events from a real connection.
func nextBlock(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	var block []string
	for lines.Scan() {
		if lines.Text() == "" {
			return strings.Join(block, "\n")
		}
		block = append(block, lines.Text())
	}
	t.Fatalf("stream ended: %v", lines.Err())
	return ""
}

func TestServerSentEvents(t *testing.T) {
	b := newBed(t)
	connect := func(path, last string) (*http.Response, *bufio.Scanner) {
		request, err := http.NewRequestWithContext(t.Context(), "GET", b.http.URL+root+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "text/event-stream")
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		response, err := b.http.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return response, bufio.NewScanner(response.Body)
	}
	response, lines := connect("/watch?revision=1&service=web", "")
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %s", got)
	}
	if got := nextBlock(t, lines); !strings.HasPrefix(got, `id: 10`+"\n"+`data: {"id":"10","revision":10,"service":"web","instances":[{"id":"a"`) {
		t.Errorf("first %s", got)
	}
	b.apply(instanceChange(instance("web", "z")))
	if got := nextBlock(t, lines); !strings.HasPrefix(got, "id: 11\n") {
		t.Errorf("second %s", got)
	}
	response.Body.Close()

	b.apply(instanceChange(instance("web", "y")), instanceChange(instance("api", "x")))
	response, lines = connect("/watch?revision=1", "11")
	defer response.Body.Close()
	if got := nextBlock(t, lines); !strings.HasPrefix(got, `data: {"id":"12","revision":12,"more":true,"service":"api"`) {
		t.Errorf("an event that is not the last of its revision: %s", got)
	}
	if got := nextBlock(t, lines); !strings.HasPrefix(got, "id: 12\ndata: ") {
		t.Errorf("the last of its revision: %s", got)
	}

	reset, lines := connect("/watch", "3")
	defer reset.Body.Close()
	if got := nextBlock(t, lines); got != "event: reset\ndata: {\"id\":\"12\",\"revision\":12,\"reset\":true}" {
		t.Errorf("reset: %s", got)
	}
}

func TestWatchThroughClient(t *testing.T) {
	b := newBed(t)
	var got []string
	for e, err := range b.client.Watch(t.Context(), client.WatchOptions{Progress: true}) {
		if err != nil {
			got = append(got, catalog.KindOf(err).String())
			continue // the connection was cut: the watch resumes
		}
		got = append(got, fmt.Sprintf("%d %t %s %d", e.Revision, e.More, e.Service, len(e.Instances)))
		switch len(got) {
		case 2:
			b.http.CloseClientConnections()
		case 4:
			b.apply(remove("c"))
		}
		if len(got) == 5 {
			break
		}
	}
	want := []string{"10 true db 1", "10 false web 1", "unavailable", "10 false  0", "11 false db 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
