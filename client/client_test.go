package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

func TestAddress(t *testing.T) {
	for _, test := range []struct{ address, want string }{
		{"", "http://127.0.0.1:8500/api/v1"},
		{"10.0.0.1:80", "http://10.0.0.1:80/api/v1"},
		{"localhost", "http://localhost:8500/api/v1"},
		{"[::1]:8500", "http://[::1]:8500/api/v1"},
		{"[::1]", "http://[::1]:8500/api/v1"},
		{":9000", "http://127.0.0.1:9000/api/v1"},
		{"http://h:1/", "http://h:1/api/v1"},
		{"https://h/koine", "https://h/koine/api/v1"},
		{"ftp://h", ""}, {"http://", ""}, {"h:x", ""}, {"http://h?x=1", ""}, {"http://h#x", ""}, {"a b", ""},
	} {
		c, err := New(Config{Address: test.address})
		if test.want == "" {
			if catalog.KindOf(err) != catalog.KindInvalid {
				t.Errorf("%q: %v", test.address, err)
			}
			continue
		}
		if err != nil || c.base != test.want {
			t.Errorf("%q: %v %v, want %s", test.address, c, err, test.want)
		}
	}
}

// request is what a server saw.
type request struct{ Line, Body string }

// record returns a client of a server that answers everything with one body, and what the server saw.
func record(t *testing.T, status int, body string) (*Client, *request) {
	t.Helper()
	seen := new(request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read, _ := io.ReadAll(r.Body)
		*seen = request{r.Method + " " + r.RequestURI, string(read)}
		w.Header().Set(HeaderRevision, "42")
		w.Header().Set(HeaderIndex, "40")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	c, err := New(Config{Address: server.URL, HTTPClient: server.Client(), MaxResponse: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	return c, seen
}

func TestReads(t *testing.T) {
	for _, test := range []struct {
		answer, line string
		call         func(context.Context, *Client) (any, error)
		want         any
	}{
		{`{"index":"40","services":[{"name":"web","instances":2,"healthy":1,"tags":["x"],"index":"7"}]}`, "GET /api/v1/services",
			func(ctx context.Context, c *Client) (any, error) { return c.Services(ctx) },
			ServiceList{Index: catalog.Position{Revision: 40}, Revision: 42, Services: []ServiceSummary{{Name: "web", Instances: 2, Healthy: 1, Tags: []string{"x"}, Index: catalog.Position{Revision: 7}}}}},
		{`{"index":"40","service":"web","instances":[{"id":"a","status":"passing","port":80}]}`,
			"GET /api/v1/services/Web?health=any&meta=k%3Av%3Aw&tag=x&tag=y",
			func(ctx context.Context, c *Client) (any, error) {
				return c.Lookup(ctx, catalog.Query{Service: "Web", Tags: []string{"x", "y"}, Meta: map[string]string{"k": "v:w"}, Health: catalog.AnyHealth})
			},
			Service{Index: catalog.Position{Revision: 40}, Revision: 42, Service: "web", Instances: []Instance{{Instance: catalog.Instance{ID: "a"}, Status: "passing", Port: 80}}}},
		{`{}`, "GET /api/v1/services/web?health=passing&index=7.m&wait=30s",
			func(ctx context.Context, c *Client) (any, error) {
				return c.LookupAfter(ctx, catalog.Query{Service: "web", Health: catalog.OnlyPassing}, catalog.Position{Revision: 7, Mark: "m"}, 30*time.Second)
			},
			Service{Index: catalog.Position{Revision: 40}, Revision: 42}},
		{`{"instances":[]}`, "GET /api/v1/instances?node=n&source=docker",
			func(ctx context.Context, c *Client) (any, error) {
				return c.Instances(ctx, InstanceFilter{Node: "n", Source: "docker"})
			},
			InstanceList{Revision: 42, Instances: []Instance{}}},
		{`{"id":"a/b"}`, "GET /api/v1/nodes/n/instances/a%2Fb",
			func(ctx context.Context, c *Client) (any, error) { return c.Instance(ctx, "n", "a/b") },
			Instance{Instance: catalog.Instance{ID: "a/b"}}},
		{`{"nodes":[{"name":"n","alive":true}]}`, "GET /api/v1/nodes",
			func(ctx context.Context, c *Client) (any, error) { return c.Nodes(ctx) },
			NodeList{Revision: 42, Nodes: []NodeSummary{{Name: "n", Alive: true}}}},
		{`{"index":"9","name":"n","instances":[{"id":"a"}]}`, "GET /api/v1/nodes/n",
			func(ctx context.Context, c *Client) (any, error) { return c.Node(ctx, "n") },
			Node{Index: catalog.Position{Revision: 9}, Revision: 42, NodeSummary: NodeSummary{Name: "n"}, Instances: []Instance{{Instance: catalog.Instance{ID: "a"}}}}},
		{`{"checks":[{"id":"x","status":"critical"}]}`, "GET /api/v1/checks?service=web&status=critical",
			func(ctx context.Context, c *Client) (any, error) {
				return c.Checks(ctx, CheckFilter{Status: catalog.Critical, Service: "web"})
			},
			CheckList{Revision: 42, Checks: []CheckStatus{{ID: "x", Status: "critical"}}}},
		{`{"ready":true,"revision":42,"version":"v1"}`, "GET /api/v1/health",
			func(ctx context.Context, c *Client) (any, error) { return c.Health(ctx) },
			Health{Ready: true, Revision: 42, Version: "v1"}},
	} {
		c, seen := record(t, 200, test.answer)
		got, err := test.call(t.Context(), c)
		if err != nil || seen.Line != test.line {
			t.Errorf("%s: %v, want %s", seen.Line, err, test.line)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.line, diff)
		}
	}
}

func TestWrites(t *testing.T) {
	web := catalog.Registration{Instance: catalog.Instance{ID: "a", Service: "web", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}}
	for _, test := range []struct {
		line, body string
		call       func(context.Context, *Client) (uint64, error)
	}{
		{"PUT /api/v1/instances/a", `{"service":"web","permanent":true,"id":"a"}`,
			func(ctx context.Context, c *Client) (uint64, error) { return c.Register(ctx, web) }},
		{"DELETE /api/v1/nodes/n/instances/%2E%2E", "",
			func(ctx context.Context, c *Client) (uint64, error) { return c.Deregister(ctx, "n", "..") }},
		{"DELETE /api/v1/nodes/n", "",
			func(ctx context.Context, c *Client) (uint64, error) { return c.RemoveNode(ctx, "n") }},
		{"PUT /api/v1/instances/a/renew", "",
			func(ctx context.Context, c *Client) (uint64, error) { return 43, c.Renew(ctx, "", "a") }},
		{"PUT /api/v1/nodes/n/renew", "",
			func(ctx context.Context, c *Client) (uint64, error) { return 43, c.RenewNode(ctx, "n") }},
		{"PUT /api/v1/checks/x", `{"status":"passing","output":"fine"}`,
			func(ctx context.Context, c *Client) (uint64, error) {
				return 43, c.PushCheck(ctx, "", "x", catalog.Passing, "fine")
			}},
		{"PUT /api/v1/nodes/n/checks/x", `{"status":"critical"}`,
			func(ctx context.Context, c *Client) (uint64, error) {
				return 43, c.PushCheck(ctx, "n", "x", catalog.Critical, "")
			}},
		{"PUT /api/v1/nodes/n", `{"name":"n","instances":[{"id":"a","service":"web","permanent":true}],"ttl":"10s"}`,
			func(ctx context.Context, c *Client) (uint64, error) {
				result, err := c.SyncNode(ctx, catalog.NodeState{
					Node:          catalog.Node{Name: "n", Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(10 * time.Second)}},
					Registrations: []catalog.Registration{web},
				})
				return result.Revision, err
			}},
	} {
		c, seen := record(t, 200, `{"revision":43}`)
		revision, err := test.call(t.Context(), c)
		if err != nil || revision != 43 || seen.Line != test.line {
			t.Errorf("%s: %d %v, want %s", seen.Line, revision, err, test.line)
		}
		if !sameJSON(seen.Body, test.body) {
			t.Errorf("%s: body %s, want %s", test.line, seen.Body, test.body)
		}
	}
}

// sameJSON compares objects whatever the order of their fields.
func sameJSON(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	return cmp.Equal(a, b, cmp.FilterValues(func(a, b string) bool { return strings.HasPrefix(a, "{") && strings.HasPrefix(b, "{") },
		cmp.Transformer("json", decoded)))
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		want   error
	}{
		{404, `{"error":{"code":"not_found","message":"no service x","hint":"h"}}`, &catalog.Error{Kind: catalog.KindNotFound, Message: "no service x", Hint: "h"}},
		{503, `{"error":{"code":"not_ready","message":"m"}}`, &catalog.Error{Kind: catalog.KindNotReady, Message: "m"}},
		{500, `{"error":{"code":"internal","message":"m"}}`, &catalog.Error{Kind: catalog.KindInternal, Message: "m"}},
		{409, `{"error":{"code":"from the future","message":"m"}}`, &catalog.Error{Kind: catalog.KindConflict, Message: "m"}},
	} {
		c, _ := record(t, test.status, test.body)
		_, err := c.Services(t.Context())
		if diff := cmp.Diff(test.want, err); diff != "" {
			t.Error(diff)
		}
	}
	for status, kind := range map[int]catalog.Kind{
		400: catalog.KindInvalid, 401: catalog.KindInvalid, 403: catalog.KindDenied, 404: catalog.KindNotFound,
		409: catalog.KindConflict, 429: catalog.KindUnavailable, 500: catalog.KindInternal, 503: catalog.KindUnavailable,
	} {
		c, _ := record(t, status, `{"error":{"code":"from the future"}}`)
		if _, err := c.Services(t.Context()); catalog.KindOf(err) != kind {
			t.Errorf("%d with a code of the future: %v", status, err)
		}
	}
	c, _ := record(t, 404, `{"error":{"code":"not_found"}}`)
	if service, err := c.Lookup(t.Context(), catalog.Query{Service: "x"}); err == nil || service.Index.Revision != 40 {
		t.Errorf("index %v, error %v: want the index to wait on", service.Index, err)
	}
}

