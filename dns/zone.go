package dns

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// zone is one domain that the server answers for, with the parts that every answer below it needs in wire form.
type zone struct {
	// labels are in lower case, without the root's.
	labels []string
	wire   []byte
	// ns is the server's name, contact the mailbox of its operator.
	ns, contact []byte
	// address is "addr.<dc>.<domain>": what follows the hexadecimal digits in an SRV record's target.
	address []byte
	// below is "<dc>.<domain>".
	below []byte
}

func newZone(domain, datacenter string) (*zone, error) {
	domain = strings.ToLower(dns.Fqdn(domain))
	wire, err := wireName(domain)
	if err != nil || len(wire) < 2 || len(wire) > 100 {
		return nil, catalog.Errorf(catalog.KindInvalid, "domain %q is not a name of at most 100 bytes", domain).
			WithHint("write it as koine or services.corp.internal")
	}
	below := append(wireLabels(datacenter), wire...)
	return &zone{
		labels:  dns.SplitDomainName(domain),
		wire:    wire,
		ns:      append(wireLabels("ns"), wire...),
		contact: append(wireLabels("postmaster"), wire...),
		below:   below,
		address: append(wireLabels("addr"), below...),
	}, nil
}

// ownZones returns the zones without those that have upstreams of their own. The upstreams answer such a domain, so
// that Koine can run side by side with another registry that has the domain.
func (c *Config) ownZones(zones []*zone, upstream *forwarder) (own []*zone, err error) {
	for _, z := range zones {
		if upstream.zoneOf(z.labels).is(z.labels) {
			c.Logger.Info("domain is answered by its upstreams", "domain", strings.Join(z.labels, "."))
			continue
		}
		own = append(own, z)
	}
	if len(own) == 0 {
		return nil, catalog.Errorf(catalog.KindInvalid, "every domain has an upstream: no domain is left for Koine's own names").
			WithHint("name another one with --domain")
	}
	return own, nil
}

func newZones(domains []string, datacenter string) ([]*zone, error) {
	zones := make([]*zone, len(domains))
	for i, domain := range domains {
		z, err := newZone(domain, datacenter)
		if err != nil {
			return nil, err
		}
		zones[i] = z
	}
	return zones, nil
}

// within returns the labels below the zone of a name in it.
func (z *zone) within(labels []string) (below []string, ok bool) {
	n := len(labels) - len(z.labels)
	if n < 0 || !slices.Equal(labels[n:], z.labels) {
		return nil, false
	}
	return labels[:n], true
}

// findZone returns the innermost of the zones that a name is in, or nil.
func findZone(zones []*zone, labels []string) (found *zone, below []string) {
	for _, z := range zones {
		if rest, ok := z.within(labels); ok && (found == nil || len(rest) < len(below)) {
			found, below = z, rest
		}
	}
	return found, below
}

// appendSOA appends the data of the zone's SOA record. Its serial number is the store's revision; negative answers may
// be kept as long as positive ones.
func (z *zone) appendSOA(b []byte, revision uint64, ttl uint32) []byte {
	b = append(b, z.ns...)
	b = append(b, z.contact...)
	for _, n := range [...]uint32{uint32(revision), 3600, 600, 86400, ttl} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// wireName returns a name in wire form.
func wireName(text string) ([]byte, error) {
	var b [255]byte
	n, err := dns.PackDomainName(dns.Fqdn(text), b[:], 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("pack name %q: %w", text, err)
	}
	return slices.Clone(b[:n]), nil
}

// wireLabels returns labels in wire form without the root. Each is a valid name of the catalog.
func wireLabels(labels ...string) []byte {
	var b []byte
	for _, label := range labels {
		b = append(append(b, byte(len(label))), label...)
	}
	return b
}
