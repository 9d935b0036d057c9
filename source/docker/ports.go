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

// publications are the ports that are reached on this host, and the addresses on which they are.
type publications struct {
	ports     map[network.Port]publication
	addresses []catalog.Address
}

// publication is where a port is reached on the host: under one number on all of the addresses, or as the pairs say.
type publication struct {
	number uint16
	pairs  []netip.AddrPort
}

// port returns a port of an instance.
func (p publication) port(port network.Port, name string) catalog.Port {
	return catalog.Port{
		Name: name, Number: port.Num(), Protocol: string(port.Proto()), Published: p.number, Bindings: p.pairs,
	}
}

// published reads the bindings of a container's ports. The host's addresses stand for "all addresses of the host" of the
// same family, and so does a loopback address that a port is bound to.
func published(bindings network.PortMap, host []catalog.Address) publications {
	p := publications{ports: make(map[network.Port]publication)}
	candidates := make(map[network.Port][]candidate)
	var bound []netip.Addr
	for port, list := range bindings {
		candidates[port] = candidatesOf(list, host)
		for _, c := range candidates[port] {
			bound = append(bound, c.bound...)
		}
	}
	p.addresses = hostAddresses(bound, host)
	for port, list := range candidates {
		if at := publicationOf(list, p.addresses, host); at.number != 0 || len(at.pairs) > 0 {
			p.ports[port] = at
		}
	}
	return p
}

// candidate is a number under which a port is published, and the addresses bound to it.
type candidate struct {
	number uint16
	bound  []netip.Addr
}

// candidatesOf returns the numbers of a port, best first: those that answer on the most of the host's addresses, and of
// several the lowest.
func candidatesOf(list []network.PortBinding, host []catalog.Address) (candidates []candidate) {
	found := make(map[uint16][]netip.Addr)
	for _, binding := range list {
		n, err := strconv.ParseUint(binding.HostPort, 10, 16)
		if err == nil && n != 0 {
			found[uint16(n)] = append(found[uint16(n)], binding.HostIP.Unmap())
		}
	}
	for _, n := range slices.Sorted(maps.Keys(found)) {
		candidates = append(candidates, candidate{n, found[n]})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Compare(len(covered(b.bound, host)), len(covered(a.bound, host)))
	})
	return candidates
}

// publicationOf returns where a port is reached, given its numbers, best first, and the addresses of the instance on the
// host. A loopback address that the host's do not list is always in a pair: a number alone is for others, too.
func publicationOf(candidates []candidate, addresses, host []catalog.Address) (p publication) {
	alike := slices.ContainsFunc(addresses, func(a catalog.Address) bool {
		return !a.IP.IsLoopback() || slices.ContainsFunc(host, a.Equal)
	})
	for _, a := range addresses {
		i := slices.IndexFunc(candidates, func(c candidate) bool { return answersOn(c.bound, a) })
		if i < 0 {
			alike = false
			continue
		}
		number := candidates[i].number
		alike = alike && (p.number == 0 || p.number == number)
		p.number = number
		for _, pair := range pairsOf(a, candidates[i]) {
			if !slices.Contains(p.pairs, pair) { // two host names
				p.pairs = append(p.pairs, pair)
			}
		}
	}
	if alike {
		return publication{number: p.number}
	}
	return publication{pairs: p.pairs}
}

// pairsOf returns the pair for an address, and for a host name those for all addresses of a family.
func pairsOf(a catalog.Address, c candidate) (pairs []netip.AddrPort) {
	if a.IP.IsValid() {
		return []netip.AddrPort{netip.AddrPortFrom(a.IP.Unmap(), c.number)}
	}
	for _, ip := range c.bound {
		switch {
		case !ip.IsValid():
			pairs = append(pairs, netip.AddrPortFrom(netip.IPv4Unspecified(), c.number), netip.AddrPortFrom(netip.IPv6Unspecified(), c.number))
		case ip.IsUnspecified():
			pairs = append(pairs, netip.AddrPortFrom(ip, c.number))
		}
	}
	return pairs
}

