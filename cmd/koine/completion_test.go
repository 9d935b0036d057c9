package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestCompletionIsBounded holds that a shell does not wait for a server that hangs.
func TestCompletionIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	t.Setenv("KOINE_HTTP", server.URL)
	for _, args := range [][]string{{"lookup", ""}, {"drain", ""}, {"lookup", "web", "--near", ""}} {
		if stdout, _, code := koine(append([]string{"__complete"}, args...)...); !strings.HasSuffix(stdout, ":4\n") || code != 0 {
			t.Errorf("%s: %q, %d", strings.Join(args, " "), stdout, code)
		}
	}
}

func TestTypeable(t *testing.T) {
	for _, name := range []string{"web", "web-1", "eu/1", "größe", "10.0.0.1:80", "a_b", "[::1]:80"} {
		if !typeable(name) {
			t.Errorf("%q is not completed", name)
		}
	}
	for _, name := range []string{"", "-h", "--http=h:1", "a b", "$(reboot)", "`reboot`", "a;b", "a|b", "a&b", "a>b", "'", `"`, `\`, "a\nb", "*", "~", "#", "!x", "\x1b[2J", "\u202e"} {
		if typeable(name) {
			t.Errorf("%q is completed", name)
		}
	}
}
