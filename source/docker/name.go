package docker

import (
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// serviceName returns the name of a container's service and the rule that gave it.
func serviceName(c *container.InspectResponse, s *said) (name, rule string) {
	candidates := []struct{ text, rule string }{
		{s.koine["name"].value, "label koine.name"},
		{c.Config.Labels["com.docker.compose.service"], "label com.docker.compose.service"},
		{c.Config.Labels["com.docker.swarm.service.name"], "label com.docker.swarm.service.name"},
		{s.service["name"].value, s.service["name"].kind + " SERVICE_NAME"},
		{imageBase(c.Config.Image), "image " + c.Config.Image},
		{containerName(c), "container name"},
	}
	for _, candidate := range candidates {
		if candidate.text == "" {
			continue
		}
		if name := catalog.SanitizeName(candidate.text); name != "" {
			return name, candidate.rule
		}
		s.warn(candidate.rule, "%q has nothing that a name can be made of", candidate.text)
	}
	return "", ""
}

// imageBase returns an image's name without registry, path, tag and digest; "" if the image is known by its id only.
func imageBase(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if strings.HasPrefix(image, "sha256:") {
		return ""
	}
	base := image[strings.LastIndexByte(image, '/')+1:]
	base, _, _ = strings.Cut(base, ":")
	if isHex(base) && (len(base) == 12 || len(base) == 64) {
		return ""
	}
	return base
}

func isHex(text string) bool {
	return strings.Trim(text, "0123456789abcdef") == ""
}

func containerName(c *container.InspectResponse) string {
	return strings.TrimPrefix(c.Name, "/")
}

// shortID is the part of a container's id that people use.
func shortID(id string) string { return id[:min(len(id), 12)] }
