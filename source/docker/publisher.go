package docker

import (
	"context"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Publisher returns the name of the running container that publishes a port of this host at an address, or at all of them. The network
// is tcp or udp. It is empty if there is none, or the engine does not say within two seconds.
func (s *Source) Publisher(ctx context.Context, network string, at netip.AddrPort) string {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	list, err := s.engine.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return ""
	}
	for i := range list.Items {
		for _, port := range list.Items[i].Ports {
			if port.PublicPort == at.Port() && port.Type == network && covers(port, at.Addr()) && len(list.Items[i].Names) > 0 {
				return strings.TrimPrefix(list.Items[i].Names[0], "/")
			}
		}
	}
	return ""
}

// covers reports whether a port is published at an address.
func covers(port container.PortSummary, ip netip.Addr) bool {
	return !port.IP.IsValid() || port.IP.IsUnspecified() || port.IP.Unmap() == ip.Unmap().WithZone("")
}
