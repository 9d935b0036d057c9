package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// registerFlags describe an instance.
type registerFlags struct {
	id, node, address   string
	ports               ports
	tags, meta          []string
	weight              int32
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
	flags.StringVar(&f.id, "id", "", "id of the instance on its node (default as described above)")
	flags.StringVar(&f.node, "node", "", "node that it runs on (default the server's own)")
	flags.StringVar(&f.address, "address", "", "IP address or host name (default the node's)")
	flags.Var(&f.ports, "port", "port; may be repeated, the first is the main one")
	flags.StringArrayVar(&f.tags, "tag", nil, "`tag`; may be repeated")
	flags.StringArrayVar(&f.meta, "meta", nil, "meta, `key=value`; may be repeated")
	flags.Int32Var(&f.weight, "weight", 0, "share of traffic relative to the other instances (default 1)")
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
	for name, names := range map[string]nameSource{
		"id": instanceIDs, "node": nodeNames, "tag": tagNames, "zone": zoneNames, "region": regionNames,
		"check-alias": anyOf(serviceNames, instanceIDs),
	} {
		completeFlag(cmd, name, names)
	}
}

// defaultID returns the id of an instance without --id. A registration without a command is repeated under the
// service's name, until it is deregistered under that. With a command each process is an instance of its own. With a
// port, the next process on that port takes over the id: a restarted process does not appear next to the remains of the
// killed one.
func (f *registerFlags) defaultID(service, host string, pid int, withCommand bool) string {
	switch {
	case !withCommand:
		return service
	case len(f.ports) == 0:
		return fmt.Sprintf("%s-%s-%d", service, host, pid)
	default:
		return fmt.Sprintf("%s-%s-%d", service, cmp.Or(f.address, host), f.ports[0])
	}
}

// thisHost returns the first label of this host's name, by which its node is named.
func thisHost() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	first, _, _ := strings.Cut(name, ".")
	return catalog.SanitizeName(first)
}

// registration returns the registration that the flags describe.
func (f *registerFlags) registration(service string, withCommand bool) (catalog.Registration, error) {
	r := catalog.Registration{Instance: catalog.Instance{
		ID: f.id, Node: f.node, Service: service, Tags: f.tags, Weight: f.weight, Locality: f.at, Source: "http",
		Owner: catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(f.ttl)},
	}}
	i := &r.Instance
	if i.ID == "" {
		i.ID = f.defaultID(service, thisHost(), os.Getpid(), withCommand)
	}
	if f.permanent {
		i.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	}
	for _, port := range f.ports {
		i.Ports = append(i.Ports, catalog.Port{Number: port})
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
	if err := errors.Join(oneZone("zone", f.at.Zone), oneZone("region", f.at.Region)); err != nil {
		return r, err
	}
	if err := f.checkTargets(); err != nil {
		return r, err
	}
	f.addChecks(&r)
	return r, nil
}

// checkFlags refuses flags that change a check which no other flag asks for.
func (f *registerFlags) checkFlags(cmd *cobra.Command) error {
	checked := cmp.Or(f.checkHTTP, f.checkTCP, f.checkUDP, f.checkGRPC, f.checkH2Ping, f.checkAlias) != ""
	interval := cmd.Flags().Changed("check-interval")
	switch {
	case interval && !checked:
		return mistake("--check-interval without a check").WithHint("add --check-http, --check-tcp or another check")
	case interval && f.checkInterval <= 0:
		return mistake("--check-interval %v is not above zero", f.checkInterval)
	case f.checkGRPCTLS && f.checkGRPC == "":
		return mistake("--check-grpc-tls without --check-grpc")
	case f.checkH2Plain && f.checkH2Ping == "":
		return mistake("--check-h2ping-plain without --check-h2ping")
	}
	return nil
}

