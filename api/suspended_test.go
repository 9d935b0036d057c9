package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// suspending is a barrier during which this process notices that its own session has ended, as registry.watchOwnSession does.
type suspending struct{ *store }

func (s suspending) Barrier(context.Context) (uint64, error) {
	s.view.Suspend("the renewal of this host's session, which has ended")
	return s.apply(catalog.Change{Type: catalog.RecordSession, Name: "n1"}), nil
}

// TestConsistentReadDuringASuspension holds that a read that waits for the barrier looks once more whether the View is ready: it is the
// first to see the end of the host's own session.
func TestConsistentReadDuringASuspension(t *testing.T) {
	for _, path := range []string{"/services/web?consistent", "/nodes/n1?consistent", "/instances?consistent", "/services?consistent"} {
		_, s := newOffline(t, func(c *Config) { c.Barrier = suspending{c.Registrar.(*store)} })
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", root+path, nil))
		if w.Code != 503 || strings.Contains(w.Body.String(), "critical") {
			t.Errorf("%s: %d %.300s", path, w.Code, w.Body)
		}
	}
}

// TestEventsDuringASuspension holds that those that follow the events wait while the View is suspended, as watches do.
func TestEventsDuringASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r := &reader{}
		open(t, s, "/events?follow", r)
		r.take()
		f.view.Suspend("the renewal of this host's session, which has ended")
		f.apply(catalog.Change{Type: catalog.RecordSession, Name: "n1"})
		if got := r.take(); got != "" {
			t.Errorf("events tell of the end of the own session while the View is suspended: %.600s", got)
		}
	})
}

// suspend has the View suspended as the end of the host's own session is applied; resume brings the session back.
func suspend(f *store) (resume func()) {
	release := f.view.Suspend("the renewal of this host's session, which has ended")
	f.apply(catalog.Change{Type: catalog.RecordSession, Name: "n1"})
	return func() {
		f.apply(catalog.Change{Type: catalog.RecordSession, Name: "n1", Session: "7c"})
		release()
	}
}

// TestBlockingReadDuringASuspension holds that a read that a change wakes while the View is suspended waits for it to be ready, and
// says so if its time is over before.
func TestBlockingReadDuringASuspension(t *testing.T) {
	for path, code := range map[string]int{"/services/web?index=10": 200, "/nodes/n1?index=10": 200, "/services/web?index=10&wait=30s": 503} {
		synctest.Test(t, func(t *testing.T) {
			f, s := newOffline(t)
			w, answered := start(t.Context(), s, path)
			if answered() {
				t.Fatalf("%s does not block", path)
			}
			resume := suspend(f)
			if answered() {
				t.Errorf("%s is answered while the View is suspended: %d %.300s", path, w.Code, w.Body)
			}
			time.Sleep(time.Minute) // of the bubble
			resume()
			if !answered() || w.Code != code || strings.Contains(w.Body.String(), `"critical"`) {
				t.Errorf("%s: %d %.300s", path, w.Code, w.Body)
			}
		})
	}
}

// TestWatchDuringASuspension holds that a watch tells nothing while the View is suspended, and afterwards only what is then true.
func TestWatchDuringASuspension(t *testing.T) {
	for _, path := range []string{"/watch", "/watch?service=web"} {
		synctest.Test(t, func(t *testing.T) {
			f, s := newOffline(t)
			r := &reader{}
			open(t, s, path, r)
			r.take()
			resume := suspend(f)
			if got := r.take(); got != "" {
				t.Errorf("%s tells while the View is suspended: %.600s", path, got)
			}
			f.apply(instanceChange(instance("web", "new")))
			time.Sleep(time.Minute) // of the bubble: heartbeats come due
			if got := r.take(); got != "" {
				t.Errorf("%s tells while the View is suspended: %.600s", path, got)
			}
			resume()
			if got := brief(t, r.take()); !strings.Contains(got, "web[a new]") {
				t.Errorf("%s tells after the suspension %q", path, got)
			}
		})
	}
}

// slowKeeper takes less than askTimeout for each question, so none of them is the last.
type slowKeeper struct{}

func (slowKeeper) TimeLeft(context.Context, string) (time.Duration, error) {
	time.Sleep(900 * time.Millisecond)
	return time.Second, nil
}

func (slowKeeper) TimeOf(context.Context, uint64) (time.Time, error) {
	time.Sleep(900 * time.Millisecond)
	return time.Time{}, nil
}

// TestExplanationsHaveABoundInTime holds that a slow store does not keep an explanation beyond the deadline of an answer.
func TestExplanationsHaveABoundInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t, func(c *Config) { c.Keeper = slowKeeper{} })
		for n := range 100 {
			f.apply(instanceChange(instance("many", fmt.Sprint("i", n))))
		}
		begun := time.Now()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", root+"/explain?name=many", nil))
		if took := time.Since(begun); w.Code != 200 || took > askingTimeout+askTimeout {
			t.Errorf("%d after %v", w.Code, took)
		}
	})
}
