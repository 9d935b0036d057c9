package api

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

var addresses = cmpopts.EquateComparable(netip.Addr{})

func TestPutInstance(t *testing.T) {
	b := newBed(t)
	got := b.do(t, "PUT", "/nodes/n1/instances/web-1", `{"service": "web", "port": 80, "address": "fd00::1", "tags": ["x"],
		"meta": {"k": "v"}, "weight": 3, "ttl": "30s",
		"checks": [{"name": "get", "http": "http://localhost/", "interval": "2s"}, {"id": "mine", "ttl": "1m"}]}`)
	if got.code != 200 || got.body != `{"revision":11}`+"\n" || got.header.Get(client.HeaderRevision) != "11" {
		t.Fatalf("%d %v %s", got.code, got.header, got.body)
	}
	want := catalog.Registration{
		Instance: catalog.Instance{
			ID: "web-1", Node: "n1", Service: "web", Ports: []catalog.Port{{Number: 80}}, Source: "http",
			Addresses: []catalog.Address{{IP: netip.MustParseAddr("fd00::1")}}, Tags: []string{"x"},
			Meta: map[string]string{"k": "v"}, Weight: 3,
			Owner: catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(30 * time.Second)},
		},
		Checks: []catalog.Check{
			{ID: "web-1:1", Node: "n1", Instance: "web-1", Name: "get", Definition: catalog.Definition{
				Type: catalog.CheckHTTP, HTTP: "http://localhost/", Interval: catalog.Duration(2 * time.Second)}},
			{ID: "mine", Node: "n1", Instance: "web-1", Definition: catalog.Definition{
				Type: catalog.CheckTTL, TTL: catalog.Duration(time.Minute)}},
		},
	}
	if diff := cmp.Diff(want, b.registration, addresses); diff != "" {
		t.Error(diff)
	}
	if got := b.do(t, "PUT", "/instances/a%2Fb", `{"service":"web","permanent":true,"address":"db.lan"}`); got.code != 200 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	if i := b.registration.Instance; i.ID != "a/b" || i.Node != "n1" || i.Owner.Kind != catalog.OwnerPermanent || i.Addresses[0].Host != "db.lan" {
		t.Errorf("short form: %+v", i)
	}
}

