package daemon

import (
	"context"

	"github.com/koine-sd/koine/agent"
	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/registry"
	"github.com/koine-sd/koine/source/docker"
)

// explainer asks what may know of something that is not in the catalog: the store, the definition files, and the Docker source. The
// sources are made after the listeners.
type explainer struct {
	d   *Daemon
	reg *registry.Registry
}

func (e explainer) Explain(ctx context.Context, name string) (instances []string, left []catalog.LeftOut, err error) {
	left = e.reg.Unreadable(name)
	if e.d.files != nil {
		left = append(left, e.d.files.Explain(name)...)
	}
	if _, follows := e.d.DockerHost(); !follows || e.d.docker == nil {
		return nil, left, nil
	}
	instances, more, err := e.d.docker.Explain(ctx, name)
	return instances, append(left, more...), err
}

// docker returns the configuration of the Docker source, except for the parts that a running process adds.
func (c Config) docker(address string) docker.Config {
	return docker.Config{
		Host: address, Node: c.Node, HostAddresses: c.node("").Addresses, EnableScripts: c.EnableScriptChecks,
		Registrator: c.Registrator, Labelled: c.DockerExpose == ExposeLabelled, ProjectNames: c.ComposeNames == NamesProject,
		Missing: c.dockerMissing(), Locate: c.locate(), Logger: c.Logger.With("part", "docker"),
	}
}

// PlanDocker looks once at the containers of the Docker engine that a process with this configuration would follow, and
// returns what it would register of them. It needs no running process, and registers nothing.
func PlanDocker(ctx context.Context, cfg Config) ([]docker.Plan, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	address, ok := cfg.dockerHost()
	if !ok || cfg.dockerMissing() {
		return nil, catalog.Errorf(catalog.KindInvalid, "no Docker engine: %s does not exist, and DOCKER_HOST is not set", defaultDockerSocket).
			WithHint("name one with --docker=unix:///path")
	}
	return docker.DryRun(ctx, cfg.docker(address))
}

// holdWhileDenied returns a function for docker.Config.Denied. A process that may not ask the engine and holds nothing of it knows
// none of the containers: it must not be ready.
func (d *Daemon) holdWhileDenied(host *agent.Agent) func(error) {
	release := func() {}
	return func(why error) {
		release()
		release = func() {}
		if why != nil && len(host.Held(sourceDocker)) == 0 {
			release = d.view.Hold("the Docker engine: " + why.Error())
		}
	}
}
