package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/eventually"
)

// unread starts koine in a directory, with an error output that nobody reads. The channel is closed once it has ended.
func unread(t *testing.T, dir, server string, args ...string) (*exec.Cmd, <-chan struct{}) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir, cmd.Stderr, cmd.Env = dir, write, append(os.Environ(), asKoine+"=1", "KOINE_HTTP="+server)
	read.Close()
	err = cmd.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return cmd, ended
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestRegisterWithUnreadErrors holds that neither koine nor the command ends because nobody reads that a renewal failed.
func TestRegisterWithUnreadErrors(t *testing.T) {
	var renewed atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(client.HeaderRevision, "7")
		if strings.HasSuffix(r.URL.Path, "/renew") {
			renewed.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"code":"unavailable","message":"no"}}`)
			return
		}
		fmt.Fprint(w, `{"revision": 7}`)
	}))
	defer server.Close()
	dir := t.TempDir()
	cmd, ended := unread(t, dir, server.URL, "register", "web", "--port", "80", "--ttl", "1s", "--", "sh", "-c", "exec 2>&1"+traps)
	eventually.True(t, "renewals go on", func() bool { return renewed.Load() > 2 || isClosed(ended) })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	if cmd.ProcessState.ExitCode() != 4 || renewed.Load() < 3 {
		t.Errorf("ended with %v after %d renewals", cmd.ProcessState, renewed.Load())
	}
}

// TestWatchWithUnreadErrors holds that a watch goes on although nobody reads that its command failed.
func TestWatchWithUnreadErrors(t *testing.T) {
	server := watchedServer(t, 2)
	dir := t.TempDir()
	cmd, ended := unread(t, dir, server.URL, "watch", "web", "--", "sh", "-c", `: >run-$KOINE_REVISION; exit 4`)
	eventually.True(t, "the command runs again", func() bool {
		_, err := os.Stat(filepath.Join(dir, "run-2"))
		return err == nil || isClosed(ended)
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	if cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}

// watchedServer is a server with a number of states of service web, after which nothing changes.
func watchedServer(t *testing.T, states int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(client.HeaderRevision, "7")
		if !strings.HasSuffix(r.URL.Path, "/watch") {
			fmt.Fprint(w, `{"ready": true, "revision": 7}`)
			return
		}
		for i := range states {
			fmt.Fprintf(w, `{"revision": %d, "service": "web", "instances": []}`+"\n", i+1)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return server
}
