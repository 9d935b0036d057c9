package main

import (
	"context"
	"fmt"
	"time"
)

// measureSize loads 100,000 instances of 10,000 services, and starts Koine again on the data on disk.
func measureSize(ctx context.Context, cfg *config, t *table) error {
	if err := measureEstate(ctx, cfg, t, estate{services: 10_000, instances: 10}, 400, 3); err != nil {
		return err
	}
	if !cfg.million {
		return nil
	}
	return measureEstate(ctx, cfg, t, estate{services: 100_000, instances: 10}, 0, 0)
}

// measureEstate reports the memory of an estate, in MB, and the time from disk to ready, in seconds; mostMB and
// mostSeconds are the targets, 0 if there are none.
func measureEstate(ctx context.Context, cfg *config, t *table, e estate, mostMB, mostSeconds float64) error {
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { k.stop() }()
	start := time.Now()
	if err := k.load(ctx, e); err != nil {
		return err
	}
	what := thousands(float64(e.total())) + " instances"
	t.add(row{what: what + ": load by node", koine: fmt.Sprintf("%.1f s", time.Since(start).Seconds())})
	if err := reportMemory(ctx, t, k, what+", after the load", mostMB); err != nil {
		return err
	}
	k.stop()
	dir := k.dir
	if k, err = openKoine(ctx, cfg, dir); err != nil {
		return err
	}
	ready := row{what: what + ": from disk to ready", koine: fmt.Sprintf("%.2f s", k.took.Seconds())}
	if mostSeconds > 0 {
		ready.verdict = atMost(k.took.Seconds(), mostSeconds, "s")
	}
	t.add(ready)
	return reportMemory(ctx, t, k, what+", after a restart", mostMB)
}

// settle is how long a process is left alone before its memory is read: the runtime gives memory back in the
// background.
const settle = 5 * time.Second

func reportMemory(ctx context.Context, t *table, k *koine, what string, mostMB float64) error {
	pause := time.NewTimer(settle)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	all, anonymous := k.resident()
	r := row{what: what + ": resident", koine: fmt.Sprintf("%.0f MB, %.0f of them anonymous", mebibytes(all), mebibytes(anonymous))}
	if mostMB > 0 {
		r.verdict = atMost(mebibytes(all), mostMB, "MB")
	}
	t.add(r)
	return nil
}
