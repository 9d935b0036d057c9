package dns

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/koine-sd/koine/catalog"
)

// goneFor is the time after the end of a name's last container for which the name is empty, and not denied: the container
// is most likely being recreated, and clients keep denials.
const goneFor = time.Minute

// bareness is how far a bare name may lead from the networks of the client.
type bareness uint8

const (
	// notBare is for full names, which lead to all instances.
	notBare bareness = iota
	// bareName is a name that no container near the client has had. It leads to no other project, unless that project's
	// instance is on a network of the client.
	bareName
	// bareClaimed is a name that a container near the client has had. It leads to the client's own project alone; a client
	// without a project follows a service without one to another host.
	bareClaimed
)

// admits reports whether an instance may be the answer.
func (v *vantage) admits(e *catalog.Endpoint, node string) bool {
	if v.bare == notBare {
		return true
	}
	project := e.Project()
	switch {
	case project == v.scope.Project && project != "":
		return true
	case v.bare == bareClaimed:
		return project == v.scope.Project && (e.Owner.Kind != catalog.OwnerContainer || !strings.EqualFold(e.Node, node))
	case project == "" || v.scope.Project == "":
		return true
	default:
		return sharesNetwork(e, v.scope)
	}
}

// sharesNetwork reports whether an instance is on a network of the client where containers find one another by name.
func sharesNetwork(e *catalog.Endpoint, scope *catalog.Scope) bool {
	return slices.ContainsFunc(e.Instance.Addresses, func(a catalog.Address) bool {
		return len(a.Names) > 0 && scope.On(networkOf(a))
	})
}

// resolveNeighbour answers a client on a network for the names that Docker's own name server would answer, those of
// containers there, bare or followed by the network's; and besides these for the bare names of services, and for what is
// below a bare name. It returns false for names that belong elsewhere.
func (s *Server) resolveNeighbour(req *request) (plan, bool) {
	if !hasNeighbours(req.client.scope) || len(req.labels) == 0 {
		return plan{}, false
	}
	if !s.view.Ready() {
		// The owner of a longer name is not known yet. Most are not ours.
		return notReady(), len(req.labels) == 1
	}
	text := strings.Join(req.labels, ".")
	if a, ok := s.resolveBare(text, len(req.labels) == 1, req); ok {
		return a, true
	}
	if len(req.labels) == 1 || !ofNeighbour(req.qtype) || s.upstream.zoneOf(req.labels) != nil {
		return plan{}, false
	}
	return s.resolveBelow(text, req)
}

// resolveBare answers for a name that is a container's, has been one, or is a service's. Of the names of more than one label
// only those of containers are ours.
func (s *Server) resolveBare(text string, single bool, req *request) (plan, bool) {
	if found := s.neighbours(text, req.client.scope); len(found) > 0 {
		return plan{zone: s.bare, set: neighbourSets(found).find(req.qtype), limit: s.limitFor(found)}, true
	}
	left, claimed := s.claimed(text, req.client.scope)
	if single {
		bare := bareName
		if claimed {
			bare = bareClaimed
		}
		if s.leads(req.labels[0], bare, req.client.scope) {
			return s.bareService(s.resolveService(name{service: req.labels[0], bare: bare}, req)), true
		}
	}
	switch {
	case !ofNeighbour(req.qtype) || !claimed && !single:
		return plan{}, false
	case claimed && (left.IsZero() || time.Since(left) < goneFor):
		return plan{zone: s.bare}, true
	case single && s.serves(req.labels[0]):
		return s.withheld(req.labels[0], claimed), true
	default:
		return plan{zone: s.bare, rcode: dns.RcodeNameError}, true
	}
}

// withheld denies a bare name that another client, or its full name, leads to a service.
func (s *Server) withheld(service string, claimed bool) plan {
	why := "services of another project do not answer to bare names"
	if claimed {
		why = "a container here has had this name"
	}
	return plan{
		zone: s.bare, rcode: dns.RcodeNameError, extended: dns.ExtendedErrorCodeFiltered,
		reason: why + ": the service is " + service + ".service." + s.Domain(),
	}
}

// claimed reports whether a name, with or without a network's at its end, is or was that of a container near the client,
// and when the last of them went.
func (s *Server) claimed(text string, scope *catalog.Scope) (left time.Time, claimed bool) {
	if left, claimed = s.view.Claimed(scope, text); claimed {
		return left, claimed
	}
	for front, network := range s.onNetworks(text, scope) {
		last, ok := s.view.Claimed(&catalog.Scope{Networks: []string{network}}, front)
		if ok && (!claimed || last.IsZero() || !left.IsZero() && last.After(left)) {
			left, claimed = last, true
		}
	}
	return left, claimed
}

// onNetworks yields what stands in a name before the name of one of the client's networks, or that in its Compose file, with the
// network's ID. Several networks may have the same name in Compose files.
func (s *Server) onNetworks(text string, scope *catalog.Scope) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, id := range scope.Networks {
			network, _ := s.view.Network(id)
			for _, behind := range []string{network.Name, network.Short} {
				if front, ok := cutLabels(text, behind); ok && !yield(front, id) {
					return
				}
			}
		}
	}
}

// cutLabels cuts a network's name and the dot before it off the end of a name. It returns false if it does not end so.
func cutLabels(text, network string) (front string, ok bool) {
	at := len(text) - len(network)
	if network == "" || at < 2 || text[at-1] != '.' || !strings.EqualFold(text[at:], network) {
		return "", false
	}
	return text[:at-1], true
}

