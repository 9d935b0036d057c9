package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// root is where the API is mounted.
const root = "/api/v1"

// handler answers a request, or returns why it cannot; then it has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one operation of the API.
type route struct {
	method, path string
	handle       handler
	// unready is set where the View need not be ready.
	unready bool
}

// routes is the API. The document openapi.json describes each of them; a test compares the two.
func (s *Server) routes() []route {
	return []route{
		{method: "GET", path: "/services", handle: s.listServices},
		{method: "GET", path: "/services/{name}", handle: s.getService},
		{method: "GET", path: "/watch", handle: s.watch},

		{method: "GET", path: "/instances", handle: s.listInstances},
		{method: "GET", path: "/instances/{id}", handle: s.getInstance},
		{method: "PUT", path: "/instances/{id}", handle: s.putInstance, unready: true},
		{method: "DELETE", path: "/instances/{id}", handle: s.deleteInstance, unready: true},
		{method: "PUT", path: "/instances/{id}/renew", handle: s.renewInstance, unready: true},
		{method: "GET", path: "/nodes/{node}/instances/{id}", handle: s.getInstance},
		{method: "PUT", path: "/nodes/{node}/instances/{id}", handle: s.putInstance, unready: true},
		{method: "DELETE", path: "/nodes/{node}/instances/{id}", handle: s.deleteInstance, unready: true},
		{method: "PUT", path: "/nodes/{node}/instances/{id}/renew", handle: s.renewInstance, unready: true},

		{method: "GET", path: "/nodes", handle: s.listNodes},
		{method: "GET", path: "/nodes/{node}", handle: s.getNode},
		{method: "PUT", path: "/nodes/{node}", handle: s.putNode, unready: true},
		{method: "DELETE", path: "/nodes/{node}", handle: s.deleteNode, unready: true},
		{method: "PUT", path: "/nodes/{node}/renew", handle: s.renewNode, unready: true},

		{method: "GET", path: "/checks", handle: s.listChecks},
		{method: "PUT", path: "/checks/{check}", handle: s.putCheck, unready: true},
		{method: "PUT", path: "/nodes/{node}/checks/{check}", handle: s.putCheck, unready: true},

		{method: "GET", path: "/drains", handle: s.listDrains},
		{method: "PUT", path: "/drains", handle: s.putDrain, unready: true},
		{method: "DELETE", path: "/drains", handle: s.deleteDrain, unready: true},
		{method: "GET", path: "/explain", handle: s.explain},
		{method: "GET", path: "/events", handle: s.events},
		{method: "GET", path: "/history", handle: s.history},

		{method: "GET", path: "/health", handle: s.health, unready: true},
		{method: "GET", path: "/openapi.json", handle: s.openAPI, unready: true},
	}
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.Handle(route.method+" "+root+route.path, s.serve(route))
	}
	mux.Handle(root+"/", s.serve(route{path: "/", handle: s.noRoute, unready: true}))
	return mux
}

// serve wraps a route's handler with what all of them share: readiness, the revision, errors and metrics.
func (s *Server) serve(route route) http.Handler {
	metrics := s.metrics.of(strings.TrimSpace(route.method + " " + root + route.path))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w.Header()[client.HeaderRevision] = s.revisionHeader(s.view.Revision())
		if age := s.view.Age(start); age > 0 {
			w.Header().Set(client.HeaderAge, strconv.Itoa(int(age.Seconds())))
		}
		err := s.admit(route)
		if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
			r, err = fromCaller(r)
		}
		if err == nil {
			err = route.handle(w, r)
		}
		code := http.StatusOK
		cut := errors.Is(err, errCut)
		if err != nil && !cut {
			code = s.refuse(w, r, err)
		}
		metrics.answered(code, time.Since(start), route.path != "/watch" && route.path != "/events" && !blocking(r))
		if cut {
			panic(http.ErrAbortHandler) // net/http closes the connection without the end of the answer
		}
	})
}

func (s *Server) admit(route route) error {
	if s.stopping() {
		return errStopping
	}
	if route.unready || s.view.Ready() {
		return nil
	}
	return s.view.NotReady()
}

// noRoute answers what no route matches: 405 if another method would match, 404 otherwise.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) error {
	if allowed := s.allowed(r); len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return &statusError{
			status: http.StatusMethodNotAllowed,
			err: catalog.Errorf(catalog.KindInvalid, "method %s is not allowed here", r.Method).
				WithHint("use %s", strings.Join(allowed, " or ")),
		}
	}
	return catalog.Errorf(catalog.KindNotFound, "no route %.200q", r.URL.Path).
		WithHint("see %s/openapi.json", root)
}

// allowed returns the methods that a route matches the request's path with.
func (s *Server) allowed(r *http.Request) []string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); strings.HasPrefix(pattern, method+" ") {
			methods = append(methods, method)
		}
	}
	return methods
}
