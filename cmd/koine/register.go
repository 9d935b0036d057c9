package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// registerFlags describe an instance.
type registerFlags struct {
	id, node, address   string
	ports               []uint
	tags, meta          []string
	weight              int
	ttl                 time.Duration
	permanent           bool
	checkHTTP, checkTCP string
	checkInterval       time.Duration
}

func (f *registerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.id, "id", "", "id of the instance on its node (default the service's name)")
	flags.StringVar(&f.node, "node", "", "node that it runs on (default the server's own)")
	flags.StringVar(&f.address, "address", "", "IP address or host name (default the node's)")
	flags.UintSliceVar(&f.ports, "port", nil, "port; may be repeated, the first is the main one")
	flags.StringSliceVar(&f.tags, "tag", nil, "tag; may be repeated")
	flags.StringSliceVar(&f.meta, "meta", nil, "meta, key=value; may be repeated")
	flags.IntVar(&f.weight, "weight", 0, "share of traffic relative to the other instances (default 1)")
	flags.DurationVar(&f.ttl, "ttl", 0, "remove the instance if it is not registered again for so long")
	flags.BoolVar(&f.permanent, "permanent", false, "keep the instance until it is deregistered")
	flags.StringVar(&f.checkHTTP, "check-http", "", "URL that must answer")
	flags.StringVar(&f.checkTCP, "check-tcp", "", "host:port that must accept connections")
	flags.DurationVar(&f.checkInterval, "check-interval", 0, "time between two checks (default 10s)")
}

// registration returns what the flags describe.
func (f *registerFlags) registration(service string) (catalog.Registration, error) {
	r := catalog.Registration{Instance: catalog.Instance{
		ID: f.id, Node: f.node, Service: service, Tags: f.tags, Weight: f.weight, Source: "http",
		Owner: catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(f.ttl)},
	}}
	i := &r.Instance
	if i.ID == "" {
		i.ID = service
	}
	if f.permanent {
		i.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	}
	for _, port := range f.ports {
		if port > 65535 {
			return r, fmt.Errorf("--port %d is above 65535", port)
		}
		i.Ports = append(i.Ports, catalog.Port{Number: uint16(port)})
	}
	if ip, err := netip.ParseAddr(f.address); err == nil {
		i.Addresses = []catalog.Address{{IP: ip}}
	} else if f.address != "" {
		i.Addresses = []catalog.Address{{Host: f.address}}
	}
	var err error
	if i.Meta, err = pairs("--meta", f.meta); err != nil {
		return r, err
	}
	f.addCheck(&r, "http", catalog.Definition{Type: catalog.CheckHTTP, HTTP: f.checkHTTP}, f.checkHTTP != "")
	f.addCheck(&r, "tcp", catalog.Definition{Type: catalog.CheckTCP, TCP: f.checkTCP}, f.checkTCP != "")
	return r, nil
}

func (f *registerFlags) addCheck(r *catalog.Registration, name string, d catalog.Definition, wanted bool) {
	if !wanted {
		return
	}
	d.Interval = catalog.Duration(f.checkInterval)
	r.Checks = append(r.Checks, catalog.Check{ID: r.Instance.ID + ":" + name, Name: name, Definition: d})
}

// commandTTL is how long an instance outlives a command whose keeper was killed.
const commandTTL = 10 * time.Second

func registerCommand() *cobra.Command {
	var flags registerFlags
	cmd := &cobra.Command{
		Use:   "register SERVICE [-- COMMAND [ARG...]]",
		Short: "register an instance of a service, for as long as a command runs if one is given",
		Example: "  koine register db --port 5432 --address 10.0.0.5 --permanent --check-tcp 10.0.0.5:5432\n" +
			"  koine register web --port 8080 -- ./server --listen :8080",
		Args: cobra.MinimumNArgs(1),
	}
	flags.add(cmd)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
			return fmt.Errorf("unexpected argument %q: put the command after --", args[1])
		}
		if len(args) > 1 && flags.ttl == 0 {
			flags.ttl = commandTTL
		}
		if flags.permanent == (flags.ttl != 0) {
			return errors.New("say how long the instance is to stay: --ttl 30s, --permanent, or a command after --")
		}
		r, err := flags.registration(args[0])
		if err != nil {
			return err
		}
		if len(args) > 1 {
			return registerWhile(cmd, c, r, args[1:])
		}
		revision, err := c.Register(cmd.Context(), r)
		return printWritten(cmd, revision, err)
	})
}

// printWritten prints at which revision a write is visible.
func printWritten(cmd *cobra.Command, revision uint64, err error) error {
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, client.Written{Revision: revision})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "revision %d\n", revision)
	return err
}

// registerWhile keeps an instance registered while a command runs. It takes the instance out of the answers before the
// command is told to stop, and ends with the command's exit code.
func registerWhile(cmd *cobra.Command, c *client.Client, r catalog.Registration, command []string) error {
	signals, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := exec.Command(command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := run.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	keep, stopKeeping := context.WithCancel(context.WithoutCancel(cmd.Context()))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		keepRegistered(keep, cmd, c, r)
	}()
	var err error
	select {
	case err = <-ended:
		stopKeeping()
		<-kept
	case <-signals.Done():
		stopKeeping()
		<-kept
		err = errors.Join(run.Process.Signal(syscall.SIGTERM), <-ended)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitError(max(exit.ExitCode(), 1))
	}
	return err
}

// keepRegistered registers an instance, again and again before its TTL ends, and deregisters it when the context ends.
func keepRegistered(ctx context.Context, cmd *cobra.Command, c *client.Client, r catalog.Registration) {
	ticker := time.NewTicker(time.Duration(r.Instance.Owner.TTL) / 3)
	defer ticker.Stop()
	for {
		call, cancel := context.WithTimeout(ctx, time.Duration(r.Instance.Owner.TTL)/3)
		_, err := c.Register(call, r)
		cancel()
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "koine: register %s: %v\n", r.Instance.ID, err)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if _, err := c.Deregister(last, r.Instance.Node, r.Instance.ID); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "koine: deregister %s: %v\n", r.Instance.ID, err)
			}
			return
		case <-ticker.C:
		}
	}
}

func deregisterCommand() *cobra.Command {
	var node string
	cmd := &cobra.Command{Use: "deregister ID", Short: "remove an instance", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&node, "node", "", "node that it runs on (default the server's own)")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		revision, err := c.Deregister(cmd.Context(), node, args[0])
		return printWritten(cmd, revision, err)
	})
}
