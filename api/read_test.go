package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func baseContext(ctx context.Context) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return ctx }
}

func ids(t *testing.T, body string) string {
	t.Helper()
	var list struct{ Instances []client.Instance }
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	var found []string
	for _, i := range list.Instances {
		found = append(found, i.ID)
	}
	return strings.Join(found, " ")
}

func TestServiceBody(t *testing.T) {
	b := newBed(t)
	got := b.get(t, "/services/WEB")
	want := `{"index":"10","service":"web","instances":[{"id":"a","node":"n1","service":"web","ports":[{"number":80,` +
		`"published":8080}],"tags":["blue"],"meta":{"version":"1:2"},"source":"docker","owner":{"kind":"session"},` +
		`"status":"passing","healthy":true,"address":"10.0.0.1","port":8080,"create_revision":7,"mod_revision":9}]}` + "\n"
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{
		client.HeaderIndex: "10", client.HeaderRevision: "10", "Content-Type": "application/json",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
}

func TestServiceFilters(t *testing.T) {
	b := newBed(t)
	for _, test := range []struct{ path, want string }{
		{"/services/web", "a"},
		{"/services/web?health=healthy", "a"},
		{"/services/web?health=any", "a b"},
		{"/services/web?health=any&tag=green", "b"},
		{"/services/web?tag=green", ""},
		{"/services/web?health=any&meta=version:1:2", "a b"},
		{"/services/web?meta=version:2", ""},
		{"/services/web?tag=blue&tag=green&health=any", ""},
		{"/services/db", "c"},
		{"/services/db?health=passing", ""},
		{"/services/web?consistent", "a"},
		{"/services/web?consistent=false", "a"},
		{"/instances", "a b c"},
		{"/instances?service=WEB", "a b"},
		{"/instances?service=nope", ""},
		{"/instances?node=n1&source=docker&service=db", "c"},
		{"/instances?node=n2", ""},
		{"/instances?node=n2&service=web", ""},
		{"/instances?source=file", ""},
		{"/nodes/n1", "a b c"},
	} {
		got := b.get(t, test.path)
		if got.code != http.StatusOK || ids(t, got.body) != test.want {
			t.Errorf("%s: %d %s, want %q", test.path, got.code, got.body, test.want)
		}
		if !strings.Contains(got.body, `"instances":[`) {
			t.Errorf("%s: no list in %s", test.path, got.body)
		}
	}
	if got := strings.Join(b.recorded(), ","); got != "barrier" {
		t.Errorf("calls %s, want one barrier", got)
	}
}

func TestRefusals(t *testing.T) {
	b := newBed(t)
	for _, test := range []struct {
		method, path, body, code string
		status                   int
		says                     string
	}{
		{"GET", "/services/nope", "", "not_found", 404, "no service nope"},
		{"GET", "/services/web?health=bad", "", "invalid", 400, `unknown health "bad"`},
		{"GET", "/services/web?tags=x", "", "invalid", 400, `unknown parameter "tags"`},
		{"GET", "/services/web?meta=x", "", "invalid", 400, "no colon"},
		{"GET", "/services/web?index=x", "", "invalid", 400, "neither an index nor"},
		{"GET", "/services/web?index=1&wait=x", "", "invalid", 400, "not a duration"},
		{"GET", "/services/web?index=1&wait=-1s", "", "invalid", 400, "above zero"},
		{"GET", "/services/web?consistent=x", "", "invalid", 400, "neither true nor false"},
		{"GET", "/services/web?tag=%zz", "", "invalid", 400, "query of the URL"},
		{"GET", "/services?x=1", "", "invalid", 400, "unknown parameter"},
		{"GET", "/services?index=-1", "", "invalid", 400, "neither an index nor"},
		{"GET", "/services/web?" + strings.Repeat("tag=x&", 300), "", "invalid", 400, "300 times"},
		{"GET", "/nodes?x", "", "invalid", 400, "unknown parameter"},
		{"GET", "/nodes?index=x", "", "invalid", 400, "neither an index nor"},
		{"GET", "/nodes/n1?index=x", "", "invalid", 400, "neither an index nor"},
		{"GET", "/nodes/n1?x", "", "invalid", 400, "unknown parameter"},
		{"GET", "/nodes/n2", "", "not_found", 404, "no node n2"},
		{"GET", "/instances?x", "", "invalid", 400, "unknown parameter"},
		{"GET", "/instances/x", "", "not_found", 404, "no instance x on node n1"},
		{"GET", "/instances/a?x", "", "invalid", 400, "unknown parameter"},
		{"GET", "/nodes/n2/instances/a", "", "not_found", 404, "on node n2"},
		{"GET", "/checks?status=bad", "", "invalid", 400, "unknown status"},
		{"GET", "/checks?x", "", "invalid", 400, "unknown parameter"},
		{"GET", "/watch?x", "", "invalid", 400, "unknown parameter"},
		{"GET", "/watch?health=x", "", "invalid", 400, "unknown health"},
		{"GET", "/watch?revision=x", "", "invalid", 400, "neither an index nor"},
		{"GET", "/nope", "", "not_found", 404, "no route"},
		{"POST", "/services", "", "invalid", 405, "method POST"},
		{"PUT", "/checks/x", `{"status":"bad"}`, "invalid", 400, `status "bad"`},
		{"PUT", "/checks/x", `{"state":"passing"}`, "invalid", 400, `unknown field "state"`},
		{"PUT", "/instances/x?ttl=1", `{}`, "invalid", 400, "unknown parameter"},
	} {
		got := b.do(t, test.method, test.path, test.body)
		problem := got.problem(t)
		if got.code != test.status || problem.Code != test.code || !strings.Contains(problem.Message, test.says) {
			t.Errorf("%s %.60s: %d %+v, want %d %s %q", test.method, test.path, got.code, problem, test.status, test.code, test.says)
		}
		if got.header.Get(client.HeaderRevision) != "10" {
			t.Errorf("%s %s: revision %q", test.method, test.path, got.header.Get(client.HeaderRevision))
		}
	}
	if got := b.do(t, "POST", "/nodes/n1", ""); got.header.Get("Allow") != "GET, HEAD, PUT, DELETE" {
		t.Errorf("Allow: %q", got.header.Get("Allow"))
	}
}

func TestPathsThatAreNoRoutes(t *testing.T) {
	b := newBed(t)
	for path, want := range map[string]string{
		"/services/":        "leave out the slash at the end: /api/v1/services",
		"/instances/a%2Fb/": "leave out the slash at the end: /api/v1/instances/a%2Fb",
		"/nope/":            "see /api/v1/openapi.json",
		"":                  "see /api/v1/openapi.json",
		"/":                 "see /api/v1/openapi.json",
	} {
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, httptest.NewRequest("GET", root+path, nil))
		if got := (answer{w.Code, w.Header(), w.Body.String()}); got.code != 404 || got.problem(t).Hint != want {
			t.Errorf("%q: %d %s, want the hint %q", path, got.code, got.body, want)
		}
	}
	w := httptest.NewRecorder()
	b.server.Foreign().ServeHTTP(w, httptest.NewRequest("GET", "/v1/agent/self", nil))
	got := answer{w.Code, w.Header(), w.Body.String()}
	if got.code != 404 || !strings.Contains(got.problem(t).Message, "Consul's API is planned") || w.Header().Get(client.HeaderRevision) == "" {
		t.Errorf("Consul's API: %d %v %s", got.code, got.header, got.body)
	}
}

