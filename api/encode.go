package api

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// serviceBody is a snapshot of a service in JSON. It is stored on the snapshot, made once, and serves lookups and
// watches alike.
type serviceBody struct {
	// index is the header's value.
	index []string
	// healthy and all are the whole answers with the instances that clients get, and with all; they are the same bytes
	// if all are healthy.
	healthy, all body
	// spans are the ranges of the snapshot's endpoints within all.
	spans []span
}

// body is an answer about a service.
type body struct {
	bytes []byte
	// tail is where the service's name begins, after the index. Events put their own beginning before it.
	tail int
	// length is the value of the Content-Length header.
	length []string
	// sum is a hash of the tail: answers with the same sum have the same content.
	sum uint64
}

type span struct{ from, to int }

// encodeService encodes a snapshot for the clients of a scope; at are the marks that its index names.
func (s *Server) encodeService(service *catalog.Service, scope *catalog.Scope, at *catalog.Marks) serviceBody {
	b := serviceBody{
		index: []string{at.Position(service.Index).String()},
		spans: make([]span, 0, len(service.Endpoints)),
	}
	buffer, tail := openBody(b.index[0], service.Name, "")
	encoder := newEncoder(buffer)
	for i, e := range service.Endpoints {
		if i > 0 {
			buffer.WriteByte(',')
		}
		from := buffer.Len()
		shown := instanceOf(e, scope, false)
		shown.Origin = nil // a sixth of the bytes, for what no client of a service needs
		s.encodeInstance(buffer, encoder, &shown)
		b.spans = append(b.spans, span{from, buffer.Len()})
	}
	b.all = s.closeBody(buffer, tail)
	b.healthy = b.all
	if len(service.Healthy) != len(service.Endpoints) {
		b.healthy = s.assemble(service, &b, service.Healthy)
	}
	return b
}

// openBody begins a body. The fields of more go between the name and the instances.
func openBody(index, name, more string) (buffer *bytes.Buffer, tail int) {
	buffer = new(bytes.Buffer)
	buffer.WriteString(`{"index":"`)
	buffer.WriteString(index)
	buffer.WriteString(`",`)
	tail = buffer.Len()
	buffer.WriteString(`"service":`)
	quoted, _ := json.Marshal(name) // a string can always be encoded
	buffer.Write(quoted)
	buffer.WriteString(more)
	buffer.WriteString(`,"instances":[`)
	return buffer, tail
}

func (s *Server) closeBody(buffer *bytes.Buffer, tail int) body {
	buffer.WriteString("]}\n")
	b := body{bytes: slices.Clip(buffer.Bytes()), tail: tail}
	b.length = []string{strconv.Itoa(len(b.bytes))}
	b.sum = maphash.Bytes(s.seed, b.bytes[tail:])
	return b
}

// assemble makes the body for some of a snapshot's endpoints, given in the snapshot's order, from the encoded ones.
func (s *Server) assemble(service *catalog.Service, from *serviceBody, wanted []*catalog.Endpoint) body {
	buffer, tail := openBody(from.index[0], service.Name, "")
	for i, e := range service.Endpoints {
		if len(wanted) == 0 {
			break
		}
		if e != wanted[0] {
			continue
		}
		if buffer.Bytes()[buffer.Len()-1] != '[' {
			buffer.WriteByte(',')
		}
		buffer.Write(from.all.bytes[from.spans[i].from:from.spans[i].to])
		wanted = wanted[1:]
	}
	return s.closeBody(buffer, tail)
}

// selectBody returns the body of the endpoints that a query wants of a snapshot; nearer ones come first, if a place is
// given.
func (s *Server) selectBody(
	service *catalog.Service, at *catalog.Marks, q *catalog.Query, scope *catalog.Scope, near *catalog.Locality,
) body {
	if near != nil {
		return s.nearBody(service, at, q, scope, *near)
	}
	b := s.bodyOf(service, scope, at)
	if len(q.Tags) == 0 && len(q.Meta) == 0 {
		switch q.Health {
		case catalog.OnlyHealthy:
			return b.healthy
		case catalog.AnyHealth:
			return b.all
		}
	}
	return s.assemble(service, b, service.Select(*q))
}

// emptyBody is the body of a service that does not exist, by its index.
func (s *Server) emptyBody(name string, index catalog.Position) body {
	buffer, tail := openBody(index.String(), strings.ToLower(name), "")
	return s.closeBody(buffer, tail)
}

func newEncoder(buffer *bytes.Buffer) *json.Encoder {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	return encoder
}

// encodeInstance appends an instance. Extras that are not JSON are left out: one bad record must not hide a service.
func (s *Server) encodeInstance(buffer *bytes.Buffer, encoder *json.Encoder, shown *client.Instance) {
	if err := encoder.Encode(shown); err != nil {
		s.log.Error("encode instance", "node", shown.Node, "instance", shown.ID, "err", err)
		shown.Extras = nil
		_ = encoder.Encode(shown) // all that is left can always be encoded
	}
	buffer.Truncate(buffer.Len() - 1) // the encoder ends with a line break
}

// instanceOf returns an endpoint as the API shows it to the clients of a scope.
func instanceOf(e *catalog.Endpoint, scope *catalog.Scope, outputs bool) client.Instance {
	shown := client.Instance{
		Instance: *e.Instance, Status: e.Status, Healthy: e.Healthy(), WhyNot: e.WhyNot(),
		CreateRevision: e.CreateRevision, ModRevision: e.ModRevision,
	}
	shown.Locality, shown.Origin = e.Place(), e.Author()
	shown.Address, shown.Port = dial(e, scope)
	for _, c := range e.Checks {
		shown.Checks = append(shown.Checks, checkOf(c, outputs))
	}
	return shown
}

// dial returns the address that a client would use, empty if it can reach none, and the number of the first port that
// answers there, 0 if the instance has no port.
func dial(e *catalog.Endpoint, scope *catalog.Scope) (address string, port uint16) {
	at := scope.Target(e, nil)
	switch {
	case len(at.Addresses) > 0:
		return at.Addresses[0].String(), at.Number
	case len(e.Ports) > 0:
		return "", e.Ports[0].Number
	default:
		return "", 0
	}
}

func checkOf(c *catalog.Check, output bool) client.CheckStatus {
	shown := client.CheckStatus{ID: c.ID, Name: c.Name, Type: c.Type, Status: c.Status, Since: c.Since}
	if output {
		shown.Output = c.Output
	}
	return shown
}
