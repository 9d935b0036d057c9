package registry_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/leak"
	"github.com/koine-sd/koine/registry"
	"github.com/koine-sd/koine/registry/registrytest"
)

func TestMain(m *testing.M) {
	leak.Main(m,
		// These goroutines belong to etcd, which leaves them running after its close.
		goleak.IgnoreTopFunction("go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.(*serverWatchStream).recvLoop"),
	)
}

// start runs a registry on an engine until the test ends.
func start(t testing.TB, e *engine.Engine) *registry.Registry {
	t.Helper()
	r, err := registry.New(registry.Config{
		Client: e.Client, KV: e.KV, MaxOps: e.MaxOps, MaxBytes: e.MaxBytes, View: catalog.NewView(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := r.View().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, fresh func(t *testing.T) *engine.Engine) {
		registrytest.Conformance(t, func(t *testing.T) (registrytest.Registry, *catalog.View) {
			r := start(t, fresh(t))
			return r, r.View()
		})
	})
}
