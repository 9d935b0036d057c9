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

// scopedBody names the marks of the time when it was made in its index, and must not be used with others: once the store has
// forgotten a mark, a client that waits with it is answered at once, each time.
type scopedBody struct {
	scope *catalog.Scope
	marks *catalog.Marks
	serviceBody
}

// bodyOf returns the encoded form of a snapshot for a scope. The marks must have been read before the snapshot was.
func (s *Server) bodyOf(service *catalog.Service, scope *catalog.Scope, at *catalog.Marks) *serviceBody {
	set := service.Derived(s.bodies, newBodySet).(*bodySet)
	if latest := set.latest.Load(); latest != nil && latest.scope == scope && latest.marks == at {
		return &latest.serviceBody
	}
	b := set.of(s, scope, at)
	set.latest.Store(b)
	return &b.serviceBody
}

func newBodySet(service *catalog.Service) any { return &bodySet{service: service} }

func (set *bodySet) of(s *Server, scope *catalog.Scope, at *catalog.Marks) *scopedBody {
	set.mu.Lock()
	defer set.mu.Unlock()
	if b, ok := set.bodies[scope]; ok && b.marks == at {
		return b
	}
	b := &scopedBody{scope: scope, marks: at, serviceBody: s.encodeService(set.service, scope, at)}
	if set.bodies == nil {
		set.bodies = make(map[*catalog.Scope]*scopedBody, 1)
	}
	if _, replaces := set.bodies[scope]; replaces || len(set.bodies) < maxBodies {
		set.bodies[scope] = b
	}
	return b
}