// serves reports whether a service has instances.
func (s *Server) serves(service string) bool {
	found := s.view.Service(service)
	return found != nil && len(found.Endpoints) > 0
}

// leads reports whether a bare name leads a client to a service.
func (s *Server) leads(service string, bare bareness, scope *catalog.Scope) bool {
	found, v := s.view.Service(service), vantage{scope: scope, bare: bare}
	return found != nil && slices.ContainsFunc(found.Endpoints, func(e *catalog.Endpoint) bool { return v.admits(e, s.node) })
}

// resolveBelow answers for a name below a bare name of the client's: for a port of that name in the form of RFC 2782, and by
// a denial for any other. Asking the upstream resolvers would tell them the names of containers, and take until they have
// answered. It returns false for names that belong elsewhere.
func (s *Server) resolveBelow(text string, req *request) (plan, bool) {
	for i := 1; i < len(req.labels); i++ {
		text = text[len(req.labels[i-1])+1:]
		above := req.labels[i:]
		if !s.bareForm(text, above, req.client.scope) || s.isPublic(above[len(above)-1]) && !allUnderscored(req.labels[:i]) {
			continue
		}
		if a, ok := s.resolvePort(text, req.labels[:i], above, req); ok {
			return a, true
		}
	}
	return plan{}, false
}

// bareForm reports whether a name is of one label, or such a one followed by a network of the client.
func (s *Server) bareForm(text string, labels []string, scope *catalog.Scope) bool {
	if len(labels) == 1 {
		return true
	}
	for front := range s.onNetworks(text, scope) {
		if front == labels[0] {
			return true
		}
	}
	return false
}

// privateTops are the domains that private networks have at the top (RFC 6762, Appendix G).
var privateTops = []string{"local", "intranet", "internal", "private", "corp", "home", "lan"}

// isPublic reports whether a label is a top-level domain, below which others have names whatever containers are called.
func (s *Server) isPublic(top string) bool {
	_, listed := publicsuffix.PublicSuffix("a." + top)
	return listed || slices.Contains(privateTops, top)
}

func allUnderscored(labels []string) bool {
	return !slices.ContainsFunc(labels, func(label string) bool { return !underscored(label) })
}

// resolvePort answers for the labels before a name that is a container's or a service's. It returns false if the name is
// neither.
func (s *Server) resolvePort(text string, front, above []string, req *request) (plan, bool) {
	want := parseService(append(slices.Clone(front), above[0]))
	found := s.neighbours(text, req.client.scope)
	_, claimed := s.claimed(text, req.client.scope)
	bare := bareName
	if claimed {
		bare = bareClaimed
	}
	service := len(above) == 1 && s.leads(above[0], bare, req.client.scope)
	isPort := want.kind == nameService && want.want.port != ""
	switch {
	case len(found) == 0 && !claimed && !service:
		return plan{}, false
	case want.kind == nameProtocol:
		return plan{zone: s.bare}, true
	case isPort && len(found) > 0:
		a := neighbourPorts(found, want.want, req.qtype)
		a.limit = s.limitFor(found)
		return s.bareService(a), true
	case isPort && service:
		want.bare = bare
		return s.bareService(s.resolveService(want, req)), true
	default:
		return plan{zone: s.bare, rcode: dns.RcodeNameError}, true
	}
}

// neighbourPorts answers for a port of the containers of a name.
func neighbourPorts(found []neighbour, want selector, qtype uint16) plan {
	var addresses addressBuilder
	var srv setBuilder
	var matched []*catalog.Endpoint
	for _, n := range found {
		port := want.namedPort(n.endpoint.Ports)
		if port == nil {
			continue
		}
		at, weight := targetOf(n.addresses), weightOf(n.endpoint)
		matched = append(matched, n.endpoint)
		addresses.add(at, weight)
		srv.addSRV(at, port.Number, record{weight: uint32(weight)}, srvPriority)
	}
	if len(matched) == 0 {
		return plan{rcode: dns.RcodeNameError}
	}
	sets := serviceSets{
		addressSets: addresses.build(), srv: srv.finishSRV(),
		txt: sync.OnceValue(func() *recordSet { return metaOf(matched) }),
	}
	return plan{set: sets.find(qtype), hosts: sets.hostsFor(qtype)}
}

// bareService puts SRV targets below the first domain.
func (s *Server) bareService(a plan) plan {
	a.zone = s.zones[0]
	if a.set == nil {
		a.zone = s.bare
	}
	return a
}

// resolveNeighbourApex answers for the name of one of the server's own domains that a container near the client has, too:
// the addresses are the container's, as the domain has none. It returns false for other types, and if no container has the
// name.
func (s *Server) resolveNeighbourApex(z *zone, req *request) (plan, bool) {
	if req.qtype != dns.TypeA && req.qtype != dns.TypeAAAA || !hasNeighbours(req.client.scope) {
		return plan{}, false
	}
	found := s.neighbours(strings.Join(req.labels, "."), req.client.scope)
	if len(found) == 0 {
		return plan{}, false
	}
	return plan{zone: z, set: neighbourSets(found).find(req.qtype), limit: s.limitFor(found)}, true
}

// ofNeighbour reports whether a type is one that clients ask of a host. Questions of another type about a name of one
// label concern a top-level domain, and a validating resolver needs their answers.
func ofNeighbour(qtype uint16) bool {
	switch qtype {
	case dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeRRSIG:
		return false
	default:
		return true
	}
}