// answersOn reports whether bindings to some addresses answer on an address of the host. A binding without an address is to
// all of them.
func answersOn(bound []netip.Addr, a catalog.Address) bool {
	return slices.ContainsFunc(bound, func(ip netip.Addr) bool {
		return !ip.IsValid() || ip == a.IP.Unmap() || ip.IsUnspecified() && (a.Host != "" || ip.Is4() == a.IP.Unmap().Is4())
	})
}

// covered returns those of the host's addresses that bindings to some addresses answer on.
func covered(bound []netip.Addr, host []catalog.Address) (addresses []catalog.Address) {
	for _, a := range host {
		if answersOn(bound, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// hostAddresses returns the host's addresses that bindings to some addresses answer on, in the host's order, followed by
// those that only the bindings name: first those of use to other hosts.
func hostAddresses(bound []netip.Addr, host []catalog.Address) []catalog.Address {
	addresses := covered(bound, host)
	loopback := func(ip netip.Addr) int {
		if ip.IsLoopback() {
			return 1
		}
		return 0
	}
	slices.SortFunc(bound, func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(loopback(a), loopback(b)), a.Compare(b))
	})
	for _, ip := range slices.Compact(bound) {
		known := slices.ContainsFunc(host, func(a catalog.Address) bool { return a.IP.Unmap() == ip })
		if ip.IsValid() && !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() && !known {
			addresses = append(addresses, catalog.Address{Network: catalog.NetworkHost, IP: ip})
		}
	}
	return addresses
}

// exposed returns the ports that a container's configuration and its running network know, and whether the first does: a
// port that is published only need not be one that the program in the container listens on.
func exposed(c *container.InspectResponse) map[network.Port]bool {
	all := make(map[network.Port]bool)
	if c.NetworkSettings != nil {
		for port := range c.NetworkSettings.Ports {
			all[port] = false
		}
	}
	for port := range c.Config.ExposedPorts {
		all[port] = true
	}
	return all
}

// instancePorts returns the ports of an instance, the main port first, and whether the settings of single ports removed the
// last one.
func (s *settings) instancePorts(candidates map[network.Port]bool, at func(network.Port) publication) (ports []catalog.Port, ignored bool) {
	if ports = s.explicitPorts(at); len(ports) > 0 {
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
		ports = append(ports, at(port).port(port, s.portName(port.Num())))
	}
	slices.SortFunc(ports, s.comparePorts(candidates))
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
func sortedPorts(set map[network.Port]bool) []network.Port {
	return slices.SortedFunc(maps.Keys(set), func(a, b network.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), cmp.Compare(a.Proto(), b.Proto()))
	})
}

// comparePorts returns an order of ports, in which the main port is the first: ports with a name of their own, then TCP
// before the others, then by how likely the program listens there for others, then by number.
func (s *settings) comparePorts(candidates map[network.Port]bool) func(a, b catalog.Port) int {
	named := func(p catalog.Port) int {
		if s.ports[p.Number]["name"].value != "" {
			return 0
		}
		return 1
	}
	transport := func(p catalog.Port) int {
		if p.Transport() == "tcp" {
			return 0
		}
		return 1
	}
	use := func(p catalog.Port) int {
		port, _ := network.PortFrom(p.Number, network.IPProtocol(p.Transport()))
		switch open := forOthers(p); {
		case open && candidates[port]:
			return 0
		case open:
			return 1
		default:
			return 2
		}
	}
	return func(a, b catalog.Port) int {
		return cmp.Or(cmp.Compare(named(a), named(b)), cmp.Compare(transport(a), transport(b)), cmp.Compare(use(a), use(b)),
			cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
	}
}

// forOthers reports whether a port is published for other hosts, too.
func forOthers(p catalog.Port) bool {
	return p.Published != 0 || slices.ContainsFunc(p.Bindings, func(b netip.AddrPort) bool { return !b.Addr().IsLoopback() })
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
func (s *settings) explicitPorts(at func(network.Port) publication) (ports []catalog.Port) {
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
		ports = append(ports, at(port).port(port, name))
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
