package docker

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// whyBuildStep is the reason why the container of a step of docker build is not registered. No label overrides it: those of the
// Dockerfile are meant for the image that is being built.
const whyBuildStep = "it is a RUN step of docker build"

// isBuildStep reports whether a container is that of a RUN instruction of Docker's classic builder. Nothing names these: but
// they keep no log, have no entry point and no HEALTHCHECK, and their image is known by its id, as no other client of the engine
// has all of it. BuildKit's steps are no containers of the engine.
func isBuildStep(c *container.InspectResponse) bool {
	check := c.Config.Healthcheck
	return c.HostConfig.LogConfig.Type == "none" && c.HostConfig.RestartPolicy.Name == "" &&
		len(c.Config.Entrypoint) == 0 && check != nil && slices.Equal(check.Test, []string{"NONE"}) &&
		strings.HasPrefix(c.Config.Image, "sha256:")
}
