package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestSecondProcessOfANodeIsRefused(t *testing.T) {
	for name, dir := range map[string]string{"without a data directory": "", "of one data directory": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{
				Node: "twice", HTTP: Off, DNS: Off, Docker: Off, DataDir: dir, Engine: engine.Scheme + enginetest.Etcd(t),
			}
			first := runDaemon(t, cfg)
			second, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = second.Run(t.Context())
			if catalog.KindOf(err) != catalog.KindConflict || !strings.Contains(err.Error(), "another") {
				t.Errorf("the second ran as %v, want a conflict that names the way out", err)
			}
			if node := first.View().Node("twice"); node == nil || !node.Alive {
				t.Errorf("the first is %+v, want it alive", node)
			}
			elsewhere := cfg
			elsewhere.DataDir, elsewhere.Engine = "", engine.Scheme+enginetest.Etcd(t)
			runDaemon(t, elsewhere) // the node's name is free in another store
			cfg.Node, cfg.DataDir = "other", ""
			runDaemon(t, cfg) // another node may share the store
		})
	}
}

func TestClaimOfANodeOnAStore(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("abstract sockets are Linux's")
	}
	id := uuid.NewString()
	release, err := claimID("n1", id, "etcd://10.0.0.1:2379,Store:2379,10.0.0.1:2379")
	if err != nil {
		t.Fatal(err)
	}
	for store, free := range map[string]bool{
		"etcd://10.0.0.1:2379,Store:2379":               false,
		"etcd://store:2379,10.0.0.1:2379":               false,
		"etcd://10.0.0.1:2379, store:2379":              false,
		"etcd://10.0.0.1:2379":                          false,
		"etcd://10.0.0.0:2379,10.0.0.1:2379,other:2379": false,
		"etcd://10.0.0.1:2380":                          true,
		"etcd://10.0.0.0:2379,other:2379":               true,
	} {
		again, err := claimID("n1", id, store)
		if (err == nil) != free || err != nil && catalog.KindOf(err) != catalog.KindConflict {
			t.Errorf("a second process claims the node on %s: %v", store, err)
		}
		if err == nil {
			again()
		}
	}
	release()
	if release, err = claimID("n1", id, "etcd://10.0.0.0:2379,store:2379"); err != nil {
		t.Fatalf("not free after its release: %v", err)
	}
	release()
}

func TestIdentityIsKeptWithTheData(t *testing.T) {
	dir := t.TempDir()
	identity := func() string {
		d := &Daemon{cfg: Config{Node: "n1", Engine: "etcd://elsewhere", Logger: slog.New(slog.DiscardHandler)}}
		node, err := d.identity(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		node.release()
		return node.id
	}
	first := identity()
	if again := identity(); first == "" || again != first {
		t.Errorf("identity %q, then %q", first, again)
	}
	for name, damaged := range map[string]string{
		"nothing": "", "what a crash left": "\x00\x00\x00\x00", "a part": first[:20], "something else": "hello\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, idFile), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		fresh := identity()
		if _, err := uuid.Parse(fresh); err != nil || fresh != identity() {
			t.Errorf("%s in the file: identity %q, then another", name, fresh)
		}
	}
}

func TestAPlaceForAnotherEngineIsAPlaceForTheEmbedded(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	d, err := New(Config{Node: "n1", HTTP: Off, DNS: Off, Docker: Off, DataDir: dir, Engine: engine.Scheme + enginetest.Etcd(t)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if err := d.View().WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	runDaemon(t, Config{Node: "n1", HTTP: Off, DNS: Off, Docker: Off, DataDir: dir})
}
