package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// root is where the API is mounted.
const root = "/api/v1"

// route is one operation of the API.
type route struct {
	method, path string
	operation
	// unready is set where the View need not be ready.
	unready bool
	// ofNode is set where the path names something on the server's own node, and the same path below a node any other.
	ofNode bool
	// body is set where the request has a body. Other requests that change something are refused if they have one: it would have no
	// effect.
	body bool
	// stream is set where the answer may go on for as long as the client wants.
	stream bool
}

// routes is the API. The document openapi.json describes each of them; a test compares the two.
func routes() []route {
	return []route{
		{method: "GET", path: "/services", operation: with((*Server).listServices)},
		{method: "GET", path: "/services/{name}", operation: with((*Server).getService)},
		{method: "GET", path: "/watch", operation: with((*Server).watch), stream: true},

		{method: "GET", path: "/instances", operation: with((*Server).listInstances)},
		{method: "GET", path: "/instances/{id}", operation: with((*Server).getInstance), ofNode: true},
		{method: "PUT", path: "/instances/{id}", operation: bare((*Server).putInstance), unready: true, body: true, ofNode: true},
		{method: "DELETE", path: "/instances/{id}", operation: bare((*Server).deleteInstance), unready: true, ofNode: true},
		{method: "PUT", path: "/instances/{id}/renew", operation: bare((*Server).renewInstance), unready: true, ofNode: true},
		{method: "GET", path: "/nodes/{node}/instances/{id}", operation: with((*Server).getInstance)},
		{method: "PUT", path: "/nodes/{node}/instances/{id}", operation: bare((*Server).putInstance), unready: true, body: true},
		{method: "DELETE", path: "/nodes/{node}/instances/{id}", operation: bare((*Server).deleteInstance), unready: true},
		{method: "PUT", path: "/nodes/{node}/instances/{id}/renew", operation: bare((*Server).renewInstance), unready: true},

		{method: "GET", path: "/nodes", operation: with((*Server).listNodes)},
		{method: "GET", path: "/nodes/{node}", operation: with((*Server).getNode)},
		{method: "PUT", path: "/nodes/{node}", operation: bare((*Server).putNode), unready: true, body: true},
		{method: "DELETE", path: "/nodes/{node}", operation: bare((*Server).deleteNode), unready: true},
		{method: "PUT", path: "/nodes/{node}/renew", operation: bare((*Server).renewNode), unready: true},

		{method: "GET", path: "/checks", operation: with((*Server).listChecks)},
		{method: "PUT", path: "/checks/{check}", operation: bare((*Server).putCheck), unready: true, body: true, ofNode: true},
		{method: "PUT", path: "/nodes/{node}/checks/{check}", operation: bare((*Server).putCheck), unready: true, body: true},

		{method: "GET", path: "/drains", operation: with((*Server).listDrains)},
		{method: "PUT", path: "/drains", operation: bare((*Server).putDrain), unready: true, body: true},
		{method: "DELETE", path: "/drains", operation: with((*Server).deleteDrain), unready: true},
		{method: "GET", path: "/explain", operation: with((*Server).explain)},
		{method: "GET", path: "/events", operation: with((*Server).events), stream: true},
		{method: "GET", path: "/history", operation: with((*Server).history)},

		{method: "GET", path: "/health", operation: bare((*Server).health), unready: true},
		{method: "GET", path: "/openapi.json", operation: bare((*Server).openAPI), unready: true},
	}
}

func (s *Server) newMux() (*http.ServeMux, error) {
	mux := http.NewServeMux()
	for _, route := range routes() {
		handler := s.serve(&route)
		if route.method == http.MethodGet && !route.stream {
			var err error
			if handler, err = compressed(handler); err != nil {
				return nil, err
			}
		}
		mux.Handle(route.method+" "+root+route.path, handler)
	}
	// A path that no route matches is refused whatever its parameters are.
	noRoute := s.serve(&route{path: "/", unready: true, body: true, operation: operation{handle: (*Server).noRoute}})
	mux.Handle(root, noRoute)
	mux.Handle(root+"/", noRoute)
	return mux, nil
}

// serve wraps a route's handler with what all of them share: readiness, the revision, errors and metrics.
func (s *Server) serve(route *route) http.Handler {
	metrics := s.metrics.of(strings.TrimSpace(route.method + " " + root + route.path))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w.Header()[client.HeaderRevision] = s.revisionHeader(s.view.Revision())
		if age := s.view.Age(start); age > 0 {
			w.Header().Set(client.HeaderAge, strconv.Itoa(int(age.Seconds())))
		}
		err := s.admit(route)
		if err == nil && changes(r.Method) {
			if r, err = fromCaller(r); err == nil && r.ContentLength != 0 && !route.body {
				err = noBody(r)
			}
		}
		if err == nil {
			err = route.handle(s, route, w, r)
		}
		code := http.StatusOK
		cut := errors.Is(err, errCut)
		if err != nil && !cut {
			code = s.refuse(w, r, err)
		}
		metrics.answered(code, time.Since(start), !route.stream && !blocks(r))
		if cut {
			panic(http.ErrAbortHandler) // net/http closes the connection without the end of the answer
		}
	})
}

func (s *Server) admit(route *route) error {
	if s.stopping() {
		return errStopping
	}
	if route.unready || s.view.Ready() {
		return nil
	}
	return s.view.NotReady()
}

// noRoute answers what no route matches: 405 if another method would match, 404 otherwise.
func (s *Server) noRoute(_ *route, w http.ResponseWriter, r *http.Request) error {
	if allowed := s.allowed(r); len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return &statusError{
			status: http.StatusMethodNotAllowed,
			err: catalog.Errorf(catalog.KindInvalid, "method %s is not allowed here", r.Method).
				WithHint("use %s", strings.Join(allowed, " or ")),
		}
	}
	unknown := catalog.Errorf(catalog.KindNotFound, "no route %.200q", r.URL.Path)
	if path := strings.TrimRight(r.URL.EscapedPath(), "/"); path != r.URL.EscapedPath() && len(s.allowed(at(r, path))) > 0 {
		return unknown.WithHint("leave out the slash at the end: %.600s", path)
	}
	return unknown.WithHint("see %s/openapi.json", root)
}

// at returns the request with another path.
func at(r *http.Request, path string) *http.Request {
	other := r.Clone(r.Context())
	if decoded, err := url.PathUnescape(path); err == nil {
		other.URL.Path, other.URL.RawPath = decoded, path
	}
	return other
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
	if slices.Contains(methods, http.MethodGet) { // whose patterns match HEAD, too
		methods = slices.Insert(methods, 1, http.MethodHead)
	}
	return methods
}
