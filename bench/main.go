// Command bench measures Koine against its peers on this machine, and prints one table.
//
//	go run ./bench [-run REGEXP] [-rounds N] [-time D] [-million] [-profile DIR] [-before BINARY]
//
// It starts bin/koine and each peer as a process of its own, on loopback, and measures them in alternation, so that
// other load on the machine affects all of them. A figure is the median of the rounds, a ratio the median of the
// rounds' ratios.
//
// The peers: a UDP responder and an HTTP server that write a constant answer, captured from Koine before (both in this
// package); etcd, the version that Koine embeds, alone in a process; CoreDNS with its etcd and cache plugins, built
// from Go modules into bin/peers when first needed. The load comes from dnsperf and wrk.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// config is the values of the flags.
type config struct {
	koine   string
	before  string
	peers   string
	rounds  int
	time    time.Duration
	million bool
	profile string
	only    *regexp.Regexp
	scratch string
}

// seconds is how long one measurement lasts, in dnsperf's form.
func (c *config) seconds() string { return fmt.Sprint(int(max(c.time, time.Second).Seconds())) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch measures, or is one of the peers that the measuring process starts from its own binary.
func dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 {
		if serve, ok := map[string]func(context.Context, []string) error{
			"peer-dns": serveConstantDNS, "peer-http": serveConstantHTTP, "peer-etcd": serveEtcd,
		}[args[0]]; ok {
			return serve(ctx, args[1:])
		}
	}
	cfg, err := parseFlags(args)
	if err != nil {
		return err
	}
	defer os.RemoveAll(cfg.scratch)
	if cfg.before != "" {
		return compare(ctx, cfg)
	}
	t := &table{}
	defer t.print(os.Stdout) // what one suite has found, even if a later one fails
	return t.measure(ctx, cfg)
}

func parseFlags(args []string) (*config, error) {
	cfg := &config{}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.StringVar(&cfg.koine, "koine", "bin/koine", "the binary to measure")
	flags.StringVar(&cfg.before, "before", "", "an older binary to compare with: both are measured in alternation")
	flags.StringVar(&cfg.peers, "peers", "bin/peers", "directory where peers are built and kept; empty leaves CoreDNS out")
	flags.IntVar(&cfg.rounds, "rounds", 3, "rounds in which each candidate is measured once")
	flags.DurationVar(&cfg.time, "time", 4*time.Second, "length of one measurement, in whole seconds")
	flags.BoolVar(&cfg.million, "million", false, "measure 1,000,000 instances too: takes minutes and gigabytes")
	flags.StringVar(&cfg.profile, "profile", "", "directory for perf records of each Koine process under load")
	only := flags.String("run", ".", "measure what this regular expression matches: "+names())
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	if cfg.only, err = regexp.Compile(*only); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	if cfg.rounds < 1 {
		return nil, fmt.Errorf("-rounds %d: at least one is needed", cfg.rounds)
	}
	cfg.scratch, err = os.MkdirTemp("", "koine-bench-")
	return cfg, err
}

// suites are all measurements, in the order of the table.
var suites = []struct {
	name string
	run  func(context.Context, *config, *table) error
}{
	{"dns", measureDNS},
	{"http", measureHTTP},
	{"register", measureRegistrations},
	{"sync", measureSync},
	{"watch", measureWatchers},
	{"size", measureSize},
	{"checks", measureChecks},
	{"hung", measureHung},
}

func names() string { return "dns, http, register, sync, watch, size, checks, hung" }

// measure runs the selected suites.
func (t *table) measure(ctx context.Context, cfg *config) error {
	for _, suite := range suites {
		if !cfg.only.MatchString(suite.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s (load %s)\n", suite.name, loadAverage())
		if err := suite.run(ctx, cfg, t); err != nil {
			return fmt.Errorf("%s: %w", suite.name, err)
		}
	}
	return nil
}
