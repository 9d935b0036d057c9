package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/registry"
)

// TestAutoWithoutASocketKeepsTheContainers holds that what the catalog has of Docker stays while the engine's socket is not there: the
// engine may come later than Koine.
func TestAutoWithoutASocketKeepsTheContainers(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	here := defaultDockerSocket
	defaultDockerSocket = filepath.Join(t.TempDir(), "docker.sock")
	t.Cleanup(func() { defaultDockerSocket = here })
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