func TestPutInstanceRefuses(t *testing.T) {
	b := newBed(t)
	deep := `{"service":"w","extras":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 41)
	for _, test := range []struct {
		body   string
		status int
		says   string
	}{
		{"", 400, "the body is empty"},
		{"null", 400, "the body is null"},
		{"[]", 400, "the body is a JSON array"},
		{"{", 400, "ends within its JSON"},
		{"}", 400, "not JSON"},
		{`{"service":"w","permanent":true} x`, 400, "goes on after"},
		{`{"service":"w","permanent":true}{}`, 400, "goes on after"},
		{`{"service":"w","servis":"x"}`, 400, `unknown field "servis"`},
		{`{"service":"w","checks":[{"interva":"1s"}]}`, 400, `unknown field "interva"`},
		{`{"service":1}`, 400, "field service is a JSON number"},
		{`{"Service":"w"}`, 400, `unknown field "Service"`},
		{`{"service":"a","service":"b"}`, 400, "field service is given twice"},
		{`{"service":"a","meta":{"k":"1","k":"2"}}`, 400, "field meta.k is given twice"},
		{`{"service":"w","checks":[{"http":"http://a/"},{"id":"c","id":"d"}]}`, 400, "field checks[1].id is given twice"},
		{`{"service":"w","port":70000}`, 400, "field port is a JSON number, 70000"},
		{`{"service":"w","port":-1}`, 400, "field port is a JSON number, -1"},
		{`{"service":"w","port":"80"}`, 400, "field port is a JSON string"},
		{`{"service":"w","ports":[{"name":"a","number":1.5}]}`, 400, "field ports[0].number is a JSON number, 1.5"},
		{`{"service":"w","ttl":"soon"}`, 400, "field ttl"},
		{`{"service":"w","ttl":30}`, 400, "field ttl"},
		{`{"service":"w","addresses":[{"ip":"10.0.0.256"}]}`, 400, "field addresses[0].ip"},
		{"{\"service\":\"\xff\"}", 400, "invalid UTF-8"},
		{`{"service":"w","ttl":"soon"}`, 400, `"soon" is not a duration`},
		{`{"service":"w","ttl":"-1s"}`, 400, "negative ttl"},
		{`{"service":"w"}`, 400, `add "ttl": "30s" and renew it, or "permanent": true`},
		{`{"service":"w","ttl":"1s","permanent":true}`, 400, "leave one of the two out"},
		{`{"id":"other","service":"w","permanent":true}`, 400, `about instance "other", the path about "x"`},
		{`{"service":"w","permanent":true,"container":"c"}`, 400, "names a container"},
		{`{"service":"w","permanent":true,"port":1,"ports":[{"number":2}]}`, 400, "both port and ports"},
		{`{"service":"w","permanent":true,"address":"a","addresses":[{"host":"b"}]}`, 400, "both address and addresses"},
		{`{"service":"w","permanent":true,"dns_limit":0}`, 400, "instance x has a dns_limit of 0: 1 to 4096 are allowed: leave it out"},
		{`{"service":"w","permanent":true,"dns_limit":-1}`, 400, "dns_limit of -1"},
		{`{"service":"w","permanent":true,"dns_limit":65537}`, 400, "dns_limit of 65537"},
		{`{"service":"w","permanent":true,"dns_limit":1.5}`, 400, "field dns_limit is a JSON number, 1.5"},
		{`{"service":"w","permanent":true,"dns_limit":"one"}`, 400, "field dns_limit is a JSON string"},
		{`{"service":"w","permanent":true,"dns_limit":9999999999}`, 400, "field dns_limit is a JSON number, 9999999999"},
		{`{"service":"w","permanent":true,"min_healthy":65636}`, 400, "min_healthy of 65636: 0 to 100 percent"},
		{`{"service":"w","permanent":true,"port":65536}`, 400, "field port"},
		{`{"service":"not a name","permanent":true}`, 400, "service name"},
		{`{"service":"w","permanent":true,"checks":[{"name":"no target"}]}`, 400, "set one of http, tcp, udp"},
		{`{"service":"w","permanent":true,"checks":[{"args":["rm"]}]}`, 403, "--enable-script-checks"},
		{`{"service":"w","permanent":true,"checks":[{"type":"tcp","tcp":":1","args":["rm"]}]}`, 403, "scripts are not accepted"},
		{`{"service":"w","permanent":true,"meta":{"k":"` + strings.Repeat("x", maxBody) + `"}}`, 413, "more than 1048576 bytes"},
		{deep, 400, "nested more than 32 deep"},
	} {
		got := b.do(t, "PUT", "/instances/x", test.body)
		problem := got.problem(t)
		if got.code != test.status || !strings.Contains(problem.Message+": "+problem.Hint, test.says) {
			t.Errorf("%.80s: %d %+v, want %d %q", test.body, got.code, problem, test.status, test.says)
		}
	}
	if b.registration.Instance.ID != "" {
		t.Errorf("registered %+v", b.registration)
	}
}

func TestScriptsWhereEnabled(t *testing.T) {
	b := newBed(t, func(c *Config) { c.EnableScripts = true })
	got := b.do(t, "PUT", "/instances/x", `{"service":"w","permanent":true,"checks":[{"args":["true"]}]}`)
	if got.code != 200 || b.registration.Checks[0].Type != catalog.CheckScript {
		t.Errorf("%d %s", got.code, got.body)
	}
}

func TestPutNode(t *testing.T) {
	b := newBed(t)
	got := b.do(t, "PUT", "/nodes/n2", `{"id": "i2", "addresses": [{"network": "host", "ip": "10.0.0.2"}], "ttl": "15s",
		"purge_after": "1m", "checks": [{"tcp": ":22"}],
		"instances": [{"id": "a", "service": "web", "source": "docker", "container": "abc"}, {"id": "b", "service": "web"}]}`)
	if got.code != 200 || got.body != `{"revision":10,"puts":2,"deletes":0,"conflicts":["instance x"]}`+"\n" {
		t.Fatalf("%d %s", got.code, got.body)
	}
	want := catalog.NodeState{
		Node: catalog.Node{
			Name: "n2", ID: "i2", Addresses: []catalog.Address{{Network: "host", IP: netip.MustParseAddr("10.0.0.2")}},
			Owner:      catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(15 * time.Second)},
			PurgeAfter: catalog.Duration(time.Minute),
		},
		Registrations: []catalog.Registration{
			{Instance: catalog.Instance{ID: "a", Node: "n2", Service: "web", Source: "docker",
				Owner: catalog.Owner{Kind: catalog.OwnerContainer, ID: "abc"}}},
			{Instance: catalog.Instance{ID: "b", Node: "n2", Service: "web", Source: "http",
				Owner: catalog.Owner{Kind: catalog.OwnerSession}}},
		},
		Checks: []catalog.Check{{ID: "n2:1", Node: "n2", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: ":22"}}},
	}
	if diff := cmp.Diff(want, b.state, addresses); diff != "" {
		t.Error(diff)
	}
	if got := b.do(t, "PUT", "/nodes/n2", `{"ttl":"9s","meta":{"k":"`+strings.Repeat("x", 4<<10)+`"},"instances":[`+
		strings.Repeat(`{"id":"a","service":"web"},`, 60_000)+`{"id":"a","service":"web"}]}`); got.code != 400 ||
		!strings.Contains(got.body, "60001 instances: 10000 are allowed") {
		t.Errorf("large state: %d %.200s", got.code, got.body)
	}
	for body, says := range map[string]string{
		`{}`:                         "has neither ttl nor permanent",
		`{"name":"n3","ttl":"9s"}`:   `about node \"n3\", the path about \"n2\"`,
		`{"ttl":"9s","instances":1}`: "field instances",
		`{"ttl":"9s","instances":[{"id":"a","service":"w","ttl":"9s"}]}`:                   "lives with its node",
		`{"ttl":"9s","instances":[{"id":"a","service":"w","port":1,"ports":[{}]}]}`:        "both port and ports",
		`{"ttl":"9s","checks":[{"args":["x"]}]}`:                                           "--enable-script-checks",
		`{"ttl":"9s","instances":[{"id":"a","service":"w","checks":[{"type":"script"}]}]}`: "--enable-script-checks",
		`{"ttl":"9s","meta":{"k":"` + strings.Repeat("x", maxNodeBody) + `"}}`:             "more than 16777216 bytes",
	} {
		if got := b.do(t, "PUT", "/nodes/n2", body); got.code < 400 || !strings.Contains(got.body, says) {
			t.Errorf("%.80s: %d %s, want %q", body, got.code, got.body, says)
		}
	}
}

