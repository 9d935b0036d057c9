package docker

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

// networkAddresses returns a container's addresses on its networks: the preferred network first, then user-defined ones
// by name, then the default bridge, and last those that Swarm uses for itself.
func networkAddresses(c *container.InspectResponse, preferred string) (addresses []catalog.Address) {
	if c.NetworkSettings == nil {
		return nil
	}
	rank := func(name string) int {
		if isCalled(preferred, name, c.NetworkSettings.Networks[name]) {
			return 0
		}
		switch name {
		case network.NetworkBridge, podmanNetwork:
			return 2
		case ingressNetwork:
			return 3
		case gatewayBridge:
			return 4
		default:
			return 1
		}
	}
	names := slices.SortedFunc(maps.Keys(c.NetworkSettings.Networks), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	for _, name := range names {
		endpoint := c.NetworkSettings.Networks[name]
		if endpoint == nil {
			continue
		}
		for _, ip := range []netip.Addr{endpoint.IPAddress, endpoint.GlobalIPv6Address} {
			if ip.IsValid() && !ip.IsUnspecified() && len(addresses) < catalog.MaxAddresses {
				addresses = append(addresses, catalog.Address{
					Network: name, NetworkID: endpoint.NetworkID, IP: ip, Names: namesOn(c, name, endpoint),
					Routed: endpoint.DriverOpts[noteRouted] != "",
				})
			}
		}
	}
	return addresses
}

// isCalled reports whether a text is a network's name, or that in its Compose file.
func isCalled(text, name string, endpoint *network.EndpointSettings) bool {
	return text != "" && (text == name || endpoint != nil && text == endpoint.DriverOpts[noteShort])
}

// attachedTo reports whether a container is on a network of that name.
func attachedTo(c *container.InspectResponse, text string) bool {
	for name, endpoint := range c.NetworkSettings.Networks {
		if isCalled(text, name, endpoint) {
			return true
		}
	}
	return false
}

// place holds the addresses and ports at which a container is reached.
type place struct {
	addresses []catalog.Address
	// ports are the candidates for the instance's ports, as exposed returns them; published returns where each of them is reached on the host.
	ports     map[network.Port]bool
	published func(network.Port) publication
	// host is set if the container has no network of its own but the host's.
	host bool
}

// locate finds a container's addresses and ports by its network mode. It returns the reason if there are none.
func locate(c *container.InspectResponse, s *settings, o options) (p place, skip string) {
	mode := c.HostConfig.NetworkMode
	switch {
	case mode.IsHost():
		return place{
			addresses: o.hostAddresses, ports: exposed(c), host: true,
			published: func(port network.Port) publication { return publication{number: port.Num()} },
		}, ""
	case mode.IsContainer():
		return locateShared(c, s, o)
	}
	p = locateOwn(c, s, o)
	p.ports = exposed(c)
	if !slices.ContainsFunc(p.addresses, func(a catalog.Address) bool { return a.Network != catalog.NetworkHost }) {
		maps.DeleteFunc(p.ports, func(port network.Port, _ bool) bool { // what is not published is not reached
			at := p.published(port)
			return at.number == 0 && len(at.pairs) == 0
		})
	}
	switch {
	case len(p.addresses) > 0:
		return p, ""
	case mode.IsNone():
		return p, "its network mode is none"
	}
	if mode == "slirp4netns" || mode == "pasta" {
		return p, "a rootless container has no address of its own, and it publishes no port"
	}
	return p, "it has no address on any network"
}

// locateOwn finds the addresses on a container's own networks and the ports it publishes.
func locateOwn(c *container.InspectResponse, s *settings, o options) place {
	preferred := s.koine["network"].value
	var bindings network.PortMap
	if c.NetworkSettings != nil {
		bindings = c.NetworkSettings.Ports
		if preferred != "" && !attachedTo(c, preferred) {
			s.warn("koine.network", "the container is not attached to a network %q", preferred)
		}
	}
	public := published(bindings, o.hostAddresses)
	addresses := append(networkAddresses(c, preferred), public.addresses...)
	return place{
		addresses: addresses[:min(len(addresses), catalog.MaxAddresses)],
		published: func(port network.Port) publication { return public.ports[port] },
	}
}

// locateShared finds the addresses and ports of a container in the network of another container.
func locateShared(c *container.InspectResponse, s *settings, o options) (place, string) {
	peer := o.peer
	switch {
	case peer == nil || !running(peer):
		return place{}, "the container whose network it shares is not running"
	case startTime(peer).After(startTime(c)):
		return place{}, "the container whose network it shares was restarted after it"
	case peer.HostConfig.NetworkMode.IsContainer():
		return place{}, "the container whose network it shares has none of its own"
	}
	p, skip := locate(peer, &settings{koine: map[string]setting{"network": s.koine["network"]}}, o)
	if skip != "" {
		return p, "of the container whose network it shares: " + skip
	}
	for i, a := range p.addresses {
		if len(a.Names) > 0 {
			p.addresses[i].Names = namesOn(c, a.Network, nil)
		}
	}
	p.ports = exposed(c) // a port of the other container is not this one's
	return p, ""
}
