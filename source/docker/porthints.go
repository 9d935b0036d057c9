package docker

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

// hintPorts names the settings of single ports that leave a port out, or have no effect because the instance has no such port.
func (s *settings) hintPorts(candidates map[network.Port]bool, ports []catalog.Port) {
	for _, number := range slices.Sorted(maps.Keys(s.ports)) {
		if slices.ContainsFunc(ports, func(p catalog.Port) bool { return p.Number == number }) {
			continue
		}
		has := false
		for port := range candidates {
			has = has || port.Num() == number
		}
		own := s.ports[number]
		if v, ok := own["ignore"]; ok && has && truth(v.value) {
			s.hint("port %d is left out by %s %s", number, v.kind, v.label)
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(own)) {
			s.hint("%s %s has no effect: the instance has no port %d", own[key].kind, own[key].label, number)
		}
	}
}

// traefikPorts returns the ports that labels of the reverse proxy Traefik give a container that exposes none:
// traefik.http.services.NAME.loadbalancer.server.port, the same of tcp and udp, and traefik.port of its first version.
func (s *settings) traefikPorts(c *container.InspectResponse) map[network.Port]bool {
	ports := make(map[network.Port]bool)
	for _, label := range slices.Sorted(maps.Keys(c.Config.Labels)) {
		protocol, ok := traefikPort(label)
		if !ok || len(ports) == catalog.MaxPorts {
			continue
		}
		value := strings.TrimSpace(c.Config.Labels[label])
		number, err := strconv.ParseUint(value, 10, 16)
		port, known := network.PortFrom(uint16(number), protocol)
		if err != nil || number == 0 || !known {
			s.hint("label %.100s: %.20q is no port", label, value)
			continue
		}
		ports[port] = true
		s.hint("port %s is that of label %.100s: nothing is exposed", port, label)
	}
	return ports
}

// traefikPort reports whether a label of Traefik names the port of a server, and returns its protocol.
func traefikPort(label string) (network.IPProtocol, bool) {
	lower := strings.ToLower(label)
	if lower == "traefik.port" {
		return network.TCP, true
	}
	protocol, ok := strings.CutPrefix(lower, "traefik.")
	protocol, service, _ := strings.Cut(protocol, ".services.")
	if !ok || !strings.HasSuffix(service, ".loadbalancer.server.port") {
		return "", false
	}
	switch protocol {
	case "http", "tcp":
		return network.TCP, true
	case "udp":
		return network.UDP, true
	}
	return "", false
}