// checkTargets refuses checks that could never pass.
func (f *registerFlags) checkTargets() error {
	if u, err := url.Parse(f.checkHTTP); f.checkHTTP != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return mistake("--check-http %q is not a URL", f.checkHTTP).WithHint("write it as http://host:port/path")
	}
	address, _, _ := strings.Cut(f.checkGRPC, "/")
	for _, target := range []struct{ flag, address string }{
		{"tcp", f.checkTCP}, {"udp", f.checkUDP}, {"grpc", address}, {"h2ping", f.checkH2Ping},
	} {
		if _, _, err := net.SplitHostPort(target.address); target.address != "" && err != nil {
			return mistake("--check-%s %q is not host:port", target.flag, target.address)
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

// stay applies the flags that define how long the instance stays.
func (f *registerFlags) stay(withCommand bool) error {
	switch {
	case f.permanent && f.ttl != 0:
		return mistake("--permanent and --ttl exclude each other").WithHint("a permanent instance stays until it is deregistered")
	case f.permanent && withCommand:
		return mistake("--permanent and a command exclude each other").WithHint("an instance with a command goes when that ends")
	case withCommand && f.ttl == 0:
		f.ttl = commandTTL
	case !f.permanent && f.ttl == 0:
		return mistake("say how long the instance is to stay").WithHint("--ttl 30s, --permanent, or a command after --")
	}
	return nil
}

func registerCommand() *cobra.Command {
	var flags registerFlags
	cmd := &cobra.Command{
		Use: "register SERVICE [-- COMMAND [ARG...]]", GroupID: groupChange,
		Short: "register an instance of a service, for as long as a command runs if one is given",
		Long: "Register an instance of a service. It stays for --ttl unless it is registered again before, or until it is\n" +
			"deregistered (--permanent), or for as long as a command runs. Its id is the service's name. With a command it is\n" +
			"SERVICE-HOST-PORT (SERVICE-ADDRESS-PORT with --address, SERVICE-HOST-PID without --port), so that two processes are\n" +
			"two instances, and one that is started again on its port takes the place of the one before.\n\n" +
			"The exit code is that of the command. SIGINT (Ctrl-C), SIGTERM, SIGQUIT, and on a terminal SIGHUP take the instance\n" +
			"out of the answers first, and are then passed on as they are; a second Ctrl-C kills the command. Ctrl-Z takes the\n" +
			"instance out while the command is stopped. A command that reads from the terminal gets all keys itself from then\n" +
			"on, Ctrl-C among them.",
		Example: "  koine register web --port 8080 -- ./server --listen :8080\n" +
			"  koine register db --port 5432 --address 10.0.0.5 --permanent --check-tcp 10.0.0.5:5432\n" +
			"  koine register batch --ttl 1m    # again and again, within the minute",
		Args: thenCommand("service"), SuggestFor: []string{"add", "run"},
		ValidArgsFunction: completeArgs(serviceNames),
	}
	flags.add(cmd)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		withCommand := len(args) > 1
		if err := flags.stay(withCommand); err != nil {
			return err
		}
		if err := flags.checkFlags(cmd); err != nil {
			return err
		}
		r, err := flags.registration(args[0], withCommand)
		if err != nil {
			return err
		}
		if withCommand {
			return registerWhile(cmd, c, r, args[1:])
		}
		revision, err := c.Register(cmd.Context(), r)
		return printWritten(cmd, revision, err)
	})
}

func deregisterCommand() *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use: "deregister INSTANCE", GroupID: groupChange,
		Short: "remove an instance",
		Long: "Remove an instance that was registered with --permanent or --ttl, by its id: koine instances lists the ids. One of\n" +
			"a container or of a definition file belongs to its node, which declares it again: stop the container, or remove\n" +
			"the file.",
		Example: "  koine deregister db\n  koine deregister db --node db-host",
		Args:    oneArg("instance"), SuggestFor: []string{"unregister", "remove", "rm", "delete"},
		ValidArgsFunction: completeArgs(instanceIDs),
	}
	cmd.Flags().StringVar(&node, "node", "", "node that it runs on (default the server's own)")
	completeFlag(cmd, "node", nodeNames)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		revision, err := c.Deregister(cmd.Context(), node, args[0])
		return printWritten(cmd, revision, err)
	})
}
