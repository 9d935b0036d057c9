package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/dns"
	"github.com/koine-sd/koine/internal/sockets"
)

// Bridge in Config.DNS stands for the gateways of all bridge networks of the Docker engine, "bridge:NETWORK" for that of
// one, by its name or ID.
const Bridge = "bridge"

// bridgePort is the port that containers query: a resolv.conf names none.
const bridgePort = 53

// listenDNS binds the addresses of Config.DNS. Those of bridges follow once the engine's networks have been read.
func (d *Daemon) listenDNS() (err error) {
	upstreams := d.cfg.Upstreams
	if !d.cfg.forwards() {
		upstreams = nil
	}
	server, err := dns.New(dns.Config{
		View: d.view, Domains: d.cfg.Domains, Datacenter: d.cfg.Datacenter, Node: d.cfg.Node, Upstreams: upstreams, NoForward: !d.cfg.forwards(),
		Holder: d.holder, MaxConns: d.shares.dns, MaxForwards: d.shares.forwards,
		Allow: d.cfg.DNSAllow, ForwardInternal: d.cfg.ForwardInternal, UDPSize: d.cfg.DNSUDPSize, TTL: d.cfg.DNSTTL,
		Metrics: d.metrics, Logger: d.cfg.Logger.With("part", "dns"),
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			server.Close()
		}
	}()
	for place := range strings.SplitSeq(d.cfg.DNS, ",") {
		if bridge, ok := parseBridge(place); ok {
			d.bridges = append(d.bridges, bridge)
			continue
		}
		if err := server.Listen(place); catalog.KindOf(err) == catalog.KindInvalid {
			return err // not of the address, but of an upstream
		} else if err != nil {
			return listenError("DNS", "--dns", place, err)
		}
	}
	_, follows := d.cfg.dockerHost()
	if err := d.needBridges(follows && !d.cfg.dockerMissing()); err != nil {
		return err
	}
	if !server.Listens() {
		return catalog.Errorf(catalog.KindInvalid, "--dns names only bridges").
			WithHint("add one to --dns: 127.0.0.1:8600,%s", Bridge)
	}
	d.dns = server
	return nil
}

// bridgesWithin bounds the wait for the attempts to listen on bridges.
const bridgesWithin = 2 * time.Second

// Bridges returns the addresses of bridges that DNS listens on. It waits, for a bounded time, until each has been tried.
func (d *Daemon) Bridges(ctx context.Context) (addrs []string) {
	if d.dns == nil || len(d.bridges) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, bridgesWithin)
	defer cancel()
	for _, at := range d.dns.AlsoListens(ctx) {
		addrs = append(addrs, at.Addr().String())
	}
	return addrs
}

// Domain returns the domain to show names in.
func (d *Daemon) Domain() string {
	if d.dns == nil {
		return d.cfg.Domains[0]
	}
	return d.dns.Domain()
}

// upstreams returns the resolvers that names of other domains are passed on to.
func (d *Daemon) upstreams() []string {
	if d.dns == nil {
		return nil
	}
	return d.dns.Upstreams()
}

// holder says who has a port of this host, the container that publishes it or a process, and what to do; "" if nobody is seen.
func (d *Daemon) holder(ctx context.Context, network string, at netip.AddrPort) string {
	port := fmt.Sprintf("%s port %d", strings.ToUpper(network), at.Port())
	if d.docker != nil {
		if name := d.docker.Publisher(ctx, network, at); name != "" {
			return fmt.Sprintf("container %s publishes %s: publish it at one other address of this host, such as %s:%d:%d, and both can run",
				name, port, d.otherAddress(), at.Port(), at.Port())
		}
	}
	if process := sockets.Holder(network, at); process != "" {
		return fmt.Sprintf("%s has %s: have it listen at other addresses only, or leave %s out of --dns", process, port, Bridge)
	}
	return ""
}

// listens returns the setting by which this process listens where a container wants to, "" if it does not. No address stands for all.
func (d *Daemon) listens(network string, at netip.AddrPort) string {
	meets := func(own netip.AddrPort) bool {
		all := !at.Addr().IsValid() || at.Addr().IsUnspecified() || own.Addr().IsUnspecified()
		return own.Port() == at.Port() && (all || own.Addr().Unmap() == at.Addr().Unmap())
	}
	o := d.openings()
	switch {
	case network == "tcp" && o.http.IsValid() && meets(o.http):
		return "--http"
	case slices.ContainsFunc(o.dns, meets), slices.ContainsFunc(d.gateways(), meets):
		return "--dns"
	default:
		return ""
	}
}

// gateways returns the addresses of bridges at which DNS listens, or tries to.
func (d *Daemon) gateways() (list []netip.AddrPort) {
	networks := d.local.Load()
	if d.dns == nil || len(d.bridges) == 0 || networks == nil {
		return nil
	}
	for _, network := range *networks {
		for _, ip := range network.Gateways {
			list = append(list, netip.AddrPortFrom(ip, bridgePort))
		}
	}
	return list
}

// otherAddress returns an address of this host that is not a bridge's, for an example.
func (d *Daemon) otherAddress() netip.Addr {
	if d.cfg.Advertise.IsLoopback() || d.isLocal(d.cfg.Advertise) {
		return netip.AddrFrom4([4]byte{192, 0, 2, 10})
	}
	return d.cfg.Advertise
}

// needBridges refuses bridges if Docker is off, and warns if no Docker engine has been found.
func (d *Daemon) needBridges(follows bool) error {
	if follows || len(d.bridges) == 0 {
		return nil
	}
	if d.cfg.Docker == Off {
		return catalog.Errorf(catalog.KindInvalid, "--dns %s wants the networks of a Docker engine, and --docker off follows none", Bridge).
			WithHint("leave %s out of --dns, or --docker off", Bridge)
	}
	d.cfg.Logger.Warn("no Docker engine is found, so that DNS listens on no bridge: name the engine with --docker", "dns", d.cfg.DNS)
	return nil
}

// parseBridge returns the network of "bridge:NETWORK", "" for "bridge" alone, and false for anything else.
func parseBridge(place string) (network string, ok bool) {
	if place == Bridge {
		return "", true
	}
	network, ok = strings.CutPrefix(place, Bridge+":")
	return network, ok && network != ""
}

// setNetworks sets the networks of this host, which answers depend on. DNS forwards other names for containers on them, and
// listens on those that Config.DNS names.
func (d *Daemon) setNetworks(list []catalog.Network) {
	d.view.SetNetworks(list)
	d.local.Store(&list)
	if d.dns == nil {
		return
	}
	d.dns.AllowNetworks(list)
	if len(d.bridges) > 0 {
		d.dns.ListenAlso(gateways(list, d.bridges))
	}
}

// gateways returns the addresses to listen on for the wanted networks, given by name or ID; "" means all.
func gateways(list []catalog.Network, wanted []string) (addrs []netip.AddrPort) {
	for _, network := range list {
		wants := func(name string) bool {
			return name == "" || name == network.ID || strings.EqualFold(name, network.Name)
		}
		if !slices.ContainsFunc(wanted, wants) {
			continue
		}
		for _, ip := range network.Gateways {
			addrs = append(addrs, netip.AddrPortFrom(ip, bridgePort))
		}
	}
	return addrs
}
