package catalog

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// MetaProject and MetaStack are the keys of meta that hold the Compose project and the Swarm stack of a container.
const (
	MetaProject = "compose_project"
	MetaStack   = "swarm_stack"
)

// Project returns the Compose project or the Swarm stack that an instance belongs to; empty if it belongs to none.
func (i *Instance) Project() string { return cmp.Or(i.Meta[MetaProject], i.Meta[MetaStack]) }

// namesInProject yields the names that belong to an instance in its project, in lower case and some of them more than once: its
// bare names on all networks, and its service's. One without a project has none.
func (i *Instance) namesInProject() iter.Seq[string] {
	return func(yield func(string) bool) {
		if i.Project() == "" || !yield(fold(i.Service)) {
			return
		}
		for _, a := range i.Addresses {
			for _, name := range a.Names {
				if !yield(fold(name)) {
					return
				}
			}
		}
	}
}

// Resident is a container of this host as its engine knows it: running or stopped, registered or not.
type Resident struct {
	ID string
	// Project is the Compose project or the Swarm stack that it belongs to; empty if it belongs to none.
	Project string
	// Names are all of its bare names, on whatever network.
	Names []string
	// Addresses are its addresses on networks, with its names there. One without an IP is that of a container that is not
	// running.
	Addresses []Address
	// Left is the time since when the container has not been running; zero while it runs.
	Left time.Time
}

// residents are the containers of a View's host.
type residents struct {
	// byIP has the running containers, by their addresses.
	byIP map[netip.Addr]*Resident
	// claims has the time at which the last container with a name stopped; zero while one runs.
	claims map[claim]time.Time
	// vacated has the times at which running containers were last seen to have given up an address, by address.
	vacated map[netip.Addr]time.Time
	// replaced is closed when a later list takes the place of this one.
	replaced chan struct{}
}

// claim is a bare name on a network, given by its ID, or in a project.
type claim struct{ network, project, name string }

// SetResidents sets the containers of the View's host. It may be called at any time, by one goroutine at a time; before
// the first call nothing is known of them.
func (v *View) SetResidents(list []Resident) {
	r := &residents{
		byIP: make(map[netip.Addr]*Resident, len(list)), claims: make(map[claim]time.Time, 4*len(list)), replaced: make(chan struct{}),
	}
	for i := range list {
		r.add(&list[i])
	}
	before := v.residents.Load()
	r.vacate(before, time.Now())
	v.residents.Store(r)
	if before != nil {
		close(before.replaced)
	}
}

const (
	// vacatedFor is how long it is remembered that a container has had an address.
	vacatedFor = 2 * time.Hour
	// maxVacated bounds the remembered addresses; past it those that were given up first are forgotten.
	maxVacated = 4096
)

// vacate notes the addresses that those of a former list had, and keeps what that one had noted.
func (r *residents) vacate(before *residents, now time.Time) {
	if before == nil {
		return
	}
	r.vacated = make(map[netip.Addr]time.Time, len(before.vacated))
	for ip, at := range before.vacated {
		if now.Sub(at) < vacatedFor {
			r.vacated[ip] = at
		}
	}
	for ip, one := range before.byIP {
		if still := r.byIP[ip]; still == nil || still.ID != one.ID {
			r.vacated[ip] = now
		}
	}
	if excess := len(r.vacated) - maxVacated; excess > 0 {
		oldest := slices.SortedFunc(maps.Keys(r.vacated), func(a, b netip.Addr) int { return r.vacated[a].Compare(r.vacated[b]) })
		for _, ip := range oldest[:excess] {
			delete(r.vacated, ip)
		}
	}
}

func (r *residents) add(one *Resident) {
	for _, a := range one.Addresses {
		if ip := a.IP.Unmap().WithZone(""); ip.IsValid() && one.Left.IsZero() {
			r.byIP[ip] = one
		}
		for _, name := range a.Names {
			r.claim(claim{network: networkKey(a), name: fold(name)}, one.Left)
		}
	}
	if one.Project == "" {
		return
	}
	for _, name := range one.Names {
		r.claim(claim{project: one.Project, name: fold(name)}, one.Left)
	}
}

