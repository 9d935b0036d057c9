package docker

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// serviceEngine is an Engine that shows the services of its Swarm, as *client.Client does. Only a manager answers.
type serviceEngine interface {
	ServiceInspect(ctx context.Context, service string, options client.ServiceInspectOptions) (client.ServiceInspectResult, error)
}

const (
	// serviceLabel is the label in which Swarm tells a container's service.
	serviceLabel = "com.docker.swarm.service.id"
	// maxServices bounds the services that are kept; past it all are forgotten.
	maxServices = 1024
	// serviceAge is the time after which a service is looked at again. The ports of one may change while its containers stay.
	serviceAge = 30 * time.Second
	// serviceTimeout bounds a look at one: a manager without a quorum may not answer, and its containers must not wait for that.
	serviceTimeout = time.Second
)

// services are the ports of Swarm's services that the ingress network publishes, on every host of the Swarm. A container's own
// inspection does not show them.
type services struct {
	engine serviceEngine // nil if it has none

	mu   sync.Mutex
	kept map[string]ingress
}

// ingress are the ports of a service, as the engine told them at a time; none if it did not.
type ingress struct {
	at    time.Time
	ports []swarm.PortConfig
}

func newServices(engine Engine) *services {
	s := &services{kept: make(map[string]ingress)}
	s.engine, _ = engine.(serviceEngine)
	return s
}

// complete adds the ports of the ingress network to those that a task of a service publishes. Without an answer of the engine, which is
// no manager or is behind a proxy that forbids it, the container stays as it is.
func (s *services) complete(ctx context.Context, c *container.InspectResponse) {
	if s.engine == nil || c.NetworkSettings == nil || c.Config.Labels[serviceLabel] == "" {
		return
	}
	c.NetworkSettings.Ports = maps.Clone(c.NetworkSettings.Ports)
	if c.NetworkSettings.Ports == nil {
		c.NetworkSettings.Ports = make(network.PortMap)
	}
	for _, p := range s.ports(ctx, c.Config.Labels[serviceLabel]) {
		port, ok := network.PortFrom(uint16(p.TargetPort), p.Protocol) //nolint:gosec // ports has looked at it
		if ok && len(c.NetworkSettings.Ports[port]) == 0 {
			c.NetworkSettings.Ports[port] = []network.PortBinding{
				{HostIP: netip.IPv4Unspecified(), HostPort: strconv.FormatUint(uint64(p.PublishedPort), 10)},
			}
		}
	}
}

// ports returns the ports of a service that the ingress network publishes.
func (s *services) ports(ctx context.Context, id string) []swarm.PortConfig {
	s.mu.Lock()
	kept, ok := s.kept[id]
	s.mu.Unlock()
	if ok && time.Since(kept.at) < serviceAge {
		return kept.ports
	}
	now := ingress{at: time.Now(), ports: kept.ports} // those known last, while there is no answer
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	result, err := s.engine.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		now.ports = nil
	case err == nil:
		now.ports = slices.DeleteFunc(result.Service.Endpoint.Ports, func(p swarm.PortConfig) bool {
			return p.PublishMode != swarm.PortConfigPublishModeIngress || !isPort(p.TargetPort) || !isPort(p.PublishedPort)
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= maxServices {
		clear(s.kept)
	}
	s.kept[id] = now
	return now.ports
}

func isPort(n uint32) bool { return n > 0 && n < 1<<16 }
