package daemon

import (
	"context"
	"net/http"
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

func TestProfilesAreServedOnlyOnRequest(t *testing.T) {
	for profile, want := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		d := runDaemon(t, Config{Node: "server", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, Profile: profile})
		resp, err := http.Get("http://" + d.HTTPAddr().String() + "/debug/pprof/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("profiles with Profile %v: %s, want %d", profile, resp.Status, want)
		}
	}
}
