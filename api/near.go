package api

import (
	"net/http"
	"net/netip"
	"strconv"

	"github.com/koine-sd/koine/catalog"
)

// nearSelf is the value of ?near= for the client's own place.
const nearSelf = "_self"

// placeOf returns the place that ?near= names; nil if it was not given.
func (s *Server) placeOf(r *http.Request, near string) (*catalog.Locality, error) {
	if near == "" {
		return nil, nil
	}
	if near == nearSelf {
		from, _ := netip.ParseAddrPort(r.RemoteAddr) // without an address it comes from this host
		at := s.view.PlaceOf(s.cfg.Node, from.Addr())
		return &at, nil
	}
	at, err := s.view.PlaceNamed(near)
	return &at, err
}

// nearBody returns the body for the instances of a snapshot that a query selects, nearer ones first, and the number of them
// to use.
func (s *Server) nearBody(service *catalog.Service, marks *catalog.Marks, q *catalog.Query, scope *catalog.Scope, at catalog.Locality) body {
	from := s.bodyOf(service, scope, marks)
	places := make(map[*catalog.Endpoint]span, len(service.Endpoints))
	for i, e := range service.Endpoints {
		places[e] = from.spans[i]
	}
	list, enough := service.Nearest(*q, at, func(e *catalog.Endpoint) bool { return len(scope.Reach(e)) > 0 })
	buffer, tail := openBody(from.index[0], service.Name, `,"nearest":`+strconv.Itoa(enough))
	for i, e := range list {
		if i > 0 {
			buffer.WriteByte(',')
		}
		at := places[e]
		buffer.Write(from.all.bytes[at.from:at.to])
	}
	return s.closeBody(buffer, tail)
}
