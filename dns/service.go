package dns

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// serviceAnswers is what the server derives from a service's snapshot. It hangs on the snapshot and dies with it.
type serviceAnswers struct {
	service *catalog.Service
	// known are the selectors that an instance answers to, healthy or not; those of a tag or a port have no other field.
	known map[selector]struct{}
	// kinds are the answers for the kinds of asker that have asked, the latest last; the list is replaced as a whole.
	kinds atomic.Pointer[[]*kindAnswers]
}

// kindAnswers is the answers for one kind of asker.
type kindAnswers struct {
	kind kind
	// sets holds *serviceSets by selector, only for those that are known, each made when it is first asked for.
	sets sync.Map
}

// maxKinds is for how many kinds of asker a snapshot keeps answers; past it the eldest are forgotten.
const maxKinds = 32

// within returns the answers for one kind of asker.
func (a *serviceAnswers) within(k kind) *kindAnswers {
	for {
		current := a.kinds.Load()
		var list []*kindAnswers
		if current != nil {
			list = *current
		}
		for _, one := range list {
			if one.kind == k {
				return one
			}
		}
		fresh := &kindAnswers{kind: k}
		longer := append(slices.Clone(list[max(0, len(list)+1-maxKinds):]), fresh)
		if a.kinds.CompareAndSwap(current, &longer) {
			return fresh
		}
	}
}

// serviceSets is the records of one service under one selector.
type serviceSets struct {
	addressSets
	srv *recordSet
	// txt is made when it is first asked for, for hardly anybody asks.
	txt func() *recordSet
}

// deriveService makes what hangs on a snapshot. It is handed to catalog.Service.Derived.
func deriveService(s *catalog.Service) any {
	a := &serviceAnswers{service: s, known: make(map[selector]struct{})}
	a.known[selector{}] = struct{}{}
	ports := make(map[catalog.Port]struct{})
	for _, e := range s.Endpoints {
		for _, tag := range e.Tags {
			a.addTag(strings.ToLower(tag))
		}
		for _, p := range e.Ports {
			p.Published = 0
			ports[p] = struct{}{}
		}
	}
	for p := range ports {
		a.addPort(p)
	}
	return a
}

func (a *serviceAnswers) addTag(tag string) {
	a.known[selector{tag: tag}] = struct{}{}
	if transport(tag) {
		a.known[selector{proto: tag}] = struct{}{}
	}
}

func (a *serviceAnswers) addPort(p catalog.Port) {
	proto := p.Transport()
	a.known[selector{proto: proto}] = struct{}{}
	a.known[selector{proto: proto, port: strconv.Itoa(int(p.Number))}] = struct{}{}
	if p.Name != "" {
		a.known[selector{proto: proto, port: strings.ToLower(p.Name)}] = struct{}{}
	}
}

// find returns the records under a selector for an asker, or nil if no instance answers to it, healthy or not.
func (a *serviceAnswers) find(k kind, want selector) *serviceSets {
	if _, ok := a.known[want]; !ok {
		return nil
	}
	answers := a.within(k)
	if sets, ok := answers.sets.Load(want); ok {
		return sets.(*serviceSets)
	}
	sets, _ := answers.sets.LoadOrStore(want, a.build(k, want))
	return sets.(*serviceSets)
}

// ordered returns the instances that are given to a kind of asker, and how many of the first are enough for it.
func (a *serviceAnswers) ordered(k kind, want selector) (list []*catalog.Endpoint, enough int) {
	if !k.nearest {
		return a.service.Healthy, len(a.service.Healthy)
	}
	return a.service.Nearest(catalog.Query{}, k.at, func(e *catalog.Endpoint) bool {
		_, ok := want.match(e)
		return ok && len(k.scope.Reach(e)) > 0
	})
}

