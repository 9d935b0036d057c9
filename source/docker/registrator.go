package docker

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

// portOnHost is a container's port with its number on the host and the addresses where it answers under that or, in the
// network of another container, its own number at that container's addresses.
type portOnHost struct {
	network.Port
	number    uint16
	addresses []catalog.Address
}

// registratorPorts returns the ports that Registrator makes services of, by number: the published ones, each under the
// number that it has at the first of the host's addresses; and without a network of its own those that the container
// exposes. The others get a hint.
func (s *settings) registratorPorts(c *container.InspectResponse, o options, where place) (ports []portOnHost) {
	mode := c.HostConfig.NetworkMode
	own := slices.DeleteFunc(slices.Clone(where.addresses), func(a catalog.Address) bool { return a.Network == catalog.NetworkHost })
	if !mode.IsContainer() || len(own) == 0 {
		own = o.hostAddresses
	}
	for _, port := range sortedPorts(exposed(c)) {
		number, addresses := port.Num(), own
		if !mode.IsHost() && !mode.IsContainer() {
			number, addresses = s.firstPublished(c, o, port)
		}
		switch {
		case number == 0:
			s.hint("port %s is exposed and not published: --registrator leaves it out", port)
		case len(addresses) == 0:
			s.warn("port "+port.String(), "published on addresses of which %s is none: left out", addressTexts(o.hostAddresses))
		case len(ports) == catalog.MaxPorts:
			s.warn("EXPOSE", "more than %d ports: the first %d are registered", catalog.MaxPorts, catalog.MaxPorts)
			return ports
		default:
			ports = append(ports, portOnHost{port, number, addresses})
		}
	}
	return ports
}

// firstPublished returns the number that a port has at the first address of the host on which it is published, and all
// addresses on which it has that number. The number is 0 if the port is not published, and there is no address if none of
// the host's is bound.
func (s *settings) firstPublished(c *container.InspectResponse, o options, port network.Port) (number uint16, addresses []catalog.Address) {
	if c.NetworkSettings == nil || len(c.NetworkSettings.Ports[port]) == 0 {
		return 0, nil
	}
	public := published(network.PortMap{port: firstNumber(c.NetworkSettings.Ports[port], o.hostAddresses)}, o.hostAddresses)
	e := &catalog.Endpoint{Instance: &catalog.Instance{Addresses: public.addresses}}
	at := public.ports[port].port(port, "")
	for _, a := range public.addresses {
		n, ok := e.PortAt(a, at)
		switch {
		case !ok || number != 0 && n != number:
			continue
		case number == 0 && a.IP.IsLoopback() && !slices.ContainsFunc(o.hostAddresses, a.Equal):
			s.doubt("port "+port.String(), "published on %s only, which no other host reaches", a)
		}
		number, addresses = n, append(addresses, a)
	}
	if number == 0 {
		return port.Num(), nil
	}
	return number, addresses
}

// firstNumber returns the bindings to the number that the engine lists first of those that answer on one of the host's addresses,
// which is Registrator's; all of them if none does.
func firstNumber(list []network.PortBinding, host []catalog.Address) []network.PortBinding {
	for _, first := range list {
		answers := func(a catalog.Address) bool { return answersOn([]netip.Addr{first.HostIP.Unmap()}, a) }
		if slices.ContainsFunc(host, answers) {
			return slices.DeleteFunc(slices.Clone(list), func(b network.PortBinding) bool { return b.HostPort != first.HostPort })
		}
	}
	return list
}

// addressTexts lists addresses for people.
func addressTexts(addresses []catalog.Address) string {
	var list []string
	for _, a := range addresses {
		list = append(list, a.String())
	}
	return strings.Join(list, ", ")
}

// registratorMembers returns one instance for each port, as Registrator has them, or the reason why there is none.
func (s *settings) registratorMembers(c *container.InspectResponse, o options, where place) (members []member, skip string) {
	ports := s.registratorPorts(c, o, where)
	switch mode := c.HostConfig.NetworkMode; {
	case len(ports) > 0:
	case mode.IsHost() || mode.IsContainer():
		return nil, "it exposes no port, and --registrator registers one instance for each"
	default:
		return nil, "none of its ports is published, and --registrator registers no other"
	}
	for _, p := range ports {
		r := registratorPort{portOnHost: p, settings: maps.Clone(s.service), own: s.ports[p.Num()]}
		maps.Copy(r.settings, r.own)
		where.addresses = p.addresses
		if skip = s.leavesOut(r, o); skip != "" {
			s.hint("port %s: %s", p.Port, skip)
			continue
		}
		if len(members) > 0 {
			where.addresses = nameless(where.addresses)
		}
		m := s.registratorMember(c, o, where, r, len(ports) > 1)
		m.distinguish(members, p.Num(), string(p.Proto()))
		m.Checks = s.memberChecks(c, o, m.Instance, registratorDialer(where, p, ports), s.registratorCheckOf(r))
		members = append(members, m)
	}
	switch {
	case len(members) > 0:
		return members, ""
	case len(ports) == 1:
		return nil, skip
	}
	return nil, "all of its ports are left out: " + skip
}

