package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// explainParams say what to explain, and to which client.
type explainParams struct {
	reading
	// Name is a service, an instance or a container.
	Name string
	// As is the client: an instance or an IP address; empty means this host.
	As string
}

func (p *explainParams) fields() []field {
	return append([]field{text("name", &p.Name), text("as", &p.As)}, p.reading.fields()...)
}

// explain answers GET /explain: for each instance of a service, or with an ID, what is known and which protocols show it; for
// what is not registered, the reason.
func (s *Server) explain(w http.ResponseWriter, r *http.Request, p explainParams) error {
	name := p.Name
	if name == "" {
		return missing("name", "a service or an instance")
	}
	scope, err := s.scopeAs(p.As)
	if err != nil {
		return err
	}
	revision := s.view.Revision()
	list := client.ExplanationList{Explanations: []client.Explanation{}}
	found, left, failed := s.meant(r.Context(), name)
	list.LeftOut = left
	owners := &owners{server: s}
	for _, e := range found {
		x := s.explanation(e, scope)
		owners.explain(r.Context(), &x, e)
		list.Explanations = append(list.Explanations, x)
	}
	if len(list.Explanations)+len(list.LeftOut) == 0 {
		return unknown(name, failed)
	}
	s.stamp(w, revision, catalog.Position{})
	return s.writeJSON(w, list)
}

// meant returns what a name stands for: itself or, if nothing has it, the name that it becomes where names must be fit for
// DNS, as that of a container with a dot.
func (s *Server) meant(ctx context.Context, name string) (found []*catalog.Endpoint, left []catalog.LeftOut, failed error) {
	names := []string{name}
	if fit := catalog.SanitizeName(name); fit != "" && fit != name {
		names = append(names, fit)
	}
	for _, name := range names {
		instances, left, err := s.seen(ctx, name)
		failed = cmp.Or(failed, err)
		if found = s.named(name, instances); len(found)+len(left) > 0 {
			return found, left, nil
		}
	}
	return nil, nil, failed
}

// seen asks the sources of this host.
func (s *Server) seen(ctx context.Context, name string) (instances []string, left []catalog.LeftOut, err error) {
	if s.cfg.Explainer == nil {
		return nil, nil, nil
	}
	return s.cfg.Explainer.Explain(ctx, name)
}

// unknown is the error for a name of which nothing is known. Its hint names the source that could not be asked, if there was
// one.
func unknown(name string, failed error) error {
	err := catalog.Errorf(catalog.KindNotFound, "no service, no instance and no container %.100s", name)
	if failed != nil {
		return err.WithHint("%v", failed)
	}
	return err.WithHint("it was never registered, or has been removed: ask the Koine of the node that it should run on, or its log")
}

