package api

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/koine-sd/koine/catalog"
)

// scopeOf returns what the client of a request can reach: on the network that the request names, or by its source
// address.
func (s *Server) scopeOf(r *http.Request, network string) (*catalog.Scope, error) {
	if network != "" {
		scope, ok := s.view.ScopeOn(network)
		if !ok {
			return nil, catalog.Errorf(catalog.KindNotFound, "no network %.100q on this host", network).
				WithHint("omit ?network= to go by your source address")
		}
		return scope, nil
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return s.view.HostScope(s.cfg.Node), nil // a connection without an address comes from this host
	}
	return s.view.ScopeOf(s.cfg.Node, from.Addr()), nil
}

// maxBodies bounds the scopes for which a snapshot keeps an encoded form.
const maxBodies = 16

// bodySet is the encoded forms of one snapshot, by the client's scope.
type bodySet struct {
	service *catalog.Service
	// latest is for the scope used last, which is nearly always the next one, too.
	latest atomic.Pointer[scopedBody]

	mu     sync.Mutex
	bodies map[*catalog.Scope]*scopedBody
}

type scopedBody struct {
	scope *catalog.Scope
	serviceBody
}

// bodyOf returns the encoded form of a snapshot for a scope.
func (s *Server) bodyOf(service *catalog.Service, scope *catalog.Scope) *serviceBody {
	set := service.Derived(s.bodies, newBodySet).(*bodySet)
	if latest := set.latest.Load(); latest != nil && latest.scope == scope {
		return &latest.serviceBody
	}
	b := set.of(s, scope)
	set.latest.Store(b)
	return &b.serviceBody
}

func newBodySet(service *catalog.Service) any { return &bodySet{service: service} }

func (set *bodySet) of(s *Server, scope *catalog.Scope) *scopedBody {
	set.mu.Lock()
	defer set.mu.Unlock()
	if b, ok := set.bodies[scope]; ok {
		return b
	}
	b := &scopedBody{scope: scope, serviceBody: s.encodeService(set.service, scope)}
	if set.bodies == nil {
		set.bodies = make(map[*catalog.Scope]*scopedBody, 1)
	}
	if len(set.bodies) < maxBodies {
		set.bodies[scope] = b
	}
	return b
}
