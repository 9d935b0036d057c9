package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/koine-sd/koine/catalog"
)

const (
	checksTotal    = 10_000
	checksInterval = 10 * time.Second
	// checksTime is how long the checks are observed after each has run twice and they have spread: three rounds of
	// all.
	checksTime = 3 * checksInterval
)

// measureChecks has one Koine check 10,000 instances every 10 seconds, and measures the number of runs, how late they
// start and their cost. The targets of the checks are in this process, and cost Koine nothing.
func measureChecks(ctx context.Context, cfg *config, t *table) error {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	for _, kind := range []catalog.CheckType{catalog.CheckTCP, catalog.CheckHTTP} {
		if err := measureChecksOf(ctx, cfg, t, kind, port); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

func measureChecksOf(ctx context.Context, cfg *config, t *table, kind catalog.CheckType, port int) error {
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer k.stop()
	for i := range checksTotal / perNode {
		if _, err := k.client.SyncNode(ctx, checkedNode(i, kind, port)); err != nil {
			return fmt.Errorf("load node %d: %w", i, err)
		}
	}
	passing := fmt.Sprintf(`koine_health_runs_total{result="passing",type=%q}`, kind)
	if err := k.await(ctx, "wait for the first two runs of each check", func() bool {
		m, err := k.scrape(ctx)
		return err == nil && m[passing] >= 2*checksTotal
	}); err != nil {
		return err
	}
	return reportChecks(ctx, t, k, kind)
}

// reportChecks observes the checks for a while.
func reportChecks(ctx context.Context, t *table, k *koine, kind catalog.CheckType) error {
	before, err := k.scrape(ctx)
	if err != nil {
		return err
	}
	start, cpu := time.Now(), k.cpu()
	most, err := mostGoroutines(ctx, k)
	if err != nil {
		return err
	}
	after, err := k.scrape(ctx)
	if err != nil {
		return err
	}
	took := time.Since(start)
	late := lateness(before, after)
	runs := late.count
	cpu = k.cpu() - cpu
	what := fmt.Sprintf("%s %s checks every %v: ", thousands(checksTotal), kind, checksInterval)
	t.add(row{what: what + "runs", koine: thousands(runs/took.Seconds()) + "/s",
		peer: "timetable " + thousands(checksTotal/checksInterval.Seconds()) + "/s"})
	t.add(row{what: what + "start after its time, p50, p99, latest", koine: fmt.Sprintf("%s, %s, %s",
		late.quantile(0.5), late.quantile(0.99), late.quantile(1))})
	t.add(row{what: what + "processor time of Koine", koine: fmt.Sprintf("%.0f µs a run, %.1f %% of a core",
		float64(cpu.Microseconds())/max(runs, 1), 100*cpu.Seconds()/took.Seconds())})
	t.add(row{what: what + "goroutines, at most", koine: thousands(most)})
	return nil
}

// mostGoroutines counts every second, for as long as the checks are observed.
func mostGoroutines(ctx context.Context, k *koine) (most float64, err error) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for range int(checksTime / time.Second) {
		select {
		case <-every.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		m, err := k.scrape(ctx)
		if err != nil {
			return 0, err
		}
		most = max(most, m["go_goroutines"])
	}
	return most, nil
}

// checkedNode returns the i-th node, each instance with a check. The targets have many addresses, so that the ports of
// closed connections do not run out.
func checkedNode(i int, kind catalog.CheckType, port int) catalog.NodeState {
	state := estate{services: checksTotal / 10, instances: 10}.node(i)
	for n := range state.Registrations {
		r := &state.Registrations[n]
		target := fmt.Sprintf("127.0.%d.%d:%d", i+1, n%250+1, port)
		def := catalog.Definition{Type: kind, TCP: target, Interval: catalog.Duration(checksInterval)}
		if kind == catalog.CheckHTTP {
			def.TCP, def.HTTP = "", "http://"+target+"/health"
		}
		r.Checks = []catalog.Check{{ID: r.Instance.ID, Definition: def}}
	}
	return state
}

// scrape returns the process's metrics by the text of their series.
func (k *koine) scrape(ctx context.Context) (map[string]float64, error) {
	text, err := get(ctx, k.http, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(bytes.NewReader(text))
}

func parseMetrics(from io.Reader) (map[string]float64, error) {
	series := make(map[string]float64)
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		name, value, ok := cutLast(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		series[name] = number
	}
	return series, lines.Err()
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// histogram is the observations of an interval: how many are at most each bound.
type histogram struct {
	bounds []float64
	atMost map[float64]float64
	count  float64
}

const lateMetric = "koine_health_lateness_seconds"

// lateness returns how late the runs between two scrapes started.
func lateness(before, after map[string]float64) histogram {
	h := histogram{atMost: make(map[float64]float64), count: after[lateMetric+"_count"] - before[lateMetric+"_count"]}
	for name, n := range after {
		rest, ok := strings.CutPrefix(name, lateMetric+`_bucket{le="`)
		if !ok {
			continue
		}
		bound, err := strconv.ParseFloat(strings.TrimSuffix(rest, `"}`), 64)
		if err != nil {
			continue
		}
		h.bounds = append(h.bounds, bound)
		h.atMost[bound] = n - before[name]
	}
	slices.Sort(h.bounds)
	return h
}

// quantile returns the bound below which a share of the observations is.
func (h *histogram) quantile(share float64) string {
	for _, bound := range h.bounds {
		if h.atMost[bound] >= share*h.count {
			if math.IsInf(bound, 1) {
				break
			}
			return "≤ " + millis(time.Duration(bound*float64(time.Second)))
		}
	}
	return "more than all bounds"
}
