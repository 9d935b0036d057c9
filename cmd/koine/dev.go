package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/daemon"
)

// stopWithin bounds the time from the signal to the end of the process.
const stopWithin = 5 * time.Second

// runFlags are the flags that every running process has.
type runFlags struct {
	cfg                 daemon.Config
	bind, advertise     string
	upstream            []string
	logLevel, logFormat string
}

func (f *runFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.cfg.Node, "node", "", "name of this host (default its host name)")
	flags.StringVar(&f.cfg.Datacenter, "dc", "dc1", "name of the datacenter in DNS")
	flags.StringSliceVar(&f.cfg.Domains, "domain", []string{"koine", "consul"}, "domains of Koine's names in DNS; the first one is shown")
	flags.StringVar(&f.cfg.Locality.Zone, "zone", "", "zone that this host is in; those who ask from it can be given what is near")
	flags.StringVar(&f.cfg.Locality.Region, "region", "", "region that the zone is in")
	flags.StringVar(&f.cfg.DataDir, "data-dir", "", "directory for the store (default a temporary one that goes with the process)")
	flags.StringVar(&f.cfg.ConfigDir, "config-dir", "", "directory of service definition files, JSON or YAML")
	flags.StringVar(&f.bind, "bind", "127.0.0.1", "IP address for the doors whose own flag names none")
	flags.StringVar(&f.advertise, "advertise", "127.0.0.1", "IP address at which others reach this host")
	flags.StringVar(&f.cfg.DNS, "dns", "", "DNS addresses, UDP and TCP, bridge, bridge:NETWORK, or off (default 127.0.0.1:8600)")
	flags.StringVar(&f.cfg.Docker, "docker", daemon.Auto, "Docker engine: auto, off, or an address such as unix:///var/run/docker.sock")
	flags.StringSliceVar(&f.upstream, "upstream", nil, "resolvers for all other names, host:port, ZONE=host:port, or off (default this host's own)")
	flags.StringSliceVar(&f.cfg.DNSAllow, "dns-allow", nil, "clients to resolve other names for, besides loopback, this host's subnets and Docker's networks: CIDR ranges, addresses, or any")
	flags.IntVar(&f.cfg.DNSUDPSize, "dns-udp-size", 1232, "most bytes of a DNS answer by UDP, 512 to 4096")
	flags.DurationVar(&f.cfg.DNSTTL, "dns-ttl", 5*time.Second, "how long resolvers may keep an answer, 1s to 24h")
	flags.StringVar(&f.cfg.Engine, "engine", "", "store: embedded, or etcd://host:port,… (default embedded)")
	flags.BoolVar(&f.cfg.Profile, "pprof", false, "serve profiles of the process under /debug/pprof/ of the HTTP door")
	flags.BoolVar(&f.cfg.EnableScriptChecks, "enable-script-checks", false, "let checks run commands on this host")
	flags.DurationVar(&f.cfg.SessionTTL, "session-ttl", 10*time.Second, "how long this host counts as alive after its last sign")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
}

// config returns the daemon's configuration.
func (f *runFlags) config(cmd *cobra.Command) (daemon.Config, error) {
	cfg := f.cfg
	logger, err := newLogger(cmd.ErrOrStderr(), f.logLevel, f.logFormat)
	if err != nil {
		return cfg, err
	}
	cfg.Logger = logger
	if cfg.Advertise, err = netip.ParseAddr(f.advertise); err != nil {
		return cfg, fmt.Errorf("--advertise %q is not an IP address", f.advertise)
	}
	if _, err := netip.ParseAddr(f.bind); err != nil {
		return cfg, fmt.Errorf("--bind %q is not an IP address", f.bind)
	}
	if cfg.HTTP, err = door(cmd, "http", f.bind, "8500"); err != nil {
		return cfg, err
	}
	if cfg.DNS, err = dnsDoors(f.cfg.DNS, f.bind); err != nil {
		return cfg, err
	}
	if err := f.checkDNS(); err != nil {
		return cfg, err
	}
	if err := checkConfigDir(cfg.ConfigDir); err != nil {
		return cfg, err
	}
	cfg.Upstreams = f.upstream
	cfg.Version = version
	return cfg, nil
}

// checkDNS refuses the zeros that stand for the defaults elsewhere; the name server refuses the rest.
func (f *runFlags) checkDNS() error {
	switch {
	case f.cfg.DNSTTL == 0:
		return errors.New("--dns-ttl 0s: resolvers must keep an answer for a second at least")
	case f.cfg.DNSUDPSize == 0:
		return errors.New("--dns-udp-size 0: choose a size from 512 to 4096")
	}
	return nil
}

