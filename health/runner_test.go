package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/leak"
	"github.com/koine-sd/koine/internal/pulse"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMain(m *testing.M) { leak.Main(m) }

// recorder is a Reporter that remembers what was reported.
type recorder struct {
	mu      sync.Mutex
	reports []string
	// refuse makes that many calls fail.
	refuse int
	// refusal is what every call gets; nil for none.
	refusal error
	calls   int
}

func (r *recorder) SetCheck(_ context.Context, check *catalog.Check, status catalog.Status, output string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.refuse > 0 {
		r.refuse--
		return errors.New("store is away")
	}
	if r.refusal != nil {
		return r.refusal
	}
	r.reports = append(r.reports, fmt.Sprintf("%s/%s %s %s", check.Node, check.ID, status, output))
	return nil
}

// answer sets what every call gets from now on; called returns how many calls there were.
func (r *recorder) answer(refusal error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = refusal
}

func (r *recorder) called() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.reports
	r.reports = nil
	return taken
}

// script is a prober whose results and durations are set by the TCP target of the check.
type script struct {
	mu      sync.Mutex
	results map[string]Result
	takes   map[string]time.Duration
	runs    map[string][]time.Time
	now     map[string]int
	active  int
	// most is the highest number of runs at a time, overlaps the runs that began while one of the check was active.
	most, overlaps int
}

func newScript() *script {
	return &script{
		results: map[string]Result{}, takes: map[string]time.Duration{},
		runs: map[string][]time.Time{}, now: map[string]int{},
	}
}

func (s *script) set(target string, status catalog.Status, output string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results[target] = Result{status, output}
}

func (s *script) probe(ctx context.Context, def *catalog.Definition) Result {
	takes := s.begin(def.TCP)
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.now[def.TCP]--
	if err := ctx.Err(); err != nil {
		return critical("%s", reason(err, def))
	}
	return s.results[def.TCP]
}

func (s *script) begin(target string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now[target]++; s.now[target] > 1 {
		s.overlaps++
	}
	s.active++
	s.most = max(s.most, s.active)
	s.runs[target] = append(s.runs[target], time.Now())
	return s.takes[target]
}

func (s *script) count(target string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs[target])
}

// harness is a running Runner with fakes around it, inside a synctest bubble.
type harness struct {
	*Runner
	reporter *recorder
	prober   *script
}

func bubble(t *testing.T, cfg Config, f func(t *testing.T, h *harness), before ...func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for _, prepare := range before {
			prepare()
		}
		h := &harness{reporter: &recorder{}, prober: newScript()}
		cfg.Reporter, cfg.Clock = h.reporter, pulse.New(nil, nil)
		runner, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		h.Runner = runner
		runner.prober = h.prober
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- runner.Run(ctx) }()
		f(t, h)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// after lets time pass and returns the reports that came meanwhile.
func (h *harness) after(d time.Duration) []string {
	time.Sleep(d) // the bubble's time
	synctest.Wait()
	return h.reporter.take()
}

func (h *harness) expect(t *testing.T, d time.Duration, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, h.after(d)); diff != "" {
		t.Errorf("reports within %v (-want +got):\n%s", d, diff)
	}
}

func tcp(id string, interval time.Duration) *catalog.Check {
	return &catalog.Check{ID: id, Node: "n1", Definition: catalog.Definition{
		Type: catalog.CheckTCP, TCP: id, Interval: catalog.Duration(interval),
	}}
}

func ttl(id string, d time.Duration) *catalog.Check {
	return &catalog.Check{ID: id, Node: "n1", Definition: catalog.Definition{
		Type: catalog.CheckTTL, TTL: catalog.Duration(d),
	}}
}

func TestRunnerReportsChangesOnly(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.prober.set("a", catalog.Passing, "fine")
		h.Set([]*catalog.Check{tcp("a", 10*time.Second)})
		h.expect(t, time.Second, "n1/a passing fine")
		h.prober.set("a", catalog.Passing, "fine still")
		h.expect(t, time.Minute)
		h.prober.set("a", catalog.Critical, "refused")
		h.expect(t, 11*time.Second, "n1/a critical refused")
		h.prober.set("a", catalog.Critical, "refused again")
		h.expect(t, time.Minute)
	})
}

