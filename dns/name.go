package dns

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// nameKind is the meaning of a name below a domain.
type nameKind uint8

const (
	nameUnknown nameKind = iota // no name that this server ever answers for
	nameApex                    // the domain itself
	nameEmpty                   // a name above others, without records
	nameServer                  // this server
	nameService
	nameProtocol // _tcp.name.service: above the names of a service's ports
	nameNode
	nameAddress
)

// name is the meaning of a name below a domain.
type name struct {
	kind nameKind
	// service or node is the one asked for, in lower case.
	service, node string
	// want selects instances and ports of the service.
	want selector
	// nearest reports whether the instances nearest to the client are wanted.
	nearest bool
	// bare restricts the instances if the service's bare name was asked for.
	bare bareness
	// limit is the most records of the answer; 0 means as many as there are.
	limit int
	addr  netip.Addr
}

// selector selects instances of a service, and their ports. The zero value means all, with the first port of each. Its
// texts are in lower case.
type selector struct {
	tag string
	// port is a port's name or its number in decimal.
	port string
	// proto is the port's protocol; without port it means the first port of that protocol.
	proto string
}

// reserved reports whether a datacenter cannot have this name, because the label has another meaning in its position.
func reserved(label string) bool {
	switch label {
	case "service", "near", "node", "addr", "dc", "ns":
		return true
	default:
		return false
	}
}

// parseName returns the meaning of the labels below a domain, which are in lower case.
func parseName(labels []string, datacenter string) name {
	if len(labels) == 0 {
		return name{kind: nameApex}
	}
	if len(labels) == 1 && labels[0] == "ns" {
		return name{kind: nameServer}
	}
	labels = cutDatacenter(labels, datacenter)
	if len(labels) == 0 {
		return name{kind: nameEmpty}
	}
	body, last := labels[:len(labels)-1], labels[len(labels)-1]
	switch last {
	case "service", "near", "node", "addr":
		if len(body) == 0 {
			return name{kind: nameEmpty}
		}
	}
	switch last {
	case "service":
		return parseService(body)
	case "near":
		found := parseService(body)
		found.nearest = true
		return found
	case "node":
		if len(body) == 1 {
			return name{kind: nameNode, node: body[0]}
		}
	case "addr":
		if addr, ok := parseHex(body); ok {
			return name{kind: nameAddress, addr: addr}
		}
	default:
		return parseShort(labels)
	}
	return name{}
}

// parseLimited returns the meaning of the labels below a domain if a limit stands in front of the service's name; false if none
// does. The other meaning, where the limit is a tag, comes first: see parseName.
func parseLimited(labels []string, datacenter string) (found name, limited bool) {
	if len(labels) == 0 {
		return name{}, false
	}
	labels = cutDatacenter(labels, datacenter)
	n := len(labels) - 1
	if n < 2 || labels[n] != "service" && labels[n] != "near" {
		return name{}, false
	}
	limit := limitOf(labels[n-2])
	if limit == 0 {
		return name{}, false
	}
	found = parseOf(labels[:n-2], labels[n-1])
	found.limit, found.nearest = limit, labels[n] == "near"
	return found, true
}

// limitOf returns the limit that a label stands for: "one", or "3-of" for three; 0 if it stands for none.
func limitOf(label string) int {
	if label == "one" {
		return 1
	}
	digits, ok := strings.CutSuffix(label, "-of")
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0
	}
	limit, err := strconv.Atoi(digits)
	if err != nil || limit > catalog.MaxDNSLimit {
		return 0
	}
	return limit
}

// cutDatacenter cuts ".<dc>" or ".<dc>.dc" off the end. A lone "dc" is cut too: it is the name above "<dc>.dc".
func cutDatacenter(labels []string, datacenter string) []string {
	n := len(labels)
	switch {
	case labels[n-1] == datacenter:
		return labels[:n-1]
	case n >= 2 && labels[n-1] == "dc" && labels[n-2] == datacenter:
		return labels[:n-2]
	case n == 1 && labels[0] == "dc":
		return nil
	default:
		return labels
	}
}

// parseShort reads RFC 2782 names without the label "service", and the names above them.
func parseShort(labels []string) name {
	switch {
	case len(labels) == 2 && underscored(labels[0]) && underscored(labels[1]):
		return parseService(labels)
	case len(labels) == 1 && underscored(labels[0]):
		return name{kind: nameEmpty}
	default:
		return name{}
	}
}

func parseService(body []string) name {
	n := len(body)
	if n != 2 || !underscored(body[0]) || !underscored(body[1]) {
		return parseOf(body[:n-1], body[n-1])
	}
	found := name{kind: nameService, service: body[0][1:]}
	if tag := body[1][1:]; transport(tag) {
		found.want.proto = tag
	} else {
		found.want.tag = tag
	}
	return found
}

// parseOf returns the meaning of the labels in front of a service's name.
func parseOf(front []string, service string) name {
	n := len(front)
	switch {
	case n == 2 && underscored(front[0]) && underscored(front[1]) && transport(front[1][1:]):
		return name{kind: nameService, service: service, want: selector{port: front[0][1:], proto: front[1][1:]}}
	case n == 1 && underscored(front[0]) && transport(front[0][1:]):
		return name{kind: nameProtocol, service: service}
	default:
		return name{kind: nameService, service: service, want: selector{tag: strings.Join(front, ".")}}
	}
}

func underscored(label string) bool { return len(label) > 1 && label[0] == '_' }

func transport(proto string) bool { return proto == "tcp" || proto == "udp" || proto == "sctp" }

// parseHex reads an address from its hexadecimal digits.
func parseHex(body []string) (netip.Addr, bool) {
	if len(body) != 1 {
		return netip.Addr{}, false
	}
	raw, err := hex.DecodeString(body[0])
	if err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(raw)
}

// parseReverse reads the address out of a whole name below in-addr.arpa or ip6.arpa.
func parseReverse(labels []string) (netip.Addr, bool) {
	n := len(labels)
	if n < 2 || labels[n-1] != "arpa" {
		return netip.Addr{}, false
	}
	switch {
	case labels[n-2] == "in-addr" && n == 4+2:
		return parseReverse4(labels[:4])
	case labels[n-2] == "ip6" && n == 32+2:
		return parseReverse6(labels[:32])
	default:
		return netip.Addr{}, false
	}
}

func parseReverse4(labels []string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
	return addr, err == nil && addr.Is4()
}

func parseReverse6(labels []string) (netip.Addr, bool) {
	var digits [32]byte
	for i, label := range labels {
		if len(label) != 1 {
			return netip.Addr{}, false
		}
		digits[31-i] = label[0]
	}
	var raw [16]byte
	if _, err := hex.Decode(raw[:], digits[:]); err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(raw), true
}