// TestForeignAnswers holds that what Koine did not write is never taken for what the catalog says.
func TestForeignAnswers(t *testing.T) {
	ours := `{"error":{"code":"not_found","message":"no service web"}}`
	for _, test := range []struct {
		status int
		header string
		body   string
		kind   catalog.Kind
	}{
		{404, "", "<html>", catalog.KindUnavailable},
		{404, "", ours, catalog.KindUnavailable},
		{404, "42", "<html>", catalog.KindUnavailable},
		{404, "42", "", catalog.KindUnavailable},
		{404, "42", `{"error":"not found"}`, catalog.KindUnavailable},
		{404, "x", ours, catalog.KindUnavailable},
		{404, "42", ours, catalog.KindNotFound},
		{404, "0", ours, catalog.KindNotFound},
		{409, "", "", catalog.KindUnavailable},
		{405, "", "", catalog.KindUnavailable},
		{410, "", "", catalog.KindUnavailable},
		{418, "", "", catalog.KindUnavailable},
		{429, "", "", catalog.KindUnavailable},
		{500, "", "", catalog.KindUnavailable},
		{502, "", "<html>", catalog.KindUnavailable},
		{503, "", "", catalog.KindUnavailable},
		{400, "", "", catalog.KindInvalid},
		{413, "", "", catalog.KindInvalid},
		{401, "", "", catalog.KindDenied},
		{403, "", "", catalog.KindDenied},
		{407, "", "", catalog.KindDenied},
		{200, "", `{"services":[]}`, catalog.KindUnavailable},
		{200, "", "<html>", catalog.KindUnavailable},
		{204, "42", "", catalog.KindUnavailable},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.header != "" {
				w.Header().Set(HeaderRevision, test.header)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}))
		c, err := New(Config{Address: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range everyCall(t.Context(), c) {
			err := call()
			if catalog.KindOf(err) != test.kind {
				t.Errorf("%s, answered %d, revision %q, %q: %v, want %v", name, test.status, test.header, test.body, err, test.kind)
			}
			if test.kind == catalog.KindUnavailable && !strings.Contains(err.Error(), "is this the address of a Koine server?") {
				t.Errorf("%s: %v does not ask whether the address is right", name, err)
			}
		}
		server.Close()
	}
}