func TestRunnerKeepsTheTimetable(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		start := time.Now()
		const interval = 10 * time.Second
		h.prober.takes["a"] = 3 * time.Second
		h.Set([]*catalog.Check{tcp("a", interval)})
		h.after(1000 * interval)
		runs := h.prober.runs["a"]
		if n := len(runs); n < 999 || n > 1001 {
			t.Fatalf("%d runs in 1000 intervals", n)
		}
		first := runs[0].Sub(start)
		if first < 0 || first > firstWithin {
			t.Errorf("first run after %v", first)
		}
		// The second run may be half an interval off, for checks that begin together spread; from then on none drifts.
		for i, at := range runs[1:] {
			off := at.Sub(runs[1]) - time.Duration(i)*interval
			if off.Abs() > time.Duration(2*jitterShare*float64(interval)) {
				t.Fatalf("run %d is %v off its slot", i+1, off)
			}
		}
	})
}

func TestRunnerLeavesOutMissedRuns(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		check := tcp("slow", time.Second)
		check.Timeout = catalog.Duration(time.Minute)
		h.prober.takes["slow"] = 2500 * time.Millisecond
		h.Set([]*catalog.Check{check})
		h.after(300 * time.Second)
		// A run of 2.5 s starts at every third slot, give or take what jitter does at the edges.
		if n := h.prober.count("slow"); n < 95 || n > 105 {
			t.Errorf("%d runs of 2.5 s in 300 s", n)
		}
		if h.prober.overlaps > 0 {
			t.Errorf("%d runs overlapped", h.prober.overlaps)
		}
	})
}

func TestRunnerTimesOut(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		check := tcp("hangs", time.Minute)
		check.Timeout = catalog.Duration(2 * time.Second)
		h.prober.takes["hangs"] = time.Hour
		h.Set([]*catalog.Check{check})
		h.expect(t, 4*time.Second, "n1/hangs critical timed out after 2s")
	})
}

func TestRunnerManyChecks(t *testing.T) {
	const checks, width = 10_000, 64
	bubble(t, Config{MaxConcurrent: width}, func(t *testing.T, h *harness) {
		list := make([]*catalog.Check, checks)
		for i := range list {
			id := fmt.Sprint("c", i)
			list[i] = tcp(id, 10*time.Second)
			h.prober.takes[id] = 10 * time.Millisecond
			h.prober.set(id, catalog.Passing, "")
		}
		h.Set(list)
		if n := len(h.after(5 * time.Second)); n != checks {
			t.Fatalf("%d of %d checks reported after 5 s", n, checks)
		}
		if n := len(h.after(23 * time.Second)); n != 0 {
			t.Errorf("%d reports without a change", n)
		}
		if h.prober.most > width || h.prober.overlaps > 0 {
			t.Errorf("%d runs at a time, %d allowed; %d overlaps", h.prober.most, width, h.prober.overlaps)
		}
		for _, check := range list {
			if n := h.prober.count(check.ID); n < 3 || n > 4 {
				t.Fatalf("check %s ran %d times in 28 s", check.ID, n)
			}
		}
	})
}

func TestSetKeepsWhatIsDeclaredAlike(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.prober.set("a", catalog.Passing, "")
		h.Set([]*catalog.Check{tcp("a", 10*time.Second)})
		h.expect(t, 5*time.Second, "n1/a passing ")
		for range 100 {
			h.Set([]*catalog.Check{tcp("a", 10*time.Second)})
			h.after(100 * time.Millisecond)
		}
		before := h.prober.count("a") // the second run comes after 5 to 15 s
		if before < 1 || before > 3 {
			t.Errorf("%d runs in 15 s of repeated declarations", before)
		}
		changed := tcp("a", 20*time.Second)
		h.Set([]*catalog.Check{changed})
		h.expect(t, 2*time.Second) // it ran, and is as it was
		h.Set(nil)
		h.expect(t, time.Minute)
		if n := h.prober.count("a"); n != before+1 {
			t.Errorf("%d runs after %d: a removed check runs on", n, before)
		}
	})
}

