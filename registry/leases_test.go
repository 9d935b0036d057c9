package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/pulse"
	"github.com/koine-sd/koine/internal/renewal"
)

// ledger is a store of leases in fake time.
type ledger struct {
	pb.LeaseClient
	mu   sync.Mutex
	held map[int64]bool
	// refuse is what revocations get.
	refuse error
}

func newLedger(ids ...int64) *ledger {
	l := &ledger{held: make(map[int64]bool)}
	for _, id := range ids {
		l.held[id] = true
	}
	return l
}

func (l *ledger) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest, _ ...grpc.CallOption) (*pb.LeaseGrantResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[r.ID] = true
	return &pb.LeaseGrantResponse{ID: r.ID}, nil
}

func (l *ledger) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest, _ ...grpc.CallOption) (*pb.LeaseRevokeResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return nil, l.refuse
	}
	if !l.held[r.ID] {
		return nil, rpctypes.ErrLeaseNotFound
	}
	delete(l.held, r.ID)
	return &pb.LeaseRevokeResponse{}, nil
}

func (l *ledger) has(id clientv3.LeaseID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[int64(id)]
}

// leasesIn runs Leases in a bubble of fake time.
func leasesIn(t *testing.T, store *ledger, f func(l *Leases, clock *pulse.Clock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clock := pulse.New(nil, nil)
		l := NewLeases(store, clock, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.run(ctx) })
		f(l, clock)
		cancel()
		running.Wait()
	})
}