func TestNotReady(t *testing.T) {
	view := catalog.NewView()
	release := view.Hold("the containers of this host")
	b := serveView(t, view)
	reads := 0
	for _, route := range routes() {
		if route.method != "GET" || route.path == "/openapi.json" {
			continue
		}
		reads++
		got := b.get(t, strings.NewReplacer("{", "", "}", "").Replace(route.path))
		if got.code != 503 || got.header.Get("Retry-After") != "1" || got.problem(t).Code != "not_ready" {
			t.Errorf("%s: %d %v %s", route.path, got.code, got.header, got.body)
		}
		if !strings.Contains(got.body, "the containers of this host, the catalog's first load") {
			t.Errorf("%s: %s does not say what is waited for", route.path, got.body)
		}
	}
	if reads < 10 {
		t.Errorf("%d reads", reads)
	}
	if got := b.get(t, "/openapi.json"); got.code != 200 {
		t.Errorf("document: %d", got.code)
	}
	if _, err := b.client.Lookup(t.Context(), catalog.Query{Service: "web"}); catalog.KindOf(err) != catalog.KindNotReady {
		t.Errorf("client: %v", err)
	}
	if got := b.do(t, "PUT", "/instances/x", `{"service":"web","permanent":true}`); got.code != 200 {
		t.Errorf("write: %d %s", got.code, got.body)
	}
	view.Load(3, nodeChange("n1"))
	release()
	if got := b.get(t, "/services"); got.code != 200 || got.body != `{"index":"3","services":[]}`+"\n" {
		t.Errorf("ready: %d %s", got.code, got.body)
	}
}

