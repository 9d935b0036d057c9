package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/health"
	"github.com/koine-sd/koine/registry"
)

// serveHTTP makes the one mux for everything that is HTTP, and returns the part that serves it.
func (d *Daemon) serveHTTP(reg *registry.Registry, checks *health.Runner) (func(context.Context) error, error) {
	native, err := api.New(api.Config{
		View: d.view, Registrar: reg, Nodes: reg, Drainer: reg, Barrier: reg,
		Keeper: reg, Runs: checks, Explainer: explainer{d}, Historian: reg,
		Pusher: &pusher{checks: checks, view: d.view, node: d.cfg.Node},
		Node:   d.cfg.Node, Domain: d.Domain(), ResolvesHosts: d.dns != nil && d.dns.Passes() != "", Version: d.cfg.Version, EnableScripts: d.cfg.EnableScriptChecks,
		Metrics: d.metrics, Logger: d.cfg.Logger.With("part", "api"),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", native.Handler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.gatherer(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", d.index)
	if d.cfg.Profile {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	server := &httpServer{listener: d.http, native: native, drainWithin: d.cfg.StopWithin * drainShare / 100}
	server.http = http.Server{
		Handler:           native.Front(d.guard, mux),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(d.cfg.Logger.Handler(), slog.LevelDebug),
	}
	return server.run, nil
}

// index tells a person who came with a browser or curl where to go on.
func (d *Daemon) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "koine %s, node %s\n\n/api/v1/services      what is registered\n/api/v1/openapi.json  the whole API\n"+
		"/api/v1/health        is this server ready\n/metrics              for Prometheus\n", d.cfg.Version, d.cfg.Node)
}
