package docker

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// The labels of Compose and Swarm that are read.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeNetwork = "com.docker.compose.network" // of a network
	composeOneOff  = "com.docker.compose.oneoff"
	composeNumber  = "com.docker.compose.container-number"
	composeHash    = "com.docker.compose.config-hash"
	swarmService   = "com.docker.swarm.service.name"
	swarmStack     = "com.docker.stack.namespace"
)

// naming is the origin of the name of an instance's service.
type naming struct {
	service string
	// rule is the rule that gave the name, text the name that it gave, before it was made fit for DNS.
	rule, text string
	// chosen is set if a setting of Koine or Registrator names the service; any other name may be that of several
	// services by chance.
	chosen bool
	// project is the Compose project or the Swarm stack that the container belongs to, if any.
	project string
}

// serviceName returns the name of a container's service. In Registrator's mode that is the base of the ports' names, whose
// faults are reported with the ports.
func (s *settings) serviceName(c *container.InspectResponse, o options) (n naming) {
	candidates := s.plainNames(c, o)
	if s.registrator {
		candidates = s.registratorNames(c)
		warned := len(s.warnings)
		defer func() { s.warnings = s.warnings[:warned] }()
	}
	for _, n := range candidates {
		if n.text != "" && s.fit(&n) {
			n.project, _ = project(c)
			return n
		}
	}
	return naming{}
}

// plainNames returns the candidates for the name; the first that is not empty counts. SERVICE_NAME precedes the names of
// Compose and Swarm only where it is certain to be Registrator's: as a variable alone it is more often an application's.
func (s *settings) plainNames(c *container.InspectResponse, o options) (candidates []naming) {
	own := s.chosenName(s.service["name"])
	candidates = append(candidates, s.chosenName(s.koine["name"]))
	if s.meantForRegistrator() {
		candidates = append(candidates, own)
	}
	return append(candidates,
		composeName(c, o),
		naming{text: c.Config.Labels[swarmService], rule: "label " + swarmService},
		own,
		naming{text: imageBase(c.Config.Image), rule: "image " + c.Config.Image},
		naming{text: containerName(c), rule: "container name"},
	)
}

// meantForRegistrator reports whether a container's SERVICE_NAME is Registrator's: it is a label, or stands beside another of
// Registrator's settings.
func (s *settings) meantForRegistrator() bool {
	return s.service["name"].kind == "label" || s.besidesName
}

// hintPassedOver names the labels and variables that would have named the service if another one did not precede them.
func (s *settings) hintPassedOver(c *container.InspectResponse, o options, n naming) {
	if s.registrator || n.rule == "" {
		return
	}
	orchestrator := func(other naming) {
		if n.chosen && other.text != "" && other.text != n.text {
			s.hint("%s says %.80q: %s precedes it", other.rule, other.text, n.rule)
		}
	}
	orchestrator(composeName(c, o))
	orchestrator(naming{text: c.Config.Labels[swarmService], rule: "label " + swarmService})
	v, ok := s.service["name"]
	switch own := s.chosenName(v); {
	case !ok || catalog.SanitizeName(v.value) == "" || own.rule == n.rule || v.value == n.text:
	case n.chosen, s.meantForRegistrator():
		s.hint("%s is not used: %s precedes it", own.rule, n.rule)
	default:
		s.hint("%s is not used: alone it may be another program's, and %s precedes it: make it a label, or set koine.name",
			own.rule, n.rule)
	}
}

func (s *settings) chosenName(v setting) naming {
	return naming{text: v.value, rule: v.kind + " " + v.label, chosen: true}
}

// composeLabel returns a label of a container that Compose has started; "" for any other. Compose labels the images that it
// builds with the project and the service, and each container inherits the labels of its image. The labels that tell the two
// apart are set on containers alone; Podman's Compose sets the number.
func composeLabel(c *container.InspectResponse, label string) string {
	for _, own := range [...]string{composeNumber, composeHash, composeOneOff} {
		if _, ok := c.Config.Labels[own]; ok {
			return c.Config.Labels[label]
		}
	}
	return ""
}

// memberLabel returns a label of Compose or Swarm that names the project or service of a container; "" if it was inherited.
func memberLabel(c *container.InspectResponse, label string) string {
	if label == composeProject || label == composeService {
		return composeLabel(c, label)
	}
	return c.Config.Labels[label]
}

// composeName returns Compose's name of the service, followed by the project if names are to tell projects apart.
func composeName(c *container.InspectResponse, o options) naming {
	service, project := composeLabel(c, composeService), composeLabel(c, composeProject)
	if service == "" || project == "" || !o.projectNames {
		return naming{text: service, rule: "label " + composeService}
	}
	return naming{text: service + "-" + project, rule: "labels " + composeService + " and " + composeProject}
}

// fit makes a name fit for DNS, and warns if that removes more than separators of words. It returns false if nothing is
// left.
func (s *settings) fit(n *naming) bool {
	n.service = catalog.SanitizeName(n.text)
	switch {
	case n.service == "":
		s.warn(n.rule, "%.80q has no letter or digit of ASCII, of which names are made", n.text)
	case n.service != n.text && (n.chosen || len(n.text) > catalog.MaxName || !ascii(n.text)):
		s.doubt(n.rule, "%.80q becomes %s: names have at most %d letters and digits of ASCII, '-' and '_'", n.text, n.service, catalog.MaxName)
	case n.service != n.text:
		s.hint("%s: %.80q becomes %s, because a name in DNS has letters, digits, '-' and '_' only", n.rule, n.text, n.service)
	}
	return n.service != ""
}

// changedNames returns the names of a container's services that were made fit for DNS without a warning.
func (d *description) changedNames() (changed []naming) {
	for _, m := range d.members {
		if !m.chosen && m.text != m.service && len(changed) < maxHints {
			changed = append(changed, m.naming)
		}
	}
	return changed
}

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// project returns the Compose project or the Swarm stack that a container belongs to, and the label that names it.
func project(c *container.InspectResponse) (name, label string) {
	for _, label := range []string{composeProject, swarmStack} {
		if name := memberLabel(c, label); name != "" {
			return name, label
		}
	}
	return "", ""
}

// oneOff returns the reason why a container that docker compose run has started for one command is not of its service; ""
// for any other.
func (s *settings) oneOff(c *container.InspectResponse) string {
	_, named := s.koine["name"]
	_, enabled := s.koine["enable"]
	if named || enabled || s.registrator || !isOneOff(c) {
		return ""
	}
	return fmt.Sprintf("docker compose run has started it for one command of %s: koine.name registers it all the same",
		composeLabel(c, composeService))
}

func isOneOff(c *container.InspectResponse) bool { return truth(c.Config.Labels[composeOneOff]) }

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

// shortID returns the part of a container's id that people use.
func shortID(id string) string { return id[:min(len(id), 12)] }
