package docker

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/lenient"
)

// sourceName is the source that the registrations name, and the key of its extras.
const sourceName = "docker"

// options are the inputs of a description besides the container.
type options struct {
	node          string
	hostAddresses []catalog.Address
	scripts       bool
	// registrator registers containers as Registrator does, labelled only those that are labelled for it; projectNames
	// appends Compose's project to its name of a service.
	registrator, labelled, projectNames bool
	// listens returns the setting by which this process listens on a port, "" if it does not; it may be nil.
	listens func(network string, at netip.AddrPort) string
	// podman is set if the engine is Podman.
	podman bool
	// container is the id of the described container, in which its own checks may run commands.
	container string
	// peer is the container whose network the described one shares, nil if it does not exist.
	peer *container.InspectResponse
	// faults are the parts of the engine's answers about both that could not be read.
	faults []lenient.Fault
}

// description is the container's registration, or the reason why it has none.
type description struct {
	// naming is that of the container as a whole, registered or not.
	naming
	// members are its instances, none if it is not registered.
	members []member
	// drain is the time for which it means to go on serving after its stop signal.
	drain time.Duration
	// skip is the reason why the container is not registered; "" if it is.
	skip     string
	warnings []Warning
	// hints are shown when the container is explained; they are not logged.
	hints []string
}

// member is one instance of a container, and the origin of its service's name.
type member struct {
	catalog.Registration
	naming
	// kept is the content of the instance's extras.
	kept extras
}

// extras are the data that the source keeps in an instance for itself and for explaining it.
type extras struct {
	ContainerID string `json:"container_id"`
	StartedAt   string `json:"started_at"`
	Image       string `json:"image"`
	// NamedBy is the rule that gave the service its name.
	NamedBy string `json:"named_by"`
	// DrainedAt is the time of the stop signal by which it drains; zero if it does not, or the time is not known.
	DrainedAt time.Time `json:"drained_at,omitzero"`
	// SignalledAt is the time of the last signal, Killed is set if one was SIGKILL.
	SignalledAt time.Time `json:"signalled_at,omitzero"`
	Killed      bool      `json:"killed,omitempty"`
	// Undrained says why it is answered after a stop signal, UndrainedAt is the time of that signal.
	Undrained   string    `json:"undrained,omitempty"`
	UndrainedAt time.Time `json:"undrained_at,omitzero"`
	// Warnings are the faults of the container's settings, Hints further facts about them, for explaining.
	Warnings []string `json:"warnings,omitempty"`
	Hints    []string `json:"hints,omitempty"`
}

// maxKeptWarnings bounds the warnings that an instance keeps.
const maxKeptWarnings = 16

// describe returns the description of a container, or an error if it breaks the catalog's limits. It depends only on its
// arguments.
func describe(c *container.InspectResponse, o options) (description, error) {
	if c.ID == "" || c.State == nil || c.Config == nil || c.HostConfig == nil {
		return description{}, catalog.Errorf(catalog.KindInvalid, "container %s: the engine's answer is incomplete", c.ID)
	}
	o.container = c.ID
	s := read(c.Config.Env, c.Config.Labels, o.registrator)
	d := description{naming: s.serviceName(c, o)}
	if d.skip = s.notWanted(c, o); d.skip != "" {
		return d, nil
	}
	d.members, d.skip = s.members(c, o, d.naming)
	if d.skip == "" {
		d.drain = s.drain()
		s.hintDrain(c, d.drain)
		s.unknown(c.Config.Labels)
		s.hintUnread()
		s.hintPassedOver(c, o, d.naming)
	}
	d.warnings, d.hints = s.warnings, s.hints
	for i := range d.members {
		m := &d.members[i]
		m.keep(c, o.faults, &d)
		if o.podman && unprobed(c) {
			m.warn("its health check has not run: Podman's are run by systemd timers, and never without systemd")
		}
		if err := m.Validate(); err != nil {
			return d, err
		}
	}
	return d, nil
}

// word returns the value of a label koine.*, or nothing if the catalog does not take it.
func (s *settings) word(key string) string {
	v := s.koine[key]
	if err := catalog.ValidateWord("label "+v.label, v.value); err != nil {
		s.warn(v.label, "%v", err)
		return ""
	}
	return v.value
}

