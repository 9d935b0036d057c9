package registry

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
)

// relay forwards connections to one store, and later to another.
type relay struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	target string
	open   []net.Conn
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target}
	r.wg.Go(r.accept)
	t.Cleanup(func() {
		listener.Close()
		r.point("")
		r.wg.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		to, err := net.Dial("tcp", r.target)
		if err != nil {
			from.Close()
			r.mu.Unlock()
			continue
		}
		r.open = append(r.open, from, to)
		r.mu.Unlock()
		r.wg.Go(func() { io.Copy(to, from); to.Close() })
		r.wg.Go(func() { io.Copy(from, to); from.Close() })
	}
}

// point ends all connections; new ones go to another store.
func (r *relay) point(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for _, c := range r.open {
		c.Close()
	}
	r.open = nil
}

// TestStoreThatLostItsStateIsLoadedAgain replaces the store that the registry follows by an older one.
func TestStoreThatLostItsStateIsLoadedAgain(t *testing.T) {
	old, fresh := enginetest.Etcd(t), enginetest.Etcd(t)
	relay := newRelay(t, old)
	e, err := engine.Open(t.Context(), engine.Config{Endpoints: engine.Scheme + relay.listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r, stop := start(t, e)
	t.Cleanup(stop)
	state := sessionNode("n1", time.Minute)
	state.Registrations = []catalog.Registration{permanent("n1", "d", "web")}
	r.mustSync(t, state)
	for i := range 20 {
		r.mustRegister(t, permanent("n1", fmt.Sprint("i", i), "web"))
	}
	seen := r.view.Revision()
	relay.point(fresh)
	ctx := eventually.Context(t)
	if _, err := r.view.WaitList(ctx, r.view.Revision, seen); err != nil {
		t.Fatalf("view at %d: %v", r.view.Revision(), err)
	}
	if got := r.view.Services(); r.view.Revision() >= seen || len(got) != 0 {
		t.Errorf("view at %d has %v, want the empty store's", r.view.Revision(), got)
	}
	if err := r.RenewNode(ctx, "n1"); catalog.KindOf(err) != catalog.KindNotFound {
		t.Errorf("renewed as %v, want that the node is not found", err)
	}
	result, err := r.SyncNode(ctx, state)
	if err != nil || result.Puts != 3 || len(r.view.Service("web").Healthy) != 1 {
		t.Errorf("synced %+v, %v; want node, session and instance written", result, err)
	}
	resp, err := e.Client.Get(ctx, Root, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || resp.Count != 6 {
		t.Errorf("%v records in the new store, %v; want 3, the marks of the history and of the sync, and the clock", resp, err)
	}
}

// TestStartLoadsOnce has readers ask for barriers from the first moment on.
func TestStartLoadsOnce(t *testing.T) {
	for range 20 {
		r, stop := start(t, enginetest.Open(t))
		for range 3 {
			if _, err := r.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var loads dto.Metric
		if err := r.metrics.reloads.Write(&loads); err != nil || loads.GetCounter().GetValue() != 1 {
			t.Fatalf("loaded %v times, %v; want once", loads.GetCounter().GetValue(), err)
		}
		stop()
	}
}

// TestStoreThatIsAnotherOneIsLoadedAgain replaces the store that the registry follows by another one, which is already
// past the View's revision.
func TestStoreThatIsAnotherOneIsLoadedAgain(t *testing.T) {
	old := enginetest.Etcd(t)
	relay := newRelay(t, old)
	e, err := engine.Open(t.Context(), engine.Config{Endpoints: engine.Scheme + relay.listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r, _ := start(t, e)
	r.mustSync(t, permanentNode("n1"))
	r.mustRegister(t, permanent("n1", "ours", "web"))

	otherAddress := enginetest.Etcd(t)
	otherEngine, err := engine.Open(t.Context(), engine.Config{Endpoints: engine.Scheme + otherAddress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { otherEngine.Close() })
	other, _ := start(t, otherEngine)
	other.mustSync(t, permanentNode("n1"))
	for i := range 20 {
		other.mustRegister(t, permanent("n1", fmt.Sprint("theirs", i), "web"))
	}
	relay.point(otherAddress)
	ctx := eventually.Context(t)
	for {
		seen := r.view.Revision()
		if r.view.Instance("n1", "ours") == nil && r.view.Instance("n1", "theirs0") != nil {
			break
		}
		if _, err := r.view.WaitList(ctx, r.view.Revision, seen); err != nil {
			t.Fatalf("the view at %d still has what the store does not hold: %v", seen, err)
		}
	}
	if got := len(r.view.Service("web").Endpoints); got != 20 {
		t.Errorf("%d instances, want the other store's 20", got)
	}
}