func TestListsAndHealth(t *testing.T) {
	b := newBed(t)
	for _, test := range []struct{ path, want string }{
		{"/services", `{"index":"10","services":[{"name":"db","instances":1,"healthy":1,"index":"10"},` +
			`{"name":"web","instances":2,"healthy":1,"tags":["blue","green"],"index":"10"}]}`},
		{"/nodes", `{"index":"10","nodes":[{"name":"n1","id":"id-n1","alive":true,"status":"passing","addresses":[` +
			`{"network":"host","ip":"10.0.0.1"}],"owner":{"kind":"session","ttl":"10s"},"checks":[{"id":"disk","name":"ping",` +
			`"type":"tcp","status":"passing","since":"2026-01-02T03:04:05Z"}],"instance_count":3}]}`},
		{"/checks?status=critical", `{"checks":[{"id":"b:1","node":"n1","instance":"b","service":"Web","name":"ping",` +
			`"type":"tcp","status":"critical","output":"out of b:1","since":"2026-01-02T03:04:05Z","runner":"n1"}]}`},
		{"/checks?service=nope", `{"checks":[]}`},
		{"/checks?node=n2", `{"checks":[]}`},
		{"/health", `{"ready":true,"revision":10,"age":"0s","node":"n1","version":"v0"}`},
	} {
		if diff := cmp.Diff(test.want+"\n", b.get(t, test.path).body); diff != "" {
			t.Errorf("%s: %s", test.path, diff)
		}
	}
	withdraw := b.view.Problem("the name is taken")
	if got := b.get(t, "/health"); got.code != http.StatusOK || !strings.Contains(got.body, `"ready":true,"problems":["the name is taken"]`) {
		t.Errorf("/health with a problem: %d %s", got.code, got.body)
	}
	withdraw()
	if got := b.get(t, "/health"); strings.Contains(got.body, "problems") {
		t.Errorf("/health without a problem: %s", got.body)
	}
	var one client.Instance
	got := b.get(t, "/instances/b")
	if err := json.Unmarshal([]byte(got.body), &one); err != nil {
		t.Fatal(err)
	}
	if one.Healthy || one.WhyNot != "check b:1 is critical" || one.Checks[0].Output != "out of b:1" {
		t.Errorf("instance %s", got.body)
	}
	if got := b.get(t, "/services/web?health=any"); strings.Contains(got.body, "out of") {
		t.Errorf("output in %s", got.body)
	}
}

func TestDial(t *testing.T) {
	host := []catalog.Address{{Network: catalog.NetworkHost, Host: "box.lan"}}
	bridge := []catalog.Address{{Network: "bridge", Host: "inner"}}
	loopback := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:81")}
	published := []catalog.Port{{Number: 80, Published: 8080}, {Number: 81}}
	for name, test := range map[string]struct {
		addresses []catalog.Address
		ports     []catalog.Port
		address   string
		port      uint16
	}{
		"published on the host":  {host, published, "box.lan", 8080},
		"a host's own":           {host, published[1:], "box.lan", 81},
		"not published":          {append(host, bridge...), []catalog.Port{{Number: 81}, {Number: 80, Published: 8080}}, "inner", 81},
		"only the second":        {host, []catalog.Port{{Number: 81, Bindings: loopback}, {Number: 80, Published: 8080}}, "box.lan", 8080},
		"on its own network":     {bridge, published, "inner", 80},
		"no address":             {nil, published, "", 80},
		"neither":                {nil, nil, "", 0},
		"an address and no port": {host, nil, "box.lan", 0},
	} {
		e := &catalog.Endpoint{Instance: &catalog.Instance{Addresses: test.addresses, Ports: test.ports}}
		if address, port := dial(e, catalog.AllNetworks); address != test.address || port != test.port {
			t.Errorf("%s: %s %d", name, address, port)
		}
	}
}

// One record that cannot be encoded must not take a service out of the answers.
func TestBadExtras(t *testing.T) {
	b := newBed(t)
	bad := instance("web", "bad")
	bad.Extras = map[string]json.RawMessage{"consul": json.RawMessage("{")}
	b.apply(instanceChange(bad))
	if got := ids(t, b.get(t, "/services/web").body); got != "a bad" {
		t.Errorf("instances %s", got)
	}
}

