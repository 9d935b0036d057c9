package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func newGuard(t testing.TB) *Guard {
	t.Helper()
	g, err := NewGuard(GuardConfig{
		Names: []string{"Box7", "box7.lan."}, Zones: []string{"koine", "sd.corp.example"},
		Hosts:   []string{"Koine.corp.example", "*.dev.example", "10.1.2.3"},
		Origins: []string{"https://ui.corp.example", "http://LOCALHOST:3000", "https://app.example:443"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestHosts(t *testing.T) {
	g := newGuard(t)
	for host, own := range map[string]bool{
		// none, as in HTTP/1.0
		"": true,
		// addresses
		"127.0.0.1": true, "127.0.0.1:8500": true, "203.0.113.9:80": true, "[::1]": true, "[::1]:8500": true,
		"[2001:db8::1]:8500": true, "[fe80::1%eth0]:8500": true, "[fe80::1%25eth0]": true, "::1": true,
		"[::ffff:127.0.0.1]:1": true,
		// what no name can be, and browsers take for an address
		"127.1": true, "0x7f.1:8500": true, "2130706433": true,
		// names that nobody else owns
		"localhost": true, "LocalHost:8500": true, "localhost.": true, "localhost.:8500": true, "box7": true, "box9:1": true,
		"my_box": true, "box7.lan": true, "BOX7.LAN.:80": true,
		// the own zones
		"web.service.koine": true, "web.service.KOINE.:8500": true, "koine": true, "a.sd.corp.example": true, "sd.corp.example": true,
		// --http-host
		"koine.corp.example": true, "koine.corp.example.:8500": true, "x.dev.example": true, "a.b.dev.example": true, "10.1.2.3": true,

		"evil.example": false, "rebind.evil.example:8500": false, "evil.": false, "localhost.evil.example": false,
		"localhost.evil": false, "127.0.0.1.evil.example": false, "box7.evil.example": false, "box9.lan": false, "evilkoine.": false,
		"web.koine.evil.example": false, "notkoine.example": false, "xsd.corp.example": false, "corp.example": false,
		"a.koine.corp.example": false, "dev.example": false, "xdev.example": false, "foo.localhost": false,
		// malformed
		":8500": false, "[::1": false, "[::1]x": false, "[localhost]": false, "localhost:x": false, "localhost:1@evil.example": false,
		"user@localhost": false, "a/b": false, ".": false, "..": false, "x y": false, "é": false, "[]": false, "[::1]:8500:1": false,
		"1::2::3": false, "a:b:c": false,
	} {
		if got := g.ownHost(host); got != own {
			t.Errorf("host %q: own is %t, want %t", host, got, own)
		}
	}
}

func TestOrigins(t *testing.T) {
	g := newGuard(t)
	for _, test := range []struct {
		host    string
		header  []string // names and values by turns
		reads   bool
		changes bool
		shared  string
	}{
		{"127.0.0.1:8500", nil, true, true, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://127.0.0.1:8500"}, true, true, ""},
		{"LocalHost:8500", []string{"Origin", "http://localhost:8500"}, true, true, ""},
		{"localhost", []string{"Origin", "http://localhost:80"}, true, true, ""},
		{"localhost:80", []string{"Origin", "http://localhost"}, true, true, ""},
		{"localhost", []string{"Origin", "https://localhost"}, true, true, ""}, // behind a proxy that speaks TLS
		{"[::1]:8500", []string{"Origin", "http://[::1]:8500"}, true, true, ""},

		{"127.0.0.1:8500", []string{"Origin", "http://evil.example"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://203.0.113.9:8500"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://127.0.0.1:3000"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://127.0.0.1"}, false, false, ""},
		{"localhost:443", []string{"Origin", "http://localhost"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://localhost:8500"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "ftp://127.0.0.1:8500"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "127.0.0.1:8500"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://127.0.0.1:8500/"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "null"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", ""}, false, false, ""},
		{"", []string{"Origin", "http://"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://127.0.0.1:8500", "Origin", "http://evil.example"}, false, false, ""},
		{"127.0.0.1:8500", []string{"Origin", "http://ui.corp.example"}, false, false, ""},

		{"127.0.0.1:8500", []string{"Origin", "https://ui.corp.example"}, true, true, "https://ui.corp.example"},
		{"127.0.0.1:8500", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "cross-site"}, true, true, "http://localhost:3000"},
		{"127.0.0.1:8500", []string{"Origin", "https://app.example"}, true, true, "https://app.example"},
		{"evil.example", []string{"Origin", "https://ui.corp.example"}, false, false, ""},
		{"evil.example", []string{"Origin", "http://evil.example"}, false, false, ""},
		{"evil.example", nil, false, false, ""},

		{"127.0.0.1:8500", []string{"Sec-Fetch-Site", "cross-site"}, true, false, ""},
		{"127.0.0.1:8500", []string{"Sec-Fetch-Site", "same-site"}, true, false, ""},
		{"127.0.0.1:8500", []string{"Sec-Fetch-Site", "same-origin"}, true, true, ""},
		{"127.0.0.1:8500", []string{"Sec-Fetch-Site", "none"}, true, true, ""},
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "X"} {
			r := httptest.NewRequest(method, "/", nil)
			r.Host = test.host
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Add(test.header[i], test.header[i+1])
			}
			shared, refused := g.foreign(r)
			want := test.changes
			if method == "GET" || method == "HEAD" {
				want = test.reads
			}
			if (refused == nil) != want || shared != test.shared {
				t.Errorf("%s with host %q, %q: refused %v, shared with %q", method, test.host, test.header, refused, shared)
			}
			if refused != nil && (refused.Kind != catalog.KindDenied || !strings.Contains(refused.Hint, "--http-host") && !strings.Contains(refused.Hint, "--cors-origin")) {
				t.Errorf("host %q, %q: %v names no flag", test.host, test.header, refused)
			}
		}
	}
}

func TestGuardFlags(t *testing.T) {
	for _, host := range []string{"", "*", "*.", "koine.example:8500", "http://koine.example", "a b", "x.*.example", "**.example", "-a.example"} {
		if _, err := NewGuard(GuardConfig{Hosts: []string{host}}); catalog.KindOf(err) != catalog.KindInvalid || !strings.Contains(err.Error(), "--http-host") {
			t.Errorf("--http-host %q: %v", host, err)
		}
	}
	for _, origin := range []string{
		"", "*", "null", "ui.example", "https://ui.example/", "https://ui.example/x", "https://*.example", "ftp://ui.example", "https://",
		"https://u@ui.example", "https://ui.example?x", "https://ui.example#x",
	} {
		_, err := NewGuard(GuardConfig{Origins: []string{origin}})
		if catalog.KindOf(err) != catalog.KindInvalid || !strings.Contains(err.Error(), "--cors-origin") {
			t.Errorf("--cors-origin %q: %v", origin, err)
		}
	}
}

// TestPathsThatAreNotCanonical holds that an id which is not percent-encoded is an error, not a redirect to another id.
func TestPathsThatAreNotCanonical(t *testing.T) {
	b := newBed(t)
	mux := http.NewServeMux()
	mux.Handle(root+"/", b.server.Handler())
	front := b.server.Front(newGuard(t), mux)
	for path, want := range map[string]int{
		"/instances/http://www.example.net/x": 400, "/instances/a/../b": 400, "/instances/./a": 400, "/instances/..": 400,
		"/instances//": 400, "//instances/a": 400, "/instances/http:%2F%2Fwww.example.net%2Fx": 404, "/instances/%2E%2E": 404,
		"/instances/a..b": 404, "/instances/.a": 404,
	} {
		r := httptest.NewRequest(http.MethodGet, root+path, nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		if w.Code != want || want == 400 && !strings.Contains(w.Body.String(), "percent-encode the id") {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
}

// TestFront holds that a request of a foreign page reads and changes nothing, on any path.
func TestFront(t *testing.T) {
	b := newBed(t)
	secret := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	mux := http.NewServeMux()
	mux.Handle(root+"/", b.server.Handler())
	mux.Handle("/", secret)
	front := b.server.Front(newGuard(t), mux)
	ask := func(method, path, host string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(`{"service":"web","permanent":true}`))
		r.Host = host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", method, path, name, got, want)
			}
		}
		return w
	}
	for _, path := range []string{"/", "/metrics", "/debug/pprof/", "/nosuch", root + "/services", root + "/openapi.json", root + "/health"} {
		for _, from := range [][]string{{"evil.example"}, {"localhost", "Origin", "http://evil.example"}, {"localhost", "Origin", "null"}} {
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "POST"} {
				w := ask(method, path, from[0], from[1:]...)
				if w.Code != 403 || w.Header().Get(client.HeaderRevision) != "10" || w.Header().Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s %s from %q: %d %v %s", method, path, from, w.Code, w.Header(), w.Body)
				}
			}
		}
	}
	if w := ask("PUT", root+"/instances/x", "rebind.evil.example"); w.Code != 403 ||
		w.Body.String() != `{"error":{"code":"denied","message":"\"rebind.evil.example\" is not a name of this server",`+
			`"hint":"use its IP address or localhost, or allow the name with --http-host rebind.evil.example"}}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(b.calls) > 0 {
		t.Errorf("calls %v", b.calls)
	}
	if w := ask("GET", "/", "localhost"); w.Code != 200 || w.Body.String() != "secret" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask("PUT", root+"/instances/x", "localhost", "Origin", "https://ui.corp.example"); w.Code != 200 ||
		w.Header().Get("Access-Control-Allow-Origin") != "https://ui.corp.example" || w.Header().Get("Vary") != "Origin" ||
		!strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), client.HeaderIndex) {
		t.Errorf("an allowed origin: %d %v", w.Code, w.Header())
	}
	w := ask("OPTIONS", root+"/instances/x", "localhost", "Origin", "https://ui.corp.example", "Access-Control-Request-Method", "PUT",
		"Access-Control-Request-Private-Network", "true")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, PUT, DELETE" ||
		w.Header().Get("Access-Control-Allow-Private-Network") != "true" || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	if w := ask("OPTIONS", root+"/services", "localhost", "Origin", "https://ui.corp.example"); w.Code != 405 {
		t.Errorf("no preflight: %d %s", w.Code, w.Body)
	}
	if w := ask("OPTIONS", root+"/services", "localhost"); w.Code != 405 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("no page: %d %v", w.Code, w.Header())
	}
	b.server.Stop()
	if w := ask("GET", "/metrics", "localhost"); w.Code != 503 || w.Header().Get("Connection") != "close" {
		t.Errorf("after the stop: %d %v", w.Code, w.Header())
	}
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{"localhost:8500", "[fe80::1%25eth0]:80", "127.1", "evil.example", "a.koine.", "[::1]x", ":::"} {
		f.Add(seed)
	}
	g := newGuard(f)
	f.Fuzz(func(t *testing.T, host string) {
		own := g.ownHost(host)
		if upper := strings.ToUpper(host); g.ownHost(upper) != own && strings.EqualFold(upper, host) && len(upper) == len(host) {
			t.Errorf("%q depends on letter case", host)
		}
		name, ok := splitPort(host)
		if own && host != "" && (!ok || name == "") {
			t.Errorf("%q is malformed, and ours", host)
		}
		if own && strings.HasSuffix(strings.ToLower(name), ".evil.example") {
			t.Errorf("%q is ours", host)
		}
	})
}

func FuzzOrigin(f *testing.F) {
	f.Add("http://localhost:8500", "localhost:8500")
	f.Add("https://[::1]", "[::1]:443")
	f.Fuzz(func(t *testing.T, origin, host string) {
		if parsed, ok := parseOrigin(origin); ok {
			if again, ok := parseOrigin(parsed); !ok || again != parsed {
				t.Errorf("%q is %q, and that %q", origin, parsed, again)
			}
		}
		if sameOrigin(origin, host) && (host == "" || !strings.Contains(strings.ToLower(origin), strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), ":80"))) {
			t.Errorf("%q is the origin of %q", origin, host)
		}
	})
}
