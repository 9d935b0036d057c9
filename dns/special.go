package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The domains that are answered here and not forwarded, because their names do not exist elsewhere or have another
// meaning there. A zone with resolvers of its own takes precedence.
const (
	localhost = "localhost"     // RFC 6761 §6.3
	onion     = "onion"         // RFC 7686
	invalid   = "invalid"       // RFC 6761 §6.4
	resolver  = "resolver.arpa" // RFC 9462: it describes the very resolver that is asked
)

// privateReverse returns the reverse domains of addresses that are private, or otherwise not those of one host: RFC 6303 §4
// and, for shared addresses, RFC 7793.
func privateReverse() []string {
	zones := []string{"10", "168.192", "0", "127", "254.169", "2.0.192", "100.51.198", "113.0.203", "255.255.255.255"}
	for i := 16; i <= 31; i++ {
		zones = append(zones, fmt.Sprintf("%d.172", i))
	}
	for i := 64; i <= 127; i++ {
		zones = append(zones, fmt.Sprintf("%d.100", i))
	}
	for i := range zones {
		zones[i] += ".in-addr.arpa"
	}
	zeros := strings.Repeat("0.", 31)
	for _, zone := range []string{"0." + zeros, "1." + zeros, "d.f.", "8.e.f.", "9.e.f.", "a.e.f.", "b.e.f.", "8.b.d.0.1.0.0.2."} {
		zones = append(zones, zone+"ip6.arpa")
	}
	return zones
}

// specials are the zones of these domains, by name.
type specials map[string]*zone

func newSpecials() specials {
	zones := make(specials)
	for _, name := range append(privateReverse(), localhost, onion, invalid, resolver) {
		wire := wireLabels(strings.Split(name, ".")...)
		wire = append(wire, 0)
		zones[name] = &zone{labels: strings.Split(name, "."), wire: wire, ns: wire, contact: append(wireLabels("nobody", invalid), 0)}
	}
	return zones
}

// find returns the zone that a name is in, and its name; nil if the name is in none.
func (z specials) find(labels []string) (*zone, string) {
	n := len(labels)
	if n == 0 || !slices.Contains([]string{localhost, onion, invalid, "arpa"}, labels[n-1]) {
		return nil, ""
	}
	for i := range labels {
		name := strings.Join(labels[i:], ".")
		if found := z[name]; found != nil {
			return found, name
		}
	}
	return nil, ""
}

// resolveSpecial answers for a name of a special domain. It returns false for other names, and for those in a zone that
// has resolvers of its own.
func (s *Server) resolveSpecial(req *request) (plan, bool) {
	z, name := s.specials.find(req.labels)
	if z == nil || s.upstream.zoneOf(req.labels) != nil {
		return plan{}, false
	}
	a := plan{zone: z}
	apex := len(req.labels) == len(z.labels)
	switch {
	case apex && (req.qtype == dns.TypeSOA || req.qtype == dns.TypeANY):
		a.set = newRecordSet(dns.TypeSOA, []record{{rdata: z.appendSOA(nil, s.view.Revision(), s.ttl), weight: 1}})
	case apex && req.qtype == dns.TypeNS:
		a.set = newRecordSet(dns.TypeNS, []record{{rdata: z.ns, weight: 1}})
	case name == localhost:
		a.set = loopback().find(req.qtype)
	case name == resolver || apex && (name == onion || name == invalid):
	case name == onion || name == invalid:
		a.rcode = dns.RcodeNameError
	default:
		return s.resolveReverse(req, a), true
	}
	return a, true
}

// resolveReverse answers for a name in the reverse domain of private addresses that has no PTR record in the catalog. The
// names above those of addresses are never denied, because NXDOMAIN would deny all names below as well (RFC 8020).
func (s *Server) resolveReverse(req *request, a plan) plan {
	if !s.view.Ready() {
		return notReady()
	}
	ip, ok := parseReverse(req.labels)
	full := map[string]int{"in-addr": 4 + 2, "ip6": 32 + 2}[req.labels[len(req.labels)-2]]
	switch {
	case len(req.labels) < full:
	case !ok:
		a.rcode = dns.RcodeNameError
	case ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback():
		if req.qtype == dns.TypePTR || req.qtype == dns.TypeANY {
			a.set = newRecordSet(dns.TypePTR, []record{{rdata: append(wireLabels(localhost), 0), weight: 1}})
		}
	case s.pointers(ip, req.client.scope) == nil:
		a.rcode = dns.RcodeNameError
	}
	return a
}

// loopback returns the addresses of localhost.
func loopback() *addressSets {
	var b addressBuilder
	b.add(target{v4: netip.AddrFrom4([4]byte{127, 0, 0, 1}), v6: netip.IPv6Loopback()}, 1)
	sets := b.build()
	return &sets
}