func TestOtherWrites(t *testing.T) {
	b := newBed(t)
	for _, test := range []struct{ method, path, body, call, answer string }{
		{"DELETE", "/instances/a", "", "deregister n1 a", `{"revision":11}`},
		{"DELETE", "/nodes/n2/instances/a%20b", "", "deregister n2 a b", `{"revision":12}`},
		{"PUT", "/instances/a/renew", "", "renew n1 a", `{"revision":12}`},
		{"PUT", "/nodes/n2/instances/a/renew", "", "renew n2 a", `{"revision":12}`},
		{"PUT", "/nodes/n2/renew", "", "renew-node n2", `{"revision":12}`},
		{"DELETE", "/nodes/n2", "", "remove-node n2", `{"revision":17}`},
		{"PUT", "/checks/c:1", `{"status":"warning","output":"hm"}`, "push n1 c:1 warning hm", `{"revision":12}`},
		{"PUT", "/nodes/n2/checks/c", `{"status":"passing"}`, "push n2 c passing ", `{"revision":12}`},
	} {
		got := b.do(t, test.method, test.path, test.body)
		calls := b.recorded()
		if got.code != 200 || got.body != test.answer+"\n" || calls[len(calls)-1] != test.call {
			t.Errorf("%s %s: %d %s, call %q", test.method, test.path, got.code, got.body, calls[len(calls)-1])
		}
	}
}

