package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

func TestState(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   Health
		err    string
	}{
		{name: "ready", status: 200, body: `{"ready": true, "revision": 7, "age": "0s", "node": "n", "version": "1"}`,
			want: Health{Ready: true, Revision: 7, Node: "n", Version: "1"}},
		{name: "not ready", status: 503,
			body: `{"error": {"code": "not_ready", "message": "not ready"}, "ready": false, "waiting_for": ["docker"], "age": "2s", "node": "n"}`,
			want: Health{WaitingFor: []string{"docker"}, Age: catalog.Duration(2e9), Node: "n"}},
		{name: "away", status: 503, body: `{"error": {"code": "unavailable", "message": "stopping"}}`, err: "stopping"},
		{name: "denied", status: 403, body: `{"error": {"code": "denied", "message": "no right"}}`, err: "no right"},
		{name: "a proxy", status: 503, body: "<html>", err: "answer 503 Service Unavailable: is this the address of a Koine server?"},
		{name: "cut short", status: 200, body: `{"ready": true`, err: "answer of SERVER is not the JSON that was expected: unexpected end of JSON input: " +
			"is this the address of a Koine server, and of this version?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(HeaderRevision, "7")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			c, err := New(Config{Address: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.State(t.Context())
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if want := strings.ReplaceAll(test.err, "SERVER", c.server()); text != want {
				t.Errorf("error %q, want %q", text, want)
			}
		})
	}
}
