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

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/koine-sd/koine/daemon"
)

// stopWithin bounds the time from the signal to the end of the process.
const stopWithin = 5 * time.Second

// stopMargin is the time that is left of it after the parts have stopped.
const stopMargin = 500 * time.Millisecond

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
	flags.StringVar(&f.cfg.Locality.Zone, "zone", "", "zone of this host, for answers from nearby")
	flags.StringVar(&f.cfg.Locality.Region, "region", "", "region that the zone is in")
	flags.StringVar(&f.cfg.DataDir, "data-dir", "", "directory for the store (default a temporary one, removed with the process)")
	flags.StringVar(&f.cfg.ConfigDir, "config-dir", "", "directory of service definition files: JSON, YAML or HCL")
	flags.StringVar(&f.bind, "bind", "127.0.0.1", "IP address to listen on where --http and --dns name none")
	flags.StringVar(&f.advertise, "advertise", "127.0.0.1", "IP address at which others reach this host")
	flags.StringSliceVar(&f.cfg.HTTPHosts, "http-host", nil, "names by which clients may reach this server over HTTP, besides this host's own: koine.corp.example, *.corp.example")
	flags.StringSliceVar(&f.cfg.CORSOrigins, "cors-origin", nil, "origins whose web pages may use the HTTP API: https://ui.corp.example")
	flags.StringVar(&f.cfg.DNS, "dns", "", "DNS addresses, UDP and TCP, bridge, bridge:NETWORK, or off (default 127.0.0.1:8600)")
	flags.StringVar(&f.cfg.Docker, "docker", daemon.Auto, "Docker engine: auto, off, or an address such as unix:///var/run/docker.sock")
	addContainers(flags, &f.cfg, "")
	flags.StringSliceVar(&f.upstream, "upstream", nil, "resolvers for all other names, host:port, ZONE=host:port, or off (default this host's own)")
	flags.BoolVar(&f.cfg.ForwardInternal, "forward-internal", false, "resolve other names for containers whose networks are all internal, too")
	flags.StringSliceVar(&f.cfg.DNSAllow, "dns-allow", nil, "clients to resolve other names for, besides loopback, this host's subnets and Docker's networks: CIDR ranges, addresses, or any")
	flags.IntVar(&f.cfg.DNSUDPSize, "dns-udp-size", 1232, "most bytes of a DNS answer by UDP to another host, 512 to 4096")
	flags.DurationVar(&f.cfg.DNSTTL, "dns-ttl", 5*time.Second, "how long resolvers may keep an answer, 1s to 24h")
	flags.StringVar(&f.cfg.Engine, "engine", "", "store: embedded, or etcd://host:port,… (default embedded)")
	flags.BoolVar(&f.cfg.Profile, "pprof", false, "serve profiles of the process under /debug/pprof/ over HTTP")
	flags.BoolVar(&f.cfg.EnableScriptChecks, "enable-script-checks", false, "let checks run commands on this host")
	flags.DurationVar(&f.cfg.SessionTTL, "session-ttl", 10*time.Second, "how long this host counts as alive without a sign of life")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
}

// addContainers adds the flags for the registration of containers. when is put before their help.
func addContainers(flags *pflag.FlagSet, cfg *daemon.Config, when string) {
	flags.StringVar(&cfg.DockerExpose, "docker-expose", daemon.ExposeAll,
		when+"containers to register: all, or labelled for those with a label koine.*")
	flags.StringVar(&cfg.ComposeNames, "compose-names", daemon.NamesService,
		when+"names of Compose's services: service, or project for SERVICE-PROJECT")
	flags.BoolVar(&cfg.Registrator, "registrator", false,
		when+"register containers as Registrator does: a service for each published port")
}

// completeContainers completes the values of those flags.
func completeContainers(cmd *cobra.Command) {
	completeFlag(cmd, "docker-expose", words(daemon.ExposeAll, daemon.ExposeLabelled))
	completeFlag(cmd, "compose-names", words(daemon.NamesService, daemon.NamesProject))
}