// What the registry refuses is answered by kind, the same for every write.
func TestWritesPassErrorsOn(t *testing.T) {
	b := newBed(t)
	writes := []struct{ method, path, body string }{
		{"PUT", "/instances/a", `{"service":"w","permanent":true}`}, {"DELETE", "/instances/a", ""},
		{"PUT", "/instances/a/renew", ""}, {"PUT", "/nodes/n1", `{"ttl":"9s"}`}, {"PUT", "/nodes/n1/renew", ""},
		{"DELETE", "/nodes/n1", ""}, {"PUT", "/checks/a", `{"status":"passing"}`}, {"GET", "/services/web?consistent", ""},
	}
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{catalog.Errorf(catalog.KindNotFound, "x"), 404, "not_found"},
		{catalog.Errorf(catalog.KindConflict, "x"), 409, "conflict"},
		{catalog.Errorf(catalog.KindDenied, "x"), 403, "denied"},
		{catalog.Errorf(catalog.KindUnavailable, "x"), 503, "unavailable"},
		{errors.New("secret"), 500, "internal"},
	} {
		b.err = test.err
		for _, write := range writes {
			got := b.do(t, write.method, write.path, write.body)
			if got.code != test.status || got.problem(t).Code != test.code || strings.Contains(got.body, "secret") {
				t.Errorf("%s %s, %v: %d %s", write.method, write.path, test.err, got.code, got.body)
			}
			if (got.header.Get("Retry-After") == "1") != (test.status == 503) {
				t.Errorf("Retry-After %q for %d", got.header.Get("Retry-After"), got.code)
			}
		}
	}
	none := newBed(t, func(c *Config) { c.Registrar, c.Nodes, c.Pusher = nil, nil, nil })
	for _, write := range writes[:7] {
		if got := none.do(t, write.method, write.path, write.body); got.code != 503 {
			t.Errorf("%s %s without a registry: %d", write.method, write.path, got.code)
		}
	}
}

