package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/koine-sd/koine/agent"
	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/dns"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/health"
	"github.com/koine-sd/koine/internal/pulse"
	"github.com/koine-sd/koine/internal/renewal"
	"github.com/koine-sd/koine/registry"
	"github.com/koine-sd/koine/source/docker"
	"github.com/koine-sd/koine/source/files"
)

// Daemon is one Koine process: a server that is its own agent.
type Daemon struct {
	cfg     Config
	view    *catalog.View
	metrics *prometheus.Registry
	http    net.Listener
	guard   *api.Guard
	shares  shares
	// local are the networks of this host's Docker engine; nil until they have been read.
	local   atomic.Pointer[[]catalog.Network]
	dns     *dns.Server
	bridges []string // the networks on whose gateways DNS listens, "" for all
	docker  *docker.Source
	files   *files.Source
	reload  chan struct{}
	clock   *pulse.Clock
	// renewals is nil without a data directory.
	renewals *renewal.Book
}

// New binds the listeners, so that a taken port is an error before anything is started. The caller must then call Run, which
// closes them.
func New(cfg Config) (*Daemon, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, view: catalog.NewView(), metrics: prometheus.NewRegistry(), reload: make(chan struct{}, 1)}
	d.metrics.MustRegister(buildInfo(cfg.Version), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.clock = pulse.New(d.cfg.Logger, d.metrics)
	d.shares = shareDescriptors(descriptorLimit())
	d.view.SetInterfaces(interfaces())
	if _, follows := cfg.dockerHost(); follows && !cfg.dockerMissing() {
		d.view.AwaitNetworks()
	}
	if d.guard, err = cfg.guard(); err != nil {
		return nil, err
	}
	if cfg.HTTP != Off {
		if d.http, err = listenTCP("HTTP", "--http", cfg.HTTP); err != nil {
			return nil, err
		}
	}
	if cfg.DNS != Off {
		if err := d.listenDNS(); err != nil {
			return nil, errors.Join(err, d.closeListeners())
		}
	}
	d.warnOpen()
	d.warnAdvertise()
	return d, nil
}

// closeListeners closes what New has bound.
func (d *Daemon) closeListeners() error {
	if d.dns != nil {
		d.dns.Close()
	}
	if d.http == nil {
		return nil
	}
	return d.http.Close()
}

// HTTPAddr returns the address of the HTTP listener; nil if HTTP is off.
func (d *Daemon) HTTPAddr() net.Addr {
	if d.http == nil {
		return nil
	}
	return d.http.Addr()
}

// DNSAddr returns the address of the first DNS listener; invalid if DNS is off.
func (d *Daemon) DNSAddr() netip.AddrPort {
	if d.dns == nil {
		return netip.AddrPort{}
	}
	return d.dns.Addr()
}

// DockerHost returns the address of the Docker engine that is followed, and false if there is none so far.
func (d *Daemon) DockerHost() (string, bool) {
	_, follows := d.cfg.dockerHost()
	return d.engineHost(), follows && (d.DockerAnswers() || !d.cfg.dockerMissing())
}

// engineHost returns the address of the engine that is followed, or looked for; empty if none is.
func (d *Daemon) engineHost() string {
	if d.docker != nil {
		return d.docker.Host()
	}
	host, _ := d.cfg.dockerHost()
	return host
}

// Podman reports whether the engine that answered the last request is Podman.
func (d *Daemon) Podman() bool { return d.docker != nil && d.docker.Podman() }

// DockerAnswers reports whether the Docker engine answered the last request.
func (d *Daemon) DockerAnswers() bool { return d.docker != nil && d.docker.Answers() }

// Node returns this host's name.
func (d *Daemon) Node() string { return d.cfg.Node }

// View returns the catalog's replica in this process.
func (d *Daemon) View() *catalog.View { return d.view }

// Reload makes the daemon read the definition files and the host's resolvers again.
func (d *Daemon) Reload() {
	select {
	case d.reload <- struct{}{}:
	default: // one is due already
	}
}

