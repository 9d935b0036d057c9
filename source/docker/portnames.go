package docker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// portMembers returns a further instance of a container for each port that SERVICE_<port>_NAME gives a name of its own:
// users of Registrator look for the port under that name. Its status is that of the container's instance.
func (s *settings) portMembers(c *container.InspectResponse, main member) (members []member) {
	for n, p := range main.Instance.Ports {
		before := slices.ContainsFunc(main.Instance.Ports[:n], func(q catalog.Port) bool { return q.Number == p.Number })
		v, ok := s.ports[p.Number]["name"]
		if !ok || before {
			continue
		}
		name := s.chosenName(v)
		if name.service = catalog.SanitizeName(name.text); name.service == "" || strings.EqualFold(name.service, main.service) {
			continue // portName has warned
		}
		name.project = main.project
		m := s.portMember(c, main, name, p.Number)
		m.distinguish(append([]member{main}, members...), p.Number, p.Transport())
		m.Checks = aliasChecks(&main, &m.Instance)
		if err := m.Validate(); err != nil {
			s.warn(v.label, "%v", err)
			continue
		}
		members = append(members, m)
	}
	return members
}

// portMember makes the instance of one port.
func (s *settings) portMember(c *container.InspectResponse, main member, name naming, port uint16) member {
	m := member{naming: name, Registration: catalog.Registration{Instance: main.Instance}}
	i := &m.Instance
	i.Service = name.service
	i.Ports = slices.DeleteFunc(slices.Clone(i.Ports), func(p catalog.Port) bool { return p.Number != port })
	i.Addresses = nameless(i.Addresses)
	i.Tags, i.Meta = s.tags(c, i.Ports), s.meta(c, port)
	i.ID = extendID(i.ID, ":"+strconv.Itoa(int(port)))
	if v, ok := s.ports[port]["id"]; ok && port != mainPort(main.Instance.Ports) && catalog.ValidateID("instance", strings.TrimSpace(v.value)) == nil {
		i.ID = strings.TrimSpace(v.value)
	}
	return m
}

// nameless returns addresses without the bare names: these must find the container only once.
func nameless(addresses []catalog.Address) []catalog.Address {
	addresses = slices.Clone(addresses)
	for i := range addresses {
		addresses[i].Names = nil
	}
	return addresses
}

// aliasCheck is the name of the check by which an instance follows another one of its container.
const aliasCheck = "container"

// aliasChecks returns the checks of an instance that follows the container's: Docker's own, so that both change at one
// revision, and an alias for the rest.
func aliasChecks(main *member, i *catalog.Instance) (checks []catalog.Check) {
	alias := catalog.Check{ID: aliasCheck, Name: "instance " + main.Instance.ID}
	alias.Type, alias.AliasService, alias.InitialStatus = catalog.CheckAlias, main.Instance.ID, catalog.Passing
	for _, check := range main.Checks {
		if check.Type == catalog.CheckDocker {
			check.ID = dockerCheck
			checks = append(checks, check)
		} else {
			alias.InitialStatus = alias.InitialStatus.Worse(check.InitialStatus)
		}
	}
	return placeChecks(append(checks, alias), i)
}
