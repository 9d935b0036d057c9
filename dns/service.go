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

// serviceAnswers is what the server derives from a service's snapshot. It is stored on the snapshot and lives as long
// as it.
type serviceAnswers struct {
	service *catalog.Service
	// node is the node that the server runs on.
	node string
	// known are the selectors that an instance matches, healthy or not; those with a tag or a port have no other field.
	known map[selector]struct{}
	// vantages are the answers for the vantages that have been asked from, the latest last; the list is replaced as a
	// whole.
	vantages atomic.Pointer[[]*vantageAnswers]
}

// vantageAnswers is the answers for one vantage.
type vantageAnswers struct {
	vantage vantage
	// sets holds *serviceSets by selector, only for known selectors, each made when it is first asked for.
	sets sync.Map
}

// maxVantages bounds the vantages for which a snapshot keeps answers; past it the oldest are dropped.
const maxVantages = 32

// within returns the answers for one vantage.
func (a *serviceAnswers) within(v vantage) *vantageAnswers {
	for {
		current := a.vantages.Load()
		var list []*vantageAnswers
		if current != nil {
			list = *current
		}
		for _, one := range list {
			if one.vantage == v {
				return one
			}
		}
		fresh := &vantageAnswers{vantage: v}
		longer := append(slices.Clone(list[max(0, len(list)+1-maxVantages):]), fresh)
		if a.vantages.CompareAndSwap(current, &longer) {
			return fresh
		}
	}
}

// serviceSets is the records of one service under one selector.
type serviceSets struct {
	addressSets
	srv *recordSet
	// txt is made when it is first asked for, because few clients ask for it.
	txt func() *recordSet
}

// deriverOn returns the function that makes the value to store on a snapshot. It is passed to catalog.Service.Derived.
func deriverOn(node string) func(*catalog.Service) any {
	return func(s *catalog.Service) any { return deriveService(s, node) }
}

func deriveService(s *catalog.Service, node string) *serviceAnswers {
	a := &serviceAnswers{service: s, node: node, known: make(map[selector]struct{})}
	a.known[selector{}] = struct{}{}
	for _, e := range s.Endpoints {
		for _, tag := range e.Tags {
			a.addTag(strings.ToLower(tag))
		}
		for _, p := range e.Ports {
			a.addPort(p)
		}
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

// find returns the records under a selector for a vantage, or nil if no instance, healthy or not, matches the selector.
func (a *serviceAnswers) find(v vantage, want selector) *serviceSets {
	if _, ok := a.known[want]; !ok {
		return nil
	}
	answers := a.within(v)
	if sets, ok := answers.sets.Load(want); ok {
		return sets.(*serviceSets)
	}
	sets, _ := answers.sets.LoadOrStore(want, a.build(v, want))
	return sets.(*serviceSets)
}

// ordered returns the instances to answer a vantage with, and how many of the first to use.
func (a *serviceAnswers) ordered(v vantage, want selector) (list []*catalog.Endpoint, enough int) {
	if !v.nearest {
		return a.service.Healthy, len(a.service.Healthy)
	}
	return a.service.Nearest(catalog.Query{}, v.at, func(e *catalog.Endpoint) bool {
		wanted, ok := want.match(e)
		return ok && len(v.scope.Target(e, wanted).Addresses) > 0
	})
}

// build makes the records of the healthy instances that a client can reach. A client that asks for the nearest gets the
// nearest addresses and texts, but every SRV record: priorities let it fall back.
func (a *serviceAnswers) build(v vantage, want selector) *serviceSets {
	var addresses addressBuilder
	var srv setBuilder
	var chosen []*catalog.Endpoint
	list, enough := a.ordered(v, want)
	for i, e := range list {
		wanted, ok := want.match(e)
		if !ok || !v.admits(e, a.node) {
			continue
		}
		reached := v.scope.Target(e, wanted)
		if len(reached.Addresses) == 0 && len(e.Reach()) > 0 {
			continue // it has addresses, but this client reaches none of them by such a port
		}
		at, weight := targetOf(reached.Addresses), weightOf(e)
		if i < enough {
			chosen = append(chosen, e)
			addresses.add(at, weight)
		}
		if reached.Port != nil {
			srv.addSRV(at, reached.Number, record{weight: uint32(weight), tier: v.tierOf(e)}, v.priorityOf(e))
		}
	}
	return &serviceSets{
		addressSets: addresses.build(),
		srv:         srv.finishSRV(),
		txt:         sync.OnceValue(func() *recordSet { return metaOf(chosen) }),
	}
}

// find returns the set that answers a type; nil if no set does.
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

// match reports whether an instance matches the selector, and which of its ports do; nil stands for all of them.
func (want selector) match(e *catalog.Endpoint) (wanted func(*catalog.Port) bool, ok bool) {
	switch {
	case want.port != "":
		port := want.namedPort(e.Ports)
		return func(p *catalog.Port) bool { return p == port }, port != nil
	case want.proto != "":
		ofProto := func(p *catalog.Port) bool { return p.Transport() == want.proto }
		for i := range e.Ports {
			if ofProto(&e.Ports[i]) {
				return ofProto, true
			}
		}
		return nil, hasTag(e, want.proto)
	default:
		return nil, want.tag == "" || hasTag(e, want.tag)
	}
}

// namedPort returns the port with that name, or else with that number.
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

func hasTag(e *catalog.Endpoint, tag string) bool {
	return slices.ContainsFunc(e.Tags, func(t string) bool { return strings.ToLower(t) == tag })
}

func weightOf(e *catalog.Endpoint) uint16 {
	return uint16(min(max(e.Weight, 1), catalog.MaxWeight))
}

// metaOf returns the TXT records of the meta of some instances; a pair that several instances share appears once.
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

// attribute returns a pair in the form of RFC 1464.
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
