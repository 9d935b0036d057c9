package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
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
	flags.StringVar(&f.cfg.DataDir, "data-dir", "", "directory for the store (default a temporary one that goes with the process)")
	flags.StringVar(&f.cfg.ConfigDir, "config-dir", "", "directory of service definition files, JSON or YAML")
	flags.StringVar(&f.bind, "bind", "127.0.0.1", "IP address for the doors whose own flag names none")
	flags.StringVar(&f.advertise, "advertise", "127.0.0.1", "IP address at which others reach this host")
	flags.StringVar(&f.cfg.DNS, "dns", "", "DNS address, UDP and TCP, or off (default 127.0.0.1:8600)")
	flags.StringVar(&f.cfg.Docker, "docker", daemon.Auto, "Docker engine: auto, off, or an address such as unix:///var/run/docker.sock")
	flags.StringSliceVar(&f.upstream, "upstream", nil, "resolvers for all other names, host:port, or off (default this host's own)")
	flags.StringVar(&f.cfg.Engine, "engine", "", "store: embedded, or etcd://host:port,… (default embedded)")
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
	if cfg.DNS, err = door(cmd, "dns", f.bind, "8600"); err != nil {
		return cfg, err
	}
	cfg.Upstreams = f.upstream
	cfg.Version = version
	return cfg, nil
}

// door returns a door's address: what its flag says, completed by --bind and the usual port.
func door(cmd *cobra.Command, flag, bind, port string) (string, error) {
	value, err := cmd.Flags().GetString(flag)
	if err != nil {
		return "", err
	}
	if value == daemon.Off {
		return value, nil
	}
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
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.config(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg)
		},
	}
	flags.add(cmd)
	return cmd
}

// serve runs a daemon until a signal ends it. SIGHUP reads the definition files again.
func serve(ctx context.Context, cfg daemon.Config) error {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := daemon.New(cfg)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for {
		select {
		case <-hangups:
			d.Reload()
		case err := <-ended:
			return err
		case <-ctx.Done():
			return awaitEnd(ended)
		}
	}
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