func (r *residents) claim(c claim, left time.Time) {
	before, known := r.claims[c]
	if !known || left.IsZero() || !before.IsZero() && left.After(before) {
		r.claims[c] = left
	}
}

// residentAt returns the running container of this host with an address, registered or not; nil if none is known.
func (v *View) residentAt(ip netip.Addr) *Resident {
	r := v.residents.Load()
	if r == nil {
		return nil
	}
	return r.byIP[ip]
}

// ResidentsReplaced returns a channel that is closed when more may be known of the host's containers; nil, which never is,
// before anything is.
func (v *View) ResidentsReplaced() <-chan struct{} {
	if r := v.residents.Load(); r != nil {
		return r.replaced
	}
	return nil
}

// VacatedAt returns the time at which a container was last seen to have given up an address; zero if none is known to have had it
// within the last two hours.
func (v *View) VacatedAt(ip netip.Addr) time.Time {
	if r := v.residents.Load(); r != nil {
		return r.vacated[ip.Unmap().WithZone("")]
	}
	return time.Time{}
}

// Nameless returns the bridge network that holds an address which neither the host nor any known container has: that of a
// container which has just been started, and of which the engine has not told yet. It returns false for any other
// address, and while nothing is known of the host's containers.
func (v *View) Nameless(node string, ip netip.Addr) (network string, ok bool) {
	r := v.residents.Load()
	if r == nil || ip.IsLoopback() {
		return "", false
	}
	ip = ip.Unmap().WithZone("")
	if r.byIP[ip] != nil {
		return "", false
	}
	n := v.networks.Load()
	network, ok = n.bridgeOf(ip)
	if !ok || n.isGateway(ip) {
		return "", false
	}
	on, _ := v.nodes.get(fold(node))
	if on.hasAddress(ip) || v.containerAt(on, ip) != nil {
		return "", false
	}
	return network, true
}

// OnHost reports whether an address is that of the host, or on one of its bridge networks: no packet between the two
// leaves the host.
func (v *View) OnHost(node string, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return true
	}
	if _, ok := v.networks.Load().bridgeOf(ip); ok {
		return true
	}
	on, _ := v.nodes.get(fold(node))
	return on.hasAddress(ip)
}

// bridgeOf returns the ID of the network with an address of the host whose subnet holds an address.
func (n *networks) bridgeOf(ip netip.Addr) (id string, ok bool) {
	for i := range n.list {
		network := &n.list[i]
		if len(network.Gateways) > 0 && slices.ContainsFunc(network.Subnets, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			return network.ID, true
		}
	}
	return "", false
}

// Claimed reports whether a container on one of a client's networks, or an instance of its project on any host, has a bare
// name or has had it. left is the time at which the last of them stopped or went; zero if one runs. Instances on the client's
// networks that have the name now are found by ByName.
func (v *View) Claimed(scope *Scope, name string) (left time.Time, ok bool) {
	name = fold(name)
	// In this order: a name that is noted as a former one in between was in the index before.
	if scope.Project != "" && v.byProject.has(nameIn{scope.Project, name}) {
		return time.Time{}, true
	}
	for _, id := range scope.Networks {
		left, ok = v.latest(claim{network: id, name: name}, left, ok)
	}
	if scope.Project != "" {
		left, ok = v.latest(claim{project: scope.Project, name: name}, left, ok)
	}
	return left, ok
}

// latest returns the later of a time and that of a claim, where zero is the latest.
func (v *View) latest(c claim, left time.Time, claimed bool) (time.Time, bool) {
	later := func(t time.Time) {
		if !claimed || t.IsZero() || !left.IsZero() && t.After(left) {
			left, claimed = t, true
		}
	}
	if r := v.residents.Load(); r != nil {
		if t, ok := r.claims[c]; ok {
			later(t)
		}
	}
	if t, ok := v.former.find(c); ok {
		later(t)
	}
	return left, claimed
}
