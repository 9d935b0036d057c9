package health

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// lateness records how late each run began.
type lateness struct {
	mu   sync.Mutex
	late []time.Duration
	want int
	done chan struct{}
}

func (l *lateness) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late = append(l.late, d); len(l.late) == l.want {
		close(l.done)
	}
}

// BenchmarkTenThousandChecks runs 10,000 TCP checks of one agent against a listener on loopback: at an interval of 10
// seconds 1,000 runs a second, at one of a second 10,000. An operation is one run. It reports, for each run, the CPU of
// this process, the listener's share included, and how late it begins (this does not add up, because slots do not
// move), and the share of due runs that were skipped.
//
// Run it with -benchtime 30000x or more: the first runs come within a second, whatever the interval.
func BenchmarkTenThousandChecks(b *testing.B) {
	for _, interval := range []time.Duration{time.Second, 10 * time.Second} {
		b.Run(interval.String(), func(b *testing.B) { benchmarkChecks(b, 10_000, interval) })
	}
}

func benchmarkChecks(b *testing.B, checks int, interval time.Duration) {
	address := accept(b)
	r, err := New(Config{Reporter: &recorder{}})
	if err != nil {
		b.Fatal(err)
	}
	l := &lateness{want: b.N, done: make(chan struct{})}
	work := r.probes.work
	r.probes.work = func(ctx context.Context, k key) time.Time {
		r.probes.mu.Lock()
		at := r.probes.jobs[k].at
		r.probes.mu.Unlock()
		l.add(time.Since(at))
		return work(ctx, k)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.Run(ctx) }()
	cpu, began := cpuTime(b), time.Now()
	r.Set(manyChecks(checks, address, interval))
	b.ResetTimer()
	<-l.done
	b.StopTimer()
	cpu, took := cpuTime(b)-cpu, time.Since(began)
	cancel()
	<-ended
	l.report(b, cpu, took, checks, interval)
}

// report is called when nothing runs any more.
func (l *lateness) report(b *testing.B, cpu, took time.Duration, checks int, interval time.Duration) {
	runs := len(l.late)
	slices.Sort(l.late)
	micro := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	b.ReportMetric(micro(cpu)/float64(runs), "cpu-µs/run")
	b.ReportMetric(micro(l.late[runs/2]), "late-p50-µs")
	b.ReportMetric(micro(l.late[runs*99/100]), "late-p99-µs")
	b.ReportMetric(micro(l.late[runs-1]), "late-max-µs")
	due := 0.0
	for i := range checks { // the first runs come evenly over firstWithin or the interval
		first := min(interval, firstWithin) * time.Duration(i) / time.Duration(checks)
		if took >= first {
			due += 1 + float64((took-first)/interval)
		}
	}
	b.ReportMetric(100*max(0, 1-float64(runs)/due), "left-out-%")
}

func manyChecks(n int, address string, interval time.Duration) (list []*catalog.Check) {
	for i := range n {
		list = append(list, &catalog.Check{ID: fmt.Sprint(i), Node: "n1", Status: catalog.Passing, Definition: catalog.Definition{
			Type: catalog.CheckTCP, TCP: address, Interval: catalog.Duration(interval),
		}})
	}
	return list
}

// accept accepts connections and closes them until the benchmark ends.
func accept(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	b.Cleanup(func() { _ = listener.Close(); <-ended })
	return listener.Addr().String()
}

// cpuTime returns what this process has used so far, in user and system.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
