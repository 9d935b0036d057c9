package health

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// probe runs a check for real, with all the time that it may need.
func probe(t *testing.T, def catalog.Definition) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	return (&probers{scripts: true}).probe(ctx, &def)
}

// within runs a check for real with its own timeout.
func within(t *testing.T, timeout time.Duration, def catalog.Definition) Result {
	t.Helper()
	def.Timeout = catalog.Duration(timeout)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return (&probers{scripts: true}).probe(ctx, &def)
}

func expect(t *testing.T, got Result, status catalog.Status, parts ...string) {
	t.Helper()
	if got.Status != status {
		t.Errorf("status %s, want %s; output %q", got.Status, status, got.Output)
	}
	for _, part := range parts {
		if !strings.Contains(got.Output, part) {
			t.Errorf("output %q has no %q", got.Output, part)
		}
	}
}

func TestHTTPStatus(t *testing.T) {
	for code, want := range map[int]catalog.Status{
		200: catalog.Passing, 204: catalog.Passing, 299: catalog.Passing, 304: catalog.Critical,
		404: catalog.Critical, 429: catalog.Warning, 500: catalog.Critical, 503: catalog.Critical,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
		}))
		got := probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL})
		expect(t, got, want, http.StatusText(code))
		server.Close()
	}
}

func TestHTTPRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.Join([]string{
			r.Method, r.Host, r.Header.Get("X-One"), strings.Join(r.Header["X-Two"], "+"), string(body),
		}, " "))
	}))
	defer server.Close()
	got := probe(t, catalog.Definition{
		Type: catalog.CheckHTTP, HTTP: strings.Replace(server.URL, "//", "//me:secret@", 1), Method: "PUT", Body: "ping",
		Header: map[string][]string{"host": {"web.example"}, "x-one": {"1"}, "X-Two": {"2", "3"}},
	})
	expect(t, got, catalog.Passing, "PUT web.example 1 2+3 ping", "200 OK")
	if strings.Contains(got.Output, "secret") {
		t.Errorf("output tells a password: %q", got.Output)
	}
}

func TestHTTPRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer other.Close()
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	mux := http.NewServeMux()
	mux.Handle("/same", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/port", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/elsewhere", http.RedirectHandler(elsewhere, http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/ok", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	defer server.Close()
	check := func(path string) Result {
		return probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL + path})
	}
	expect(t, check("/same"), catalog.Passing)
	expect(t, check("/port"), catalog.Passing)
	expect(t, check("/elsewhere"), catalog.Critical, "302 Found to "+elsewhere)
	expect(t, check("/loop"), catalog.Critical, "302 Found to /loop")
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "name "+r.TLS.ServerName)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the failed handshake
	server.StartTLS()
	defer server.Close()
	expect(t, probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL}), catalog.Critical, "certificate")
	got := probe(t, catalog.Definition{
		Type: catalog.CheckHTTP, HTTP: server.URL, TLSSkipVerify: true, TLSServerName: "web.example",
	})
	expect(t, got, catalog.Passing, "name web.example")
}

func TestHTTPOutputIsTheHeadOfTheBody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "head"+strings.Repeat("é", 1<<20))
	}))
	defer server.Close()
	got := probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL})
	expect(t, got, catalog.Passing, "200 OK\nheadé")
	if len(got.Output) > 2*catalog.MaxOutput {
		t.Errorf("%d bytes were kept", len(got.Output))
	}
}

func TestHTTPFailures(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := "http://" + listener.Addr().String()
	expect(t, within(t, 50*time.Millisecond, catalog.Definition{Type: catalog.CheckHTTP, HTTP: silent}),
		catalog.Critical, "timed out after 50ms")
	_ = listener.Close()
	expect(t, probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: silent}), catalog.Critical, "refused")
	expect(t, probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: "http://bad host/"}), catalog.Critical, "host")
	expect(t, probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: "ftp://127.0.0.1/"}), catalog.Critical, "scheme")
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	def := catalog.Definition{Type: catalog.CheckTCP, TCP: listener.Addr().String()}
	expect(t, probe(t, def), catalog.Passing, "success")
	_ = listener.Close()
	expect(t, probe(t, def), catalog.Critical, "refused")
	expect(t, within(t, 0, def), catalog.Critical, "TCP connect")
}

func TestTCPWithTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the failed handshakes
	server.StartTLS()
	defer server.Close()
	def := catalog.Definition{Type: catalog.CheckTCP, TCP: server.Listener.Addr().String(), TCPUseTLS: true}
	expect(t, probe(t, def), catalog.Critical, "TLS handshake with 127.0.0.1:", "certificate")
	def.TLSServerName = "example.com"
	expect(t, probe(t, def), catalog.Critical, "certificate") // of an unknown authority
	def.TLSSkipVerify = true
	expect(t, probe(t, def), catalog.Passing, "TLS handshake with 127.0.0.1:", "success")

	def.TCP = closedAddress(t)
	expect(t, probe(t, def), catalog.Critical, "refused")
	def.TCP = silentServer(t)
	expect(t, within(t, 50*time.Millisecond, def), catalog.Critical, "TLS handshake", "timed out after 50ms")
}

func TestUnknownType(t *testing.T) {
	expect(t, probe(t, catalog.Definition{Type: "gopher"}), catalog.Critical, `type "gopher"`)
}
