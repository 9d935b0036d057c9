package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/koine-sd/koine/health"
	"github.com/koine-sd/koine/registry"
	"github.com/koine-sd/koine/source/docker"
)

// remover lets checks deregister instances that have been critical for too long.
type remover struct{ registry *registry.Registry }

// DeregisterCritical implements health.Deregisterer.
func (r remover) DeregisterCritical(ctx context.Context, node, check string, begun time.Time) error {
	_, err := r.registry.DeregisterCritical(ctx, node, check, begun)
	return err
}

// newChecks makes what runs this process's checks, and the part that runs it until its context ends.
func (d *Daemon) newChecks(reg *registry.Registry) (*health.Runner, func(context.Context) error, error) {
	cfg := health.Config{
		Reporter: reg, View: d.view, Deregisterer: remover{reg}, Clock: d.clock, Renewals: d.renewals, EnableScripts: d.cfg.EnableScriptChecks,
		MaxConcurrent: d.shares.checks, Metrics: d.metrics, Logger: d.cfg.Logger.With("part", "health"),
	}
	closeEngine := func() error { return nil }
	if _, ok := d.cfg.dockerHost(); ok {
		containers, err := docker.NewContainers(d.engineHost)
		if err != nil {
			return nil, nil, err
		}
		cfg.Execer, closeEngine = containers, containers.Close
	}
	checks, err := health.New(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, closeEngine())
	}
	run := func(ctx context.Context) error { return errors.Join(checks.Run(ctx), closeEngine()) }
	return checks, run, nil
}
