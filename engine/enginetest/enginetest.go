// Package enginetest runs a test on every kind of engine.
package enginetest

import (
	"net/url"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/koine-sd/koine/engine"
)

// Each runs a test on the embedded engine and on a plain etcd reached over the network. Each call of open returns a
// client of an empty store.
func Each(t *testing.T, test func(t *testing.T, open func(t *testing.T) *engine.Engine)) {
	t.Run("embedded", func(t *testing.T) {
		test(t, func(t *testing.T) *engine.Engine { return Open(t) })
	})
	t.Run("cluster", func(t *testing.T) {
		test(t, func(t *testing.T) *engine.Engine { return dial(t, Etcd(t)) })
	})
}

// Open opens an embedded engine that ends with the test.
func Open(t testing.TB) *engine.Engine {
	t.Helper()
	return open(t, engine.Config{Dir: t.TempDir()})
}

func dial(t testing.TB, address string) *engine.Engine {
	t.Helper()
	return open(t, engine.Config{Endpoints: engine.Scheme + address})
}

func open(t testing.TB, cfg engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Etcd starts a plain etcd server with its own defaults that ends with the test, and returns its host:port.
func Etcd(t testing.TB) string {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.LogLevel = "fatal"
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls = []url.URL{local}
	cfg.ListenPeerUrls = nil
	cfg.InitialCluster = cfg.Name + "=" + embed.DefaultInitialAdvertisePeerURLs
	cfg.InitialClusterToken = cfg.Dir // or every store would have the same id
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
	return server.Clients[0].Addr().String()
}
