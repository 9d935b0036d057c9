package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// forwarder asks the upstream resolvers.
type forwarder struct {
	// others are the resolvers for the names of no zone. They are replaced as a whole: a question keeps those that it began with.
	others atomic.Pointer[resolvers]
	// system reads the resolvers from resolv.conf; nil if the user has named them.
	system *system
	// timeout is the time that a question has for each of its servers.
	timeout time.Duration
	// dial opens a socket to a server.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// zones have resolvers of their own.
	zones []*forwardZone
	// asking holds the addresses of the open UDP sockets, by netip.AddrPort: a query that comes from one of them has
	// come back to its sender.
	asking sync.Map
}

// resolvers are the servers for some names.
type resolvers struct {
	servers []netip.AddrPort
	// good is the server that answered last: it is tried first.
	good atomic.Int32
}

// forwardZone is the resolvers for the names below a domain.
type forwardZone struct {
	labels []string
	resolvers
}

// newForwarder returns nil if forwarding is off. Where no upstream is for all names, the caller must set the system's problem and
// have it look.
func newForwarder(cfg *Config) (*forwarder, error) {
	if cfg.NoForward {
		return nil, nil
	}
	f := &forwarder{timeout: cfg.UpstreamTimeout, dial: new(net.Dialer).DialContext}
	f.use(nil)
	for _, text := range cfg.Upstreams {
		if err := f.add(text); err != nil {
			return nil, err
		}
	}
	if len(f.others.Load().servers) == 0 {
		f.system = &system{file: cfg.ResolvConf, log: cfg.Logger, problem: func(string) {}, apply: f.use}
	}
	return f, nil
}

// use sets the resolvers for the names of no zone.
func (f *forwarder) use(servers []netip.AddrPort) { f.others.Store(&resolvers{servers: servers}) }

// forwards reports whether there is any resolver.
func (f *forwarder) forwards() bool {
	return f != nil && (len(f.zones) > 0 || len(f.others.Load().servers) > 0)
}

// serves reports whether there is a resolver for a name, given by its labels.
func (f *forwarder) serves(labels []string) bool {
	return f != nil && (f.zoneOf(labels) != nil || len(f.others.Load().servers) > 0)
}

// list returns the resolvers as the user would name them.
func (f *forwarder) list() (texts []string) {
	for _, server := range f.others.Load().servers {
		texts = append(texts, server.String())
	}
	for _, z := range f.zones {
		for _, server := range z.servers {
			texts = append(texts, strings.Join(z.labels, ".")+"="+server.String())
		}
	}
	return texts
}

// add adds a resolver for all names, or with "zone=" before it for those of a zone.
func (f *forwarder) add(text string) error {
	domain, address, zoned := strings.Cut(strings.TrimSpace(text), "=")
	if !zoned {
		domain, address = ".", domain
	}
	domain = strings.TrimSpace(domain)
	server, err := parseUpstream(strings.TrimSpace(address))
	if err != nil {
		return err
	}
	if !zoned {
		f.use(append(slices.Clone(f.others.Load().servers), server))
		return nil
	}
	if wire, err := wireName(domain); err != nil || len(wire) < 2 {
		return catalog.Errorf(catalog.KindInvalid, "upstream %q names no zone", text).WithHint("write it as corp.example=192.0.2.1:53")
	}
	labels := dns.SplitDomainName(strings.ToLower(domain))
	i := slices.IndexFunc(f.zones, func(z *forwardZone) bool { return slices.Equal(z.labels, labels) })
	if i < 0 {
		i = len(f.zones)
		f.zones = append(f.zones, &forwardZone{labels: labels})
	}
	f.zones[i].servers = append(f.zones[i].servers, server)
	return nil
}

// zoneOf returns the innermost zone with resolvers of its own that a name is in, by its labels; nil if it is in none.
func (f *forwarder) zoneOf(labels []string) (found *forwardZone) {
	if f == nil {
		return nil
	}
	for _, z := range f.zones {
		n := len(labels) - len(z.labels)
		if n >= 0 && slices.Equal(labels[n:], z.labels) && (found == nil || len(z.labels) > len(found.labels)) {
			found = z
		}
	}
	return found
}