// Run opens the store, and serves until the context ends or the store fails. The listeners and sources stop before the
// checks and the registry do, and these before the store, so that every acknowledged write is kept.
func (d *Daemon) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.closeQuietly()) }()
	dir, temporary, err := d.dataDir()
	if err != nil {
		return err
	}
	if temporary {
		defer os.RemoveAll(dir) // "" with a store elsewhere, which removes nothing
	}
	store, err := engine.Open(ctx, engine.Config{
		Endpoints: d.cfg.Engine, Dir: dir, CloseTimeout: d.cfg.StopWithin * closeShare / 100,
		Logger: d.cfg.Logger.With("part", "engine"),
	})
	if ctx.Err() != nil && err != nil {
		return nil // stopped before the store answered
	}
	if err != nil {
		return err
	}
	defer func() { err = d.closeStore(store, err) }()
	node, err := d.identity(dir, temporary)
	if err != nil {
		return err
	}
	defer node.release()
	logger := d.cfg.Logger.With("part", "registry")
	if !temporary {
		d.renewals = renewal.Open(filepath.Join(dir, renewalsFile), node.id, logger)
		d.renewals.Report(d.view.ProblemSetter())
	}
	cfg := registry.Config{
		Client: store.Client, KV: store.KV, MaxOps: store.MaxOps, MaxBytes: store.MaxBytes, View: d.view, Clock: d.clock,
		Logger: logger, Metrics: d.metrics,
	}
	if store.Leases != nil {
		cfg.Leases = registry.NewLeases(store.Leases, d.clock, d.renewals, logger)
	}
	reg, err := registry.New(cfg)
	if err != nil {
		return err
	}
	return d.runOn(ctx, store, reg, cfg.Leases, node)
}

// renewalsFile keeps the last renewals in the data directory.
const renewalsFile = "renewals"

// closeStore closes the store, given the error that ends the process. If there is one, an error of closing follows from it, as that of
// a store on a full disk that does not stop in time: it is logged, and does not stand beside its cause.
func (d *Daemon) closeStore(store *engine.Engine, cause error) error {
	err := store.Close()
	if cause == nil {
		return err
	}
	if err != nil {
		d.cfg.Logger.Warn("the store was not closed in order", "error", err)
	}
	return cause
}

// closeQuietly closes listeners that were bound but perhaps never served.
func (d *Daemon) closeQuietly() error {
	if err := d.closeListeners(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// runOn runs the parts in layers, each on the one below, and stops them from the top: what the listeners have taken is
// finished while checks, registry and store still run.
func (d *Daemon) runOn(ctx context.Context, store *engine.Engine, reg *registry.Registry, leases *registry.Leases, node *identity) error {
	checks, runChecks, err := d.newChecks(reg)
	if err != nil {
		return err
	}
	upper, middle, err := d.assemble(reg, checks, node)
	if err != nil {
		return err
	}
	middle = append(middle, runChecks)
	sources := []renewal.Source{checks}
	if leases != nil {
		sources = append(sources, leases)
	}
	keepRenewals := func(ctx context.Context) error { return d.renewals.Run(ctx, sources...) }
	layers := []*layer{begin(ctx, d.clock.Run, store.Run, reg.Run, keepRenewals), begin(ctx, middle...), begin(ctx, upper...)}
	select {
	case <-ctx.Done():
	case <-layers[0].failed: // a part that fails ends everything
	case <-layers[1].failed:
	case <-layers[2].failed:
	}
	var failed error
	for _, l := range slices.Backward(layers) {
		if err := l.end(); err != nil {
			failed = err // the lowest one is the cause of those above it
		}
	}
	return failed
}

// layer is parts that run, and stop, at the same time.
type layer struct {
	parts *errgroup.Group
	// failed is closed when a part has returned an error.
	failed <-chan struct{}
	stop   context.CancelFunc
}

// begin runs parts until end is called. The end of the context does not stop them.
func begin(ctx context.Context, parts ...func(context.Context) error) *layer {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	return &layer{parts: group, failed: ctx.Done(), stop: stop}
}

// end stops the parts, and waits for them.
func (l *layer) end() error {
	l.stop()
	return failure(l.parts.Wait())
}

// failure returns an error without the parts that only say that a part was stopped: context.Canceled.
func failure(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case ok:
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, failure(e))
		}
		return errors.Join(rest...)
	case errors.Is(err, context.Canceled):
		return nil
	default:
		return err
	}
}

// assemble makes the parts above the registry: in the upper layer the listeners and sources, in the middle one, with the checks,
// the agent, which they call. Each part runs until its context ends.
func (d *Daemon) assemble(reg *registry.Registry, checks *health.Runner, node *identity) (
	upper, middle []func(context.Context) error, err error,
) {
	host, err := agent.New(agent.Config{
		Node: d.cfg.node(node.id), Ended: node.ended, Opened: node.opened, Registry: reg, View: d.view, Checks: checks, Sources: d.sources(), Optional: d.optional(), Orphans: true,
		Clock: d.clock, Logger: d.cfg.Logger.With("part", "agent"), Metrics: d.metrics,
	})
	if err != nil {
		return nil, nil, err
	}
	events := &journal{view: d.view, logger: d.cfg.Logger.With("part", "catalog"), node: d.cfg.Node, all: !d.cfg.storeElsewhere()}
	upper = append(upper, d.announce, d.passReloads, d.followInterfaces, events.run)
	if d.http != nil {
		serve, err := d.serveHTTP(reg, checks)
		if err != nil {
			return nil, nil, err
		}
		upper = append(upper, serve)
	}
	if d.dns != nil {
		upper = append(upper, d.dns.Run)
	}
	sources, err := d.runSources(host)
	return append(upper, sources...), []func(context.Context) error{host.Run}, err
}