// registratorPort is one port with its effective settings: its own take precedence over the container's.
type registratorPort struct {
	portOnHost
	settings, own map[string]setting
}

// leavesOut returns the reason why a port is not registered; "" if it is. Any text at all ignores a port, as in Registrator.
func (s *settings) leavesOut(r registratorPort, o options) string {
	v := r.settings["ignore"]
	if _, overruled := s.koine["ignore"]; v.value != "" && !overruled {
		why := v.kind + " " + v.label + " is " + strconv.Quote(v.value)
		if !truth(v.value) {
			why += ", and any text but an empty one ignores with --registrator"
		}
		return why
	}
	if o.labelled && len(s.koine) == 0 && r.settings["name"].value == "" {
		return "it has no label koine.* and no SERVICE_NAME, and --docker-expose is labelled"
	}
	return ""
}

// registratorMember makes the instance of one port.
func (s *settings) registratorMember(c *container.InspectResponse, o options, where place, r registratorPort, group bool) member {
	m := member{naming: s.registratorName(c, r, group)}
	m.Instance = s.instance(c, o, m.naming)
	m.Instance.ID = s.registratorID(c, o, r)
	m.Instance.Addresses = where.addresses
	m.Instance.Ports = []catalog.Port{{Number: r.number, Protocol: string(r.Proto())}}
	m.Instance.Tags = s.registratorTags(r)
	m.Instance.Meta = s.registratorMeta(c, r)
	return m
}

// registratorNames returns the candidates for the name of all services of a container.
func (s *settings) registratorNames(c *container.InspectResponse) []naming {
	base, _, _ := strings.Cut(path.Base(c.Config.Image), ":")
	base, _, _ = strings.Cut(base, "@")
	return []naming{
		s.chosenName(s.koine["name"]), s.chosenName(s.service["name"]),
		{text: base, rule: "image " + c.Config.Image}, {text: containerName(c), rule: "container name"},
	}
}

// registratorName returns the name of a port's service: its own, or the container's, with the port appended if the container
// is a group: if it has several.
func (s *settings) registratorName(c *container.InspectResponse, r registratorPort, group bool) naming {
	candidates := s.registratorNames(c)
	v, own := r.own["name"]
	switch {
	case own && v.value == "": // an empty name removes the names given to the container
		candidates = candidates[2:]
	case own:
		candidates = append([]naming{s.chosenName(v)}, candidates...)
	}
	for _, n := range candidates {
		if n.text == "" {
			continue
		}
		if group && !own {
			n.text += "-" + strconv.Itoa(int(r.Num()))
			n.rule += ", and port " + strconv.Itoa(int(r.Num()))
		}
		if s.fit(&n) {
			n.project, _ = project(c)
			return n
		}
	}
	return naming{}
}

// registratorID returns the ID that the settings give, or HOST:CONTAINER:PORT, with :udp appended for a UDP port.
func (s *settings) registratorID(c *container.InspectResponse, o options, r registratorPort) string {
	v := r.settings["id"]
	if k, ok := s.koine["id"]; ok && r.own["id"].value == "" {
		v = k
	}
	if v.value != "" {
		err := catalog.ValidateID("instance", v.value)
		if err == nil {
			return v.value
		}
		s.warn(v.label, "%v", err)
	}
	id := o.node + ":" + containerName(c) + ":" + strconv.Itoa(int(r.Num()))
	if r.Proto() == network.UDP {
		id += ":" + string(network.UDP)
	}
	return id
}

// registratorTags returns a port's tags, or else the container's, as written, and the protocol of a UDP port.
func (s *settings) registratorTags(r registratorPort) []string {
	var tags tagList
	v := r.settings["tags"]
	if k, ok := s.koine["tags"]; ok && r.own["tags"].value == "" {
		s.addTags(&tags, k.label, list(k.value))
	} else {
		s.addTags(&tags, v.label, split(v.value))
	}
	if r.Proto() == network.UDP {
		s.addTags(&tags, "EXPOSE", []string{string(network.UDP)})
	}
	return tags
}

// registratorMeta returns the free settings of a port and the container, and koine.meta.* over them.
func (s *settings) registratorMeta(c *container.InspectResponse, r registratorPort) map[string]string {
	found := make(map[string]setting)
	collectMeta(found, "", r.settings)
	return s.boundMeta(c, found)
}

// registratorDialer returns the dialer for the checks of a port, which is their main port.
func registratorDialer(where place, main portOnHost, ports []portOnHost) dialer {
	d := dialer{addresses: where.addresses, host: where.host}
	for _, p := range append([]portOnHost{main}, ports...) {
		d.ports = append(d.ports, catalog.Port{Number: p.Num(), Protocol: string(p.Proto()), Published: p.number})
	}
	return d
}

// registratorCheckOf returns the check that the settings ask for, if any.
func (s *settings) registratorCheckOf(r registratorPort) func(dialer) []wanted {
	return func(dial dialer) []wanted {
		if w, ok := s.registratorCheck("check", checkSettings(r.settings), r.Num(), dial); ok {
			return []wanted{w}
		}
		return nil
	}
}
