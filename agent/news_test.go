package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

func TestNews(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	var n news
	n.join(news{})
	if n != (news{}) {
		t.Errorf("nothing and nothing is %v", n)
	}
	n.add(time.Time{}, at(10)) // a source without a time
	n.add(at(5), at(11))       // an older event, declared later
	n.add(at(99), at(12))      // a clock that is ahead
	if want := (news{since: at(5), declared: at(10)}); n != want {
		t.Errorf("got %v, want %v", n, want)
	}
	a := &Agent{news: n}
	if got := a.takeNews(); got != n || a.news != (news{}) {
		t.Errorf("took %v, left %v", got, a.news)
	}
}

func TestSyncKnowsSinceWhen(t *testing.T) {
	metrics := prometheus.NewRegistry()
	run(t, Config{Sources: []string{"docker"}, Metrics: metrics}, nil, func(t *testing.T, a *Agent, r *registry) {
		r.set(func(r *registry) { r.fail = errors.New("no store") })
		began := time.Now()
		event := began.Add(-time.Second)
		a.DeclareSince("docker", event, []catalog.Registration{registration("a")})
		synctest.Wait()
		r.set(func(r *registry) { r.fail = nil })
		time.Sleep(retryMin)
		synctest.Wait()
		if state, n := r.last(); n != 2 || !state.Since.Equal(event) {
			t.Errorf("sync %d is of changes since %v, want %v", n, state.Since, event)
		}
		if n, took := stage(t, metrics); n != 1 || took != retryMin.Seconds() {
			t.Errorf("%d syncs took %v s, want 1 that took %v", n, took, retryMin)
		}
		a.wake()
		synctest.Wait()
		if state, n := r.last(); n != 3 || !state.Since.IsZero() {
			t.Errorf("sync %d of nothing new is of changes since %v", n, state.Since)
		}
		if n, _ := stage(t, metrics); n != 1 {
			t.Errorf("a sync of nothing new was measured")
		}
	})
}

// stage returns how often the agent's stage was measured, and the sum.
func stage(t *testing.T, metrics *prometheus.Registry) (count uint64, sum float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	h := families[0].GetMetric()[0].GetHistogram()
	return h.GetSampleCount(), h.GetSampleSum()
}