// The names of the sources, in order of precedence.
const (
	sourceDocker = "docker"
	sourceFile   = "file"
)

func (d *Daemon) sources() (names []string) {
	if _, ok := d.cfg.dockerHost(); ok {
		names = append(names, sourceDocker)
	}
	if d.cfg.ConfigDir != "" {
		names = append(names, sourceFile)
	}
	return names
}

// optional returns the sources that may not exist on this host.
func (d *Daemon) optional() []string {
	if d.cfg.dockerMissing() {
		return []string{sourceDocker}
	}
	return nil
}

func (d *Daemon) runSources(host *agent.Agent) (parts []func(context.Context) error, err error) {
	if address, ok := d.cfg.dockerHost(); ok {
		cfg := d.cfg.docker(address)
		cfg.Sink, cfg.Networks, cfg.Residents, cfg.Metrics = host, d.setNetworks, d.view.SetResidents, d.metrics
		cfg.MaxProcesses = d.shares.processes
		cfg.Listens = d.listens
		cfg.Denied, cfg.Problem, cfg.NetworksProblem = d.holdWhileDenied(host), d.view.ProblemSetter(), d.view.ProblemSetter()
		cfg.Adopt = func() []catalog.Registration { return host.Held(sourceDocker) }
		source, err := docker.New(cfg)
		if err != nil {
			return nil, err
		}
		d.docker = source
		parts = append(parts, func(ctx context.Context) error {
			if d.view.WaitLoaded(ctx) != nil { // Adopt needs the registrations from before the start
				return nil
			}
			return source.Run(ctx)
		})
	}
	if d.cfg.ConfigDir != "" {
		source, err := files.New(files.Config{
			Dir: d.cfg.ConfigDir, Node: d.cfg.Node, Sink: host, EnableScripts: d.cfg.EnableScriptChecks,
			Problem: d.view.ProblemSetter(),
			Logger:  d.cfg.Logger.With("part", "files"), Metrics: d.metrics,
		})
		if err != nil {
			return nil, err
		}
		d.files = source
		parts = append(parts, source.Run)
	}
	return parts, nil
}

// passReloads passes requests to reload on to what reads files.
func (d *Daemon) passReloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.reload:
			if d.files != nil {
				d.files.Reload()
			}
			if d.dns != nil {
				d.dns.Reload()
			}
		}
	}
}

// dataDir returns the directory for the store, and whether it is temporary. Before it makes a temporary one it removes those
// that killed processes have left.
func (d *Daemon) dataDir() (dir string, temporary bool, err error) {
	if d.cfg.DataDir != "" {
		adopt(d.cfg.DataDir)
		return d.cfg.DataDir, false, nil
	}
	if d.cfg.storeElsewhere() {
		return "", true, nil
	}
	if removed := sweep(os.TempDir(), time.Now()); len(removed) > 0 {
		d.cfg.Logger.Info("removed temporary stores that killed processes have left", "directories", removed)
	}
	if dir, err = os.MkdirTemp("", temporaryPattern); err == nil {
		err = markTemporary(dir)
	}
	if err != nil {
		return "", false, catalog.Errorf(catalog.KindInvalid, "no temporary directory: %v", err).WithHint("choose one with --data-dir")
	}
	return dir, true, nil
}

// announce logs the open listeners in one line, once the View is ready.
func (d *Daemon) announce(ctx context.Context) error {
	if d.view.WaitReady(ctx) != nil {
		return nil // stopped before that
	}
	debug.FreeOSMemory() // reading a large catalog leaves as much garbage as it keeps
	attrs := []any{"node", d.cfg.Node, "version", d.cfg.Version}
	if d.http != nil {
		attrs = append(attrs, "http", d.http.Addr().String())
	}
	if d.dns != nil {
		attrs = append(attrs, "dns", d.dns.Addr().String())
	}
	if host, ok := d.DockerHost(); ok {
		attrs = append(attrs, "docker", host)
	}
	d.cfg.Logger.Info("koine is ready", attrs...)
	return nil
}
