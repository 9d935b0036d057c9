package api

import (
	"io"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/client"
)

// pathOf returns a path that a route matches.
func (rt *route) pathOf() string { return strings.NewReplacer("{", "", "}", "").Replace(rt.path) }

// bodyFor returns a body for the routes that take one.
func (rt *route) bodyFor() string {
	if !rt.body {
		return ""
	}
	return `{"service":"web","permanent":true}`
}

// TestEveryRouteRefusesUnknownParameters asks every route for something that it does not know; nothing may be done then.
func TestEveryRouteRefusesUnknownParameters(t *testing.T) {
	b := newBed(t)
	for _, rt := range routes() {
		for _, name := range []string{"dry_run", "ttl", "x"} {
			got := b.do(t, rt.method, rt.pathOf()+"?"+name+"=1", rt.bodyFor())
			problem := got.problem(t)
			if got.code != 400 || problem.Code != "invalid" || problem.Message != `unknown parameter "`+name+`"` || problem.Hint == "" {
				t.Errorf("%s %s?%s: %d %+v", rt.method, rt.path, name, got.code, problem)
			}
		}
		for _, name := range rt.names {
			if many := slices.Contains([]string{"tag", "meta", "service"}, name) && (name != "service" || rt.path == "/watch"); many {
				continue
			}
			got := b.do(t, rt.method, rt.pathOf()+"?"+name+"=1&"+name+"=2", "")
			if problem := got.problem(t); got.code != 400 || problem.Message != "parameter "+name+" is given 2 times" {
				t.Errorf("%s %s?%s twice: %d %+v", rt.method, rt.path, name, got.code, problem)
			}
		}
	}
	if len(b.calls) > 0 {
		t.Errorf("calls %v", b.calls)
	}
}

// TestNodeInTheQuery holds that what is meant for another node is not done on the server's own.
func TestNodeInTheQuery(t *testing.T) {
	b := newBed(t)
	found := 0
	for _, rt := range routes() {
		longer := slices.ContainsFunc(routes(), func(other route) bool {
			return other.method == rt.method && other.path == "/nodes/{node}"+rt.path
		})
		if longer != rt.ofNode {
			t.Errorf("%s %s: a route below a node is %t", rt.method, rt.path, longer)
		}
		if !longer {
			continue
		}
		found++
		got := b.do(t, rt.method, rt.pathOf()+"?node=db-host", rt.bodyFor())
		want := "name the node in the path: /api/v1/nodes/db-host" + rt.pathOf()
		if problem := got.problem(t); got.code != 400 || problem.Hint != want {
			t.Errorf("%s %s: %d %+v, want the hint %s", rt.method, rt.path, got.code, problem, want)
		}
	}
	if found != 5 || len(b.calls) > 0 {
		t.Errorf("%d routes, calls %v", found, b.calls)
	}
	for query, want := range map[string]string{
		"/instances/a%2Fb?node=x%2Fy": "name the node in the path: /api/v1/nodes/x%2Fy/instances/a%2Fb",
		"/instances/a?node=":          "name the node in the path: /api/v1/nodes/NODE/instances/a",
		"/services/web?tga=blue":      "did you mean tag? this route takes health, tag, meta, network, near, index, wait, consistent",
		"/services/web?q=blue":        "this route takes health, tag, meta, network, near, index, wait, consistent",
		"/health?x":                   "this route takes no parameters",
	} {
		if problem := b.get(t, query).problem(t); problem.Hint != want {
			t.Errorf("%s: %+v, want the hint %s", query, problem, want)
		}
	}
}

