package docker

import (
	"context"
	"maps"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// imageEngine is an Engine that shows its images, as *client.Client does.
type imageEngine interface {
	ImageInspect(ctx context.Context, image string, options ...client.ImageInspectOption) (client.ImageInspectResult, error)
}

// maxImages bounds the images whose ports are kept; past it all are forgotten.
const maxImages = 1024

// images are the ports that the engine's images expose. Docker and Compose list the ports that a container publishes among
// those that it exposes; only the image tells which of them its program listens on.
type images struct {
	engine imageEngine // nil if it cannot show them

	mu sync.Mutex
	// ports are those of images by their ID, which never change.
	ports map[string]map[network.Port]bool
}

func newImages(engine Engine) *images {
	i := &images{ports: make(map[string]map[network.Port]bool)}
	i.engine, _ = engine.(imageEngine)
	return i
}

// complete takes from the exposed ports of a container those that are published and that its image does not expose. Without
// an answer of the engine, which a proxy may forbid, the container stays as it is.
func (i *images) complete(ctx context.Context, c *container.InspectResponse) {
	if i.engine == nil || c.NetworkSettings == nil || len(c.Config.ExposedPorts) < 2 {
		return
	}
	publishes := func(port network.Port) bool { return len(c.NetworkSettings.Ports[port]) > 0 }
	some := false
	for port := range c.Config.ExposedPorts {
		some = some || publishes(port)
	}
	if !some {
		return
	}
	ports, ok := i.exposed(ctx, c.Image)
	if !ok {
		return
	}
	c.Config.ExposedPorts = maps.Clone(c.Config.ExposedPorts)
	maps.DeleteFunc(c.Config.ExposedPorts, func(port network.Port, _ struct{}) bool { return publishes(port) && !ports[port] })
}

// exposed returns the ports that an image exposes; false if the engine does not say.
func (i *images) exposed(ctx context.Context, image string) (map[network.Port]bool, bool) {
	i.mu.Lock()
	ports, ok := i.ports[image]
	i.mu.Unlock()
	if ok {
		return ports, true
	}
	result, err := i.engine.ImageInspect(ctx, image)
	if err != nil || result.Config == nil {
		return nil, false
	}
	ports = make(map[network.Port]bool)
	for text := range result.Config.ExposedPorts {
		if port, err := network.ParsePort(text); err == nil {
			ports[port] = true
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.ports) >= maxImages {
		clear(i.ports)
	}
	i.ports[image] = ports
	return ports, true
}