// is reports whether a zone has this name.
func (z *forwardZone) is(labels []string) bool { return z != nil && slices.Equal(z.labels, labels) }

// resolversFor returns the resolvers for a name: those of the innermost zone that it is in, or of all other names.
func (f *forwarder) resolversFor(name string) *resolvers {
	if found := f.zoneOf(labelsOf(name)); found != nil {
		return &found.resolvers
	}
	return f.others.Load()
}

// parseUpstream reads ip:port, or an IP alone, in brackets or not, for port 53.
func parseUpstream(text string) (netip.AddrPort, error) {
	if server, err := netip.ParseAddrPort(text); err == nil && server.Port() != 0 {
		return netip.AddrPortFrom(server.Addr().Unmap(), server.Port()), nil
	}
	bare, bracketed := text, strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]")
	if bracketed {
		bare = text[1 : len(text)-1]
	}
	ip, err := netip.ParseAddr(bare)
	if err == nil && bracketed && ip.Is4() {
		err = errors.New("only an IPv6 address has brackets")
	}
	if err != nil {
		return netip.AddrPort{}, catalog.Errorf(catalog.KindInvalid, "upstream %q is not an address", text).
			WithHint("write it as 192.0.2.1:53 or [2001:db8::1]:53")
	}
	return netip.AddrPortFrom(ip.Unmap(), 53), nil
}

// refuse returns an error if the user has named this server itself, at the address where it listens. Those that resolv.conf names are
// left out instead.
func (f *forwarder) refuse(self netip.AddrPort) error {
	for _, z := range f.zones {
		for _, server := range z.servers {
			if isSelf(server, self) {
				return selfError(server).WithHint("name another resolver for %s, or listen elsewhere with --dns", strings.Join(z.labels, "."))
			}
		}
	}
	if f.system != nil {
		return nil
	}
	for _, server := range f.others.Load().servers {
		if isSelf(server, self) {
			return selfError(server).WithHint("name another resolver with --upstream, or turn forwarding off with --upstream off")
		}
	}
	return nil
}

func selfError(server netip.AddrPort) *catalog.Error {
	return catalog.Errorf(catalog.KindInvalid, "upstream %s is this name server itself", server)
}

// isSelf reports whether a server's address is the one where this server listens.
func isSelf(server, self netip.AddrPort) bool {
	if server.Port() != self.Port() {
		return false
	}
	if server.Addr().WithZone("") == self.Addr().WithZone("") || server.Addr().IsUnspecified() {
		return true
	}
	if !self.Addr().IsUnspecified() || server.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 11}) {
		// In a container 127.0.0.11 is Docker's resolver, whatever other address this server listens on. If it is not,
		// asks detects the loop.
		return false
	}
	return server.Addr().IsLoopback() || isLocal(server.Addr())
}

func isLocal(ip netip.Addr) bool {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == ip.WithZone("") {
			return true
		}
	}
	return false
}

// passable returns an error if a reply can be read, but not be packed again so that a client can read it: a record
// without data, for example, is read as one whose fields are all empty.
func passable(reply *dns.Msg) error {
	packed, err := reply.Pack()
	if err == nil {
		err = new(dns.Msg).Unpack(packed)
	}
	if err != nil {
		return fmt.Errorf("malformed answer: %w", err)
	}
	return nil
}

// answers reports whether a message is the reply to a query: it must hold what a forger would have to guess.
func answers(reply, query *dns.Msg) bool {
	if !reply.Response || reply.Id != query.Id {
		return false
	}
	if len(reply.Question) == 0 && reply.Rcode == dns.RcodeFormatError { // a server that could not read the question
		return true
	}
	if len(reply.Question) != 1 {
		return false
	}
	got, want := reply.Question[0], query.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}
