package docker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// sourceName is the source that the registrations name, and the key of its extras.
const sourceName = "docker"

// options are what a description depends on beside the container.
type options struct {
	node          string
	hostAddresses []catalog.Address
	scripts       bool
	// container is the id of the described container, in which its own checks may run commands.
	container string
	// peer is the container whose network the described one shares, nil if it is not there.
	peer *container.InspectResponse
}

// description is what becomes of a container.
type description struct {
	registration catalog.Registration
	// service is the name of its service, registered or not, rule what gave that name.
	service, rule string
	// drain is for how long it means to go on serving after its stop signal.
	drain time.Duration
	// skip says why the container is not registered; "" if it is.
	skip     string
	warnings []Warning
}

// extras are what the source keeps in an instance for itself and for explaining it.
type extras struct {
	ContainerID string `json:"container_id"`
	StartedAt   string `json:"started_at"`
	Image       string `json:"image"`
	// NamedBy is the rule that gave the service its name.
	NamedBy string `json:"named_by"`
}

// describe returns what becomes of a container; an error if it breaks the catalog's limits. It depends on nothing else
// than its arguments.
func describe(c *container.InspectResponse, o options) (description, error) {
	if c.ID == "" || c.State == nil || c.Config == nil || c.HostConfig == nil {
		return description{}, catalog.Errorf(catalog.KindInvalid, "container %s: the engine's answer is incomplete", c.ID)
	}
	o.container = c.ID
	s := read(c.Config.Env, c.Config.Labels)
	d := description{}
	d.service, d.rule = serviceName(c, s)
	if !running(c) {
		d.skip = "it is not running: " + whyNotRunning(c)
		return d, nil
	}
	if v, ok := s.ignored(); ok {
		d.skip = fmt.Sprintf("%s %s is %q", v.kind, v.label, v.value)
		return d, nil
	}
	var where place
	if where, d.skip = locate(c, s, o); d.skip != "" {
		d.warnings = s.warnings
		return d, nil
	}
	ports, ignored := s.instancePorts(where.ports, where.number)
	if ignored {
		d.skip, d.warnings = "all of its ports are ignored", s.warnings
		return d, nil
	}
	d.registration.Instance = instanceOf(c, s, o, where.addresses, ports, d)
	d.registration.Checks = checksOf(c, s, o, &d.registration.Instance, where)
	d.drain = s.drain()
	s.unknown()
	d.warnings = s.warnings
	return d, d.registration.Validate()
}

// running tells whether a container's process is there, be it paused or not.
func running(c *container.InspectResponse) bool {
	return c.State != nil && c.State.Running && !c.State.Restarting && !c.State.Dead
}

// whyNotRunning says how it is with a container whose process is not there.
func whyNotRunning(c *container.InspectResponse) string {
	at := ""
	if end, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt); err == nil && end.Year() > 1 {
		at = " at " + end.UTC().Format(time.RFC3339)
	}
	switch {
	case c.State.Dead:
		return "it is being removed"
	case c.State.Restarting:
		return fmt.Sprintf("it exited with code %d%s, and is to be restarted", c.State.ExitCode, at)
	case at == "" && c.State.Error != "":
		return "it could not be started: " + cut(c.State.Error)
	case at == "":
		return "it was never started"
	case c.State.OOMKilled:
		return "it was killed for want of memory" + at
	default:
		return fmt.Sprintf("it exited with code %d%s", c.State.ExitCode, at)
	}
}

func startTime(c *container.InspectResponse) time.Time {
	t, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil {
		return time.Time{}
	}
	return t
}

// instanceOf puts the instance of a container together.
func instanceOf(
	c *container.InspectResponse, s *said, o options, addresses []catalog.Address, ports []catalog.Port, d description,
) catalog.Instance {
	main := mainPort(ports)
	i := catalog.Instance{
		ID:         s.instanceID(c, main),
		Node:       o.node,
		Service:    d.service,
		Ports:      ports,
		Addresses:  addresses,
		Tags:       s.tags(ports),
		Meta:       s.meta(main),
		Weight:     s.number("weight", catalog.MaxWeight),
		MinHealthy: s.number("min_healthy", 100),
		Locality:   catalog.Locality{Region: s.koine["region"].value, Zone: s.koine["zone"].value},
		Source:     sourceName,
		Owner:      catalog.Owner{Kind: catalog.OwnerContainer, ID: c.ID},
	}
	if c.State.Paused {
		i.Drain = "paused"
	}
	kept, err := json.Marshal(extras{ContainerID: c.ID, StartedAt: c.State.StartedAt, Image: c.Config.Image, NamedBy: d.rule})
	if err == nil {
		i.Extras = map[string]json.RawMessage{sourceName: kept}
	}
	return i
}

