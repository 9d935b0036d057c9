package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pulse"
)

var errRival = catalog.Errorf(catalog.KindConflict, "node n1 is alive under another id, two")

func TestJudge(t *testing.T) {
	const ttl = 10 * time.Second
	for _, tt := range []struct {
		name  string
		err   error
		met   time.Duration
		ready bool
		want  verdict
	}{
		{"synced", nil, time.Hour, false, unopposed},
		{"the store is away", errors.New("away"), time.Hour, false, unopposed},
		{"a rival", errRival, 0, false, wait},
		{"a rival that may be a former session", errRival, ttl + rivalGrace, false, wait},
		{"a rival that is none", errRival, ttl + rivalGrace + 1, false, giveUp},
		{"a rival of a host that serves", errRival, time.Hour, true, wait},
	} {
		if got := judge(tt.err, tt.met, ttl, tt.ready); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMetUntil(t *testing.T) {
	const now = 1000 * time.Second
	r := rivalry{}
	if met := r.metUntil(now); met != 0 {
		t.Errorf("a rival that was never met counts for %v", met)
	}
	r.last, r.met, r.withdraw = now, 3*time.Second, func() {}
	for after, want := range map[time.Duration]time.Duration{
		time.Second: 4 * time.Second, time.Hour: 3*time.Second + 2*retryMax, // it stood still
	} {
		if met := r.metUntil(now + after); met != want {
			t.Errorf("%v later: met for %v, want %v", after, met, want)
		}
	}
}

// loose runs an agent whose end the test awaits.
func loose(t *testing.T, clock *pulse.Clock, test func(t *testing.T, r *registry, ended chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &registry{view: catalog.NewView(), fail: errRival}
		a, err := New(Config{Node: node, Registry: r, View: r.view, Orphans: true, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		r.view.Load(5, nodeOf("n1", "two", "2"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		test(t, r, ended)
		cancel()
	})
}

func TestNewcomerGivesUp(t *testing.T) {
	loose(t, nil, func(t *testing.T, r *registry, ended chan error) {
		begun := time.Now()
		if waiting := strings.Join(r.view.WaitingFor(), "|"); waiting != "the end of another session: node n1 is alive under another id, two" {
			t.Errorf("waiting for %q", waiting)
		}
		err := <-ended
		took := time.Since(begun)
		if ttl := time.Duration(node.Owner.TTL); took < ttl+rivalGrace || took > ttl+rivalGrace+retryMax {
			t.Errorf("gave up after %v, want its TTL and %v", took, rivalGrace)
		}
		if catalog.KindOf(err) != catalog.KindConflict || !strings.Contains(err.Error(), "n1") || !strings.Contains(err.Error(), "--node") {
			t.Errorf("ended with %v, want a conflict that names the node and --node", err)
		}
		if r.view.Ready() {
			t.Error("the view became ready")
		}
		r.set(func(r *registry) {
			if r.renewals > 0 {
				t.Errorf("the other host's session was renewed %d times", r.renewals)
			}
		})
	})
}

// TestNewcomerThatStoodStill holds that a process that stood still has not met a rival meanwhile: as the lease of a former session in
// the embedded store, it counts the time for which it ran.
func TestNewcomerThatStoodStill(t *testing.T) {
	clock := pulse.New(nil, nil)
	loose(t, clock, func(t *testing.T, _ *registry, ended chan error) {
		begun, stood := time.Now(), time.Duration(0)
		for _, still := range []time.Duration{4 * time.Second, 2 * time.Second, 3 * time.Second} {
			time.Sleep(still + time.Second)
			clock.Note(still)
			stood += still
		}
		<-ended
		if took := time.Since(begun); took < time.Duration(node.Owner.TTL)+rivalGrace+stood {
			t.Errorf("gave up after %v, of which it stood still for %v", took, stood)
		}
	})
}

func TestFormerSessionIsWaitedFor(t *testing.T) {
	loose(t, nil, func(t *testing.T, r *registry, ended chan error) {
		time.Sleep(time.Duration(node.Owner.TTL))
		r.set(func(r *registry) { r.fail = errors.New("the store is away") }) // so long nothing is known of the session
		time.Sleep(time.Minute)
		synctest.Wait()
		if waiting := strings.Join(r.view.WaitingFor(), "|"); !strings.HasPrefix(waiting, "the first look at this host") {
			t.Errorf("waiting for %q while the store is away", waiting)
		}
		r.set(func(r *registry) { r.fail = errRival })
		time.Sleep(time.Duration(node.Owner.TTL))
		r.set(func(r *registry) { r.fail = nil })
		time.Sleep(retryMax)
		synctest.Wait()
		if !r.view.Ready() || len(ended) > 0 || len(r.view.Problems()) > 0 {
			t.Errorf("ready %v, ended %d, problems %q", r.view.Ready(), len(ended), r.view.Problems())
		}
	})
}

// TestHostThatServedGoesOn: a host that stood still finds its name taken. It neither ends nor takes the name back, and
// leaves the other host's session and checks alone.
func TestHostThatServedGoesOn(t *testing.T) {
	checks := &recorder{}
	run(t, Config{Checks: checks, Orphans: true}, append(nodeOf("n1", node.ID, "1"), checkOn("n1", "own")), func(t *testing.T, _ *Agent, r *registry) {
		checks.want(t, "own")
		r.set(func(r *registry) { r.fail = errRival })
		r.view.Apply(6, nodeOf("n1", "two", "2"))
		time.Sleep(time.Second)
		synctest.Wait()
		renewals := 0
		r.set(func(r *registry) { renewals = r.renewals })
		time.Sleep(time.Hour)
		synctest.Wait()
		checks.want(t)
		if problems := strings.Join(r.view.Problems(), "|"); problems != errRival.Message {
			t.Errorf("problems %q, want %q", problems, errRival.Message)
		}
		r.set(func(r *registry) {
			if r.renewals > renewals {
				t.Error("the other host's session was renewed")
			}
			r.fail = nil
		})
		r.view.Apply(7, nodeOf("n1", node.ID, "3"))
		time.Sleep(retryMax)
		synctest.Wait()
		checks.want(t, "own")
		if problems := r.view.Problems(); len(problems) > 0 || !r.view.Ready() {
			t.Errorf("problems %q after the other host has gone", problems)
		}
	})
}