func TestSetStopsRunsUnderWay(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.prober.takes["a"], h.prober.takes["b"] = time.Hour, time.Hour
		a, b := tcp("a", time.Hour), tcp("b", time.Hour)
		a.Timeout, b.Timeout = catalog.Duration(time.Hour), catalog.Duration(time.Hour)
		h.Set([]*catalog.Check{a, b})
		h.after(2 * time.Second)
		h.prober.mu.Lock()
		h.prober.takes["b"] = 0
		h.prober.mu.Unlock()
		h.prober.set("b", catalog.Warning, "new b")
		changed := tcp("b", time.Minute)
		h.Set([]*catalog.Check{changed})
		h.expect(t, 2*time.Second, "n1/b warning new b")
		h.prober.mu.Lock()
		defer h.prober.mu.Unlock()
		if h.prober.active != 0 || h.prober.overlaps != 0 {
			t.Errorf("%d runs under way, %d overlaps", h.prober.active, h.prober.overlaps)
		}
	})
}

func TestRestartDoesNotFlap(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		check := tcp("a", 10*time.Second)
		check.Status = catalog.Passing
		check.SuccessBeforePassing = 3
		h.prober.set("a", catalog.Passing, "")
		h.Set([]*catalog.Check{check})
		h.expect(t, time.Minute)
	})
}

func TestSetRepairsARecordMadeAnew(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.prober.set("a", catalog.Passing, "fine")
		h.Set([]*catalog.Check{tcp("a", 10*time.Second)})
		h.expect(t, time.Second, "n1/a passing fine")
		stored := tcp("a", 10*time.Second)
		stored.Status = catalog.Critical
		h.Set([]*catalog.Check{stored})
		h.expect(t, 0, "n1/a passing fine")
		stored = tcp("a", 10*time.Second)
		stored.Status = catalog.Passing
		h.Set([]*catalog.Check{stored})
		h.expect(t, time.Minute)
	})
}

// TestAdjustRepairsARecordMadeAnew is the same for a record that came with another interval.
func TestAdjustRepairsARecordMadeAnew(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.prober.set("a", catalog.Passing, "fine")
		h.Set([]*catalog.Check{tcp("a", 10*time.Second)})
		h.expect(t, time.Second, "n1/a passing fine")
		stored := tcp("a", 20*time.Second)
		stored.Status = catalog.Critical
		h.Set([]*catalog.Check{stored})
		h.expect(t, 0, "n1/a passing fine")
		stored = tcp("a", 30*time.Second)
		stored.Status = catalog.Passing
		h.Set([]*catalog.Check{stored})
		h.expect(t, time.Minute)
	})
}

func TestSetIgnoresDocker(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.Set([]*catalog.Check{{ID: "d", Node: "n1", Definition: catalog.Definition{Type: catalog.CheckDocker}}})
		h.expect(t, time.Minute)
		err := h.Push(t.Context(), "n1", "d", catalog.Passing, "")
		if catalog.KindOf(err) != catalog.KindNotFound {
			t.Errorf("push: %v", err)
		}
	})
}

func TestTTL(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		push := func(status catalog.Status, output string) {
			t.Helper()
			if err := h.Push(t.Context(), "n1", "t", status, output); err != nil {
				t.Fatal(err)
			}
		}
		h.Set([]*catalog.Check{ttl("t", 10*time.Second)})
		h.expect(t, 9*time.Second)
		h.expect(t, time.Second, "n1/t critical no status was pushed within 10s")
		push(catalog.Passing, "up")
		h.expect(t, 0, "n1/t passing up")
		for range 20 {
			push(catalog.Passing, "up")
			h.expect(t, 9*time.Second)
		}
		push(catalog.Warning, "busy")
		h.expect(t, 9*time.Second, "n1/t warning busy")
		h.expect(t, time.Second, "n1/t critical no status was pushed within 10s; the last one was warning: busy")
		h.expect(t, time.Hour)
		push(catalog.Passing, "back")
		h.expect(t, 10*time.Second, "n1/t passing back",
			"n1/t critical no status was pushed within 10s; the last one was passing: back")
		h.Set(nil)
		h.expect(t, time.Minute)
	})
}

