package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/daemon"
)

// koine runs a command line.
func koine(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

// TestRefusals shows how a server's refusals look to a user; the scripts in test/script show the rest.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
		json   string
	}{
		{"not ready", 503, `{"error": {"code": "not_ready", "message": "the view is loading", "hint": "try again soon"}}`,
			"koine: the view is loading: try again soon\n",
			`{"error":{"code":"not_ready","message":"the view is loading","hint":"try again soon"}}` + "\n"},
		{"denied", 403, `{"error": {"code": "denied", "message": "no right to read"}}`, "koine: no right to read\n",
			`{"error":{"code":"denied","message":"no right to read"}}` + "\n"},
		{"not ours", 502, "<html>", "koine: answer 502 Bad Gateway: is this the address of a Koine server?\n",
			`{"error":{"code":"unavailable","message":"answer 502 Bad Gateway","hint":"is this the address of a Koine server?"}}` + "\n"},
		{"not found by a server that is not ours", 404, "404 page not found",
			"koine: answer 404 Not Found: is this the address of a Koine server?\n",
			`{"error":{"code":"unavailable","message":"answer 404 Not Found","hint":"is this the address of a Koine server?"}}` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(client.HeaderRevision, "7")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			for _, args := range [][]string{{"services"}, {"nodes"}, {"lookup", "web"}, {"watch", "web"}, {"deregister", "x"},
				{"register", "web", "--permanent"}, {"instances"}, {"checks"}, {"push", "x", "passing"}, {"nodes", "remove", "n"},
				{"drain"}, {"drain", "web"}, {"explain", "web"}, {"history", "web"}, {"events"}} {
				args = append(args, "--http", server.URL)
				stdout, stderr, code := koine(args...)
				if stdout != "" || stderr != test.want || code != exitError {
					t.Errorf("koine %s: %q, %q, %d", strings.Join(args, " "), stdout, stderr, code)
				}
				stdout, stderr, code = koine(append(args, "-o", "json")...)
				if stdout != test.json || stderr != test.want || code != exitError {
					t.Errorf("koine %s in JSON: %q, %q, %d", strings.Join(args, " "), stdout, stderr, code)
				}
			}
		})
	}
}

// TestLookupWithoutAddress holds that exit code 0 comes with a line.
func TestLookupWithoutAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(client.HeaderRevision, "7")
		_, _ = w.Write([]byte(`{"service": "web", "instances": [{"id": "a", "node": "n", "healthy": true}]}`))
	}))
	defer server.Close()
	stdout, stderr, code := koine("lookup", "web", "--http", server.URL)
	if stdout != "" || stderr != "koine: no instance of web has an address\n" || code != exitNone {
		t.Errorf("%q, %q, %d", stdout, stderr, code)
	}
}

// TestWatchWarnsOnce holds that a server that stays away is reported once, and that a permanent error ends the watch.
func TestWatchWarnsOnce(t *testing.T) {
	var errs bytes.Buffer
	root := newRoot()
	root.SetErr(&errs)
	w := &watcher{cmd: root}
	away := catalog.Errorf(catalog.KindUnavailable, "no answer")
	for range 3 {
		if err := w.endure(away); err != nil {
			t.Errorf("a server that is away ends the watch: %v", err)
		}
	}
	if want := "koine: no answer (trying again until it answers)\n"; errs.String() != want {
		t.Errorf("warned %q, want %q", errs.String(), want)
	}
	denied := catalog.Errorf(catalog.KindDenied, "no right")
	if err := w.endure(denied); !errors.Is(err, denied) {
		t.Errorf("a denial is %v", err)
	}
}

func TestPrintWhyNot(t *testing.T) {
	instances := make([]client.Instance, maxReasons+2)
	for i := range instances {
		instances[i].Instance = catalog.Instance{ID: "a", Node: "n"}
		instances[i].WhyNot = "drained"
	}
	instances[0].WhyNot, instances[0].Status = "", catalog.Warning
	var out bytes.Buffer
	printWhyNot(&out, instances)
	want := "  a on n: warning\n" + strings.Repeat("  a on n: drained\n", maxReasons-1) + "  and 2 more: see --health any -o json\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestLines(t *testing.T) {
	got := lines([]client.Instance{{Address: "10.0.0.1", Port: 80}, {Address: "2001:db8::1", Port: 80}, {Address: "db.example.net"}, {}})
	if want := "10.0.0.1:80\n[2001:db8::1]:80\ndb.example.net\n"; got != want {
		t.Errorf("lines %q, want %q", got, want)
	}
}