// build makes the records of the healthy instances that an asker can reach. One who wants what is near is given the
// addresses and texts that are enough, but all SRV records: by their priorities it falls back by itself.
func (a *serviceAnswers) build(k kind, want selector) *serviceSets {
	var addresses addressBuilder
	var srv setBuilder
	var chosen []*catalog.Endpoint
	list, enough := a.ordered(k, want)
	for i, e := range list {
		port, ok := want.match(e)
		if !ok {
			continue
		}
		reached := k.scope.Reach(e)
		if len(reached) == 0 && len(e.Reach()) > 0 {
			continue // it is somewhere, but not for this asker
		}
		at, weight := reachOf(reached), weightOf(e)
		if i < enough {
			chosen = append(chosen, e)
			addresses.add(at, weight)
		}
		if port == nil {
			continue
		}
		if number, ok := e.PortAt(at.preferred, *port); ok {
			srv.addSRV(at, number, record{weight: uint32(weight), tier: k.tierOf(e)}, k.priorityOf(e))
		}
	}
	return &serviceSets{
		addressSets: addresses.build(),
		srv:         srv.finishSRV(),
		txt:         sync.OnceValue(func() *recordSet { return metaOf(chosen) }),
	}
}

// find returns the set that answers a type; nil if there is none.
func (s *serviceSets) find(qtype uint16) *recordSet {
	switch qtype {
	case dns.TypeSRV:
		return s.srv
	case dns.TypeTXT:
		return s.txt()
	case dns.TypeANY:
		if set := s.any(); set != nil {
			return set
		}
		return s.txt()
	default:
		return s.addressSets.find(qtype)
	}
}

func (s *serviceSets) any() *recordSet {
	if set := s.addressSets.find(dns.TypeANY); set != nil {
		return set
	}
	return s.srv
}

// match tells whether an instance answers to the selector, and by which port; nil if it has none.
func (want selector) match(e *catalog.Endpoint) (*catalog.Port, bool) {
	switch {
	case want.port != "":
		port := want.namedPort(e.Ports)
		return port, port != nil
	case want.proto != "":
		if i := slices.IndexFunc(e.Ports, func(p catalog.Port) bool { return p.Transport() == want.proto }); i >= 0 {
			return &e.Ports[i], true
		}
		return firstPort(e), hasTag(e, want.proto)
	default:
		return firstPort(e), want.tag == "" || hasTag(e, want.tag)
	}
}

// namedPort returns the port of that name, or else of that number.
func (want selector) namedPort(ports []catalog.Port) *catalog.Port {
	var byNumber *catalog.Port
	for i := range ports {
		p := &ports[i]
		if p.Transport() != want.proto {
			continue
		}
		if strings.EqualFold(p.Name, want.port) {
			return p
		}
		if byNumber == nil && strconv.Itoa(int(p.Number)) == want.port {
			byNumber = p
		}
	}
	return byNumber
}

func firstPort(e *catalog.Endpoint) *catalog.Port {
	if len(e.Ports) == 0 {
		return nil
	}
	return &e.Ports[0]
}

func hasTag(e *catalog.Endpoint, tag string) bool {
	return slices.ContainsFunc(e.Tags, func(t string) bool { return strings.ToLower(t) == tag })
}

func weightOf(e *catalog.Endpoint) uint16 {
	return uint16(min(max(e.Weight, 1), catalog.MaxWeight))
}

// metaOf returns the TXT records of the meta of some instances; what several share stands once.
func metaOf(endpoints []*catalog.Endpoint) *recordSet {
	var b setBuilder
	for _, e := range endpoints {
		b.addMeta(e.Meta)
	}
	return b.finishTXT()
}

func (b *setBuilder) addMeta(meta map[string]string) {
	for key, value := range meta {
		if len(key)+len(value) < maxTCP/2 {
			b.add(record{rdata: appendTXT(nil, attribute(key, value)), weight: 1})
		}
	}
}

func (b *setBuilder) finishTXT() *recordSet {
	for i := range b.records {
		b.records[i].weight = 1
	}
	return newRecordSet(dns.TypeTXT, b.records)
}

// attribute returns a pair as RFC 1464 writes it.
func attribute(key, value string) string {
	if strings.HasPrefix(strings.ToLower(key), "rfc1035-") {
		return value
	}
	key = strings.ReplaceAll(key, "`", "``")
	return strings.ReplaceAll(key, "=", "`=") + "=" + value
}

// appendTXT appends a text as the strings of a TXT record, of at most 255 bytes each.
func appendTXT(b []byte, text string) []byte {
	for {
		n := min(len(text), 255)
		b = append(append(b, byte(n)), text[:n]...)
		text = text[n:]
		if text == "" {
			return b
		}
	}
}