func TestTTLRestartHasAWholeTTL(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		check := ttl("t", 10*time.Second)
		check.Status, check.Since = catalog.Passing, time.Now().Add(-time.Hour)
		h.Set([]*catalog.Check{check})
		h.expect(t, 9*time.Second)
		h.expect(t, time.Second, "n1/t critical no status was pushed within 10s")
	})
}

func TestPushErrors(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.Set([]*catalog.Check{ttl("t", time.Hour), tcp("a", time.Hour)})
		for _, tt := range []struct {
			node, id string
			status   catalog.Status
			want     catalog.Kind
		}{
			{"n1", "none", catalog.Passing, catalog.KindNotFound},
			{"n2", "t", catalog.Passing, catalog.KindNotFound},
			{"n1", "a", catalog.Passing, catalog.KindInvalid},
			{"n1", "t", "odd", catalog.KindInvalid},
		} {
			err := h.Push(t.Context(), tt.node, tt.id, tt.status, "")
			if err == nil || catalog.KindOf(err) != tt.want {
				t.Errorf("push %s/%s %s: %v, want kind %v", tt.node, tt.id, tt.status, err, tt.want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Push(ctx, "n1", "t", catalog.Passing, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("push after its context's end: %v", err)
		}
	})
}

func TestReportsAreRetried(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.reporter.refuse = 5
		h.prober.set("a", catalog.Passing, "fine")
		h.Set([]*catalog.Check{tcp("a", time.Hour)})
		h.expect(t, time.Minute, "n1/a passing fine")
		if h.reporter.calls != 6 {
			t.Errorf("%d calls, want 6", h.reporter.calls)
		}
	})
}

func TestOnlyTheNewestOutcomeIsRetried(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.reporter.refuse = 1 << 30
		h.Set([]*catalog.Check{ttl("t", time.Hour)})
		for i := range 100 {
			status := []catalog.Status{catalog.Critical, catalog.Passing}[i%2]
			if err := h.Push(t.Context(), "n1", "t", status, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			h.after(time.Second)
		}
		h.reporter.mu.Lock()
		h.reporter.refuse = 0
		h.reporter.mu.Unlock()
		h.expect(t, time.Minute, "n1/t passing 99")
	})
}

func TestReportOfARemovedCheckIsDropped(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		h.reporter.refuse = 3
		h.prober.set("a", catalog.Passing, "")
		h.Set([]*catalog.Check{tcp("a", time.Hour)})
		h.after(time.Second)
		h.Set(nil)
		h.expect(t, time.Hour)
	})
}

// stuck is a Reporter that does not return before its context ends.
type stuck struct{ calls chan struct{} }

func (s stuck) SetCheck(ctx context.Context, _ *catalog.Check, _ catalog.Status, _ string) error {
	s.calls <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func TestReportIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reporter := stuck{make(chan struct{})}
		r, err := New(Config{Reporter: reporter})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		r.Set([]*catalog.Check{ttl("t", time.Second)})
		for range 3 {
			<-reporter.calls
		}
		if waited := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); waited < 2*reportTimeout {
			t.Errorf("third call after %v", waited)
		}
		cancel()
		<-done
	})
}

func TestRetryDelay(t *testing.T) {
	for attempts := range 100 {
		full := min(firstRetry<<min(attempts, 10), lastRetry)
		if d := retryDelay(attempts); d < full/2 || d > full {
			t.Errorf("delay after %d attempts: %v", attempts, d)
		}
	}
}

func TestNewErrors(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a Runner without a Reporter was made")
	}
	registry := prometheus.NewRegistry()
	if _, err := New(Config{Reporter: &recorder{}, Metrics: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Reporter: &recorder{}, Metrics: registry}); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

func BenchmarkRunner10kChecks(b *testing.B) {
	r, err := New(Config{Reporter: &recorder{}})
	if err != nil {
		b.Fatal(err)
	}
	checks := make([]*catalog.Check, 10_000)
	for i := range checks {
		checks[i] = tcp(fmt.Sprint("c", i), 10*time.Second)
	}
	r.Set(checks)
	b.ReportAllocs()
	for b.Loop() {
		r.Set(checks)
	}
}
