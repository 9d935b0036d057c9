package dockertest

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
	"github.com/koine-sd/koine/internal/outcome"
)

func TestMain(m *testing.M) { Main(m) }

// TestEngine starts, stops, kills and restarts an engine with a container on it, and looks for leftovers.
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

// get asks until the server answers.
func get(t *testing.T, url string) (body string) {
	t.Helper()
	eventually.True(t, url+" answers", func() bool {
		var err error
		body, err = fetch(t.Context(), url)
		return err == nil
	})
	return body
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
	require(t)
	if parent := os.Getppid(); parent != 1 {
		t.Errorf("the tests' parent is process %d, want the first of the namespace", parent)
	}
	if err := syscall.Kill(1, 0); err != nil {
		t.Error(err)
	}
}

// TestRequire skips or fails without an engine.
func TestRequire(t *testing.T) {
	t.Setenv(envStage, "")
	if os.Geteuid() == 0 {
		t.Setenv(envReason, "no namespaces here")
	}
	for _, all := range []string{"", "1"} {
		t.Setenv(needs.RequireAll, all)
		got := outcome.Of(t, func(t testing.TB) { require(t) })
		if required := all == "1"; (got.Fatal != "") != required || (got.Skipped != "") == required {
			t.Errorf("with %s=%q it ends with %+v", needs.RequireAll, all, got)
		}
	}
}