// everyCall returns a call of each method; of what is iterated over, of the first step.
func everyCall(ctx context.Context, c *Client) map[string]func() error {
	permanent := catalog.Registration{Instance: catalog.Instance{ID: "a", Service: "web", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}}
	return map[string]func() error{
		"services":   func() error { _, err := c.Services(ctx); return err },
		"lookup":     func() error { _, err := c.Lookup(ctx, catalog.Query{Service: "web"}); return err },
		"instances":  func() error { _, err := c.Instances(ctx, InstanceFilter{}); return err },
		"instance":   func() error { _, err := c.Instance(ctx, "n", "a"); return err },
		"nodes":      func() error { _, err := c.Nodes(ctx); return err },
		"node":       func() error { _, err := c.Node(ctx, "n"); return err },
		"checks":     func() error { _, err := c.Checks(ctx, CheckFilter{}); return err },
		"health":     func() error { _, err := c.Health(ctx); return err },
		"explain":    func() error { _, err := c.Explain(ctx, "web", ""); return err },
		"history":    func() error { _, err := c.History(ctx, "web", 0); return err },
		"events":     func() error { _, err := c.Events(ctx, EventOptions{}); return err },
		"drains":     func() error { _, err := c.Drains(ctx); return err },
		"register":   func() error { _, err := c.Register(ctx, permanent); return err },
		"deregister": func() error { _, err := c.Deregister(ctx, "n", "a"); return err },
		"renew":      func() error { return c.Renew(ctx, "n", "a") },
		"sync":       func() error { _, err := c.SyncNode(ctx, catalog.NodeState{Node: catalog.Node{Name: "n"}}); return err },
		"renew node": func() error { return c.RenewNode(ctx, "n") },
		"remove":     func() error { _, err := c.RemoveNode(ctx, "n"); return err },
		"push":       func() error { return c.PushCheck(ctx, "n", "x", catalog.Passing, "") },
		"drain":      func() error { _, err := c.Drain(ctx, catalog.Drain{Service: "web"}); return err },
		"undrain":    func() error { _, err := c.Undrain(ctx, catalog.Drain{Service: "web"}); return err },
		"watch": func() error {
			for _, err := range c.Watch(ctx, WatchOptions{}) {
				return err
			}
			return nil
		},
		"follow": func() error {
			for _, err := range c.FollowEvents(ctx, EventOptions{}) {
				return err
			}
			return nil
		},
	}
}

