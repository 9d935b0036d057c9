package dockertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestMain(m *testing.M) { Main(m) }

// TestEngine starts, stops, kills and restarts an engine with a container on it, and looks for what is left of it.
func TestEngine(t *testing.T) {
	var e *Engine
	t.Run("engine", func(t *testing.T) {
		e = Start(t, Config{})
		e.Demo()
		id := e.Run(Container{Name: "web", Config: container.Config{Cmd: []string{"-name", "w1"}}})
		ip := e.Inspect(id).NetworkSettings.Networks["bridge"].IPAddress.String()
		if ip != "172.17.0.2" {
			t.Errorf("the first container's address is %s, want 172.17.0.2", ip)
		}
		if body := get(t, "http://"+ip+"/"); !strings.HasPrefix(body, "w1 on ") {
			t.Errorf("GET / = %q", body)
		}
		e.Kill9()
		if body := get(t, "http://"+ip+"/health"); body != "ok\n" {
			t.Errorf("the container does not answer after dockerd was killed: %q", body)
		}
		e.Start()
		e.Restart()
		e.Run(Container{Name: "left", Host: container.HostConfig{NetworkMode: "host"}, Config: container.Config{Cmd: []string{"-ports", "8080"}}})
		e.Kill9()
		if len(cgroupProcesses(e.cgroup)) == 0 {
			t.Error("the container's process is not found in the engine's cgroup")
		}
	})
	if e == nil {
		return
	}
	if left := append(cgroupProcesses(e.cgroup), processesOf(e.dir)...); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), e.dir) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	if _, err := os.Stat(e.dir); !os.IsNotExist(err) {
		t.Errorf("the engine's directory is left: %v", err)
	}
}

// get asks until the server answers, at most ten seconds.
func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		body, err := fetch(ctx, url)
		if err == nil {
			return body
		}
		select {
		case <-ctx.Done():
			t.Fatalf("get %s: %v", url, err)
		case <-time.After(pollInterval):
		}
	}
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestNamespaces(t *testing.T) {
	if reason := Missing(); reason != "" {
		t.Skip(reason)
	}
	if parent := os.Getppid(); parent != 1 {
		t.Errorf("the tests' parent is process %d, want the first of the namespace", parent)
	}
	if err := syscall.Kill(1, 0); err != nil {
		t.Error(err)
	}
}

// TestRequire tells skipping from failing without an engine.
func TestRequire(t *testing.T) {
	t.Setenv(envStage, "")
	if os.Geteuid() == 0 {
		t.Setenv(envReason, "no namespaces here")
	}
	for _, required := range []string{"", "1"} {
		t.Setenv("KOINE_REQUIRE_DOCKER", required)
		r := &recorder{TB: t}
		func() {
			defer func() { _ = recover() }()
			require(r)
		}()
		if want := required == "1"; r.fatal != want || r.skipped == want {
			t.Errorf("with KOINE_REQUIRE_DOCKER=%q: fatal %v, skipped %v", required, r.fatal, r.skipped)
		}
		if r.said == "" {
			t.Error("no reason was given")
		}
	}
}

// recorder is a test that notes how it was ended.
type recorder struct {
	testing.TB
	fatal, skipped bool
	said           string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal, r.said = true, fmt.Sprintf(format, args...)
	panic("ended")
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped, r.said = true, fmt.Sprintf(format, args...)
	panic("ended")
}
