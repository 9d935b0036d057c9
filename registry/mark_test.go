package registry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
)

// grow registers instances of web until the View is at a revision, or beyond.
func (r *Registry) grow(t *testing.T, revision uint64) {
	t.Helper()
	r.mustSync(t, permanentNode("n1"))
	for i := 0; r.view.Revision() < revision; i++ {
		r.mustRegister(t, permanent("n1", fmt.Sprintf("i%d-%d", revision, i), "web"))
	}
}

// position returns that of the View's revision.
func (r *Registry) position() catalog.Position { return r.view.Marks().Position(r.view.Revision()) }

func (r *Registry) wantHeld(t *testing.T, p catalog.Position, want bool) {
	t.Helper()
	if got := r.view.InHistory(p); got != want {
		t.Errorf("%v is of this history: %v, want %v; the marks are %v", p, got, want, r.view.Marks())
	}
}

func storedMarks(t *testing.T, e *engine.Engine) int64 {
	t.Helper()
	resp, err := e.Client.Get(t.Context(), markPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return resp.Count
}

// replaceDir makes a directory a copy of another.
func replaceDir(t *testing.T, dir, by string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(by)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestCopyPutBackIsAnotherHistory puts a copy of a data directory back, and has the revisions of both histories overlap.
func TestCopyPutBackIsAnotherHistory(t *testing.T) {
	dir, copied := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copy")
	open := func() (r *Registry, done func()) {
		e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		r, stop := start(t, e)
		return r, func() {
			stop()
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, done := open()
	r.grow(t, 20)
	before := r.position()
	done()
	replaceDir(t, copied, dir)
	r, done = open()
	r.wantHeld(t, before, true)
	r.grow(t, 40)
	seen := r.position()
	done()

	replaceDir(t, dir, copied)
	r, done = open()
	defer done()
	r.wantHeld(t, before, true)
	r.wantHeld(t, seen, false)
	r.grow(t, seen.Revision)
	r.wantHeld(t, seen, false)
	r.wantHeld(t, r.position(), true)
}

// TestMarksAreBounded holds that the oldest marks go, and with them the positions that name them.
func TestMarksAreBounded(t *testing.T) {
	e := enginetest.Open(t)
	var seen []catalog.Position
	for range maxMarks + 3 {
		r, stop := start(t, e)
		seen = append(seen, r.position())
		for i, p := range seen {
			r.wantHeld(t, p, i+maxMarks >= len(seen))
		}
		stop()
	}
	if n := storedMarks(t, e); n != maxMarks {
		t.Errorf("%d marks are stored, want %d", n, maxMarks)
	}
}

// fullStore is a store without space, until it has some.
type fullStore struct {
	clientv3.KV
	space *atomic.Bool
}

type fullTxn struct{ clientv3.Txn }

func (s fullStore) Txn(ctx context.Context) clientv3.Txn {
	if s.space.Load() {
		return s.KV.Txn(ctx)
	}
	return fullTxn{}
}

func (t fullTxn) Then(...clientv3.Op) clientv3.Txn     { return t }
func (fullTxn) Commit() (*clientv3.TxnResponse, error) { return nil, rpctypes.ErrNoSpace }

// TestStoreThatTakesNoMarkIsServed holds that a full store is read all the same, that its positions hold, and that it gets its mark once
// it has space.
func TestStoreThatTakesNoMarkIsServed(t *testing.T) {
	e := enginetest.Open(t)
	r, stop := start(t, e)
	r.grow(t, 10)
	before := r.position()
	stop()
	var space atomic.Bool
	full, _ := start(t, e, func(cfg *Config) {
		cfg.Client = clientv3.NewCtxClient(t.Context())
		cfg.Client.KV, cfg.Client.Lease, cfg.Client.Watcher = fullStore{e.Client.KV, &space}, e.Client.Lease, e.Client.Watcher
	})
	if len(full.view.Service("web").Endpoints) == 0 {
		t.Error("nothing of the full store is shown")
	}
	full.wantHeld(t, before, true)
	full.wantHeld(t, full.position(), true)
	space.Store(true)
	eventually.True(t, "the store has another mark", func() bool { return storedMarks(t, e) == 2 })
	full.wantHeld(t, before, true)
}

// TestDamagedMarksAreLeftOut has records in the place of marks that are none.
func TestDamagedMarksAreLeftOut(t *testing.T) {
	e := enginetest.Open(t)
	wrong := map[string]string{
		"k3f9x2ab": `{`, "k3f9x2ac": `{"v":2}`, "": `{"v":1}`, "a/b": `{"v":1}`, "K3F9": `{"v":1}`, "k3.f9": `{"v":1}`,
	}
	for id, value := range wrong {
		if _, err := e.Client.Put(t.Context(), markPrefix+id, value); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := start(t, e)
	p := r.position()
	r.wantHeld(t, p, true)
	for id := range wrong {
		if id != "" {
			r.wantHeld(t, catalog.Position{Revision: p.Revision, Mark: id}, false)
		}
	}
}
