package daemon

import (
	"context"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/registry/registrytest"
)

// TestClientKeepsTheRegistrysContract runs the registry's contract through the client, a server's API and its registry.
func TestClientKeepsTheRegistrysContract(t *testing.T) {
	registrytest.Conformance(t, func(t *testing.T) (registrytest.Registry, *catalog.View) {
		d := runDaemon(t, Config{Node: "server", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off})
		c, err := client.New(client.Config{Address: d.HTTPAddr().String()})
		if err != nil {
			t.Fatal(err)
		}
		return c, d.View()
	})
}

// runDaemon runs a daemon until the test ends.
func runDaemon(t *testing.T, cfg Config) *Daemon {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := d.View().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}