// notWanted returns the reason why a container is not registered whatever its ports and addresses; "" if it may be.
func (s *settings) notWanted(c *container.InspectResponse, o options) string {
	if !running(c) {
		return "it is not running: " + whyNotRunning(c, o)
	}
	if isBuildStep(c) {
		return whyBuildStep
	}
	if isInfra(c) {
		return "it is the infra container of a pod, whose network the pod's own containers have"
	}
	if v, ok := s.ignored(); ok {
		return fmt.Sprintf("%s %s is %q", v.kind, v.label, v.value)
	}
	if o.labelled && len(s.koine) == 0 && !s.registrator { // Registrator's mode looks at each port's name
		return "it has no label koine.*, and --docker-expose is labelled: koine.enable=true is enough"
	}
	return s.oneOff(c)
}

// members returns the instances of a container, or the reason why it has none.
func (s *settings) members(c *container.InspectResponse, o options, n naming) ([]member, string) {
	where, skip := locate(c, s, o)
	if skip != "" {
		return nil, skip
	}
	if s.registrator {
		return s.registratorMembers(c, o, where)
	}
	if len(where.ports) == 0 {
		where.ports = s.traefikPorts(c)
	}
	ports, ignored := s.instancePorts(where.ports, where.published)
	if ignored {
		return nil, "all of its ports are ignored"
	}
	s.hintPorts(where.ports, ports)
	m := member{naming: n}
	m.Instance = s.instance(c, o, n)
	m.Instance.ID = s.instanceID(c, mainPort(ports))
	m.Instance.Ports, m.Instance.Addresses = ports, where.addresses
	m.Instance.Tags = s.tags(c, ports)
	m.Instance.Meta = s.meta(c, mainPort(ports))
	dial := dialer{addresses: where.addresses, ports: ports, host: where.host}
	m.Checks = s.memberChecks(c, o, m.Instance, dial, func(d dialer) []wanted { return s.registratorChecks(ports, d) })
	return append([]member{m}, s.portMembers(c, m)...), ""
}

// hintUnread names the variables that would be meta as labels.
func (s *settings) hintUnread() {
	if len(s.unread) > 0 {
		slices.Sort(s.unread)
		s.hint("not read from the environment: %s: meta comes from labels, or with --registrator",
			strings.Join(s.unread[:min(len(s.unread), maxUnread)], ", "))
	}
}

// running reports whether a container's process exists, paused or not.
func running(c *container.InspectResponse) bool {
	return c.State != nil && (c.State.Running || isStopping(c)) && !c.State.Restarting && !c.State.Dead
}

// isStopping reports whether a container has got its stop signal and has not ended: Podman has a state for that, which it does not
// count as running.
func isStopping(c *container.InspectResponse) bool {
	return c.State != nil && c.State.Status == stoppingState && c.State.Pid > 0
}

// stoppingState is Podman's state of a container that has got its stop signal.
const stoppingState = "stopping"

// inUse is the end of the engine's words about a port that a program has.
const inUse = "address already in use"

// portHint names the setting of Koine by which it listens on a port that a container wants, if that kept the container from being
// started; "" if not.
func portHint(c *container.InspectResponse, o options) string {
	if o.listens == nil || !strings.Contains(c.State.Error, inUse) {
		return ""
	}
	for port, bindings := range c.HostConfig.PortBindings {
		for _, b := range bindings {
			number, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil || number == 0 || !strings.Contains(c.State.Error, ":"+b.HostPort+": ") {
				continue
			}
			if by := o.listens(string(port.Proto()), netip.AddrPortFrom(b.HostIP, uint16(number))); by != "" {
				return fmt.Sprintf(": Koine has %s port %d by %s", port.Proto(), number, by)
			}
		}
	}
	return ""
}