func TestParameterValues(t *testing.T) {
	b := newBed(t)
	for query, want := range map[string]string{
		"/services/web?index=":                           `index "" is neither an index nor the id of an event`,
		"/services/web?index=-1":                         `index "-1" is neither an index nor the id of an event`,
		"/services/web?index=18446744073709551616":       `index "18446744073709551616" is neither an index nor the id of an event`,
		"/services/web?index=1&wait=":                    `wait "" is not a duration above zero`,
		"/services/web?tag=":                             "parameter tag is empty",
		"/services/web?tag=blue&tag=":                    "parameter tag is empty",
		"/services/web?near=":                            "parameter near is empty",
		"/services/web?health=":                          `unknown health ""`,
		"/services/web?meta=version:1&meta=version:2":    `meta has "version" with two values`,
		"/instances?node=":                               "parameter node is empty",
		"/checks?status=":                                `unknown status ""`,
		"/events?last=-3":                                `last "-3" is not a number`,
		"/events?last=10001":                             "last=10001 is above 10000",
		"/explain":                                       `missing parameter "name"`,
		"/history":                                       `missing parameter "name"`,
		"/history?name=":                                 "parameter name is empty",
		"/watch?service=":                                "parameter service is empty",
		"/services?consistent=yes":                       `consistent="yes" is neither true nor false`,
		"/services/web?" + strings.Repeat("tag=x&", 300): "parameter tag is given 300 times: 256 are allowed",
	} {
		if got := b.get(t, query); got.code != 400 || got.problem(t).Message != want {
			t.Errorf("%.60s: %d %s, want %s", query, got.code, got.body, want)
		}
	}
}

// The document says of each route which parameters it takes.
func TestDocumentHasEveryParameter(t *testing.T) {
	doc := readDocument(t)
	for _, rt := range routes() {
		var documented []string
		for _, p := range doc.Paths[root+rt.path][strings.ToLower(rt.method)].Parameters {
			if p = p.of(&doc); p.In == "query" {
				documented = append(documented, p.Name)
			}
		}
		served := slices.Sorted(slices.Values(rt.names))
		slices.Sort(documented)
		if diff := cmp.Diff(served, documented); diff != "" {
			t.Errorf("%s %s, parameters served (-) and documented (+): %s", rt.method, rt.path, diff)
		}
	}
}

func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"index=7&wait=5m&consistent", "tag=a&tag=b&meta=k:v:w&health=any", "service=web&service=db&revision=9", "since=1h&name=x",
		"last=5&follow=0", "status=critical&node=n1", "%zz", "a;b", "node=db-host", "near=_self&network=x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", root+"/instances/a", nil)
		r.URL.RawQuery = query
		values, parsed := url.ParseQuery(query)
		for _, rt := range routes() {
			for name := range values {
				known := slices.Contains(rt.names, name)
				var p watchParams
				if rt.path == "/watch" && !known && rt.read(r, p.fields()) == nil {
					t.Errorf("%q: %q passes", query, name)
				}
			}
			var p serviceParams
			if err := rt.read(r, p.fields()); err == nil && (parsed != nil || p.Wait < 0 || slices.Contains(p.Tags, "")) {
				t.Errorf("%q is read as %+v", query, p)
			}
		}
	})
}

// TestBodiesWithoutEffect sends a body to every changing route that takes none; nothing may be done then.
func TestBodiesWithoutEffect(t *testing.T) {
	b := newBed(t)
	for _, rt := range routes() {
		if !changes(rt.method) || rt.body {
			continue
		}
		got := b.do(t, rt.method, rt.pathOf(), `{"ttl":"1h"}`)
		if problem := got.problem(t); got.code != 400 || !strings.HasSuffix(problem.Message, "of this path has no body") {
			t.Errorf("%s %s: %d %+v", rt.method, rt.path, got.code, problem)
		}
	}
	if len(b.calls) > 0 {
		t.Errorf("calls %v", b.calls)
	}
	empty := httptest.NewRequest("DELETE", root+"/instances/a", io.MultiReader()) // of unknown length
	w := httptest.NewRecorder()
	if b.server.Handler().ServeHTTP(w, empty); w.Code != 200 {
		t.Errorf("an empty body of unknown length: %d %s", w.Code, w.Body)
	}
}

func TestRegistrantGivenTwice(t *testing.T) {
	b := newBed(t)
	request := httptest.NewRequest("DELETE", root+"/instances/a", nil)
	request.Header[client.HeaderRegistrant] = []string{"one", "two"}
	w := httptest.NewRecorder()
	if b.server.Handler().ServeHTTP(w, request); w.Code != 400 || !strings.Contains(w.Body.String(), "given twice") || len(b.calls) > 0 {
		t.Errorf("%d %s, calls %v", w.Code, w.Body, b.calls)
	}
}