func TestCommandEnd(t *testing.T) {
	dir := t.TempDir()
	plain, garbage := filepath.Join(dir, "plain"), filepath.Join(dir, "garbage")
	for path, mode := range map[string]os.FileMode{plain: 0o600, garbage: 0o700} {
		if err := os.WriteFile(path, []byte("no program\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		command []string
		want    error
	}{
		{"success", []string{"true"}, nil},
		{"its own code", []string{"sh", "-c", "exit 3"}, exitCode(3)},
		{"a signal", []string{"sh", "-c", "kill -KILL $$"}, exitCode(137)},
		{"not there", []string{"nosuchcommand"}, exitCode(127)},
		{"no such path", []string{"./nosuchcommand"}, exitCode(127)},
		{"no program", []string{plain}, exitCode(126)},
		{"of no known format", []string{garbage}, exitCode(126)},
		{"a directory", []string{dir}, exitCode(126)},
		{"below a file", []string{plain + "/x"}, exitCode(126)},
		{"too many arguments", []string{"true", strings.Repeat("x", 8<<20)}, exitCode(126)},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot()
			root.SetErr(&bytes.Buffer{})
			if got := commandEnd(root, exec.Command(test.command[0], test.command[1:]...).Run()); !errors.Is(got, test.want) {
				t.Errorf("end %v, want %v", got, test.want)
			}
		})
	}
	other := errors.New("no memory")
	if got := commandEnd(newRoot(), other); !errors.Is(got, other) {
		t.Errorf("end %v, want %v", got, other)
	}
}

// TestBanner shows the banner of a daemon that never runs; the scripts show the rest.
func TestBanner(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///run/engine.sock")
	d, err := daemon.New(daemon.Config{Node: "host", HTTP: daemon.Off, DNS: daemon.Off})
	if err != nil {
		t.Fatal(err)
	}
	got := banner(t.Context(), d, daemon.Config{Engine: "etcd://a:1"})
	want := "Koine runs on node host. Ctrl-C ends it.\n" +
		"  Docker  unix:///run/engine.sock, which does not answer: it is followed when it does\n" +
		"  Store   etcd://a:1\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("banner (-want +got):\n%s", diff)
	}
}

// TestServeEndsWithItsContext runs a whole daemon in this process.
func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	welcome := writerFunc(func(p []byte) (int, error) {
		cancel() // it is ready
		return len(p), nil
	})
	err := serve(ctx, daemon.Config{
		Node: "host", HTTP: "127.0.0.1:0", DNS: "127.0.0.1:0", Docker: daemon.Off, Logger: slog.New(slog.DiscardHandler),
	}, welcome)
	if err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAwaitEnd(t *testing.T) {
	ended := make(chan error, 1)
	want := errors.New("disk full")
	ended <- want
	if got := awaitEnd(ended, nil, slog.New(slog.DiscardHandler)); !errors.Is(got, want) {
		t.Errorf("end %v, want %v", got, want)
	}
}

// TestSecondSignal holds that only a signal that comes a second after the first one cuts the stop short.
func TestSecondSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		signals := make(chan os.Signal, 2)
		go func() {
			signals <- syscall.SIGINT // of the two that timeout(1) sends
			time.Sleep(doubledWithin)
			signals <- syscall.SIGINT
		}()
		begin := time.Now()
		err := awaitEnd(make(chan error), signals, slog.New(slog.NewTextHandler(&log, nil)))
		if !errors.Is(err, exitCode(130)) || time.Since(begin) != doubledWithin {
			t.Errorf("end %v after %v", err, time.Since(begin))
		}
		if !strings.Contains(log.String(), "a second signal") {
			t.Errorf("log: %s", &log)
		}
		err = awaitEnd(make(chan error), signals, slog.New(slog.DiscardHandler))
		if want := "still not stopped 5s after the signal: ending all the same"; text(err) != want {
			t.Errorf("without an end and a signal: %v", err)
		}
	})
}
