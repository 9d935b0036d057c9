package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

func decoded(text string) any {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return err.Error()
	}
	return value
}

// script answers each attempt of a watch in turn: with a stream, with a refusal if it begins with a status, or with an
// error. A stream that ends with "…" stays open and silent. The last one is repeated.
type script struct {
	streams []string
	queries []string
	times   []time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	stream := s.streams[min(len(s.queries), len(s.streams)-1)]
	s.queries = append(s.queries, r.URL.RawQuery)
	s.times = append(s.times, time.Now())
	if stream == "refused" {
		return nil, errors.New("connection refused")
	}
	response := &http.Response{StatusCode: 200, Header: http.Header{HeaderRevision: {"5"}}, Request: r}
	var code int
	if n, _ := fmt.Sscanf(stream, "%d ", &code); n == 1 {
		response.StatusCode, stream = code, stream[4:]
	}
	body := &open{ctx: r.Context(), data: *strings.NewReader(strings.TrimSuffix(stream, "…")), stays: strings.HasSuffix(stream, "…")}
	response.Body = body
	return response, nil
}

// open is a body that ends with its data or stays open until the request ends.
type open struct {
	ctx   context.Context
	data  strings.Reader
	stays bool
}

func (o *open) Read(p []byte) (int, error) {
	n, err := o.data.Read(p)
	if errors.Is(err, io.EOF) && o.stays {
		<-o.ctx.Done()
		return 0, o.ctx.Err()
	}
	return n, err
}
func (o *open) Close() error { return nil }

// collect yields up to n events and errors of a watch, shortened.
func collect(ctx context.Context, t *testing.T, s *script, o WatchOptions, n int) (got []string) {
	t.Helper()
	c, err := New(Config{HTTPClient: &http.Client{Transport: s}, MaxResponse: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range c.Watch(ctx, o) {
		text := fmt.Sprintf("%d %s %d", e.Revision, e.Service, len(e.Instances))
		if e.Reset {
			text += " reset"
		}
		if err != nil {
			text = catalog.KindOf(err).String() + ": " + err.Error()
		}
		if got = append(got, text); len(got) == n {
			break
		}
	}
	return got
}

const eof = "unavailable: no answer from http://127.0.0.1:8500: EOF: start a server with koine dev, or name a running one with --http or KOINE_HTTP"

func TestWatch(t *testing.T) {
	web := `{"id":"5.m","revision":5,"more":true,"service":"web","instances":[{"id":"a"}]}` + "\n"
	db := `{"id":"5.m","revision":5,"service":"db","instances":[{"id":"b"}]}` + "\n"
	for name, test := range map[string]struct {
		options       WatchOptions
		streams       []string
		want, queries []string
	}{
		"resumes after the last whole revision": {
			streams: []string{web, web + db, `{"id":"9.m","revision":9}` + "\n", "…"},
			want:    []string{"5 web 1", eof, "5 web 1", "5 db 1", eof, eof},
			queries: []string{"", "", "revision=5.m"},
		},
		"filters are asked for": {
			options: WatchOptions{Services: []string{"web", "db"}, Tags: []string{"x"}, Health: catalog.AnyHealth, After: catalog.Position{Revision: 3, Mark: "m"}},
			streams: []string{web}, want: []string{"5 web 1"},
			queries: []string{"health=any&revision=3.m&service=web&service=db&tag=x"},
		},
		"progress": {
			options: WatchOptions{Progress: true},
			streams: []string{"\n" + `{"id":"9.m","revision":9}` + "\n"}, want: []string{"9  0", eof}, queries: []string{""},
		},
		"a service that went before a reset is reported": {
			streams: []string{web + db, `{"id":"8.m","revision":8,"reset":true}` + "\n" + `{"id":"8.m","revision":8,"service":"new","instances":[{"id":"n"}]}` + "\n…"},
			want:    []string{"5 web 1", "5 db 1", eof, "8 db 0", "8 web 0", "8 new 1"},
			queries: []string{"", "revision=5.m"},
		},
		"a reset that was cut is begun again": {
			streams: []string{db, `{"id":"8.m","revision":8,"reset":true}` + "\n" + `{"id":"8.m","revision":8,"more":true,"service":"db","instances":[{"id":"b"}]}` + "\n",
				`{"id":"9.m","revision":9,"reset":true}` + "\n" + `{"id":"9.m","revision":9}` + "\n…"},
			want:    []string{"5 db 1", eof, "8 db 1", eof, "9 db 0"},
			queries: []string{"", "revision=5.m", "revision=5.m"},
		},
		"a caller that resumed gets the reset": {
			options: WatchOptions{After: catalog.Position{Revision: 2, Mark: "m"}},
			streams: []string{`{"id":"8.m","revision":8,"reset":true}` + "\n" + db}, want: []string{"8  0 reset", "5 db 1"}, queries: []string{"revision=2.m"},
		},
		"refused for good": {
			streams: []string{`400 {"error":{"code":"invalid","message":"unknown parameter"}}`},
			want:    []string{"invalid: unknown parameter"}, queries: []string{""},
		},
		"not ready yet": {
			streams: []string{`503 {"error":{"code":"not_ready","message":"not ready"}}`, db},
			want:    []string{"not_ready: not ready", "5 db 1"}, queries: []string{"", ""},
		},
		"the server stops": {
			streams: []string{web + `{"error":{"code":"unavailable","message":"the server is stopping","hint":"again"}}` + "\n", web + db},
			want:    []string{"5 web 1", "unavailable: the server is stopping: again", "5 web 1", "5 db 1"}, queries: []string{"", ""},
		},
		"not JSON": {
			streams: []string{"x\n", db},
			want: []string{"internal: decode event of http://127.0.0.1:8500: invalid character 'x' looking for beginning of value",
				"5 db 1"},
			queries: []string{"", ""},
		},
		"long lines": {
			streams: []string{`{"id":"5.m","revision":5,"service":"` + strings.Repeat(" ", 150_000) + `db"}` + "\n" + `{"service":"` + strings.Repeat("x", 300_000)},
			want: []string{"5 " + strings.Repeat(" ", 150_000) + "db 0",
				"internal: event of http://127.0.0.1:8500/api/v1 has more than 200000 bytes"},
			queries: []string{""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{streams: test.streams}
				got := collect(t.Context(), t, s, test.options, len(test.want))
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(test.queries, s.queries); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestWatchBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{streams: []string{"refused"}}
		if got := collect(t.Context(), t, s, WatchOptions{}, 12); !strings.HasPrefix(got[11], "unavailable: ") {
			t.Errorf("%v", got)
		}
		for i, limit := 1, minPause; i < len(s.times); i, limit = i+1, min(2*limit, maxPause) {
			if pause := s.times[i].Sub(s.times[i-1]); pause < limit/2 || pause > limit {
				t.Errorf("pause %d is %v, want %v to %v", i, pause, limit/2, limit)
			}
		}
	})
}

// TestWatchBacksOffAnew holds that the pauses begin short again once a connection has brought something.
func TestWatchBacksOffAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{streams: []string{"refused", "refused", "refused", "refused", `{"id":"5.m","revision":5}` + "\n", "refused", "…"}}
		collect(t.Context(), t, s, WatchOptions{}, 6)
		if len(s.times) != 6 {
			t.Fatalf("%d attempts", len(s.times))
		}
		if before := s.times[4].Sub(s.times[3]); before <= minPause {
			t.Errorf("the pause after four refusals is %v", before)
		}
		if after := s.times[5].Sub(s.times[4]); after > minPause {
			t.Errorf("the pause after a connection that brought something is %v, want %v at most", after, minPause)
		}
	})
}

func TestWatchNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{streams: []string{`{"id":"5.m","revision":5}` + "\n…"}}
		got := collect(t.Context(), t, s, WatchOptions{}, 1)
		if !strings.Contains(got[0], "fell silent") {
			t.Errorf("%v", got)
		}
	})
}

// TestBusyCallerIsNoSilentServer has a caller that takes longer over an event than a server may be silent.
func TestBusyCallerIsNoSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{streams: []string{strings.Repeat(`{"id":"5.m","revision":5,"service":"web","instances":[]}`+"\n", 3) + "…"}}
		c, err := New(Config{HTTPClient: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range c.Watch(t.Context(), WatchOptions{}) {
			if err != nil {
				t.Fatalf("event %d: %v", n, err)
			}
			if n++; n == 3 {
				break
			}
			time.Sleep(2 * defaultSilence)
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	for _, stream := range []string{"…", "refused"} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			got := collect(ctx, t, &script{streams: []string{stream}}, WatchOptions{}, 1000)
			if last := got[len(got)-1]; last != "internal: context deadline exceeded" {
				t.Errorf("%v", got)
			}
		})
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"id":"5.m","revision":5,"more":true,"service":"web","instances":[{"id":"a","addresses":[{"ip":"::1"}]}]}` + "\n" +
		`{"id":"8.m","revision":8,"reset":true}` + "\n" + `{"id":"9.m","revision":9}`))
	f.Fuzz(func(t *testing.T, stream []byte) {
		w := &watcher{client: &Client{}, known: map[string]bool{}, yield: func(Event, error) bool { return true }}
		for line := range bytes.Lines(stream) {
			if err := w.receive(line); err != nil {
				return
			}
		}
		for name := range w.known {
			if name == "" {
				t.Fatal("a service without a name")
			}
		}
	})
}
