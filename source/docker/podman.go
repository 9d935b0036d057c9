package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// Podman answers Docker's API, and differs in this:
//
//   - It writes no event before a container has died. The kernel reports the stop signal, see signalWatch; where that cannot be, the
//     running containers are listed every second, and one that is missing is looked at: its state is then "stopping".
//   - The events connect and disconnect name the container as the actor, and the network by its name or not at all.
//   - A container's networks have their names for IDs, and the default one is "podman" there and "bridge" in the list of networks.
//   - An event about health comes with each probe, says nothing of its outcome, may come before the outcome is stored, and never comes
//     from versions before 4.4.
//   - A pod's network is that of its infra container, in which nothing runs that is asked for.

// noteEngine records whether a response is Podman's, which names itself in each of them.
func noteEngine(r *http.Response, podman *atomic.Bool) {
	podman.Store(strings.HasPrefix(r.Header.Get("Server"), "Libpod/"))
}

// subject returns the id of the container that an event is about; "" if there is none.
func subject(m events.Message) string {
	if m.Type != events.NetworkEventType {
		return m.Actor.ID
	}
	if id := m.Actor.Attributes["container"]; id != "" {
		return id
	}
	if m.Action == events.ActionConnect || m.Action == events.ActionDisconnect {
		return m.Actor.ID // Podman's actor is the container
	}
	return ""
}

// podmanNetwork is the name of Podman's default network.
const podmanNetwork = "podman"

// podmanID is the ID that Podman gives its default network: it is made of the name.
var podmanID = func() string {
	sum := sha256.Sum256([]byte(podmanNetwork))
	return hex.EncodeToString(sum[:])
}()

// properName gives Podman's default network its own name: in the list of networks it has that of Docker's.
func properName(n network.Network) network.Network {
	if n.ID == podmanID && n.Name == network.NetworkBridge {
		n.Name = podmanNetwork
	}
	return n
}

// infraName matches the name that Podman gives the infra container of a pod.
var infraName = regexp.MustCompile(`^[0-9a-f]{12}-infra$`)

// isInfra reports whether a container is the infra container of a Podman pod.
func isInfra(c *container.InspectResponse) bool {
	return infraName.MatchString(containerName(c)) || strings.HasPrefix(c.Config.Image, "localhost/podman-pause:")
}

// unprobed reports whether a container has a health check that has never run.
func unprobed(c *container.InspectResponse) bool {
	health := c.State.Health
	return health != nil && health.Status == container.Starting && len(health.Log) == 0
}