// TestAnswersThatAreNotThatOfTheCall holds that an answer that says nothing is an error of every call: one that was cut
// off would otherwise read as "registered", or as "there is nothing".
func TestAnswersThatAreNotThatOfTheCall(t *testing.T) {
	for _, body := range []string{"", " \n", "null", "[]", "7", `"x"`, "{", "<html>"} {
		c, _ := record(t, 200, body)
		for name, call := range everyCall(t.Context(), c) {
			if name == "events" && strings.TrimSpace(body) == "" || name == "watch" || name == "follow" {
				continue // a stream may have no line yet
			}
			if err := call(); err == nil {
				t.Errorf("%s: no error for %q", name, body)
			}
		}
	}
}

// TestStreamThatSaysThatItEnds holds that a reader of a stream does not take the last line of a server that stops for an
// event.
func TestStreamThatSaysThatItEnds(t *testing.T) {
	c, _ := record(t, 200, `{"revision":7,"type":"registered","service":"web"}`+"\n"+
		`{"error":{"code":"unavailable","message":"the server is stopping"}}`+"\n")
	want := &catalog.Error{Kind: catalog.KindUnavailable, Message: "the server is stopping"}
	if list, err := c.Events(t.Context(), EventOptions{}); !cmp.Equal(err, error(want)) {
		t.Errorf("events: %v, %v", list, err)
	}
	n := 0
	for e, err := range c.FollowEvents(t.Context(), EventOptions{}) {
		if n++; n == 2 {
			if !cmp.Equal(err, error(want)) {
				t.Errorf("follow: %+v, %v", e, err)
			}
			break
		}
	}
	n = 0
	for e, err := range c.Watch(t.Context(), WatchOptions{}) {
		if n++; n == 2 {
			if !cmp.Equal(err, error(want)) {
				t.Errorf("watch: %+v, %v", e, err)
			}
			break
		}
	}
}

func TestBadAnswers(t *testing.T) {
	c, _ := record(t, 200, `{"index":"1"}`+strings.Repeat(" ", 20_000))
	if _, err := c.Services(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 10000 bytes") {
		t.Errorf("large answer: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Services(t.Context())
	if catalog.KindOf(err) != catalog.KindUnavailable || !strings.Contains(err.Error(), "--http") ||
		!strings.Contains(err.Error(), server.URL+": ") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Services(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestLateAnswer holds that a call whose time has run out names the server, whether a timeout or a cause has ended it.
func TestLateAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	c, err := New(Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	timeout, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	cause, end := context.WithCancelCause(t.Context())
	end(context.DeadlineExceeded)
	for _, ctx := range []context.Context{timeout, cause} {
		_, err = c.Services(ctx)
		want := "no answer from " + server.URL + " in time: koine status shows whether it is ready"
		if !errors.Is(err, context.DeadlineExceeded) || catalog.KindOf(err) != catalog.KindUnavailable || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestEmptyNames(t *testing.T) {
	c, seen := record(t, 200, "{}")
	ctx := t.Context()
	calls := map[string]func() error{
		"lookup":     func() error { _, err := c.Lookup(ctx, catalog.Query{}); return err },
		"instance":   func() error { _, err := c.Instance(ctx, "n", ""); return err },
		"node":       func() error { _, err := c.Node(ctx, ""); return err },
		"register":   func() error { _, err := c.Register(ctx, catalog.Registration{}); return err },
		"deregister": func() error { _, err := c.Deregister(ctx, "n", ""); return err },
		"renew":      func() error { return c.Renew(ctx, "n", "") },
		"sync":       func() error { _, err := c.SyncNode(ctx, catalog.NodeState{}); return err },
		"renew node": func() error { return c.RenewNode(ctx, "") },
		"remove":     func() error { _, err := c.RemoveNode(ctx, ""); return err },
		"push":       func() error { return c.PushCheck(ctx, "n", "", catalog.Passing, "") },
	}
	for name, call := range calls {
		if err := call(); catalog.KindOf(err) != catalog.KindInvalid || seen.Line != "" {
			t.Errorf("%s: %v, request %q", name, err, seen.Line)
		}
	}
}
