package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/koine-sd/koine/catalog"
)

// redirected returns the address of a proxy that redirects every request to a Koine server, and the number of requests that this gets.
func redirected(t *testing.T, status int) (address string, got *atomic.Int32) {
	t.Helper()
	got = new(atomic.Int32)
	koine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Add(1)
		w.Header().Set(HeaderRevision, "7")
		fmt.Fprint(w, `{"id":"x","node":"n1","service":"web"}`)
	}))
	t.Cleanup(koine.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, koine.URL+r.URL.Path, status)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL, got
}

// TestRedirectedWrite holds that a redirected write is not taken for made: Go makes a GET of it, which the server answers.
func TestRedirectedWrite(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		address, got := redirected(t, status)
		for _, given := range []*http.Client{nil, {}} {
			c, err := New(Config{Address: address, HTTPClient: given})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Deregister(t.Context(), "n1", "x")
			if want := fmt.Sprintf("answer %d ", status); catalog.KindOf(err) != catalog.KindUnavailable ||
				!strings.HasPrefix(err.Error(), want) || got.Load() > 0 {
				t.Errorf("%d: deregistered with %v; the server got %d requests", status, err, got.Load())
			}
			if given != nil && given.CheckRedirect != nil {
				t.Error("the caller's HTTP client is changed")
			}
		}
	}
}

// TestRedirectedRead holds that a read follows, as the caller's HTTP client does.
func TestRedirectedRead(t *testing.T) {
	address, got := redirected(t, http.StatusMovedPermanently)
	refused := errors.New("not there")
	for _, test := range []struct {
		given *http.Client
		want  error
	}{{nil, nil}, {&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return refused }}, refused}} {
		c, err := New(Config{Address: address, HTTPClient: test.given})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Instance(t.Context(), "n1", "x"); (err != nil) != (test.want != nil) {
			t.Errorf("read: %v, want %v", err, test.want)
		}
	}
	if got.Load() != 1 {
		t.Errorf("the server got %d requests, want 1", got.Load())
	}
}

// TestEndlessRedirection holds that a read does not follow forever.
func TestEndlessRedirection(t *testing.T) {
	var address string
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, address+r.URL.Path, http.StatusFound)
	}))
	defer server.Close()
	address = server.URL
	c, err := New(Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services(t.Context()); err == nil || requests.Load() != 10 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
}
