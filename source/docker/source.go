package docker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/meter"
)

// DefaultHost is the engine's default address.
const DefaultHost = client.DefaultDockerHost

// Engine is the part of a Docker engine that the source uses; *client.Client is one.
type Engine interface {
	// Events returns once the subscription is established or has failed.
	Events(ctx context.Context, options client.EventsListOptions) client.EventsResult
	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerInspect(ctx context.Context, id string, options client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	// DaemonHost returns the engine's address, as in DOCKER_HOST.
	DaemonHost() string
}

// Sink takes the source's declarations. Declare gets the whole set of the source each time, and only when it differs from
// the one before; the first call means that the engine has been looked at in full. The sink must not change the set, and
// must not block for long.
type Sink interface {
	Declare(source string, registrations []catalog.Registration)
}

// TimedSink is a Sink that also takes the time of the oldest event whose effect is declared; the zero time means that none
// of them came live.
type TimedSink interface {
	DeclareSince(source string, since time.Time, registrations []catalog.Registration)
}

// GoneSink is a Sink that also takes the reasons why instances are no longer declared: "container exited 137". It is called
// before the set in which they are missing, and again when more is known. The reasons, by the instances' IDs, are those of
// the last ten minutes, at most 1024; each call replaces those of the one before.
type GoneSink interface {
	DeclareGone(source string, reasons map[string]string)
}

// Config configures a Source.
type Config struct {
	// Client is the engine to follow; nil means the one at Host.
	Client Engine
	// Host is the engine's address; empty means DOCKER_HOST, and if that is empty DefaultHost.
	Host string
	// Node is the name of the node that the containers are registered on.
	Node string
	// HostAddresses are the host's own addresses with Network catalog.NetworkHost, for published ports and for
	// containers in the host's network.
	HostAddresses []catalog.Address
	// EnableScripts allows script checks in labels: every user that may start a container may then run commands on the host.
	EnableScripts bool
	// Registrator registers containers as Registrator does: an instance for each published port, with the host's address,
	// and the environment's meta.
	Registrator bool
	// Labelled registers only those containers that are labelled for it.
	Labelled bool
	// ProjectNames appends Compose's project to its name of a service: web of the project prod is web-prod.
	ProjectNames bool
	// MaxProcesses bounds the watched processes of containers, each of which takes a file descriptor; 0 means 1024.
	MaxProcesses int
	// Networks gets the engine's networks whenever they change, and before a container on a new one is declared. It
	// must not block for long. It may be nil.
	Networks func([]catalog.Network)
	// Denied is called with the reason, and what to do, if the engine's socket refuses this process before the engine has
	// answered, and with nil once it answers. Until then nothing is known of its containers. It may be nil.
	Denied func(reason error)
	// Residents gets all containers of the engine whenever they change, running or stopped, registered or not, at the latest
	// when the first declaration is made. It must not block for long. It may be nil.
	Residents func([]catalog.Resident)
	// Problem is called with a text for /health while the engine does not answer, and with "" once it does. It may be nil.
	Problem func(what string)
	// NetworksProblem is called likewise while the engine answers, and does not list its networks. It may be nil.
	NetworksProblem func(what string)
	// Locate returns the address of an engine that is looked for: it is asked, in place of Host, until an engine has answered. It may
	// be nil.
	Locate func() string
	// Missing says that there may be no engine at all: no warning is logged until one has answered.
	Missing bool
	// Listens returns the setting by which this process listens on a port of tcp or udp, "" if it does not: a container that
	// publishes the port cannot be started. It may be nil.
	Listens func(network string, at netip.AddrPort) string
	// Sink takes the declarations.
	Sink Sink
	// Adopt returns what the catalog holds from this source for this node; it is called once, when Run starts, so that
	// a container that got its stop signal is not offered again after a restart of Koine, and one that survived it is. It may be nil.
	Adopt func() []catalog.Registration
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger
	// Metrics registers the source's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Source follows one engine.
type Source struct {
	cfg    Config
	engine Engine
	// owned has the connections to an engine that New has dialled.
	owned  *http.Transport
	nets   *networks
	images *images
	swarm  *services
	inbox  *inbox
	// questions and undos are taken by the loop; asking bounds the questions that wait for the engine.
	questions chan question
	undos     chan undo
	asking    chan struct{}
	log       *slog.Logger
	metrics   *metrics
	answers   atomic.Bool
	// heard is set once an engine has answered.
	heard atomic.Bool
	// podman is set if the engine's last answer was Podman's.
	podman atomic.Bool
	// unnamed counts the containers in the engine's last list whose ids could not be read.
	unnamed atomic.Int32
	// watch sees the ends of processes; Run makes it, unless a test has.
	watch *pidWatch
	// signals sees the stop signals of containers; Run makes it.
	signals *signalWatch
}

// New returns a source that does nothing until Run. Every error is of catalog.KindInvalid: the engine need not answer.
func New(cfg Config) (*Source, error) {
	if cfg.Sink == nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "docker source has no sink")
	}
	if err := catalog.ValidateName("node", cfg.Node); err != nil {
		return nil, err
	}
	s := &Source{
		cfg: cfg, engine: cfg.Client, log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		inbox: newInbox(), questions: make(chan question), undos: make(chan undo), asking: make(chan struct{}, maxInspects),
	}
	var err error
	if s.engine == nil {
		if s.engine, s.owned, err = readLeniently(s.locate(), &s.podman); err != nil {
			return nil, err
		}
	}
	if s.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	s.nets = newNetworks(cfg, s.engine, s.log)
	s.images, s.swarm = newImages(s.engine), newServices(s.engine)
	s.nets.unreadable = s.metrics.unreadable.WithLabelValues("network")
	meter.Queue(cfg.Metrics, "docker_inbox", maxChanged, s.inbox.len)
	return s, nil
}

