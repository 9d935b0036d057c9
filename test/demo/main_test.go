package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func none(string) string { return "" }

func TestHealthTurns(t *testing.T) {
	state := new(state)
	state.healthy.Store(true)
	server := httptest.NewServer(handler("web", state))
	defer server.Close()
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	if body := request(t, http.MethodGet, server.URL+"/", 200); !strings.HasPrefix(body, "web on ") {
		t.Errorf("GET / = %q, want the name first", body)
	}
	if body := request(t, http.MethodGet, server.URL+"/served", 200); body != "1\n" {
		t.Errorf("GET /served = %q after one request", body)
	}
	o, err := parse([]string{"-listen", host, "-ports", port, "-healthcheck"}, none)
	if err != nil {
		t.Fatal(err)
	}
	if err := probe(context.Background(), o); err != nil {
		t.Errorf("probe of a healthy server: %v", err)
	}
	request(t, http.MethodPut, server.URL+"/health?ok=false", 200)
	request(t, http.MethodGet, server.URL+"/health", 503)
	if err := probe(context.Background(), o); err == nil {
		t.Error("probe of an unhealthy server passed")
	}
	request(t, http.MethodPut, server.URL+"/health?ok=perhaps", 400)
}

func request(t *testing.T, method, url string, want int) string {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != want {
		t.Errorf("%s %s = %d, want %d", method, url, response.StatusCode, want)
	}
	return string(body)
}

func TestParse(t *testing.T) {
	env := map[string]string{"DEMO_NAME": "web", "DEMO_PORTS": "80,81", "DEMO_GRACE": "2s"}
	o, err := parse([]string{"-grace", "500ms"}, func(key string) string { return env[key] })
	if err != nil {
		t.Fatal(err)
	}
	if o.name != "web" || len(o.ports) != 2 || o.grace != 500*time.Millisecond {
		t.Errorf("parse = %+v", o)
	}
	if _, err := parse(nil, func(string) string { return "soon" }); err == nil {
		t.Error("a grace of \"soon\" was accepted")
	}
}

func TestServeEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := serve(ctx, options{listen: "127.0.0.1", ports: []string{"0"}}); err != nil {
		t.Error(err)
	}
	if err := serve(ctx, options{listen: "127.0.0.1", ports: []string{"no"}}); err == nil {
		t.Error("serve on a bad port returned no error")
	}
}