// config returns the daemon's configuration.
func (f *runFlags) config(cmd *cobra.Command) (daemon.Config, error) {
	cfg := f.cfg
	logger, err := newLogger(cmd.ErrOrStderr(), f.logLevel, f.logFormat)
	if err != nil {
		return cfg, err
	}
	cfg.Logger = logger
	for _, warning := range misspelt(cmd, os.Environ()) {
		logger.Warn(warning)
	}
	if cfg.Advertise, err = netip.ParseAddr(f.advertise); err != nil {
		return cfg, mistake("--advertise %q is not an IP address", f.advertise)
	}
	if _, err := netip.ParseAddr(f.bind); err != nil {
		return cfg, mistake("--bind %q is not an IP address", f.bind)
	}
	if cfg.HTTP, err = listenAddress(cmd, "http", f.bind, defaultPort); err != nil {
		return cfg, err
	}
	if cfg.DNS, err = dnsAddresses(f.cfg.DNS, f.bind); err != nil {
		return cfg, err
	}
	if err := f.checkDNS(); err != nil {
		return cfg, err
	}
	if err := errors.Join(oneZone("zone", cfg.Locality.Zone), oneZone("region", cfg.Locality.Region)); err != nil {
		return cfg, err
	}
	if err := checkConfigDir(cfg.ConfigDir); err != nil {
		return cfg, err
	}
	cfg.Upstreams = f.upstream
	cfg.Version = version
	cfg.StopWithin = stopWithin - stopMargin
	return cfg, nil
}

// checkDNS refuses zeros, which mean the default in daemon.Config; the name server refuses other wrong values.
func (f *runFlags) checkDNS() error {
	switch {
	case f.cfg.DNSTTL == 0:
		return mistake("--dns-ttl 0s: resolvers must keep an answer for a second at least")
	case f.cfg.DNSUDPSize == 0:
		return mistake("--dns-udp-size 0: choose a size from 512 to 4096")
	}
	return nil
}

// checkConfigDir refuses a mistyped directory at once. If the directory goes later, its definitions stay in force.
func checkConfigDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mistake("config directory %s does not exist", dir).WithHint("create it, or name another one with --config-dir")
	case err != nil:
		return fmt.Errorf("config directory: %w", err)
	case !info.IsDir():
		return mistake("config directory %s is a file", dir).WithHint("name its directory with --config-dir")
	}
	return nil
}

// listenAddress returns the address of a flag to listen on, completed by --bind and the usual port.
func listenAddress(cmd *cobra.Command, flag, bind, port string) (string, error) {
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
		err := mistake("--%s %q is not host:port", flag, value)
		if ip, notIP := netip.ParseAddr(value); notIP == nil {
			err = err.WithHint("write it as %s", net.JoinHostPort(ip.String(), port))
		}
		return "", err
	}
	if host == "" {
		host = bind
	}
	return net.JoinHostPort(host, given), nil
}

// dnsAddresses returns the addresses of --dns, each completed. If it names only bridges, the usual address comes first.
func dnsAddresses(value, bind string) (string, error) {
	if value == daemon.Off {
		return value, nil
	}
	var addresses []string
	plain := false
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == daemon.Bridge+":" {
			return "", mistake("--dns %q names no network", part)
		}
		if part == daemon.Bridge || strings.HasPrefix(part, daemon.Bridge+":") {
			addresses = append(addresses, part)
			continue
		}
		address, err := completeAddress("dns", part, bind, "8600")
		if err != nil {
			return "", err
		}
		plain = true
		addresses = append(addresses, address)
	}
	if !plain {
		addresses = append([]string{net.JoinHostPort(bind, "8600")}, addresses...)
	}
	return strings.Join(addresses, ","), nil
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, mistake("--log-level %q is not debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	default:
		return nil, mistake("--log-format %q is not text or json", format)
	}
}

func devCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use: "dev", GroupID: groupRun,
		Short: "run everything in one process on loopback, with nothing to configure",
		Long: "Run everything in one process on loopback, with nothing to configure: the store, HTTP and DNS, the checks, and the\n" +
			"sources (the containers of this host's Docker engine, and definition files). Ctrl-C or SIGTERM ends it, a second\n" +
			"one after a second ends it at once; SIGHUP makes it read the definition files and the host's\n" +
			"resolvers again.\n\n" +
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
			if flags.logFormat == "json" { // no person is reading
				welcome = io.Discard
			}
			return serve(cmd.Context(), cfg, welcome)
		},
	}
	flags.add(cmd)
	markSettings(cmd.Flags())
	completeSettings(cmd)
	return cmd
}

// completeSettings completes the settings that take words or directories.
func completeSettings(cmd *cobra.Command) {
	for name, list := range map[string][]string{
		"docker": {daemon.Auto, daemon.Off, "unix:///var/run/docker.sock"}, "dns": {daemon.Off, daemon.Bridge}, "upstream": {daemon.Off},
		"engine": {"embedded"}, "log-level": {"debug", "info", "warn", "error"}, "log-format": {"text", "json"},
	} {
		completeFlag(cmd, name, words(list...))
	}
	completeContainers(cmd)
	must(cmd.MarkFlagDirname("data-dir"))
	must(cmd.MarkFlagDirname("config-dir"))
}

// gcPercent is how far a server's heap grows beyond the memory in use before it is collected, unless GOGC is set. The
// runtime's default, 100, takes a sixth less memory and makes writes cost 5 % more processor time.
const gcPercent = 150

// serve runs a daemon until a signal ends it; a second one after a second ends the process at once. SIGHUP reads the
// definition files and the host's resolvers again.
func serve(ctx context.Context, cfg daemon.Config, welcome io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := listenFor(syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(ends)
	hangups := listenFor(syscall.SIGHUP)
	defer signal.Stop(hangups)
	broken := listenFor(syscall.SIGPIPE) // the reader of the output has gone, which is no reason to end
	defer signal.Stop(broken)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	trustBuiltInRoots()
	d, err := daemon.New(cfg) //nolint:contextcheck // only files are read
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	ready := whenReady(ctx, d)
	for {
		select {
		case <-ready:
			fmt.Fprint(welcome, banner(ctx, d, cfg))
			tellSystemd(cfg.Logger, systemd.SdNotifyReady)
			ready = nil
		case <-hangups:
			d.Reload()
		case err := <-ended:
			return err
		case <-ctx.Done():
			tellSystemd(cfg.Logger, systemd.SdNotifyStopping)
			return awaitEnd(ended, ends, cfg.Logger)
		case <-ends:
			stop()
			tellSystemd(cfg.Logger, systemd.SdNotifyStopping)
			return awaitEnd(ended, ends, cfg.Logger)
		}
	}
}

// listenFor returns a channel of signals. If they are not received, further ones are dropped.
func listenFor(signals ...os.Signal) chan os.Signal {
	c := make(chan os.Signal, 4)
	signal.Notify(c, signals...)
	return c
}

// whenReady returns a channel that is closed once the View is ready. If that never happens it stays open.
func whenReady(ctx context.Context, d *daemon.Daemon) <-chan struct{} {
	ready := make(chan struct{})
	go func() {
		if d.View().WaitReady(ctx) == nil {
			close(ready)
		}
	}()
	return ready
}

// awaitEnd waits until a daemon has stopped, at most until stopWithin is over or another signal comes. A signal within a
// second of the first one counts as the first one again, because timeout(1) sends it twice.
func awaitEnd(ended <-chan error, signals <-chan os.Signal, log *slog.Logger) error {
	first := time.Now()
	timer := time.NewTimer(stopWithin - stopMargin/2)
	defer timer.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case sig := <-signals:
			if time.Since(first) < doubledWithin {
				continue
			}
			log.Error("a second signal: ending at once, without stopping in order", "signal", sig)
			return exitCode(exitSignalled + int(sig.(syscall.Signal)))
		case <-timer.C:
			return fmt.Errorf("still not stopped %v after the signal: ending all the same", stopWithin)
		}
	}
}
