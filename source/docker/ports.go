package docker

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

// publications are the ports that other hosts reach on this host, and the addresses on which they do.
type publications struct {
	ports     map[network.Port]uint16
	addresses []catalog.Address
}

// published reads the bindings of a container's ports. The host's addresses stand for "all addresses of the host" of
// the same family; a binding to a loopback address counts only if that is an address of the host's.
func published(bindings network.PortMap, host []catalog.Address) publications {
	p := publications{ports: make(map[network.Port]uint16)}
	var bound []netip.Addr
	for port, list := range bindings {
		if number, at := publishedAs(list, host); number != 0 {
			p.ports[port] = number
			bound = append(bound, at...)
		}
	}
	p.addresses = hostAddresses(bound, host)
	return p
}

// publishedAs returns the number under which others reach a port on the host, 0 if there is none, and the addresses bound
// to it. An instance has one number for each port, so addresses bound to another number would be wrong. It is the number
// that answers on the most of the host's addresses, and of several the lowest.
func publishedAs(list []network.PortBinding, host []catalog.Address) (number uint16, bound []netip.Addr) {
	found := make(map[uint16][]netip.Addr)
	for _, binding := range list {
		n, err := strconv.ParseUint(binding.HostPort, 10, 16)
		if err == nil && n != 0 && reachable(binding.HostIP, host) {
			found[uint16(n)] = append(found[uint16(n)], binding.HostIP)
		}
	}
	most := 0
	for _, n := range slices.Sorted(maps.Keys(found)) {
		if answering := len(covered(found[n], host)); number == 0 || answering > most {
			number, most = n, answering
		}
	}
	return number, found[number]
}

// reachable reports whether others can reach a host's port that is bound to ip.
func reachable(ip netip.Addr, host []catalog.Address) bool {
	return !ip.IsLoopback() || slices.ContainsFunc(host, func(a catalog.Address) bool { return a.IP == ip })
}

// covered returns those of the host's addresses that bindings to some addresses answer on.
func covered(bound []netip.Addr, host []catalog.Address) (addresses []catalog.Address) {
	for _, a := range host {
		if slices.ContainsFunc(bound, func(ip netip.Addr) bool {
			return !ip.IsValid() || ip == a.IP || ip.IsUnspecified() && (a.Host != "" || ip.Is4() == a.IP.Is4())
		}) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// hostAddresses returns the host's addresses that bindings to some addresses answer on, in the host's order, followed by
// those that only the bindings name.
func hostAddresses(bound []netip.Addr, host []catalog.Address) []catalog.Address {
	addresses := covered(bound, host)
	slices.SortFunc(bound, netip.Addr.Compare)
	for _, ip := range slices.Compact(bound) {
		known := slices.ContainsFunc(host, func(a catalog.Address) bool { return a.IP == ip })
		if ip.IsValid() && !ip.IsUnspecified() && !known {
			addresses = append(addresses, catalog.Address{Network: catalog.NetworkHost, IP: ip})
		}
	}
	return addresses
}

// exposed returns the ports that a container's configuration and its running network know, in no order.
func exposed(c *container.InspectResponse) map[network.Port]struct{} {
	all := make(map[network.Port]struct{})
	for port := range c.Config.ExposedPorts {
		all[port] = struct{}{}
	}
	if c.NetworkSettings != nil {
		for port := range c.NetworkSettings.Ports {
			all[port] = struct{}{}
		}
	}
	return all
}

// instancePorts returns the ports of an instance, the main port first, and whether the settings of single ports removed the
// last one.
func (s *settings) instancePorts(candidates map[network.Port]struct{}, number func(network.Port) uint16) (ports []catalog.Port, ignored bool) {
	if ports = s.explicitPorts(number); len(ports) > 0 {
		s.nameOnce(ports)
		return ports, false
	}
	for _, port := range sortedPorts(candidates) { // so that the warnings have an order
		if v, ok := s.ports[port.Num()]["ignore"]; ok && truth(v.value) {
			ignored = true
			continue
		}
		if port.Num() == 0 {
			continue
		}
		ports = append(ports, catalog.Port{
			Name: s.portName(port.Num()), Number: port.Num(), Protocol: string(port.Proto()), Published: number(port),
		})
	}
	slices.SortFunc(ports, comparePorts)
	if len(ports) > catalog.MaxPorts {
		s.warn("EXPOSE", "%d ports: the first %d are registered", len(ports), catalog.MaxPorts)
		ports = ports[:catalog.MaxPorts]
	}
	s.nameOnce(ports)
	return ports, ignored && len(ports) == 0
}

// nameOnce takes the names of ports away that an earlier one has: a port is found by its name.
func (s *settings) nameOnce(ports []catalog.Port) {
	for i := range ports {
		if p := &ports[i]; slices.ContainsFunc(ports[:i], p.SameName) {
			s.warn(cmp.Or(s.ports[p.Number]["name"].label, "koine.ports"), "port %d has the name %s of another one, and is found by its number only",
				p.Number, p.Name)
			p.Name = ""
		}
	}
}

// sortedPorts returns ports by number.
func sortedPorts(set map[network.Port]struct{}) []network.Port {
	return slices.SortedFunc(maps.Keys(set), func(a, b network.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), cmp.Compare(a.Proto(), b.Proto()))
	})
}

// comparePorts puts TCP before the others, published ports before the others, then goes by number.
func comparePorts(a, b catalog.Port) int {
	rank := func(p catalog.Port) int {
		r := 0
		if p.Transport() != "tcp" {
			r += 2
		}
		if p.Published == 0 {
			r++
		}
		return r
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
}

// portName returns the name that SERVICE_<port>_NAME gives a port, or "".
func (s *settings) portName(port uint16) string {
	v, ok := s.ports[port]["name"]
	if !ok {
		return ""
	}
	name := s.chosenName(v)
	s.fit(&name)
	return name.service
}

// explicitPorts returns the ports that koine.ports or SERVICE_PORTS lists.
func (s *settings) explicitPorts(number func(network.Port) uint16) (ports []catalog.Port) {
	v, ok := s.first("ports", 0, "ports")
	if !ok {
		return nil
	}
	for _, item := range list(v.value) {
		if len(ports) == catalog.MaxPorts {
			s.warn(v.label, "more than %d ports", catalog.MaxPorts)
			break
		}
		name, port, ok := parsePort(item)
		if !ok {
			s.warn(v.label, "%q is not a port: write it as 80, 53/udp or http=80", item)
			continue
		}
		if name == "" {
			name = s.portName(port.Num())
		}
		known := slices.ContainsFunc(ports, func(p catalog.Port) bool {
			return p.Number == port.Num() && p.Transport() == string(port.Proto())
		})
		if known {
			s.warn(v.label, "port %s is listed twice", port)
			continue
		}
		ports = append(ports, catalog.Port{
			Name: name, Number: port.Num(), Protocol: string(port.Proto()), Published: number(port),
		})
	}
	return ports
}

// parsePort reads "80", "53/udp" or "http=80".
func parsePort(item string) (name string, port network.Port, ok bool) {
	text := item
	if before, after, named := strings.Cut(item, "="); named {
		name, text = strings.TrimSpace(before), strings.TrimSpace(after)
		if catalog.ValidateName("port", name) != nil {
			return "", network.Port{}, false
		}
	}
	port, err := network.ParsePort(text)
	if err != nil || port.Num() == 0 {
		return "", network.Port{}, false
	}
	switch port.Proto() {
	case network.TCP, network.UDP, network.SCTP:
		return name, port, true
	}
	return "", network.Port{}, false
}
