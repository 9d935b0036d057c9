package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
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
	at                  catalog.Locality
	ttl                 time.Duration
	permanent           bool
	checkHTTP, checkTCP string
	checkUDP, checkGRPC string
	checkH2Ping         string
	checkAlias          string
	checkGRPCTLS        bool
	checkH2Plain        bool
	checkInterval       time.Duration
}

func (f *registerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.id, "id", "", "id of the instance on its node (default the service's name)")
	flags.StringVar(&f.node, "node", "", "node that it runs on (default the server's own)")
	flags.StringVar(&f.address, "address", "", "IP address or host name (default the node's)")
	flags.UintSliceVar(&f.ports, "port", nil, "port; may be repeated, the first is the main one")
	flags.Lookup("port").DefValue = ""
	flags.StringSliceVar(&f.tags, "tag", nil, "tag; may be repeated")
	flags.StringSliceVar(&f.meta, "meta", nil, "meta, key=value; may be repeated")
	flags.IntVar(&f.weight, "weight", 0, "share of traffic relative to the other instances (default 1)")
	flags.StringVar(&f.at.Zone, "zone", "", "zone that it runs in (default the node's)")
	flags.StringVar(&f.at.Region, "region", "", "region that it runs in (default the node's)")
	flags.DurationVar(&f.ttl, "ttl", 0, "remove the instance if it is not registered again for so long")
	flags.BoolVar(&f.permanent, "permanent", false, "keep the instance until it is deregistered")
	flags.StringVar(&f.checkHTTP, "check-http", "", "URL that must answer")
	flags.StringVar(&f.checkTCP, "check-tcp", "", "host:port that must accept connections")
	flags.StringVar(&f.checkUDP, "check-udp", "", "host:port that must not refuse datagrams")
	flags.StringVar(&f.checkGRPC, "check-grpc", "", "host:port, or host:port/name, whose gRPC health service must say that it serves")
	flags.BoolVar(&f.checkGRPCTLS, "check-grpc-tls", false, "dial --check-grpc with TLS")
	flags.StringVar(&f.checkH2Ping, "check-h2ping", "", "host:port that must answer a PING of HTTP/2, by TLS")
	flags.BoolVar(&f.checkH2Plain, "check-h2ping-plain", false, "dial --check-h2ping without TLS")
	flags.StringVar(&f.checkAlias, "check-alias", "", "service, or id of an instance, whose status to take")
	flags.DurationVar(&f.checkInterval, "check-interval", 0, "time between two checks (default 10s)")
}

// registration returns what the flags describe.
func (f *registerFlags) registration(service string) (catalog.Registration, error) {
	r := catalog.Registration{Instance: catalog.Instance{
		ID: f.id, Node: f.node, Service: service, Tags: f.tags, Weight: f.weight, Locality: f.at, Source: "http",
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
	if err := f.checkTargets(); err != nil {
		return r, err
	}
	f.addChecks(&r)
	return r, nil
}

// checkTargets refuses checks that could never pass.
func (f *registerFlags) checkTargets() error {
	if u, err := url.Parse(f.checkHTTP); f.checkHTTP != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--check-http %q is not a URL: write it as http://host:port/path", f.checkHTTP)
	}
	address, _, _ := strings.Cut(f.checkGRPC, "/")
	for _, target := range []struct{ flag, address string }{
		{"tcp", f.checkTCP}, {"udp", f.checkUDP}, {"grpc", address}, {"h2ping", f.checkH2Ping},
	} {
		if _, _, err := net.SplitHostPort(target.address); target.address != "" && err != nil {
			return fmt.Errorf("--check-%s %q is not host:port", target.flag, target.address)
		}
	}
	return nil
}

// addChecks adds the checks that the flags describe.
func (f *registerFlags) addChecks(r *catalog.Registration) {
	f.addCheck(r, "http", catalog.Definition{Type: catalog.CheckHTTP, HTTP: f.checkHTTP}, f.checkHTTP != "")
	f.addCheck(r, "tcp", catalog.Definition{Type: catalog.CheckTCP, TCP: f.checkTCP}, f.checkTCP != "")
	f.addCheck(r, "udp", catalog.Definition{Type: catalog.CheckUDP, UDP: f.checkUDP}, f.checkUDP != "")
	f.addCheck(r, "grpc", catalog.Definition{
		Type: catalog.CheckGRPC, GRPC: f.checkGRPC, GRPCUseTLS: f.checkGRPCTLS,
	}, f.checkGRPC != "")
	f.addCheck(r, "h2ping", catalog.Definition{
		Type: catalog.CheckH2Ping, H2Ping: f.checkH2Ping, H2PingPlain: f.checkH2Plain,
	}, f.checkH2Ping != "")
	f.addCheck(r, "alias", catalog.Definition{Type: catalog.CheckAlias, AliasService: f.checkAlias}, f.checkAlias != "")
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

// stay completes what the flags say about how long the instance stays.
func (f *registerFlags) stay(withCommand bool) error {
	switch {
	case f.permanent && f.ttl != 0:
		return errors.New("--permanent and --ttl exclude each other: a permanent instance stays until it is deregistered")
	case f.permanent && withCommand:
		return errors.New("--permanent and a command exclude each other: an instance with a command goes when that ends")
	case withCommand && f.ttl == 0:
		f.ttl = commandTTL
	case !f.permanent && f.ttl == 0:
		return errors.New("say how long the instance is to stay: --ttl 30s, --permanent, or a command after --")
	}
	return nil
}

func registerCommand() *cobra.Command {
	var flags registerFlags
	cmd := &cobra.Command{
		Use:   "register SERVICE [-- COMMAND [ARG...]]",
		Short: "register an instance of a service, for as long as a command runs if one is given",
		Long: "Register an instance of a service. It stays for --ttl unless it is registered again before, or until it is\n" +
			"deregistered (--permanent), or for as long as a command runs. With a command, SIGTERM and SIGINT first take the\n" +
			"instance out of the answers and then go to the command, and its exit code is koine's own.",
		Example: "  koine register web --port 8080 -- ./server --listen :8080\n" +
			"  koine register db --port 5432 --address 10.0.0.5 --permanent --check-tcp 10.0.0.5:5432\n" +
			"  koine register batch --ttl 1m    # again and again, within the minute",
		Args: thenCommand("service"), SuggestFor: []string{"add", "run"},
		ValidArgsFunction: completes(serviceNames),
	}
	flags.add(cmd)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if err := flags.stay(len(args) > 1); err != nil {
			return err
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

func deregisterCommand() *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use: "deregister ID", Short: "remove an instance",
		Long: "Remove an instance that was registered with --permanent or --ttl. One of a container or of a definition file\n" +
			"belongs to its node, which declares it again: stop the container, or remove the file.",
		Example: "  koine deregister db",
		Args:    oneArg("instance"), SuggestFor: []string{"unregister", "remove", "rm", "delete"},
		ValidArgsFunction: completes(instanceIDs),
	}
	cmd.Flags().StringVar(&node, "node", "", "node that it runs on (default the server's own)")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		revision, err := c.Deregister(cmd.Context(), node, args[0])
		return printWritten(cmd, revision, err)
	})
}