func mustGrant(t *testing.T, l *Leases, ttl time.Duration) clientv3.LeaseID {
	t.Helper()
	id, err := l.grant(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestLeasesEndWithTheProcessTime has leases that are renewed, that are not, and standstills, one of them longer than the TTL.
func TestLeasesEndWithTheProcessTime(t *testing.T) {
	store := newLedger()
	leasesIn(t, store, func(l *Leases, clock *pulse.Clock) {
		kept, lost, own := mustGrant(t, l, 10*time.Second), mustGrant(t, l, 10*time.Second), mustGrant(t, l, time.Second)
		l.mu.Lock()
		l.own = func() clientv3.LeaseID { return own }
		l.mu.Unlock()
		for range 12 {
			time.Sleep(4 * time.Second)
			clock.Note(3 * time.Second)
			if alive, _ := l.renew(kept); !alive {
				t.Fatal("a lease that is renewed has ended")
			}
		}
		if !store.has(kept) || !store.has(own) {
			t.Error("a lease that is renewed, or the process's own, is revoked")
		}
		if store.has(lost) { // it ran for 12 of 48 seconds
			t.Errorf("a lease that nobody renews lives on, %v", clock.Running())
		}
		if alive, _ := l.renew(lost); alive {
			t.Error("a lease that has ended is renewed")
		}
		clock.Note(time.Hour)
		time.Sleep(9 * time.Second)
		if left, alive := l.left(kept); !alive || left > time.Hour+time.Second || !store.has(kept) {
			t.Errorf("after a standstill of an hour there are %v left, %v", left, alive)
		}
		time.Sleep(time.Hour + 2*time.Second)
		if store.has(kept) {
			t.Error("the time of a standstill is given again and again")
		}
	})
}

// TestLeasesThatRunOutTogether has more leases run out than one look ends, while the store refuses revocations for a time.
func TestLeasesThatRunOutTogether(t *testing.T) {
	store := newLedger()
	leasesIn(t, store, func(l *Leases, _ *pulse.Clock) {
		const many = 2*endBatch + 10
		for range many {
			mustGrant(t, l, time.Second)
		}
		late := mustGrant(t, l, time.Minute)
		store.mu.Lock()
		store.refuse = errors.New("no space")
		store.mu.Unlock()
		time.Sleep(10 * time.Second)
		store.mu.Lock()
		store.refuse = nil
		if len(store.held) != many+1 {
			t.Errorf("%d leases are left of %d", len(store.held), many+1)
		}
		store.mu.Unlock()
		time.Sleep(10 * time.Second)
		store.mu.Lock()
		held := len(store.held)
		store.mu.Unlock()
		if held != 1 || !store.has(late) {
			t.Errorf("%d leases are left, want the one with a minute", held)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.live) != 1 || len(l.due) != 1 {
			t.Errorf("%d leases and %d looks are kept", len(l.live), len(l.due))
		}
	})
}

// TestLeasesAfterARestart has leases of before the start: renewed lately, run out while the process was away, and unknown. A
// standstill in the grace puts that off.
func TestLeasesAfterARestart(t *testing.T) {
	const recent, out, unknown, brief = leaseMark<<48 | 1, leaseMark<<48 | 2, leaseMark<<48 | 3, 4
	path := filepath.Join(t.TempDir(), "renewals")
	store := newLedger(recent, out, unknown, brief)
	synctest.Test(t, func(t *testing.T) {
		before := NewLeases(store, pulse.New(nil, nil), nil, nil)
		for _, id := range []clientv3.LeaseID{recent, out} {
			before.adopt(id, time.Minute)
		}
		time.Sleep(20 * time.Second)
		before.renew(recent)
		time.Sleep(20 * time.Second)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		logger := slog.New(slog.DiscardHandler)
		if err := renewal.Open(path, "here", logger).Run(ended, before); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // the process is away: recent is 50 s old, out 70 s

		clock := pulse.New(nil, nil)
		after := NewLeases(store, clock, renewal.Open(path, "here", logger), nil)
		for _, id := range []clientv3.LeaseID{recent, out, unknown, brief} {
			after.adopt(id, time.Minute)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { after.run(ctx) })
		left := func(id clientv3.LeaseID) time.Duration {
			left, _ := after.left(id)
			return left
		}
		if a, b, c, d := left(recent), left(out), left(unknown), left(brief); a != 10*time.Second || b != renewal.Grace || c != 35*time.Second || d != c {
			t.Errorf("left at the start are %v, %v, %v, %v", a, b, c, d)
		}
		time.Sleep(4 * time.Second)
		clock.Note(8 * time.Second)
		time.Sleep(8 * time.Second)
		if !store.has(out) {
			t.Error("a standstill in the grace takes it away")
		}
		time.Sleep(2 * time.Second)
		if store.has(out) || !store.has(recent) {
			t.Errorf("after the grace: out %v, recent %v", store.has(out), store.has(recent))
		}
		if alive, inStore := after.renew(brief); !alive || !inStore {
			t.Errorf("a lease of an older version: alive %v, to be renewed in the store %v", alive, inStore)
		}
		stop()
		running.Wait()
	})
}

// alone runs a registry that is the only one on its store.
func alone(t testing.TB, e *engine.Engine, adjust ...func(*Config)) (r *Registry, stop func()) {
	return start(t, e, append(adjust, func(cfg *Config) { cfg.Leases = NewLeases(e.Leases, nil, nil, nil) })...)
}

// TestRecordsOfAnOlderVersion has an older version leave a session, an instance with a check, and a push, whose leases end in the
// store within seconds. They go on, on leases that do not.
func TestRecordsOfAnOlderVersion(t *testing.T) {
	e := enginetest.Open(t)
	const ttl = 2 * time.Second
	old, stop := start(t, e)
	old.mustSync(t, permanentNode("ext"))
	old.mustSync(t, sessionNode("n2", ttl))
	short := leased("ext", "x", ttl)
	short.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TTL: catalog.Duration(ttl)}}}
	old.mustRegister(t, short)
	if err := old.PushCheck(t.Context(), "ext", "c", catalog.Passing, "fine"); err != nil {
		t.Fatal(err)
	}
	stop()

	r, _ := alone(t, e)
	r.ActFor(catalog.Node{Name: "other"})
	moved := func() bool {
		n, i, p := r.view.Node("n2"), r.view.Instance("ext", "x"), r.view.Push("ext", "c")
		if n == nil || i == nil || p == nil {
			t.Fatalf("it is gone: session %v, instance %v, push %v", n, i, p)
		}
		for _, id := range []string{n.Session, i.Owner.ID, p.Lease} {
			if leaseID(id)>>48 != leaseMark {
				return false
			}
		}
		return len(i.Checks) == 1 && p.For(i.Checks[0]) && p.Output == "fine"
	}
	eventually.True(t, "all is on leases of this version", moved)
	for id, renew := range map[string]func() error{
		"session": func() error { return r.RenewNode(t.Context(), "n2") }, "instance": func() error { return r.Renew(t.Context(), "ext", "x") },
		"push": func() error { return r.PushCheck(t.Context(), "ext", "c", catalog.Passing, "fine") },
	} {
		if err := renew(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	eventually.True(t, "what nobody renews ends", func() bool {
		n := r.view.Node("n2")
		return n.Session == "" && r.view.Instance("ext", "x") == nil && r.view.Push("ext", "c") == nil
	})
}

// TestGrantsWithoutARecord leaves a lease that no record is on, as a crash does between the two, and one of a record that is.
func TestGrantsWithoutARecord(t *testing.T) {
	e := enginetest.Open(t)
	r, stop := alone(t, e)
	r.mustSync(t, permanentNode("n1"))
	r.mustRegister(t, leased("n1", "x", time.Hour))
	if _, err := r.grant(t.Context(), catalog.Duration(time.Hour)); err != nil {
		t.Fatal(err)
	}
	stop()
	again, _ := alone(t, e)
	leases, err := e.Client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 || sessionID(leases.Leases[0].ID) != again.view.Instance("n1", "x").Owner.ID {
		t.Errorf("leases %v, %v, want that of the instance", leases, err)
	}
}

// TestRenewalOrEnd has many clients renew leases that are about to end: what was acknowledged lives.
func TestRenewalOrEnd(t *testing.T) {
	e := enginetest.Open(t)
	r, _ := alone(t, e)
	r.mustSync(t, permanentNode("n1"))
	const many, ttl = 50, time.Second
	var clients sync.WaitGroup
	for i := range many {
		clients.Go(func() {
			id := string(rune('A' + i))
			if _, err := r.Register(t.Context(), leased("n1", id, ttl)); err != nil {
				t.Error(err)
				return
			}
			// Renewals come ever later, until one comes too late.
			for wait := ttl / 2; ; wait += ttl / 16 {
				time.Sleep(wait)
				begun := time.Now()
				err := r.Renew(t.Context(), "n1", id)
				if catalog.KindOf(err) == catalog.KindNotFound {
					return
				}
				gone := r.view.Instance("n1", id) == nil
				if err != nil || gone && time.Since(begun) < ttl {
					t.Errorf("renewal: %v; the instance is gone: %v", err, gone)
					return
				}
			}
		})
	}
	clients.Wait()
	eventually.True(t, "all have ended", func() bool { return r.view.Node("n1").Endpoints.Len() == 0 })
}

// TestCrashesAgainAndAgain has the process crash within seconds of each start: what nobody renews ends all the same, both what the
// file had before and what began just before the first crash; what is renewed once in each life does not.
func TestCrashesAgainAndAgain(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 4500 * time.Millisecond, 5500 * time.Millisecond} {
		t.Run(every.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "renewals")
			const lost, late, kept = leaseMark<<48 | 7, leaseMark<<48 | 8, leaseMark<<48 | 9
			store := newLedger(lost, late, kept)
			synctest.Test(t, func(t *testing.T) {
				for life := range 60 {
					book := renewal.Open(path, "me", slog.New(slog.DiscardHandler))
					l := NewLeases(store, pulse.New(nil, nil), book, nil)
					ctx, cancel := context.WithCancel(t.Context())
					var running sync.WaitGroup
					running.Go(func() { l.run(ctx) })
					running.Go(func() { _ = book.Run(ctx, l) })
					synctest.Wait() // the file is written before the catalog is loaded
					for _, id := range []clientv3.LeaseID{lost, kept} {
						if store.has(id) {
							l.adopt(id, 10*time.Second)
						}
					}
					if life > 0 && store.has(late) {
						l.adopt(late, 10*time.Second)
					}
					time.Sleep(every / 2)
					l.renew(kept)
					time.Sleep(every / 2)
					left, err := os.ReadFile(path)
					cancel()
					running.Wait()
					if err == nil {
						err = os.WriteFile(path, left, 0o600) // a crash writes nothing at the end
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if store.has(lost) || store.has(late) || !store.has(kept) {
					t.Errorf("held: %v, %v and, though it is renewed, %v", store.has(lost), store.has(late), store.has(kept))
				}
			})
		})
	}
}

// TestStopWhileRecordsMove stops the process while the records of an older version move: what is left is no failure.
func TestStopWhileRecordsMove(t *testing.T) {
	e := enginetest.Open(t)
	old, stop := start(t, e)
	old.mustSync(t, permanentNode("ext"))
	for i := range 300 {
		old.mustRegister(t, leased("ext", fmt.Sprint("x", i), time.Hour))
	}
	stop()
	var log safeLog
	_, stop = alone(t, e, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	stop()
	if log.has("move a record to a lease") {
		t.Error("each record that is left is reported")
	}
}
