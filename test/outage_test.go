package test

import (
	"net/url"
	"slices"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/engine"
)

// startEtcd starts a plain etcd server on a directory and an address of its own.
func startEtcd(t *testing.T, dir, address string) *embed.Etcd {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = dir, "fatal"
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: address}}
	cfg.ListenPeerUrls = nil
	cfg.InitialCluster = cfg.Name + "=" + embed.DefaultInitialAdvertisePeerURLs
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	return server
}

// TestStoreGoesAway takes the store away and brings it back: the last known state is answered, with its age.
func TestStoreGoesAway(t *testing.T) {
	dir, address := t.TempDir(), "127.0.0.1:12379"
	store := startEtcd(t, dir, address)
	k := newKoine(t, "--docker", "off", "--engine", engine.Scheme+address).start()
	if _, err := k.client.Register(t.Context(), permanent("web-1", "web")); err != nil {
		t.Fatal(err)
	}
	store.Close()
	k.await("the answer says that it is old", func() bool {
		resp, _, err := k.get("/api/v1/services/web")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("without its store: %v, %v; want the last known answer", resp, err)
		}
		return resp.Header.Get(client.HeaderAge) != ""
	})
	if got := k.addresses("web"); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("DNS answers %v without the store, want the last known", got)
	}
	store = startEtcd(t, dir, address)
	defer store.Close()
	k.await("the answer is fresh again", func() bool {
		resp, _, err := k.get("/api/v1/services/web")
		return err == nil && resp.Header.Get(client.HeaderAge) == ""
	})
	k.await("the store takes writes again", func() bool {
		_, err := k.client.Register(t.Context(), permanent("web-2", "web"))
		return err == nil
	})
	if got := k.lookup("web"); len(got) != 2 {
		t.Errorf("web has %v, want both", got)
	}
}
