// Demo is the service that Koine's demonstration and tests run in containers: an HTTP server of one static binary that
// names itself, can be set to be unhealthy, and takes its time to stop.
//
// With -lookup it asks a name server once instead.
//
//	GET /             the server's name, its host name and the port asked
//	GET /health       200 "ok" or 503 "not ok"
//	PUT /health?ok=   sets the health
//	GET /served       how many times GET / was answered; it is printed at the end too
//
// Every flag has an environment variable of the same name with the prefix DEMO_: -grace is DEMO_GRACE.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// options are the values of the flags.
type options struct {
	name        string
	listen      string
	ports       []string
	grace       time.Duration
	unhealthy   bool
	healthcheck bool
	lookup      string
	server      string
}

func main() {
	o, err := parse(os.Args[1:], os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the server, or a probe of one.
func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	switch {
	case o.healthcheck:
		return probe(ctx, o)
	case o.lookup != "":
		return lookup(ctx, o)
	}
	return serve(ctx, o)
}

// parse reads the flags, and the environment for flags that are not given.
func parse(args []string, env func(string) string) (options, error) {
	host, _ := os.Hostname()
	var o options
	var ports string
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&o.name, "name", cmp.Or(env("DEMO_NAME"), host), "`name` that GET / answers with")
	flags.StringVar(&o.listen, "listen", env("DEMO_LISTEN"), "`address` to listen on; empty means all")
	flags.StringVar(&ports, "ports", cmp.Or(env("DEMO_PORTS"), "80"), "comma-separated `ports` to listen on")
	flags.BoolVar(&o.unhealthy, "unhealthy", env("DEMO_UNHEALTHY") != "", "start with a failing /health")
	flags.BoolVar(&o.healthcheck, "healthcheck", false, "ask the server for its health and exit with 0 or 1")
	flags.StringVar(&o.lookup, "lookup", "", "print the first answer for the address of a `name`, and exit")
	flags.StringVar(&o.server, "server", "", "`host:port` of the name server for -lookup")
	flags.DurationVar(&o.grace, "grace", 0, "how long to go on serving after SIGTERM")
	if grace := env("DEMO_GRACE"); grace != "" {
		if err := flags.Set("grace", grace); err != nil {
			return o, fmt.Errorf("DEMO_GRACE: %w", err)
		}
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.ports = strings.Split(ports, ",")
	return o, nil
}

// lookup asks once, as a program does that resolves a name when it starts.
func lookup(ctx context.Context, o options) error {
	reply, took, err := new(dns.Client).ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(o.lookup), dns.TypeA), o.server)
	if err != nil {
		return err
	}
	answer := dns.RcodeToString[reply.Rcode]
	for _, rr := range reply.Answer {
		answer += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	fmt.Printf("answer: %s after %v\n", answer, took)
	return nil
}

// serve answers on every port until ctx ends, and then for the grace period.
func serve(ctx context.Context, o options) error {
	state := new(state)
	state.healthy.Store(!o.unhealthy)
	server := &http.Server{Handler: handler(o.name, state), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, len(o.ports))
	for _, port := range o.ports {
		listener, err := net.Listen("tcp", net.JoinHostPort(o.listen, port))
		if err != nil {
			return err
		}
		fmt.Printf("%s listens on %s\n", o.name, listener.Addr())
		go func() { failed <- server.Serve(listener) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Printf("%s stops in %v\n", o.name, o.grace)
	linger(o.grace)
	fmt.Printf("%s has served %d\n", o.name, state.served.Load())
	return server.Close()
}

// linger waits for the grace period, in which a service finishes its requests.
func linger(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	<-timer.C
}

// state is what a server keeps from one request to the next.
type state struct {
	healthy atomic.Bool
	served  atomic.Int64
}

// handler returns the pages of the server.
func handler(name string, state *state) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		host, _ := os.Hostname()
		address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		state.served.Add(1)
		fmt.Fprintf(w, "%s on %s at %s\n", name, host, address)
	})
	mux.HandleFunc("GET /served", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, state.served.Load()) })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if !state.healthy.Load() {
			http.Error(w, "not ok", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("PUT /health", func(w http.ResponseWriter, r *http.Request) {
		ok, err := strconv.ParseBool(r.FormValue("ok"))
		if err != nil {
			http.Error(w, "ok must be true or false", http.StatusBadRequest)
			return
		}
		state.healthy.Store(ok)
	})
	return mux
}

// probe is Docker's HEALTHCHECK in an image without curl.
func probe(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(cmp.Or(o.listen, "127.0.0.1"), o.ports[0]) + "/health"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	if response.StatusCode != http.StatusOK {
		return errors.New("not healthy")
	}
	return nil
}
