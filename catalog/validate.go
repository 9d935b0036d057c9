package catalog

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ValidateName reports whether a name can stand in DNS as one label: letters, digits, '-' and '_', at most MaxName bytes,
// no '-' at either end. The noun is the named thing, for the error.
func ValidateName(noun, name string) error {
	if name == "" {
		return Errorf(KindInvalid, "%s has no name", noun)
	}
	if len(name) > MaxName {
		return Errorf(KindInvalid, "%s name %.20q… has %d bytes: %d are allowed", noun, name, len(name), MaxName)
	}
	if name[0] == '-' || name[len(name)-1] == '-' {
		return Errorf(KindInvalid, "%s name %q begins or ends with '-'", noun, name)
	}
	for i, letter := range name {
		if !nameByte(name[i]) {
			return Errorf(KindInvalid, "%s name %q has %q at byte %d", noun, name, letter, i).
				WithHint("use letters, digits, '-' and '_'")
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// SanitizeName makes a valid name of any text: what ValidateName refuses becomes '-'. It returns "" if nothing is left.
func SanitizeName(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if nameByte(text[i]) {
			b.WriteByte(text[i])
		} else if n := b.Len(); n > 0 && b.String()[n-1] != '-' {
			b.WriteByte('-')
		}
		if b.Len() == MaxName {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

// ValidateID checks the ID of an instance or a check: UTF-8 of at most MaxID bytes, without characters that cannot be seen.
// "." and ".." are refused because clients remove them from URLs. A slash is allowed: IDs of other registries have it.
func ValidateID(noun, id string) error {
	switch id {
	case "":
		return Errorf(KindInvalid, "%s has no id", noun)
	case ".", "..":
		return Errorf(KindInvalid, "%s id %q has another meaning in URLs", noun, id)
	}
	if err := validateText(noun, " id", id, MaxID); err != nil {
		return err
	}
	if i := strings.IndexFunc(id, func(r rune) bool { return unicode.Is(unicode.Cf, r) }); i >= 0 {
		return Errorf(KindInvalid, "%s id %q has an invisible character at byte %d", noun, id, i)
	}
	return nil
}

// validateText checks what a noun has under a word; both are put together only for an error.
func validateText(noun, word, text string, limit int) error {
	if len(text) > limit {
		return Errorf(KindInvalid, "%s%s %.20q… has %d bytes: %d are allowed", noun, word, text, len(text), limit)
	}
	if !utf8.ValidString(text) {
		return Errorf(KindInvalid, "%s%s %q is not UTF-8", noun, word, text)
	}
	if i := strings.IndexFunc(text, IsControl); i >= 0 {
		return Errorf(KindInvalid, "%s%s %q has a control character at byte %d", noun, word, text, i)
	}
	return nil
}

// IsControl reports whether a rune is a control character, ends a line, or changes the direction of the text around it, which
// makes people misread it.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || '\u2028' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// Validate checks a registration against the grammar and the limits. Every error is of KindInvalid.
func (r *Registration) Validate() error {
	if err := r.Instance.Validate(); err != nil {
		return err
	}
	return validateChecks("instance "+r.Instance.ID, r.Checks)
}

// Validate checks a node's declared state, its registrations and checks against the grammar and the limits.
func (s *NodeState) Validate() error {
	if err := s.Node.Validate(); err != nil {
		return err
	}
	if n := len(s.Registrations); n > MaxRegistration {
		return Errorf(KindInvalid, "node %s declares %d instances: %d are allowed", s.Node.Name, n, MaxRegistration)
	}
	instances := make(map[string]bool, len(s.Registrations))
	checks := make(map[string]bool, len(s.Registrations))
	for i := range s.Registrations {
		r := &s.Registrations[i]
		if err := r.Validate(); err != nil {
			return err
		}
		if instances[r.Instance.ID] {
			return Errorf(KindInvalid, "node %s declares instance %s twice", s.Node.Name, r.Instance.ID)
		}
		instances[r.Instance.ID] = true
		if err := uniqueChecks(s.Node.Name, r.Checks, checks); err != nil {
			return err
		}
	}
	if err := validateChecks("node "+s.Node.Name, s.Checks); err != nil {
		return err
	}
	return uniqueChecks(s.Node.Name, s.Checks, checks)
}

func uniqueChecks(node string, list []Check, seen map[string]bool) error {
	for i := range list {
		if seen[list[i].ID] {
			return Errorf(KindInvalid, "node %s declares check %s twice", node, list[i].ID)
		}
		seen[list[i].ID] = true
	}
	return nil
}

// Validate checks an instance against the grammar and the limits.
func (i *Instance) Validate() error {
	if err := ValidateID("instance", i.ID); err != nil {
		return err
	}
	if err := ValidateName("service", i.Service); err != nil {
		return err
	}
	if err := ValidateName("node", i.Node); err != nil {
		return err
	}
	noun := "instance " + i.ID
	if i.Weight < 0 || i.Weight > MaxWeight {
		return Errorf(KindInvalid, "%s has weight %d: 0 to %d are allowed", noun, i.Weight, MaxWeight)
	}
	if err := ValidateMinHealthy(noun, int(i.MinHealthy)); err != nil {
		return err
	}
	if i.DNSLimit != 0 {
		if err := ValidateDNSLimit(noun, int(i.DNSLimit)); err != nil {
			return err
		}
	}
	if err := validateText(noun, " drain reason", i.Drain, MaxMetaValue); err != nil {
		return err
	}
	if err := validatePorts(noun, i.Ports); err != nil {
		return err
	}
	if err := validateAddresses(noun, i.Addresses); err != nil {
		return err
	}
	if err := validateTags(noun, i.Tags); err != nil {
		return err
	}
	if err := validateShort(noun, i.Source, i.Owner.ID, i.Locality.Region, i.Locality.Zone, i.Registrant()); err != nil {
		return err
	}
	if err := validateExtras(noun, i.Extras); err != nil {
		return err
	}
	return validateMeta(noun, i.Meta)
}

// ValidateMinHealthy checks an instance's floor in percent. The noun is the instance, for the error.
func ValidateMinHealthy(noun string, percent int) error {
	if percent < 0 || percent > MaxMinHealthy {
		return Errorf(KindInvalid, "%s has a min_healthy of %d: 0 to %d percent are allowed", noun, percent, MaxMinHealthy)
	}
	return nil
}

// ValidateDNSLimit checks the limit of an instance that has one. The noun is the instance, for the error.
func ValidateDNSLimit(noun string, limit int) error {
	if limit < 1 || limit > MaxDNSLimit {
		return Errorf(KindInvalid, "%s has a dns_limit of %d: 1 to %d are allowed", noun, limit, MaxDNSLimit).
			WithHint("leave it out for answers with all instances")
	}
	return nil
}

// validateShort checks the words that have no grammar of their own.
func validateShort(noun string, words ...string) error {
	for _, word := range words {
		if err := ValidateWord(noun, word); err != nil {
			return err
		}
	}
	return nil
}

// ValidateWord reports whether a word that has no grammar of its own is UTF-8 without control characters and of at most
// MaxWord bytes. The noun is the thing that has it, for the error.
func ValidateWord(noun, word string) error { return validateText(noun, ": word", word, MaxWord) }

func validateExtras(noun string, extras map[string]json.RawMessage) error {
	size := 0
	for name, raw := range extras {
		size += len(name) + len(raw)
	}
	if size > MaxExtras {
		return Errorf(KindInvalid, "%s has %d bytes of extras: %d are allowed", noun, size, MaxExtras)
	}
	for name, raw := range extras {
		if !json.Valid(raw) {
			return Errorf(KindInvalid, "%s has an extra %s that is not JSON", noun, name)
		}
	}
	return nil
}

// Validate checks a node against the grammar and the limits.
func (n *Node) Validate() error {
	if err := ValidateName("node", n.Name); err != nil {
		return err
	}
	noun := "node " + n.Name
	switch n.Owner.Kind {
	case OwnerPermanent:
	case OwnerSession:
		if ttl := n.Owner.TTL.Or(0); ttl < MinTTL || ttl > MaxTTL {
			return Errorf(KindInvalid, "%s has a session of %v: %v to %v are allowed", noun, ttl, MinTTL, MaxTTL)
		}
	default:
		return Errorf(KindInvalid, "%s has owner %q: only a session or permanent can own a node", noun, n.Owner.Kind)
	}
	if n.RunsChecks && n.Owner.Kind != OwnerSession {
		return Errorf(KindInvalid, "%s has no session but runs checks of other nodes", noun)
	}
	if n.PurgeAfter < 0 {
		return Errorf(KindInvalid, "%s has a purge_after of %v", noun, n.PurgeAfter).WithHint("leave it out, or give a time above zero")
	}
	if err := validateShort(noun, n.ID, n.Owner.ID, n.Locality.Region, n.Locality.Zone, n.Registrant()); err != nil {
		return err
	}
	if err := validateAddresses(noun, n.Addresses); err != nil {
		return err
	}
	return validateMeta(noun, n.Meta)
}

func validatePorts(noun string, ports []Port) error {
	if len(ports) > MaxPorts {
		return Errorf(KindInvalid, "%s has %d ports: %d are allowed", noun, len(ports), MaxPorts)
	}
	for i, p := range ports {
		if p.Number == 0 {
			return portWithoutNumber(noun, p.Name)
		}
		switch p.Protocol {
		case "", "tcp", "udp", "sctp":
		default:
			return Errorf(KindInvalid, "%s has port %d with protocol %q", noun, p.Number, p.Protocol).
				WithHint("use tcp, udp or sctp")
		}
		if p.Name != "" {
			if err := ValidateName("port", p.Name); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(ports[:i], p.SameName) {
			return Errorf(KindInvalid, "%s has two ports named %s", noun, p.Name).WithHint("give each a name of its own")
		}
		if err := validateBindings(noun, p); err != nil {
			return err
		}
	}
	return nil
}

func validateBindings(noun string, p Port) error {
	if len(p.Bindings) > MaxAddresses {
		return Errorf(KindInvalid, "%s has port %d with %d bindings: %d are allowed", noun, p.Number, len(p.Bindings), MaxAddresses)
	}
	for i, b := range p.Bindings {
		if !b.Addr().IsValid() || b.Port() == 0 || b.Addr().Zone() != "" {
			return Errorf(KindInvalid, "%s has port %d with the binding %q", noun, p.Number, b).
				WithHint("write it as 192.0.2.1:8080 or [2001:db8::1]:8080")
		}
		same := func(other netip.AddrPort) bool { return other.Addr().Unmap() == b.Addr().Unmap() }
		if slices.ContainsFunc(p.Bindings[:i], same) {
			return Errorf(KindInvalid, "%s has port %d with two bindings to %s", noun, p.Number, b.Addr())
		}
	}
	return nil
}

func portWithoutNumber(noun, name string) error {
	if name != "" {
		noun += " has port " + name
	} else {
		noun += " has a port"
	}
	return Errorf(KindInvalid, "%s without a number", noun).WithHint("give one from 1 to 65535")
}

// SameName reports whether two ports cannot be told apart by their names: those of one name differ by protocol, as DNS over
// TCP and UDP do.
func (p Port) SameName(q Port) bool {
	return p.Name != "" && strings.EqualFold(p.Name, q.Name) && cmp.Or(p.Protocol, "tcp") == cmp.Or(q.Protocol, "tcp")
}

func validateAddresses(noun string, addresses []Address) error {
	if len(addresses) > MaxAddresses {
		return Errorf(KindInvalid, "%s has %d addresses: %d are allowed", noun, len(addresses), MaxAddresses)
	}
	for _, a := range addresses {
		if a.IP.IsValid() == (a.Host != "") {
			return Errorf(KindInvalid, "%s has an address with neither or both of ip and host", noun)
		}
		if err := validateReachable(noun, a); err != nil {
			return err
		}
		if err := validateShort(noun, a.Network, a.NetworkID); err != nil {
			return err
		}
		if err := validateNames(noun, a.Names); err != nil {
			return err
		}
	}
	return nil
}

// validateReachable refuses addresses at which no client can reach anything.
func validateReachable(noun string, a Address) error {
	ip := a.IP.Unmap()
	switch {
	case a.Host != "" && EndsInNumber(a.Host):
		return Errorf(KindInvalid, "%s has address %q, which is neither an IP address nor a host name", noun, a.Host)
	case a.Host != "" && !ValidHost(a.Host):
		return Errorf(KindInvalid, "%s has address %q, which is not a host name", noun, a.Host)
	case ip.Zone() != "":
		return Errorf(KindInvalid, "%s has address %v, whose zone %s means something on one host only", noun, a.IP, ip.Zone())
	case ip.IsValid() && ip.IsUnspecified():
		return Errorf(KindInvalid, "%s has address %v, which no client can reach", noun, a.IP).
			WithHint("give the address of one interface, or none for that of the node")
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Errorf(KindInvalid, "%s has address %v, which is not that of one host", noun, a.IP)
	}
	return nil
}

func validateNames(noun string, names []string) error {
	if len(names) > MaxNames {
		return Errorf(KindInvalid, "%s has %d names on a network: %d are allowed", noun, len(names), MaxNames)
	}
	for _, name := range names {
		if !ValidHost(name) {
			return Errorf(KindInvalid, "%s has the name %q on a network, which is not a host name", noun, name)
		}
	}
	return nil
}

// ValidHost reports whether a host name is one by its grammar: labels as ValidateName wants them, at most 253 bytes, with
// or without a dot at the end.
func ValidHost(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if ValidateName("host", label) != nil {
			return false
		}
	}
	return true
}

// EndsInNumber reports whether the last label of a host name is a number, decimal or hexadecimal. No name ends so (RFC
// 1123, section 2.1): programs take it for an IPv4 address, or for a mistake.
func EndsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, found := strings.CutPrefix(last, "0x"); found {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func validateTags(noun string, tags []string) error {
	if len(tags) > MaxTags {
		return Errorf(KindInvalid, "%s has %d tags: %d are allowed", noun, len(tags), MaxTags)
	}
	for i, tag := range tags {
		if tag == "" {
			return Errorf(KindInvalid, "%s has an empty tag", noun)
		}
		if slices.Contains(tags[:i], tag) {
			return Errorf(KindInvalid, "%s has tag %q twice", noun, tag)
		}
		if err := validateText(noun, " tag", tag, MaxTag); err != nil {
			return err
		}
	}
	return nil
}

func validateMeta(noun string, meta map[string]string) error {
	if len(meta) > MaxMeta {
		return Errorf(KindInvalid, "%s has %d meta pairs: %d are allowed", noun, len(meta), MaxMeta)
	}
	for key, value := range meta {
		if key == "" {
			return Errorf(KindInvalid, "%s has an empty meta key", noun)
		}
		if err := validateText(noun, " meta key", key, MaxMetaKey); err != nil {
			return err
		}
		if len(value) > MaxMetaValue {
			return Errorf(KindInvalid, "%s has meta %s of %d bytes: %d are allowed", noun, key, len(value), MaxMetaValue)
		}
		if !utf8.ValidString(value) {
			return Errorf(KindInvalid, "%s has meta %s that is not UTF-8", noun, key)
		}
	}
	return nil
}

func validateChecks(noun string, checks []Check) error {
	if len(checks) > MaxChecks {
		return Errorf(KindInvalid, "%s has %d checks: %d are allowed", noun, len(checks), MaxChecks)
	}
	for i := range checks {
		if err := checks[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Validate checks a check against the grammar and the limits.
func (c *Check) Validate() error {
	if err := ValidateID("check", c.ID); err != nil {
		return err
	}
	noun := "check " + c.ID
	if c.Status != "" && !c.Status.Valid() {
		return Errorf(KindInvalid, "%s has status %q", noun, c.Status).WithHint("use passing, warning or critical")
	}
	if c.InitialStatus != "" && !c.InitialStatus.Valid() {
		return Errorf(KindInvalid, "%s has initial status %q", noun, c.InitialStatus).
			WithHint("use passing, warning or critical")
	}
	if len(c.Output) > MaxOutput {
		return Errorf(KindInvalid, "%s has %d bytes of output: %d are allowed", noun, len(c.Output), MaxOutput)
	}
	if err := validateText(noun, " name", c.Name, MaxText); err != nil {
		return err
	}
	return c.Definition.validate(noun)
}
