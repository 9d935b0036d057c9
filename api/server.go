package api

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// Registrar takes single registrations. Register returns a revision at which the catalog holds the registration,
// Deregister one at which it does not; both return only when the View has reached it. Errors are of the catalog's kinds.
type Registrar interface {
	Register(ctx context.Context, registration catalog.Registration) (revision uint64, err error)
	Deregister(ctx context.Context, node, id string) (revision uint64, err error)
	Renew(ctx context.Context, node, id string) error
}

// NodeSyncer takes the whole state of a node, keeps its session, and removes it.
type NodeSyncer interface {
	SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error)
	RenewNode(ctx context.Context, node string) error
	RemoveNode(ctx context.Context, node string) (revision uint64, err error)
}

// Pusher takes the outcome of a TTL check from its application.
type Pusher interface {
	Push(ctx context.Context, node, check string, status catalog.Status, output string) error
}

// Drainer takes orders to drain, and takes them back. Undrain also ends the drain of an instance by its owner, where that can be.
type Drainer interface {
	Drain(ctx context.Context, d catalog.Drain) (revision uint64, err error)
	Undrain(ctx context.Context, d catalog.Drain) (revision uint64, err error)
}

// Barrier returns a revision that is not older than the call: the one at which a linearizable read may be answered.
type Barrier interface {
	Barrier(ctx context.Context) (revision uint64, err error)
}

// Explainer knows what the sources of this host have seen. Explain returns the ids of this node's instances that
// something of a name or an id is registered as, and what of that name, id or service is not registered, and why. It
// must not take longer than people wait.
type Explainer interface {
	Explain(ctx context.Context, name string) (instances []string, left []catalog.LeftOut, err error)
}

// Historian returns the changes of a service or an instance within a time back from now.
type Historian interface {
	History(ctx context.Context, name string, since time.Duration) (catalog.History, error)
}

// Config is what a Server is made of. View is required.
type Config struct {
	View *catalog.View
	// Registrar, Nodes, Drainer and Pusher take the writes; where one is nil, its writes are refused as unavailable.
	Registrar Registrar
	Nodes     NodeSyncer
	Drainer   Drainer
	Pusher    Pusher
	// Runs knows the runs of checks, Keeper the leases and times; where one is nil, explanations lack them.
	Runs   Runs
	Keeper Keeper
	// Barrier makes reads with ?consistent possible; it may be nil.
	Barrier Barrier
	// Historian is asked by /history; it may be nil.
	Historian Historian

	// Explainer gives the reason why something is not registered; it may be nil.
	Explainer Explainer

	// Upstreams returns the resolvers that /health shows; it may be nil.
	Upstreams func() []string

	// Node is the server's own node, used where a request names none.
	Node string
	// Domain is the parent of the DNS names that explanations show; empty means "koine".
	Domain string
	// ResolvesHosts reports whether DNS resolves the host names of instances now; nil means that it does not.
	ResolvesHosts func() bool
	// Version is shown by /health.
	Version string
	// EnableScripts accepts script checks over HTTP. Every client that reaches the API can then run commands.
	EnableScripts bool

	// Heartbeat is the time between two signs of life of a watch; 0 means 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long a watch may take to write one event before its reader counts as dead; 0 means 30 s.
	WriteTimeout time.Duration

	// Metrics takes the API's metrics; nil means none.
	Metrics prometheus.Registerer
	// Logger gets the faults that only the operator can mend; nil drops them.
	Logger *slog.Logger
}

// Server answers the native API.
type Server struct {
	cfg     Config
	view    *catalog.View
	log     *slog.Logger
	mux     *http.ServeMux
	metrics *metrics

	bodies    catalog.Slot
	summaries catalog.Slot
	seed      maphash.Seed
	// jsonType is shared by all answers, which only read it.
	jsonType []string
	revision atomic.Pointer[revisionText]
	// stopped ends when Stop is called. It is the server's own: what waits for a change hangs on it.
	stopped context.Context
	stop    context.CancelFunc
}

// revisionText is the header of the revision that was asked for last.
type revisionText struct {
	revision uint64
	header   []string
}

// New returns a Server. It starts nothing. It returns an error if cfg has no View or its metrics cannot be registered.
func New(cfg Config) (*Server, error) {
	if cfg.View == nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "api: no view")
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	metrics, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, view: cfg.View, log: cfg.Logger, metrics: metrics,
		bodies: cfg.View.Slot(), summaries: cfg.View.Slot(),
		seed: maphash.MakeSeed(), jsonType: []string{"application/json"},
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.revision.Store(&revisionText{header: []string{"0"}})
	if s.mux, err = s.newMux(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler returns the handler of /api/v1 and everything below it, to be mounted there.
func (s *Server) Handler() http.Handler { return s.mux }

// Foreign returns the handler of /v1/, where Consul has its API: its clients must not take a bare 404 for an answer.
func (s *Server) Foreign() http.Handler {
	return s.serve(&route{path: "/v1/", unready: true, operation: operation{
		handle: func(s *Server, _ *route, _ http.ResponseWriter, r *http.Request) error {
			return catalog.Errorf(catalog.KindNotFound, "no route %.200q: Consul's API is planned, and not there yet", r.URL.Path).
				WithHint("see %s/openapi.json for Koine's own", root)
		},
	}})
}

// revisionHeader returns the header's value for a revision. Most requests see the revision that the one before saw.
func (s *Server) revisionHeader(revision uint64) []string {
	last := s.revision.Load()
	if last.revision == revision {
		return last.header
	}
	fresh := &revisionText{revision: revision, header: []string{strconv.FormatUint(revision, 10)}}
	s.revision.Store(fresh)
	return fresh.header
}

// stamp sets the headers that say when the answer was true. The revision must have been read before the answer's data; the
// data may be newer, and then index is the higher of the two.
func (s *Server) stamp(w http.ResponseWriter, revision uint64, index catalog.Position) {
	h := w.Header()
	h[client.HeaderRevision] = s.revisionHeader(max(revision, index.Revision))
	if index.Revision > 0 {
		h[client.HeaderIndex] = []string{index.String()}
	}
}
