package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/conns"
	"github.com/koine-sd/koine/internal/meter"
)

// httpConfig is what an httpServer is made of.
type httpConfig struct {
	listener net.Listener
	native   *api.Server
	handler  http.Handler
	// most bounds the connections; one client may have half of them, unless it is on loopback or local.
	most  int
	local func(netip.Addr) bool
	// drainWithin bounds the wait for unfinished requests at the stop.
	drainWithin time.Duration
	metrics     prometheus.Registerer
	logger      *slog.Logger
}

// httpServer serves HTTP until it is stopped, and then finishes the requests that it has taken.
type httpServer struct {
	httpConfig
	http  http.Server
	conns *conns.Listener
	// closed counts connections that were closed or refused because of a bound.
	closed *prometheus.CounterVec
}

// Deadlines of requests that are answered at once; waits, watches and long answers have their own.
const (
	// requestTimeout is for the headers of a request and its body. Two bounds would cost each request another timer.
	requestTimeout = 20 * time.Second
	answerTimeout  = time.Minute // from the end of a request's headers to that of its answer
	idleTimeout    = 2 * time.Minute
	maxHeader      = 32 << 10
)

func newHTTPServer(cfg httpConfig) (*httpServer, error) {
	s := &httpServer{httpConfig: cfg, closed: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "koine_http_connections_closed_total",
		Help: "HTTP connections closed or refused because of a limit: on all of them, or on those of one client.",
	}, []string{"limit"})}
	s.closed.WithLabelValues("all")
	s.closed.WithLabelValues("client")
	if err := cfg.metrics.Register(s.closed); err != nil {
		return nil, fmt.Errorf("register http metrics: %w", err)
	}
	s.conns = conns.New(cfg.listener, conns.Config{
		Most: cfg.most, PerClient: max(cfg.most/2, 1), Met: s.met, Failed: s.failed, Refusal: cfg.native.Busy,
		Exempt: func(from netip.Addr) bool { return from.IsLoopback() || cfg.local(from) },
	})
	meter.Queue(cfg.metrics, "http_connections", cfg.most, s.conns.Len)
	s.http = http.Server{
		Handler: cfg.handler, ConnState: s.conns.State,
		ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(cfg.logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// met counts a connection that a bound has met, and logs the first of a series.
func (s *httpServer) met(limit conns.Limit, client netip.Addr, begins bool) {
	if limit == conns.Client {
		s.closed.WithLabelValues("client").Inc()
	} else {
		s.closed.WithLabelValues("all").Inc()
	}
	switch {
	case !begins:
	case limit == conns.Client:
		s.logger.Warn("http client has all connections that one client may have: closing idle ones, refusing others",
			"client", client, "connections", s.most/2)
	default:
		s.logger.Warn("http has all connections that it may have: closing idle ones, refusing others; more are taken where the "+
			"limit of open files is higher (ulimit -n, LimitNOFILE)", "connections", s.most)
	}
}

func (s *httpServer) failed(err error) {
	s.logger.Warn("http cannot accept connections, and tries again", "error", err)
}

// lastAnswers bounds the time to answer requests that the stop has given up.
const lastAnswers = 200 * time.Millisecond

// run answers until the context ends. New requests, and those that wait for a change, then get 503; requests taken before
// are finished and answered within drainWithin. The parts below must not stop before run returns.
func (s *httpServer) run(ctx context.Context) error {
	requests, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	requests = catalog.WithCaller(requests, catalog.Caller{Listener: "http " + s.listener.Addr().String()})
	s.http.BaseContext = func(net.Listener) context.Context { return requests }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.conns) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	s.native.Stop()
	s.conns.Stop()
	defer s.conns.Wait()
	err := s.shutdown(requests, s.drainWithin-lastAnswers)
	if err != nil { // the requests that are left get an error, if they heed their context
		giveUp()
		err = s.shutdown(context.WithoutCancel(requests), lastAnswers)
	}
	if err != nil {
		err = s.http.Close()
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		return end
	}
	return err
}

func (s *httpServer) shutdown(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return s.http.Shutdown(ctx)
}
