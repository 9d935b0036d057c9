package main

import (
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func TestServerAddress(t *testing.T) {
	for value, want := range map[string]string{
		"":                         "",
		"127.0.0.1:8500":           "127.0.0.1:8500",
		":9":                       ":9",
		"koine.example":            "koine.example",
		"koine.example:9":          "koine.example:9",
		"::1":                      "[::1]:8500",
		"10.0.0.1":                 "10.0.0.1:8500",
		"0.0.0.0":                  "127.0.0.1:8500",
		"0.0.0.0:9":                "127.0.0.1:9",
		"[::]:9":                   "127.0.0.1:9",
		"[::1]:9":                  "[::1]:9",
		"http://0.0.0.0:9/prefix":  "http://127.0.0.1:9/prefix",
		"http://[::]":              "http://127.0.0.1:8500",
		"https://koine.example/x/": "https://koine.example/x/",
	} {
		if got, err := serverAddress(value); got != want || err != nil {
			t.Errorf("--http %q is %q, %v; want %q", value, got, err, want)
		}
	}
	if got, err := serverAddress("off"); err == nil {
		t.Errorf("--http off is %q", got)
	}
}

// TestStatus shows a server that is not ready, and one that has lost its store; the scripts show the rest.
func TestStatus(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		state  any
		want   string
		code   int
	}{
		{"not ready", http.StatusServiceUnavailable, struct {
			client.ErrorBody
			client.Health
		}{client.ErrorBody{Error: client.ErrorDetail{Code: "not_ready", Message: "not ready"}},
			client.Health{WaitingFor: []string{"docker", "files"}, Node: "host", Version: "1"}},
			"  node       host\n  ready      no, waiting for docker and files\n  revision   0\n  store      in touch\n  version    1\n", exitNone},
		{"on its own", http.StatusOK, client.Health{Ready: true, Revision: 7, Age: 5e9, Node: "host", Version: "1"},
			"  node       host\n  ready      yes\n  revision   7\n" +
				"  store      not heard of for 5s: answers are the last that was known\n  version    1\n", 0},
		{"under a name that is taken", http.StatusOK,
			client.Health{Ready: true, Revision: 7, Problems: []string{"node host is alive under another id"}, Node: "host", Version: "1"},
			"  node       host\n  ready      yes\n  revision   7\n  store      in touch\n" +
				"  problem    node host is alive under another id\n  version    1\n", 0},
	} {
		server := serveAnswers(t, func(*http.Request) (int, any) { return test.status, test.state })
		stdout, stderr, code := koine("status", "--http", server.URL)
		if stdout != test.want || stderr != "" || code != test.code {
			t.Errorf("%s: %q, %q, %d", test.name, stdout, stderr, code)
		}
		stdout, stderr, code = koine("status", "--http", server.URL, "-o", "json")
		if !strings.HasPrefix(stdout, "{\n  \"ready\": ") || stderr != "" || code != test.code {
			t.Errorf("%s in JSON: %q, %q, %d", test.name, stdout, stderr, code)
		}
	}
}

func TestThisBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}},
	}
	if b := thisBuild(info, true); b.Version != "v1.2.3" || b.CommitDate != "2026-01-02T03:04:05Z" {
		t.Errorf("built by go install: %+v", b)
	}
	info.Main.Version = "(devel)"
	if b := thisBuild(info, true); b.Version != unversioned {
		t.Errorf("built in a checkout: %+v", b)
	}
	if b := thisBuild(nil, false); b.Version != unversioned || b.CommitDate != "" || b.Go == "" {
		t.Errorf("without information: %+v", b)
	}
}

func TestAsksForJSON(t *testing.T) {
	for line, want := range map[string]bool{
		"lookup web -o json": true, "lookup web --output json": true, "lookup web -ojson": true, "lookup web --output=json": true,
		"lookup web": false, "lookup web -o text": false, "lookup web -o": false, "register web -- jq -o json": false,
	} {
		if got := asksForJSON(strings.Fields(line)); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}

// TestServerThatDoesNotAnswer has a server that accepts connections, and no more.
func TestServerThatDoesNotAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c, err := client.New(client.Config{Address: silent.Addr().String(), HTTPClient: &http.Client{Transport: patient(time.Millisecond)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Services(t.Context())
	if catalog.KindOf(err) != catalog.KindUnavailable || !strings.Contains(err.Error(), "no answer from http://"+silent.Addr().String()+" in time") {
		t.Errorf("%v", err)
	}
}

func TestErrorsOfErrors(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	if got := each(errors.Join(a, errors.Join(b, c))); len(got) != 3 {
		t.Errorf("%q, want each error", got)
	}
}
