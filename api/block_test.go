package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// newOffline returns a server without a listener, for use within a bubble.
func newOffline(t testing.TB, adjust ...func(*Config)) (*store, *Server) {
	t.Helper()
	view := catalog.NewView()
	view.Load(10, append(nodeChange("n1"), instanceChange(instance("web", "a", "blue")), instanceChange(instance("db", "c"))))
	f := &store{view: view}
	cfg := Config{View: view, Registrar: f, Nodes: f, Pusher: f, Node: "n1"}
	for _, f := range adjust {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

// start serves a request, and returns a function that reports whether it has been answered.
func start(ctx context.Context, s *Server, path string) (w *httptest.ResponseRecorder, answered func() bool) {
	w = httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", root+path, nil))
	}()
	return w, func() bool {
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

func TestBlockingWakesForItsService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		w, answered := start(t.Context(), s, "/services/web?index=10")
		if answered() {
			t.Fatalf("answered at once: %s", w.Body)
		}
		f.apply(instanceChange(instance("db", "other")))
		if answered() {
			t.Fatalf("woken by another service: %s", w.Body)
		}
		f.apply(instanceChange(instance("web", "new")))
		if !answered() || ids(t, w.Body.String()) != "a new" || w.Header().Get(client.HeaderIndex) != "12" {
			t.Fatalf("%v %s", w.Header(), w.Body)
		}
	})
}

// Whatever is not the present index is answered at once: one from before a restore, too, which is higher.
func TestBlockingAnswersOtherIndexesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newOffline(t)
		for _, path := range []string{
			"/services/web?index=9", "/services/web?index=11", "/services/web?index=0", "/services?index=99",
			"/nodes?index=1", "/nodes/n1?index=1", "/services/nope?index=9",
		} {
			if w, answered := start(t.Context(), s, path); !answered() {
				t.Errorf("%s blocks", path)
			} else if path != "/services/nope?index=9" && w.Code != 200 {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	})
}

func TestBlockingEndsWithItsWait(t *testing.T) {
	for _, test := range []struct {
		path string
		wait time.Duration
		code int
	}{
		{"/services/web?index=10&wait=30s", 30 * time.Second, 200},
		{"/services/web?index=10", defaultWait, 200},
		{"/services/web?index=10&wait=24h", maxWait, 200},
		{"/services?index=10&wait=1m", time.Minute, 200},
		{"/nodes?index=10&wait=1m", time.Minute, 200},
		{"/nodes/n1?index=10&wait=1m", time.Minute, 200},
		{"/services/nope?index=10&wait=1m", time.Minute, 404},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, s := newOffline(t)
			begun := time.Now()
			w, answered := start(t.Context(), s, test.path)
			if answered() {
				t.Fatalf("%s does not block: %s", test.path, w.Body)
			}
			time.Sleep(test.wait - time.Nanosecond) // the bubble's clock
			if answered() {
				t.Fatalf("%s: answered after %v", test.path, time.Since(begun))
			}
			time.Sleep(test.wait/16 + time.Second)
			if !answered() || w.Code != test.code || w.Header().Get(client.HeaderIndex) != "10" {
				t.Fatalf("%s: %d %v", test.path, w.Code, w.Header())
			}
		})
	}
}

func TestBlockingOnLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		services, servicesAnswered := start(t.Context(), s, "/services?index=10")
		nodes, nodesAnswered := start(t.Context(), s, "/nodes?index=10")
		node, nodeAnswered := start(t.Context(), s, "/nodes/n1?index=10")
		absent, absentAnswered := start(t.Context(), s, "/services/new?index=10")

		f.apply(instanceChange(instance("new", "x")))
		if !servicesAnswered() || !strings.Contains(services.Body.String(), `{"index":"11","services":[{"name":"db"`) {
			t.Errorf("services %s", services.Body)
		}
		if !nodeAnswered() || ids(t, node.Body.String()) != "a c x" {
			t.Errorf("node %s", node.Body)
		}
		if !absentAnswered() || absent.Code != 200 || ids(t, absent.Body.String()) != "x" {
			t.Errorf("service that appears: %s", absent.Body)
		}
		if nodesAnswered() {
			t.Errorf("list of nodes woken by an instance: %s", nodes.Body)
		}
		f.apply(nodeChange("n2")...)
		if !nodesAnswered() || !strings.Contains(nodes.Body.String(), `"name":"n2"`) {
			t.Errorf("nodes %s", nodes.Body)
		}
	})
}

func TestBlockingTellsThatAServiceWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		w, answered := start(t.Context(), s, "/services/web?index=10&health=any")
		f.apply(catalog.Change{Type: catalog.RecordInstance, Name: "n1", ID: "a"})
		if !answered() || w.Code != 404 || w.Header().Get(client.HeaderIndex) != "11" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	})
}

// A client that does not wait for its answer leaves nothing behind. One that has closed only its half of the connection
// must not read an empty answer as one.
func TestBlockingEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newOffline(t)
		ctx, cancel := context.WithCancel(t.Context())
		w, answered := start(ctx, s, "/services/web?index=10")
		if answered() {
			t.Fatal("answered at once")
		}
		cancel()
		if !answered() || w.Code != 503 || w.Body.Len() == 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestBlockingOnNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		w, answered := start(t.Context(), s, "/nodes/n2")
		if !answered() || w.Code != 404 || w.Header().Get(client.HeaderIndex) != "10" {
			t.Fatalf("a node that is not known: %d %v", w.Code, w.Header())
		}
		if w, answered := start(t.Context(), s, "/nodes/n2?index=1"); !answered() {
			t.Fatalf("an index from before blocks: %v", w)
		}
		w, answered = start(t.Context(), s, "/nodes/n2?index=10")
		if answered() {
			t.Fatalf("does not wait for the node to appear: %d %s", w.Code, w.Body)
		}
		f.apply(nodeChange("n2")...)
		if !answered() || w.Code != 200 || w.Header().Get(client.HeaderIndex) != "11" {
			t.Fatalf("the node appears: %d %v", w.Code, w.Header())
		}

		w, answered = start(t.Context(), s, "/nodes/n2?index=11")
		if answered() {
			t.Fatalf("does not wait: %d %s", w.Code, w.Body)
		}
		f.apply(catalog.Change{Type: catalog.RecordNode, Name: "n2"}, catalog.Change{Type: catalog.RecordSession, Name: "n2"})
		if !answered() || w.Code != 404 {
			t.Fatalf("the node goes: %d %s", w.Code, w.Body)
		}
		for _, header := range []string{client.HeaderRevision, client.HeaderIndex} {
			if got := w.Header().Get(header); got != "12" {
				t.Errorf("%s of the 404 is %s, want 12, at which the node went", header, got)
			}
		}
	})
}
