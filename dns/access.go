package dns

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/koine-sd/koine/catalog"
)

// AllowAny in Config.Allow forwards the queries of every client.
const AllowAny = "any"

// access decides which clients' queries for other names are forwarded to the upstream resolvers. A server that forwards
// the queries of all clients is an open resolver, which attackers hide behind to flood third parties (RFC 5358). Names
// of the server's own domains are answered for every client.
type access struct {
	any   bool
	given []netip.Prefix
	// own are the subnets of this host's interfaces, docker those of its engine's networks. Each is replaced as a whole.
	own, docker atomic.Pointer[[]netip.Prefix]
}

// newAccess reads Config.Allow.
func newAccess(allow []string) (*access, error) {
	a := &access{}
	for _, text := range allow {
		text = strings.TrimSpace(text)
		if text == AllowAny {
			a.any = true
			continue
		}
		prefix, ok := parsePrefix(text)
		if !ok {
			return nil, catalog.Errorf(catalog.KindInvalid, "allowed client %q is not an address or a range of addresses", text).
				WithHint("write it as 192.0.2.7, 10.0.0.0/8 or %s", AllowAny)
		}
		a.given = append(a.given, prefix)
	}
	a.own.Store(new([]netip.Prefix))
	a.docker.Store(new([]netip.Prefix))
	return a, nil
}

// parsePrefix reads a range in CIDR notation, or a single address as a range of one.
func parsePrefix(text string) (netip.Prefix, bool) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return prefix.Masked(), true
}

// permits reports whether the queries of a client at this address are forwarded.
func (a *access) permits(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	within := func(p netip.Prefix) bool { return p.Contains(ip) }
	return a.any || ip.IsLoopback() || slices.ContainsFunc(*a.own.Load(), within) ||
		slices.ContainsFunc(*a.docker.Load(), within) || slices.ContainsFunc(a.given, within)
}

// readOwn reads the subnets of this host's interfaces.
func (a *access) readOwn() {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return // keep the subnets of the last successful read
	}
	own := subnets(addresses)
	a.own.Store(&own)
}

// subnets returns the ranges of interface addresses. A range that covers all addresses is left out.
func subnets(addresses []net.Addr) (list []netip.Prefix) {
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && prefix.Bits() > 0 {
			list = append(list, prefix.Masked())
		}
	}
	return list
}

// AllowNetworks forwards the queries of containers on these networks, in place of the networks of the last call. It may
// be called at any time.
func (s *Server) AllowNetworks(list []catalog.Network) {
	var docker []netip.Prefix
	for _, network := range list {
		for _, subnet := range network.Subnets {
			docker = append(docker, subnet.Masked())
		}
	}
	s.access.docker.Store(&docker)
}

// Passes describes, for people, the clients whose queries for other names are forwarded; empty if nothing is forwarded.
func (s *Server) Passes() string {
	switch {
	case !s.upstream.forwards():
		return ""
	case s.access.any:
		return "all clients"
	}
	known := []string{"loopback", "this host's subnets", "Docker's networks"}
	for _, prefix := range s.access.given {
		known = append(known, prefix.String())
	}
	return strings.Join(known, ", ")
}