// checkConfigDir refuses a mistyped directory at once. One that goes later on keeps what it held in force.
func checkConfigDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("config directory %s does not exist: create it, or name another one with --config-dir", dir)
	case err != nil:
		return fmt.Errorf("config directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("config directory %s is a file: name its directory with --config-dir", dir)
	}
	return nil
}

// door returns a door's address: what its flag says, completed by --bind and the usual port.
func door(cmd *cobra.Command, flag, bind, port string) (string, error) {
	value, err := cmd.Flags().GetString(flag)
	if err != nil || value == daemon.Off {
		return value, err
	}
	return completeAddress(flag, value, bind, port)
}

func completeAddress(flag, value, bind, port string) (string, error) {
	if value == "" {
		return net.JoinHostPort(bind, port), nil
	}
	host, given, err := net.SplitHostPort(value)
	if err != nil {
		return "", fmt.Errorf("--%s %q is not host:port", flag, value)
	}
	if host == "" {
		host = bind
	}
	return net.JoinHostPort(host, given), nil
}

// dnsDoors returns the addresses of --dns, each completed. Where it names bridges only, the usual one stands first.
func dnsDoors(value, bind string) (string, error) {
	if value == daemon.Off {
		return value, nil
	}
	var places []string
	plain := false
	for place := range strings.SplitSeq(value, ",") {
		place = strings.TrimSpace(place)
		if place == daemon.Bridge+":" {
			return "", fmt.Errorf("--dns %q names no network", place)
		}
		if place == daemon.Bridge || strings.HasPrefix(place, daemon.Bridge+":") {
			places = append(places, place)
			continue
		}
		address, err := completeAddress("dns", place, bind, "8600")
		if err != nil {
			return "", err
		}
		plain = true
		places = append(places, address)
	}
	if !plain {
		places = append([]string{net.JoinHostPort(bind, "8600")}, places...)
	}
	return strings.Join(places, ","), nil
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("--log-format %q is not text or json", format)
	}
}

func devCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "run everything in one process on loopback, with nothing to configure",
		Long: "Run everything in one process on loopback, with nothing to configure: the store, the HTTP and DNS doors, the checks,\n" +
			"and the sources (the containers of this host's Docker engine, and definition files). Ctrl-C or SIGTERM ends it,\n" +
			"SIGHUP has the definition files read again.\n\n" +
			"Every flag has an environment variable and a key in the file that --config names: --data-dir is KOINE_DATA_DIR and\n" +
			"data_dir. A flag wins over the environment, and that over the file.",
		Example: "  koine dev\n" +
			"  koine dev --config-dir ./services --data-dir ./data\n" +
			"  koine dev --http 127.0.0.1:8501 --dns off --docker off",
		Args: noArgs, SuggestFor: []string{"run", "start", "serve", "server", "agent"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.config(cmd)
			if err != nil {
				return err
			}
			welcome := cmd.OutOrStdout()
			if flags.logFormat == "json" { // nobody reads along
				welcome = io.Discard
			}
			return serve(cmd.Context(), cfg, welcome)
		},
	}
	flags.add(cmd)
	return cmd
}

// gcPercent is how far the heap of a server grows past what is in use before it is collected, unless GOGC says. The
// runtime's default, 100, takes a sixth less memory and makes writes cost 5 % more processor time.
const gcPercent = 150

// serve runs a daemon until a signal ends it; a second signal ends the process at once. SIGHUP reads the definition files
// again.
func serve(ctx context.Context, cfg daemon.Config, welcome io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	d, err := daemon.New(cfg)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	ready := whenReady(ctx, d)
	for {
		select {
		case <-ready:
			fmt.Fprint(welcome, banner(d, cfg))
			ready = nil
		case <-hangups:
			d.Reload()
		case err := <-ended:
			return err
		case <-ctx.Done():
			stop()
			return awaitEnd(ended)
		}
	}
}

// whenReady returns a channel that is closed once the answers are true. It stays open if that never comes.
func whenReady(ctx context.Context, d *daemon.Daemon) <-chan struct{} {
	ready := make(chan struct{})
	go func() {
		if d.View().WaitReady(ctx) == nil {
			close(ready)
		}
	}()
	return ready
}

// awaitEnd waits for a daemon that was told to stop, but not longer than stopWithin.
func awaitEnd(ended <-chan error) error {
	timer := time.NewTimer(stopWithin - 500*time.Millisecond)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return fmt.Errorf("not everything ended within %v of the signal", stopWithin)
	}
}
