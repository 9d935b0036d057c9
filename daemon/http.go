package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/health"
	"github.com/koine-sd/koine/registry"
)

// serveHTTP makes the mux of the HTTP listener, and returns the part that serves it.
func (d *Daemon) serveHTTP(reg *registry.Registry, checks *health.Runner) (func(context.Context) error, error) {
	native, err := api.New(api.Config{
		View: d.view, Registrar: reg, Nodes: reg, Drainer: drainer{reg, d}, Barrier: reg,
		Keeper: reg, Runs: checks, Explainer: explainer{d, reg}, Historian: reg,
		Upstreams: d.upstreams, ResolvesHosts: func() bool { return d.dns != nil && d.dns.Passes() != "" },
		Pusher: &pusher{checks: checks, barrier: reg, view: d.view, node: d.cfg.Node},
		Node:   d.cfg.Node, Domain: d.Domain(), Version: d.cfg.Version, EnableScripts: d.cfg.EnableScriptChecks,
		Metrics: d.metrics, Logger: d.cfg.Logger.With("part", "api"),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1", native.Handler())
	mux.Handle("/api/v1/", native.Handler())
	mux.Handle("/v1/", native.Foreign())
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.gatherer(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", d.index)
	if d.cfg.Profile {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	server, err := newHTTPServer(httpConfig{
		listener: d.http, native: native, handler: native.Front(d.guard, mux), most: d.shares.http, local: d.isLocal,
		drainWithin: d.cfg.StopWithin * drainShare / 100, metrics: d.metrics, logger: d.cfg.Logger.With("part", "http"),
	})
	if err != nil {
		return nil, err
	}
	return server.run, nil
}

// isLocal reports whether an address is on a network of this host's Docker engine.
func (d *Daemon) isLocal(address netip.Addr) bool {
	list := d.local.Load()
	return list != nil && slices.ContainsFunc(*list, func(network catalog.Network) bool {
		return slices.ContainsFunc(network.Subnets, func(subnet netip.Prefix) bool { return subnet.Contains(address) })
	})
}

// index answers a browser or curl at / with the paths to go on with.
func (d *Daemon) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "koine %s, node %s\n\n/api/v1/services      what is registered\n/api/v1/openapi.json  the whole API\n"+
		"/api/v1/health        is this server ready\n/metrics              for Prometheus\n", d.cfg.Version, d.cfg.Node)
}
