package catalog

import (
	"net/netip"
	"slices"
)

// Target is where a client reaches an instance by one of its ports.
type Target struct {
	// Addresses are those at which the port answers, nearest first; empty if the client reaches none.
	Addresses []Address
	// Port is the port, nil if there is none. Number is the port's number at the first of the addresses.
	Port   *Port
	Number uint16
}

// Target returns where a client reaches an endpoint by the first of its ports that wanted accepts and that answers at an
// address within the client's reach. A nil function accepts every port. An endpoint without ports is reached at all of
// its addresses. All protocols answer with a Target, and so does what explains their answers: a port is never given
// beside an address at which it does not answer.
func (s *Scope) Target(e *Endpoint, wanted func(*Port) bool) Target {
	if len(e.Ports) == 0 {
		return Target{Addresses: s.Reach(e)}
	}
	reached := s.Reach(e)
	for i := range e.Ports {
		p := &e.Ports[i]
		if wanted != nil && !wanted(p) {
			continue
		}
		if at := e.answering(reached, *p); len(at) > 0 {
			number, _ := e.PortAt(at[0], *p)
			return Target{Addresses: at, Port: p, Number: number}
		}
	}
	return Target{}
}

// answering returns those of an endpoint's addresses at which one of its ports answers.
func (e *Endpoint) answering(addresses []Address, p Port) []Address {
	silent := func(a Address) bool {
		_, ok := e.PortAt(a, p)
		return !ok
	}
	if !slices.ContainsFunc(addresses, silent) {
		return addresses
	}
	return slices.DeleteFunc(slices.Clone(addresses), silent)
}

// Reach returns the addresses of an endpoint that a client can reach: those on a network that it is on, in the
// instance's order of preference, then those that every client can reach, then those of the host at which a port of the
// endpoint answers. It is nil if there is none.
func (s *Scope) Reach(e *Endpoint) []Address {
	all := e.Reach()
	if s.Everything {
		return preferOthers(all)
	}
	if s.inOrder(e, all) {
		return all
	}
	var reached []Address
	for want := sharedNetwork; want < unreachable; want++ {
		for _, a := range all {
			if s.distance(e, a) == want {
				reached = append(reached, a)
			}
		}
	}
	return reached
}

// preferOthers returns addresses without loopback ones, of use to one host only, unless there are no others.
func preferOthers(all []Address) []Address {
	loopback := func(a Address) bool { return a.IP.Unmap().IsLoopback() }
	other := func(a Address) bool { return !loopback(a) }
	if !slices.ContainsFunc(all, loopback) || !slices.ContainsFunc(all, other) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), loopback)
}

// distance ranks addresses by how far they are from a client.
type distance uint8

const (
	sharedNetwork distance = iota // on a network that the client is on
	anyNetwork                    // on no network in particular, or on that around the host
	hostAddress                   // on the host, where ports are published
	unreachable                   // where the client cannot reach it
)

// distance returns how far an endpoint's address is from the client.
func (s *Scope) distance(e *Endpoint, a Address) distance {
	switch {
	case a.IP.Unmap().IsLoopback() && (!s.Host || s.Node != fold(e.Instance.Node)):
		return unreachable
	case a.Network != "" && a.Network != NetworkHost && s.On(networkKey(a)):
		return sharedNetwork
	case a.Network == "", a.Routed:
		return anyNetwork
	case a.Network == NetworkHost && e.answersAt(a):
		return hostAddress
	default:
		return unreachable
	}
}

// inOrder reports whether a client can reach all of the addresses, and they are ordered from near to far.
func (s *Scope) inOrder(e *Endpoint, all []Address) bool {
	last := sharedNetwork
	for _, a := range all {
		d := s.distance(e, a)
		if d == unreachable || d < last {
			return false
		}
		last = d
	}
	return true
}

// answersAt reports whether anything of an endpoint answers at an address of the host: a port that is published there, or
// all of it if it has no other network.
func (e *Endpoint) answersAt(a Address) bool {
	if len(e.Ports) == 0 {
		return e.onHostOnly()
	}
	return slices.ContainsFunc(e.Ports, func(p Port) bool {
		_, ok := e.PortAt(a, p)
		return ok
	})
}

// onHostOnly reports whether an endpoint has no network but the host's.
func (e *Endpoint) onHostOnly() bool {
	return !slices.ContainsFunc(e.Reach(), func(a Address) bool { return a.Network != NetworkHost })
}

// PortAt returns the number under which a port of the endpoint answers at one of its addresses; false if it does not,
// because it is not published there.
func (e *Endpoint) PortAt(a Address, p Port) (number uint16, ok bool) {
	if a.Network != NetworkHost {
		return p.Number, true
	}
	if number = p.publishedAt(a); number != 0 {
		return number, true
	}
	// A service on the host's own network answers under its own number.
	return p.Number, !p.IsPublished() && e.onHostOnly()
}

// IsPublished reports whether a port is published on any address of the host.
func (p Port) IsPublished() bool { return p.Published != 0 || len(p.Bindings) > 0 }

// publishedAt returns the number of a port at an address of the host, 0 if it is not published there.
func (p Port) publishedAt(a Address) uint16 {
	ip := a.IP.Unmap()
	var family uint16
	for _, b := range p.Bindings {
		switch bound := b.Addr().Unmap(); {
		case bound == ip:
			return b.Port()
		case family == 0 && ofFamily(bound, a):
			family = b.Port()
		}
	}
	if family != 0 {
		return family
	}
	return p.Published
}

// ofFamily reports whether a binding is to all addresses of the host of an address's family. A host name may stand for
// either family.
func ofFamily(bound netip.Addr, a Address) bool {
	return bound.IsUnspecified() && (a.Host != "" || bound.Is4() == a.IP.Unmap().Is4())
}