// whyNotRunning describes the state of a container without a process.
func whyNotRunning(c *container.InspectResponse, o options) string {
	at := ""
	if end, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt); err == nil && end.Year() > 1 {
		at = " at " + end.UTC().Format(time.RFC3339)
	}
	switch {
	case c.State.Dead:
		return "it is being removed"
	case c.State.Restarting:
		return fmt.Sprintf("it exited with code %d%s, and is to be restarted", c.State.ExitCode, at)
	case c.State.Error != "" && at == "":
		return "it could not be started: " + cut(c.State.Error) + portHint(c, o)
	case c.State.Error != "":
		return "it could not be started again: " + cut(c.State.Error) + portHint(c, o) + "; it ended" + at
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

// instance returns the fields that all instances of a container have in common.
func (s *settings) instance(c *container.InspectResponse, o options, n naming) catalog.Instance {
	i := catalog.Instance{
		Node:       o.node,
		Service:    n.service,
		Weight:     s.number("weight", 0, catalog.MaxWeight),
		MinHealthy: int16(s.number("min_healthy", 0, catalog.MaxMinHealthy)),
		DNSLimit:   int16(s.number("dns_limit", 1, catalog.MaxDNSLimit)),
		Locality:   catalog.Locality{Region: s.word("region"), Zone: s.word("zone")},
		Source:     sourceName,
		Owner:      catalog.Owner{Kind: catalog.OwnerContainer, ID: c.ID},
	}
	if c.State.Paused {
		i.Drain = "paused"
	}
	return i
}

// keep puts the source's extras into the instance.
func (m *member) keep(c *container.InspectResponse, faults []lenient.Fault, d *description) {
	m.kept = extras{ContainerID: c.ID, StartedAt: c.State.StartedAt, Image: c.Config.Image, NamedBy: m.rule, Hints: d.hints}
	if len(faults) > 0 {
		m.kept.Warnings = append(m.kept.Warnings, "the engine's answer cannot be read in full: "+faultsText(faults))
	}
	for _, w := range d.warnings[:min(len(d.warnings), maxKeptWarnings)] {
		m.kept.Warnings = append(m.kept.Warnings, w.String())
	}
	m.pack()
}

// warn adds a warning to an instance. Other copies of it stay as they are.
func (m *member) warn(warning string) {
	m.kept.Warnings = append(slices.Clone(m.kept.Warnings), warning)
	m.pack()
}

// hint adds a hint to an instance, if there is one. Other copies of it stay as they are.
func (m *member) hint(hint string) {
	if hint != "" {
		m.kept.Hints = append(slices.Clone(m.kept.Hints), hint)
	}
	m.pack()
}

// pack puts the extras into the instance, with as many of the warnings and then of the hints as fit: what explains an instance
// must never make it invalid.
func (m *member) pack() {
	for kept := m.kept; ; {
		raw, err := json.Marshal(kept)
		if err != nil {
			return
		}
		switch {
		case len(raw) > catalog.MaxExtras/2 && len(kept.Hints) > 0:
			kept.Hints = kept.Hints[:len(kept.Hints)-1]
		case len(raw) > catalog.MaxExtras/2 && len(kept.Warnings) > 0:
			kept.Warnings = kept.Warnings[:len(kept.Warnings)-1]
		default:
			m.Instance.Extras = map[string]json.RawMessage{sourceName: raw}
			return
		}
	}
}

// idRoom is the room kept in an ID that is to be extended by a port, a container's short id, or a check's name.
const idRoom = 32

// extendID appends a suffix to an ID, which is cut if it is too long for that.
func extendID(id, more string) string {
	return strings.ToValidUTF8(id[:min(len(id), catalog.MaxID-idRoom)], "") + more
}

// distinguish appends the port to an instance's ID if another instance of the same container has that ID.
func (m *member) distinguish(before []member, port uint16, protocol string) {
	id, number := m.Instance.ID, ":"+strconv.Itoa(int(port))
	for _, other := range []string{id, extendID(id, number), extendID(id, number+":"+protocol)} {
		m.Instance.ID = other
		if !slices.ContainsFunc(before, func(b member) bool { return b.Instance.ID == other }) {
			return
		}
	}
}

func mainPort(ports []catalog.Port) uint16 {
	if len(ports) == 0 {
		return 0
	}
	return ports[0].Number
}

// instanceID returns the ID that the settings give, or the container's name.
func (s *settings) instanceID(c *container.InspectResponse, main uint16) string {
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

// number reads a koine label that is a whole number within bounds; 0 if it is missing or bad.
func (s *settings) number(key string, least, most int32) int32 {
	v, ok := s.koine[key]
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v.value), 10, 32)
	if err != nil || n < int64(least) || n > int64(most) {
		s.warn(v.label, "%q is not a number of %d to %d", v.value, least, most)
		return 0
	}
	return int32(n)
}