// locate returns a function for the address of the engine. Once an engine has answered it does not change.
func (s *Source) locate() func() string {
	host := s.cfg.Host
	return func() string {
		if s.cfg.Locate != nil && !s.heard.Load() {
			host = s.cfg.Locate()
		}
		return host
	}
}

// dial makes a client; it does not connect.
func dial(host string) (*client.Client, error) {
	host = cmp.Or(host, os.Getenv(client.EnvOverrideHost), DefaultHost)
	if strings.HasPrefix(host, "/") {
		host = "unix://" + host
	}
	options := []client.Opt{client.WithAPIVersionFromEnv()}
	if !strings.HasPrefix(host, "unix://") {
		options = append(options, client.WithTLSClientConfigFromEnv())
	}
	c, err := client.New(append(options, client.WithHost(host))...)
	if err != nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "docker engine %q: %v", host, err).
			WithHint("write it as unix:///var/run/docker.sock or tcp://host:2376")
	}
	return c, nil
}

// processes returns the bound on the watched processes: 0 if the engine is on another host.
func (s *Source) processes() int {
	if !strings.HasPrefix(s.engine.DaemonHost(), "unix://") {
		return 0
	}
	return cmp.Or(s.cfg.MaxProcesses, 1024)
}

// Run follows the engine until ctx ends, and returns nil then. It may be called once.
func (s *Source) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	if s.watch == nil {
		var err error
		if s.watch, err = newPidWatch(s.processes()); err != nil {
			s.log.Warn("cannot watch container processes: their ends show only in the engine's events", "error", err)
		}
	}
	s.watchSignals()
	l := &loop{
		source: s, tracker: newTracker(s.options()), census: newCensus(), inbox: s.inbox, watch: s.watch, signals: s.signals,
		jobs:    make(map[string]*job),
		results: make(chan look, maxInspects), retry: make(map[string]bool),
		recheck: make(map[string]bool),
	}
	if s.cfg.Adopt != nil {
		l.declared = s.cfg.Adopt()
		l.tracker.adopt(l.declared, time.Now())
		l.adopted = byContainer(l.declared)
	}
	var children sync.WaitGroup
	children.Go(func() { s.talk(ctx, l.inbox) })
	children.Go(func() { s.watch.run(ctx) })
	children.Go(func() { s.readSignals(ctx, l.inbox) })
	l.run(ctx)
	cancel()
	children.Wait()
	s.close()
	return nil
}

// watchSignals begins to see the stop signals of containers in the kernel, where that is possible.
func (s *Source) watchSignals() {
	if s.processes() == 0 {
		return
	}
	var err error
	if s.signals, err = newSignalWatch(); err != nil {
		s.log.Info("stop signals of containers are not read from the kernel", "reason", err)
		return
	}
	s.log.Info("stop signals of containers are read from the kernel")
	s.metrics.signals.Set(1)
}