func TestHead(t *testing.T) {
	b := newBed(t)
	for _, path := range []string{"/services/web", "/watch"} {
		if got := b.do(t, "HEAD", path, ""); got.code != 200 || got.body != "" || got.header.Get(client.HeaderRevision) != "10" {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no error without a view")
	}
	registry := prometheus.NewRegistry()
	b := newBed(t, func(c *Config) { c.Metrics = registry; c.Barrier = nil })
	if _, err := New(Config{View: catalog.NewView(), Metrics: registry}); err == nil {
		t.Error("no error for metrics that are there already")
	}
	if got := b.get(t, "/services/web?consistent"); got.code != 400 {
		t.Errorf("consistent without a barrier: %d", got.code)
	}
	b.get(t, "/services/nope")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "koine_api_requests_total" && m.GetCounter().GetValue() > 0 {
				counts[m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{"400": 1, "404": 1}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
}

// discard is a writer that costs nothing itself.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// A lookup costs no allocation once its snapshot has been encoded.
func TestLookupAllocations(t *testing.T) {
	b := newBed(t)
	request := httptest.NewRequest("GET", root+"/services/web", nil)
	request.SetPathValue("name", "web")
	w := &discard{header: http.Header{}}
	handle := b.server.serve(&route{method: "GET", path: "/services/{name}", operation: with((*Server).getService)})
	if n := testing.AllocsPerRun(100, func() { handle.ServeHTTP(w, request) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.header.Get("Content-Length") == "" {
		t.Error("no length")
	}
}

func TestBodyIsSharedBySnapshot(t *testing.T) {
	b := newBed(t)
	first := b.server.bodyOf(b.view.Service("web"), catalog.AllNetworks, b.view.Marks())
	if b.server.bodyOf(b.view.Service("WEB"), catalog.AllNetworks, b.view.Marks()) != first {
		t.Error("encoded twice")
	}
	db := b.server.bodyOf(b.view.Service("db"), catalog.AllNetworks, b.view.Marks())
	if &db.all.bytes[0] != &db.healthy.bytes[0] {
		t.Error("two bodies though all are healthy")
	}
	b.apply(instanceChange(instance("web", "new")))
	if b.server.bodyOf(b.view.Service("web"), catalog.AllNetworks, b.view.Marks()) == first {
		t.Error("the old body for a new snapshot")
	}
}

func TestAgeOfWhatIsLastKnown(t *testing.T) {
	b := newBed(t)
	b.view.Touch(time.Now())
	if got := b.get(t, "/services/web"); got.header.Get(client.HeaderAge) != "" {
		t.Errorf("age %q in touch with the store", got.header.Get(client.HeaderAge))
	}
	b.view.Touch(time.Now().Add(-time.Hour))
	if got := b.get(t, "/services/web"); got.code != http.StatusOK || got.header.Get(client.HeaderAge) != "3600" {
		t.Errorf("%d, age %q; want an answer that says it is an hour old", got.code, got.header.Get(client.HeaderAge))
	}
}

func TestAddressByClient(t *testing.T) {
	b := newBed(t)
	front := func(i *catalog.Instance) *catalog.Instance {
		i.Addresses = []catalog.Address{
			{Network: "front", NetworkID: "f", IP: netip.MustParseAddr("10.80.0.2")},
			{Network: "host", IP: netip.MustParseAddr("10.0.0.1")},
		}
		return i
	}
	b.apply(instanceChange(front(instance("shop", "s1"))))
	gateway := func(text string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(text)} }
	b.view.SetNetworks([]catalog.Network{
		{ID: "f", Name: "front", Gateways: gateway("10.80.0.1")}, {ID: "b", Name: "back", Gateways: gateway("10.81.0.1")},
	})
	for query, want := range map[string]string{
		"": "10.80.0.2:80", "?network=front": "10.80.0.2:80", "?network=f": "10.80.0.2:80", "?network=back": "10.0.0.1:8080",
	} {
		service := decoded[client.Service](t, b.get(t, "/services/shop"+query).body)
		if i := service.Instances[0]; fmt.Sprint(i.Address, ":", i.Port) != want {
			t.Errorf("%q gets %s:%d, want %s", query, i.Address, i.Port, want)
		}
	}
	if got := b.get(t, "/services/shop?network=none"); got.code != 404 || !strings.Contains(got.body, "no network") {
		t.Errorf("an unknown network: %d %s", got.code, got.body)
	}
	// When the host's networks change, the answer changes.
	b.view.SetNetworks([]catalog.Network{{ID: "b", Name: "back", Gateways: gateway("10.81.0.1")}})
	service := decoded[client.Service](t, b.get(t, "/services/shop").body)
	if got := service.Instances[0].Address; got != "10.0.0.1" {
		t.Errorf("the host gets %s after it has left the network", got)
	}
}

func decoded[T any](t *testing.T, body string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return value
}