// The Go client's nouns come out of the server as they went in.
func TestClientWrites(t *testing.T) {
	b := newBed(t, func(c *Config) { c.EnableScripts = true })
	registration := catalog.Registration{
		Instance: catalog.Instance{
			ID: "../x", Node: "n1", Service: "web", Ports: []catalog.Port{{Name: "http", Number: 80, Protocol: "tcp", Published: 8080}},
			Addresses: []catalog.Address{{Network: "a", NetworkID: "1", IP: netip.MustParseAddr("10.1.2.3")}, {Host: "h"}},
			Tags:      []string{"x", "y"}, Meta: map[string]string{"k": "v"}, Weight: 7, Source: "consul", Drain: "soon",
			Locality: catalog.Locality{Region: "r", Zone: "z"}, Extras: map[string]json.RawMessage{"consul": json.RawMessage(`{"a":1}`)},
			Owner: catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(time.Minute)},
		},
		Checks: []catalog.Check{{ID: "s", Node: "n1", Instance: "../x", Name: "n", Status: catalog.Warning, Output: "o",
			Definition: catalog.Definition{Type: catalog.CheckScript, Args: []string{"true"}, Timeout: catalog.Duration(time.Second)}}},
	}
	revision, err := b.client.Register(t.Context(), registration)
	if err != nil || revision != 11 {
		t.Fatalf("%d %v", revision, err)
	}
	if diff := cmp.Diff(registration, b.registration, addresses); diff != "" {
		t.Error(diff)
	}
	permanent := registration
	permanent.Instance.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	if _, err := b.client.Register(t.Context(), permanent); err != nil || b.registration.Instance.Owner.Kind != catalog.OwnerPermanent {
		t.Errorf("%v %+v", err, b.registration.Instance.Owner)
	}
	if i, err := b.client.Instance(t.Context(), "n1", "../x"); err != nil || i.Drain != "soon" || i.Checks[0].Output != "o" {
		t.Errorf("%+v %v", i, err)
	}

	member := registration
	member.Instance.Owner = catalog.Owner{Kind: catalog.OwnerContainer, ID: "abc"}
	state := catalog.NodeState{
		Node: catalog.Node{Name: "n1", ID: "i", Meta: map[string]string{"k": "v"}, PurgeAfter: catalog.Duration(time.Hour),
			Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Minute)}},
		Registrations: []catalog.Registration{member},
		Checks:        []catalog.Check{{ID: "d", Node: "n1", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: ":1"}}},
	}
	result, err := b.client.SyncNode(t.Context(), state)
	if err != nil || result.Puts != 2 || len(result.Conflicts) != 1 {
		t.Fatalf("%+v %v", result, err)
	}
	if diff := cmp.Diff(state, b.state, addresses); diff != "" {
		t.Error(diff)
	}
	b.err = catalog.Errorf(catalog.KindConflict, "instance a is owned by x").WithHint("choose another id")
	_, err = b.client.Register(t.Context(), registration)
	if diff := cmp.Diff(b.err, err); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecodeRegistration(f *testing.F) {
	f.Add([]byte(`{"service":"web","port":80,"ttl":"30s","checks":[{"http":"http://x","interval":"1s"},{"args":["a"]}]}`))
	f.Add([]byte(`{"service":"web","permanent":true,"addresses":[{"ip":"::1"}],"extras":{"a":[[{}]]},"ports":[{"number":1}]}`))
	f.Add([]byte(`{"id":"x","meta":{"\u0000":"\ud800"},"weight":-1,"locality":{"zone":"z"},"drain":"d"} {}`))
	f.Add([]byte(strings.Repeat(`[`, 100)))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeRegistration(body, "n1", "x")
		if err != nil {
			if catalog.KindOf(err) != catalog.KindInvalid {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		if r.Instance.Node != "n1" || r.Instance.ID != "x" || r.Instance.Owner.Declared() || r.Instance.Owner.Kind == "" {
			t.Fatalf("%+v", r.Instance)
		}
		for _, c := range r.Checks {
			if c.ID == "" || c.Instance != "x" || c.Node != "n1" {
				t.Fatalf("%+v", c)
			}
		}
		if r.Validate() != nil {
			return
		}
		// What is valid can be shown.
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeNode(f *testing.F) {
	f.Add([]byte(`{"ttl":"9s","instances":[{"id":"a","service":"web","container":"c"}],"checks":[{"tcp":":1"}]}`))
	f.Add([]byte(`{"permanent":true,"id":"x","purge_after":"1m","addresses":[{"host":"h"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		state, err := decodeNode(body, "n1")
		if err != nil {
			if catalog.KindOf(err) != catalog.KindInvalid {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		for _, r := range state.Registrations {
			if !r.Instance.Owner.Declared() || r.Instance.Node != "n1" {
				t.Fatalf("%+v", r.Instance)
			}
		}
	})
}

// TestFloorOfIntervals registers checks that would make this host send too much, in all three ways that they can come by HTTP.
func TestFloorOfIntervals(t *testing.T) {
	b := newBed(t)
	check := `{"id":"c","http":"http://10.0.0.9/","interval":"999ms"}`
	for path, body := range map[string]string{
		"/instances/i":          `{"service":"w","permanent":true,"checks":[` + check + `]}`,
		"/nodes/other":          `{"ttl":"10s","checks":[` + check + `]}`,
		"/nodes/third":          `{"ttl":"10s","instances":[{"id":"i","service":"w","checks":[` + check + `]}]}`,
		"/nodes/n9/instances/i": `{"service":"w","permanent":true,"checks":[` + check + `]}`,
	} {
		got := b.do(t, "PUT", path, body)
		if got.code != 400 || got.problem(t).Message != "check c has the interval 999ms: at least 1s is allowed over HTTP" {
			t.Errorf("%s: %d %s", path, got.code, got.body)
		}
		if got := b.do(t, "PUT", path, strings.Replace(body, "999ms", "1s", 1)); got.code != 200 {
			t.Errorf("%s with a second: %d %s", path, got.code, got.body)
		}
	}
}

func TestHintsOfBadFields(t *testing.T) {
	b := newBed(t)
	for body, want := range map[string]string{
		`{"servce":"w"}`:                           `did you mean "service"?`,
		`{"Service":"w"}`:                          `did you mean "service"?`,
		`{"checks":[{"intervall":"1s"}]}`:          `did you mean "interval"?`,
		`{"checks":[{"initial_staus":"passing"}]}`: `did you mean "initial_status"?`,
		`{"nothing_like_it":1}`:                    "",
		`{"port":70000}`:                           "it takes a whole number up to 65535",
		`{"port":"80"}`:                            "it takes a whole number up to 65535",
		`{"service":true}`:                         "it takes text",
		`{"tags":"a"}`:                             "it takes a list",
		`{"meta":["a"]}`:                           "it takes an object",
		`{"permanent":"yes"}`:                      "it takes true or false",
	} {
		if got := b.do(t, "PUT", "/instances/i", body); got.code != 400 || got.problem(t).Hint != want {
			t.Errorf("%s: %d %s, want the hint %q", body, got.code, got.body, want)
		}
	}
}
