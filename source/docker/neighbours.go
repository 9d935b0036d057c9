package docker

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

// Swarm's own networks. On neither of them do containers find one another.
const (
	ingressNetwork = "ingress"
	// gatewayBridge connects the containers of overlay networks to their host, under addresses of its own.
	gatewayBridge = "docker_gwbridge"
)

// namesOn returns the names under which others on a network find a container, its own first: those of Docker's name server,
// and the same on the default bridge, where that server knows none. The endpoint is nil for a container in the network of
// another one.
func namesOn(c *container.InspectResponse, name string, endpoint *network.EndpointSettings) (names []string) {
	if name == ingressNetwork || name == gatewayBridge {
		return nil
	}
	add := func(list ...string) {
		for _, text := range list {
			twice := func(other string) bool { return strings.EqualFold(text, other) }
			if isHostName(text) && !slices.ContainsFunc(names, twice) && len(names) < catalog.MaxNames {
				names = append(names, text)
			}
		}
	}
	add(containerName(c), shortID(c.ID))
	if endpoint != nil {
		add(c.Config.Hostname) // the short id by default
		add(endpoint.Aliases...)
		add(endpoint.DNSNames...)
	}
	if !isOneOff(c) {
		add(composeLabel(c, composeService))
	}
	for _, service := range swarmNames(c) {
		add(service, "tasks."+service)
	}
	return names
}

// swarmNames returns the names of a container's Swarm service: in full and, for one of a stack, without the stack's name.
func swarmNames(c *container.InspectResponse) (names []string) {
	service, stack := c.Config.Labels[swarmService], c.Config.Labels[swarmStack]
	if service == "" {
		return nil
	}
	names = append(names, service)
	if short, ok := strings.CutPrefix(service, stack+"_"); ok && stack != "" {
		names = append(names, short)
	}
	return names
}

// isHostName reports whether a text can be looked up in DNS: labels as the catalog has them, joined by dots.
func isHostName(text string) bool {
	if text == "" || len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if catalog.ValidateName("host", label) != nil {
			return false
		}
	}
	return true
}