func mainPort(ports []catalog.Port) uint16 {
	if len(ports) == 0 {
		return 0
	}
	return ports[0].Number
}

// instanceID returns the ID that the settings give, or the container's name.
func (s *said) instanceID(c *container.InspectResponse, main uint16) string {
	if v, ok := s.first("id", main, "id"); ok {
		id := strings.TrimSpace(v.value)
		err := catalog.ValidateID("instance", id)
		if err == nil {
			return id
		}
		s.warn(v.label, "%v", err)
	}
	if name := containerName(c); name != "" {
		return name
	}
	return shortID(c.ID)
}

// tags returns the tags in the order given: the main port's or the container's, then those of the other ports.
func (s *said) tags(ports []catalog.Port) (tags []string) {
	add := func(v setting) {
		for _, tag := range list(v.value) {
			switch {
			case slices.Contains(tags, tag):
			case len(tag) > catalog.MaxTag || strings.ContainsFunc(tag, unprintable):
				s.warn(v.label, "tag %.20q is longer than %d bytes or has control characters", tag, catalog.MaxTag)
			case len(tags) == catalog.MaxTags:
				s.warn(v.label, "tag %.20q is one more than %d", tag, catalog.MaxTags)
			default:
				tags = append(tags, tag)
			}
		}
	}
	v, ok := s.first("tags", mainPort(ports), "tags")
	if ok {
		add(v)
	}
	if v.label == "koine.tags" {
		return tags
	}
	for _, p := range ports[min(1, len(ports)):] {
		if v, ok := s.ports[p.Number]["tags"]; ok {
			add(v)
		}
	}
	return tags
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

// reserved tells whether a SERVICE_* key has a meaning of its own and is not meta.
func reserved(key string) bool {
	switch key {
	case "name", "tags", "id", "ignore", "ports":
		return true
	}
	return strings.HasPrefix(key, "check_")
}

// meta returns the free SERVICE_* settings, the main port's over the container's, those of other ports under
// "<port>_<key>", and koine.meta.* over all of them.
func (s *said) meta(main uint16) map[string]string {
	found := make(map[string]setting)
	collect := func(prefix string, from map[string]setting) {
		for key, v := range from {
			if !reserved(key) && key != "" {
				found[prefix+key] = v
			}
		}
	}
	collect("", s.service)
	for port, settings := range s.ports {
		if port != main {
			collect(strconv.Itoa(int(port))+"_", settings)
		}
	}
	collect("", s.ports[main])
	for key, v := range s.koine {
		if name, ok := strings.CutPrefix(key, "meta."); ok {
			found[name] = v
		}
	}
	return s.boundMeta(found)
}

// boundMeta leaves out what breaks the catalog's limits.
func (s *said) boundMeta(found map[string]setting) map[string]string {
	if len(found) == 0 {
		return nil
	}
	meta := make(map[string]string, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		v := found[key]
		switch {
		case key == "" || len(key) > catalog.MaxMetaKey || strings.ContainsFunc(key, unprintable):
			s.warn(v.label, "not a key of 1 to %d bytes without control characters", catalog.MaxMetaKey)
		case len(v.value) > catalog.MaxMetaValue || strings.ToValidUTF8(v.value, "") != v.value:
			s.warn(v.label, "not UTF-8 of at most %d bytes", catalog.MaxMetaValue)
		case len(meta) == catalog.MaxMeta:
			s.warn(v.label, "one more than %d pairs of meta", catalog.MaxMeta)
		default:
			meta[key] = v.value
		}
	}
	return meta
}

// number reads a koine label that is a whole number of 0 to limit; 0 if it is not there or bad.
func (s *said) number(key string, limit int) int {
	v, ok := s.koine[key]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(v.value))
	if err != nil || n < 0 || n > limit {
		s.warn(v.label, "%q is not a number of 0 to %d", v.value, limit)
		return 0
	}
	return n
}

// unknown warns of koine labels that mean nothing: most are misspelt.
func (s *said) unknown() {
	for _, key := range slices.Sorted(maps.Keys(s.koine)) {
		switch key {
		case "name", "id", "tags", "weight", "min_healthy", "ignore", "network", "ports", "zone", "region", "drain":
			continue
		}
		if !strings.HasPrefix(key, "meta.") && !strings.HasPrefix(key, "check.") {
			s.warn("koine."+key, "no such label")
		}
	}
}
