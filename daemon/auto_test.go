package daemon

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/registry"
)

// TestAutoWithoutASocketKeepsTheContainers holds that what the catalog has of Docker stays while the engine's socket is not there: the
// engine may come later than Koine.
func TestAutoWithoutASocketKeepsTheContainers(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	withoutEngines(t)
	dir, id := t.TempDir(), uuid.NewString()
	seed(t, dir, id)
	d, err := New(Config{Node: "n1", HTTP: Off, DNS: Off, Docker: Auto, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if err := d.View().WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if e := d.View().Instance("n1", "web-1"); e == nil || e.Drain == "" {
		t.Errorf("the container's instance is %+v, want it drained", e)
	}
	if _, follows := d.DockerHost(); follows {
		t.Error("an engine is named that has never answered")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// withoutEngines gives the default sockets other places, where nothing is, and returns their directory.
func withoutEngines(t *testing.T) (dir string) {
	dir = t.TempDir()
	docker, podman := defaultDockerSocket, podmanSockets
	defaultDockerSocket = filepath.Join(dir, "docker.sock")
	podmanSockets = func() []string { return []string{filepath.Join(dir, "root.sock"), filepath.Join(dir, "user.sock")} }
	t.Cleanup(func() { defaultDockerSocket, podmanSockets = docker, podman })
	return dir
}

// TestEngineSocket has Docker's socket count before Podman's, and root's before a user's.
func TestEngineSocket(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	dir := withoutEngines(t)
	cfg := Config{Docker: Auto}
	if host, _ := cfg.dockerHost(); host != "unix://"+dir+"/docker.sock" || !cfg.dockerMissing() {
		t.Errorf("with no socket it is %s", host)
	}
	for _, name := range []string{"user.sock", "root.sock", "docker.sock"} {
		listener, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if host, _ := cfg.dockerHost(); host != "unix://"+filepath.Join(dir, name) || cfg.dockerMissing() {
			t.Errorf("with %s it is %s", name, host)
		}
	}
}

// TestPodmanComesLater has Podman's socket come after Koine, and Docker's after that: the engine that answered first is followed.
func TestPodmanComesLater(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	dir := withoutEngines(t)
	d, err := New(Config{Node: "n1", HTTP: Off, DNS: Off, Docker: Auto, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if err := d.View().WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root.sock", "docker.sock"} {
		listener, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(emptyEngine)} //nolint:gosec // of this test alone
		go server.Serve(listener)
		defer server.Close()
		eventually.True(t, "the engine is followed", func() bool {
			host, follows := d.DockerHost()
			return follows && host == "unix://"+filepath.Join(dir, "root.sock")
		})
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// emptyEngine answers as an engine without containers.
func emptyEngine(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/json"), strings.HasSuffix(r.URL.Path, "/networks"):
		_, _ = w.Write([]byte("[]"))
	}
}

// seed leaves a store as a process leaves it that has followed Docker.
func seed(t *testing.T, dir, id string) {
	e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, idFile), []byte(id+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.Config{Client: e.Client, KV: e.KV, MaxOps: e.MaxOps, MaxBytes: e.MaxBytes, View: catalog.NewView()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reg.Run(ctx) }()
	node := catalog.Node{Name: "n1", ID: id, Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(10 * time.Second)}}
	_, err = reg.SyncNode(ctx, catalog.NodeState{Node: node, Registrations: []catalog.Registration{{Instance: catalog.Instance{
		ID: "web-1", Service: "web", Source: "docker", Owner: catalog.Owner{Kind: catalog.OwnerContainer, ID: "0123456789ab"},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
