package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// sample is the outcome of one measurement of a server under load.
type sample struct {
	// rate is operations per second.
	rate float64
	// cpu is the server's processor time per operation.
	cpu time.Duration
}

// candidate is a server in a contest, and its load: load returns the operations done and the time taken.
type candidate struct {
	name   string
	server *process
	load   func(context.Context) (count int, took time.Duration, err error)
}

func (c *candidate) measure(ctx context.Context) (sample, error) {
	before := c.server.cpu()
	count, took, err := c.load(ctx)
	if err != nil {
		return sample{}, fmt.Errorf("load %s: %w", c.name, err)
	}
	if count == 0 {
		return sample{}, fmt.Errorf("load %s: nothing was answered", c.name)
	}
	return sample{float64(count) / took.Seconds(), (c.server.cpu() - before) / time.Duration(count)}, nil
}

// contest measures the candidates in alternation, the first of them being Koine; samples are by candidate, then round.
func contest(ctx context.Context, cfg *config, what string, candidates []candidate) ([][]sample, error) {
	samples := make([][]sample, len(candidates))
	for range cfg.rounds {
		for i := range candidates {
			s, err := candidates[i].measure(ctx)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(os.Stderr, "bench:   %s, %s: %.0f/s, %v each\n", what, candidates[i].name, s.rate, s.cpu)
			samples[i] = append(samples[i], s)
		}
	}
	return samples, profile(ctx, cfg, what, &candidates[0])
}

// profile records one more measurement with perf, if profiles were requested.
func profile(ctx context.Context, cfg *config, what string, c *candidate) error {
	if cfg.profile == "" {
		return nil
	}
	if err := os.MkdirAll(cfg.profile, 0o755); err != nil {
		return err
	}
	into := filepath.Join(cfg.profile, what+".perf")
	record := exec.CommandContext(ctx, "perf", "record", "-q", "-g", "-F", "499", "-o", into,
		"-p", strconv.Itoa(c.server.cmd.Process.Pid), "--", "sleep", cfg.seconds())
	if err := record.Start(); err != nil {
		return fmt.Errorf("profile %s: %w", what, err)
	}
	_, err := c.measure(ctx)
	_ = record.Wait() // a missing profile is noticed
	return err
}

// report adds a row for each peer that Koine was measured against. Targets are by peer; 0 means none.
func report(t *table, what string, candidates []candidate, samples [][]sample, targets map[string]float64) {
	for i := 1; i < len(candidates); i++ {
		ratios := make([]float64, len(samples[0]))
		for round := range ratios {
			ratios[round] = samples[0][round].rate / samples[i][round].rate
		}
		t.add(row{
			what: what, koine: show(samples[0]), peer: candidates[i].name + " " + show(samples[i]),
			ratio: median(ratios), target: targets[candidates[i].name],
		})
	}
}

// show writes the median rate and processor time of some samples.
func show(samples []sample) string {
	var rates, costs []float64
	for _, s := range samples {
		rates = append(rates, s.rate)
		costs = append(costs, float64(s.cpu)/1000)
	}
	return fmt.Sprintf("%s/s, %.1f µs", thousands(median(rates)), median(costs))
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
