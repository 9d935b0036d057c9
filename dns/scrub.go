package dns

import (
	"math"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// scrub removes from an upstream's reply what the question did not ask for: an answer keeps the records of the name and of the
// CNAME chain that begins there, the DNAME records and signatures of these, and no record of a name in the server's own zones;
// the additional section keeps the addresses of what the answer names. A TTL above 2^31-1 counts as 0 (RFC 2181, section 8).
func scrub(reply *dns.Msg, own func(name string) bool) {
	question := reply.Question[0]
	wanted := []string{strings.ToLower(question.Name)}
	if question.Qtype != dns.TypeCNAME && question.Qtype != dns.TypeANY {
		links, _ := trace(reply.Answer, question.Name, question.Qtype, own)
		for _, link := range links {
			wanted = append(wanted, strings.ToLower(link.Target))
		}
	}
	reply.Answer = slices.DeleteFunc(reply.Answer, func(rr dns.RR) bool {
		name := strings.ToLower(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeDNAME {
			return own(name) || !slices.ContainsFunc(wanted, func(below string) bool { return dns.IsSubDomain(name, below) })
		}
		return own(name) && name != wanted[0] || !slices.Contains(wanted, name)
	})
	var targets []string
	for _, rr := range reply.Answer {
		targets = append(targets, hostOf(rr))
	}
	reply.Extra = slices.DeleteFunc(reply.Extra, func(rr dns.RR) bool {
		name := strings.ToLower(rr.Header().Name)
		return rr.Header().Rrtype != dns.TypeOPT && (own(name) || !slices.Contains(targets, name))
	})
	for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT && h.Ttl > math.MaxInt32 { // of OPT these are flags
				h.Ttl = 0
			}
		}
	}
}

// hostOf returns the host that a record names, in lower case; empty for records that name none.
func hostOf(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.SRV:
		return strings.ToLower(rr.Target)
	case *dns.MX:
		return strings.ToLower(rr.Mx)
	case *dns.NS:
		return strings.ToLower(rr.Ns)
	case *dns.SVCB:
		return strings.ToLower(rr.Target)
	case *dns.HTTPS:
		return strings.ToLower(rr.Target)
	}
	return ""
}