// readSignals hands on the signals that the kernel reports until ctx ends.
func (s *Source) readSignals(ctx context.Context, in *inbox) {
	if !s.signals.usable() {
		return
	}
	s.signals.run(ctx, in)
	s.metrics.signals.Set(0)
	if ctx.Err() == nil {
		s.log.Warn("stop signals of containers are not read from the kernel any more")
	}
}

// close closes the connections to an engine that New has dialled.
func (s *Source) close() {
	if s.owned != nil {
		s.owned.CloseIdleConnections()
	}
}

// Answers reports whether the engine answered when it was last asked.
func (s *Source) Answers() bool { return s.answers.Load() }

// Host returns the address of the engine that answered last, or that is looked for.
func (s *Source) Host() string { return s.engine.DaemonHost() }

// Podman reports whether the engine's last answer was Podman's.
func (s *Source) Podman() bool { return s.podman.Load() }

// setAnswers records whether the engine answers.
func (s *Source) setAnswers(yes bool) {
	s.answers.Store(yes)
	if yes {
		s.heard.Store(true)
	}
	up := 0.0
	if yes {
		up = 1
	}
	s.metrics.up.Set(up)
}

func (s *Source) options() options {
	return options{
		node: s.cfg.Node, hostAddresses: s.cfg.HostAddresses, scripts: s.cfg.EnableScripts,
		registrator: s.cfg.Registrator, labelled: s.cfg.Labelled, projectNames: s.cfg.ProjectNames,
		listens: s.cfg.Listens,
	}
}

// logReport logs each warning about a container once.
func (s *Source) logReport(r report) {
	if r.lasted != nil {
		s.logLasted(r.container, r.lasted)
	}
	if r.hindered != "" {
		s.log.Warn("container cannot be started", "container", r.container, "reason", r.hindered,
			"hint", "publish the port at one address of the host, or give Koine another address or port")
	}
	for _, f := range r.faults {
		s.log.Warn("part of the engine's answer about a container left out", "container", r.container, "part", f.Path, "reason", f.Reason)
	}
	for _, w := range r.warnings {
		message := "label left out"
		if w.Counts {
			message = "label not used as written"
		}
		s.log.Warn(message, "container", r.container, "label", w.Label, "reason", w.Reason)
	}
	for _, n := range r.changed {
		s.log.Info("name of a service made fit for DNS", "container", r.container, "name", shorten(n.text), "service", n.service, "from", n.rule)
	}
	switch {
	case r.skip != "" && r.invalid:
		s.log.Warn("container not registered", "container", r.container, "reason", r.skip)
	case r.skip != "":
		s.log.Info("container not registered", "container", r.container, "reason", r.skip)
	case r.added:
		s.log.Debug("container registered", "container", r.container)
	}
}

// metrics are the source's counters.
type metrics struct {
	up         prometheus.Gauge
	containers prometheus.Gauge
	events     prometheus.Histogram
	drains     prometheus.Histogram
	// shortDrains counts the containers that ended before their koine.drain was over.
	shortDrains prometheus.Counter
	// shared counts the names of services that several projects share by chance.
	shared prometheus.Gauge
	// signals is 1 while the kernel reports stop signals.
	signals prometheus.Gauge
	// unreadable counts the containers and networks of which the engine's last answer could not be read in full.
	unreadable *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_docker_up", Help: "1 while the Docker engine answers.",
		}),
		containers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_docker_instances", Help: "Instances declared by the Docker source.",
		}),
		drains: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "koine_docker_drain_seconds",
			Help:    "Time from a container's stop signal to the end of its process.",
			Buckets: []float64{.01, .1, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600},
		}),
		shared: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_docker_shared_names", Help: "Names of services that containers of several projects share by chance.",
		}),
		signals: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "koine_docker_kernel_signals", Help: "1 while stop signals of containers are read from the kernel.",
		}),
		unreadable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "koine_docker_unreadable",
			Help: "Containers and networks of which the engine's last answer could not be read in full.",
		}, []string{"kind"}),
		shortDrains: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "koine_docker_short_drains_total", Help: "Containers that ended before the time of their label koine.drain was over.",
		}),
	}
	for _, c := range []prometheus.Collector{m.up, m.containers, m.drains, m.shortDrains, m.shared, m.signals, m.unreadable} {
		if r == nil {
			break
		}
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	m.events = meter.Stage(r, "event") // last: it panics if there is one
	return m, nil
}