// named returns the instances of a service, those with an ID, and some of this node, each once; if there are none, those
// of a container with that ID.
func (s *Server) named(name string, own []string) []*catalog.Endpoint {
	var list []*catalog.Endpoint
	add := func(e *catalog.Endpoint) {
		if e != nil && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	if service := s.view.Service(name); service != nil {
		list = append(list, service.Endpoints...)
	}
	for e := range s.view.ByID(name) {
		add(e)
	}
	for _, id := range own {
		add(s.view.Instance(s.cfg.Node, id))
	}
	if len(list) == 0 && len(name) >= minContainerID {
		return s.ofContainer(name)
	}
	return list
}

// minContainerID is the least number of a container id's digits that a name must have: as many as Docker shows.
const minContainerID = 12

// ofContainer returns the instances of containers by the beginning of their id, on any node.
func (s *Server) ofContainer(id string) (list []*catalog.Endpoint) {
	for _, node := range s.view.Nodes() {
		for e := range node.Endpoints.All() {
			if e.Owner.Kind == catalog.OwnerContainer && strings.HasPrefix(e.Owner.ID, id) {
				list = append(list, e)
			}
		}
	}
	return list
}

// scopeAs returns the scope of the client to explain for: an IP address, an instance, or by default this host.
func (s *Server) scopeAs(as string) (*catalog.Scope, error) {
	if as == "" {
		return s.view.HostScope(s.cfg.Node), nil
	}
	if ip, err := netip.ParseAddr(as); err == nil {
		return s.view.ScopeOf(s.cfg.Node, ip), nil
	}
	for e := range s.view.ByID(as) {
		return s.view.ScopeOfInstance(e), nil
	}
	return nil, catalog.Errorf(catalog.KindNotFound, "unknown client %.100q", as).
		WithHint("name an instance or an IP address")
}

func (s *Server) explanation(e *catalog.Endpoint, scope *catalog.Scope) client.Explanation {
	x := client.Explanation{
		Instance: instanceOf(e, scope, true), Drained: e.Drained,
	}
	notes := noted(e.Instance)
	x.NamedBy, x.Warnings, x.Hints = notes.NamedBy, notes.Warnings, notes.Hints
	at := scope.Target(e, nil)
	var addresses []string
	for _, a := range at.Addresses {
		addresses = append(addresses, a.String())
	}
	names := []string{e.Service + ".service." + cmp.Or(s.cfg.Domain, "koine")}
	for _, tag := range e.Tags {
		if catalog.ValidateName("tag", tag) == nil {
			names = append(names, tag+"."+names[0])
		}
	}
	given, why := s.given(e)
	limit, overruled := s.limitOf(e)
	if overruled != "" {
		x.Warnings = append(x.Warnings, overruled)
	}
	x.Doors = []client.DoorView{
		{Door: "http", Names: []string{root + "/services/" + e.Service}, Visible: given, Why: why, Addresses: addresses, Port: at.Number},
		{Door: "dns", Names: names, Visible: given, Why: why, Limit: limit, Addresses: addresses, Port: at.Number},
	}
	if len(e.Ports) == 0 {
		x.Doors[0].Without = "port: it has none, so the answer names only its address"
		x.Doors[1].Without = "SRV: it has no port; A and AAAA are answered"
	}
	if given && len(at.Addresses) == 0 {
		x.Doors[0].Without = "an address: " + whyUnreached(e, scope)
		x.Doors[1].Visible, x.Doors[1].Why = false, whyUnreached(e, scope)
	}
	if (s.cfg.ResolvesHosts == nil || !s.cfg.ResolvesHosts()) && s.hiddenByAddresses(e, scope) {
		x.Doors[1].Without = "A and AAAA: it has a host name, other instances have addresses, and there is no resolver to ask (--upstream); SRV names it"
		if len(e.Ports) == 0 {
			x.Doors[1].Without = "A, AAAA and SRV: it has a host name and no port, and other instances have addresses"
		}
	}
	return x
}

// limitOf returns the limit of DNS answers about an instance's service, 0 if there is none, and what is to be said if that of the
// instance is not the one that counts.
func (s *Server) limitOf(e *catalog.Endpoint) (limit int, overruled string) {
	service := s.view.Service(e.Service)
	if service == nil || service.DNSLimit == 0 || int(e.DNSLimit) == service.DNSLimit {
		return int(e.DNSLimit), ""
	}
	i := slices.IndexFunc(service.Endpoints, func(other *catalog.Endpoint) bool { return int(other.DNSLimit) == service.DNSLimit })
	first := service.Endpoints[i]
	own := "it has no dns_limit"
	if e.DNSLimit != 0 {
		own = fmt.Sprintf("its dns_limit of %d has no effect", e.DNSLimit)
	}
	return service.DNSLimit, fmt.Sprintf("%s: %s on node %s has %d, and the smallest of a service counts",
		own, first.ID, first.Instance.Node, service.DNSLimit)
}

// hiddenByAddresses reports whether an instance has only a host name, and others of its service have addresses: unless the name
// is resolved, A and AAAA lack the instance.
func (s *Server) hiddenByAddresses(e *catalog.Endpoint, scope *catalog.Scope) bool {
	hasIP := func(other *catalog.Endpoint) bool {
		return slices.ContainsFunc(scope.Target(other, nil).Addresses, func(a catalog.Address) bool { return a.IP.IsValid() })
	}
	service := s.view.Service(e.Service)
	return service != nil && len(scope.Target(e, nil).Addresses) > 0 && !hasIP(e) && slices.ContainsFunc(service.Healthy, hasIP)
}

// given reports whether answers contain an instance. The reason says why they do not, or why they do in spite of its health.
func (s *Server) given(e *catalog.Endpoint) (given bool, why string) {
	service := s.view.Service(e.Service)
	if service == nil || !slices.ContainsFunc(service.Healthy, func(other *catalog.Endpoint) bool {
		return other.ID == e.ID && other.Instance.Node == e.Instance.Node
	}) {
		return false, e.WhyNot()
	}
	if why = e.WhyNot(); why != "" {
		why += "; answered all the same, because the service is below its min_healthy"
	}
	return true, why
}

// notes are what an instance's source has recorded in its extras.
type notes struct {
	// NamedBy is the rule that named the service.
	NamedBy string `json:"named_by"`
	// Warnings are the faults in the settings, Hints further facts about them.
	Warnings []string `json:"warnings"`
	Hints    []string `json:"hints"`
	// DrainedAt is the time of the signal by which it drains; zero if it is not known.
	DrainedAt time.Time `json:"drained_at"`
}

// noted returns what an instance's source has recorded; nothing if that cannot be read.
func noted(i *catalog.Instance) notes {
	var n notes
	if json.Unmarshal(i.Extras[i.Source], &n) != nil {
		return notes{}
	}
	return n
}

// ingress is the network by which Swarm publishes ports. The engine does not say which.
const ingress = "ingress"

// whyUnreached returns the reason why a client reaches no address of an instance.
func whyUnreached(e *catalog.Endpoint, scope *catalog.Scope) string {
	if len(e.Reach()) == 0 {
		return "it has no address"
	}
	var networks, published []string
	for _, a := range e.Reach() {
		if a.Network != catalog.NetworkHost {
			networks = append(networks, a.Network)
			continue
		}
		for _, p := range e.Ports {
			if number, ok := e.PortAt(a, p); ok {
				published = append(published, net.JoinHostPort(a.String(), strconv.Itoa(int(number))))
			}
		}
	}
	why := "it "
	if networks = slices.Compact(networks); len(networks) > 0 {
		why += "is on " + strings.Join(networks, ", ") + ", and "
	}
	switch {
	case len(published) > 0: // on loopback addresses: any other would be reached
		why += "publishes " + strings.Join(published, " and ") + " only, where none but its own host reaches it"
	case slices.Contains(networks, ingress):
		why += "publishes no port itself: those that Swarm publishes are not known"
	default:
		why += "publishes no port"
	}
	why += "; the client is on "
	if len(scope.Networks) == 0 {
		return why + "no network known here"
	}
	return why + "other networks"
}
