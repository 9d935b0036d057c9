package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
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
	servers []netip.AddrPort
	// given tells that the user named the servers; those out of resolv.conf are only a guess.
	given   bool
	timeout time.Duration
	// good is the one that answered last: it is tried first.
	good atomic.Int32
	// zones have resolvers of their own.
	zones []*forwardZone
	// asking holds the addresses of the open UDP sockets, by netip.AddrPort: a query that comes from one of them has come
	// back to its sender.
	asking sync.Map
}

// forwardZone is the resolvers for the names below a domain.
type forwardZone struct {
	labels  []string
	servers []netip.AddrPort
	good    atomic.Int32
}

// newForwarder returns nil if nothing is to be forwarded, or there is nobody to forward to.
func newForwarder(cfg *Config) (*forwarder, error) {
	if cfg.NoForward {
		return nil, nil
	}
	f := &forwarder{timeout: cfg.UpstreamTimeout}
	for _, text := range cfg.Upstreams {
		if err := f.add(text); err != nil {
			return nil, err
		}
	}
	f.given = len(f.servers) > 0
	if !f.given {
		if err := f.addSystem(cfg); err != nil {
			return nil, err
		}
	}
	if len(f.servers)+len(f.zones) == 0 {
		return nil, nil
	}
	return f, nil
}

// addSystem adds the resolvers of this host.
func (f *forwarder) addSystem(cfg *Config) error {
	conf, err := dns.ClientConfigFromFile(cfg.ResolvConf)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read upstream resolvers: %w", err)
	}
	if err != nil || len(conf.Servers) == 0 {
		cfg.Logger.Warn("no upstream resolvers: names of other domains are refused", "file", cfg.ResolvConf)
		return nil
	}
	for _, text := range conf.Servers {
		if err := f.add(text); err != nil {
			return err
		}
	}
	return nil
}

// add adds a resolver for all names, or with "zone=" before it for those of a zone.
func (f *forwarder) add(text string) error {
	domain, address, zoned := strings.Cut(text, "=")
	if !zoned {
		domain, address = ".", text
	}
	server, err := parseUpstream(address)
	if err != nil {
		return err
	}
	if !zoned {
		f.servers = append(f.servers, server)
		return nil
	}
	if wire, err := wireName(domain); err != nil || len(wire) < 2 {
		return catalog.Errorf(catalog.KindInvalid, "upstream %q is for no zone", text).WithHint("write it as corp.example=192.0.2.1:53")
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

// serversFor returns the resolvers for a name, those of the innermost zone that it is in, and where the one that answered
// last is noted.
func (f *forwarder) serversFor(name string) ([]netip.AddrPort, *atomic.Int32) {
	found := f.zoneOf(dns.SplitDomainName(strings.ToLower(name)))
	if found == nil {
		return f.servers, &f.good
	}
	return found.servers, &found.good
}

// parseUpstream reads ip:port, or an IP alone for port 53.
func parseUpstream(text string) (netip.AddrPort, error) {
	if server, err := netip.ParseAddrPort(text); err == nil && server.Port() != 0 {
		return netip.AddrPortFrom(server.Addr().Unmap(), server.Port()), nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, catalog.Errorf(catalog.KindInvalid, "upstream %q is not an address", text).
			WithHint("write it as 192.0.2.1:53 or [2001:db8::1]:53")
	}
	return netip.AddrPortFrom(ip.Unmap(), 53), nil
}

// refuse drops servers that are this server itself, at the address it listens on. One that the user named is an error.
func (f *forwarder) refuse(self netip.AddrPort, log *slog.Logger) error {
	for _, z := range f.zones {
		for _, server := range z.servers {
			if isSelf(server, self) {
				return selfError(server)
			}
		}
	}
	others := make([]netip.AddrPort, 0, len(f.servers))
	for _, server := range f.servers {
		switch {
		case !isSelf(server, self):
			others = append(others, server)
		case f.given:
			return selfError(server)
		default:
			log.Warn("upstream resolver is this name server itself: not used", "upstream", server)
		}
	}
	f.servers = others
	return nil
}

func selfError(server netip.AddrPort) error {
	return catalog.Errorf(catalog.KindInvalid, "upstream %s is this name server itself", server).
		WithHint("name another resolver, or turn forwarding off")
}

// isSelf tells whether a server is reached at the address that this one listens on.
func isSelf(server, self netip.AddrPort) bool {
	if server.Port() != self.Port() {
		return false
	}
	if server.Addr().WithZone("") == self.Addr().WithZone("") || server.Addr().IsUnspecified() {
		return true
	}
	if !self.Addr().IsUnspecified() || server.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 11}) {
		// In a container the latter is Docker's resolver, whoever else listens there. Asks finds out if it is not.
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

// errNoAnswer is what the asker's SERVFAIL stands for when no upstream answered.
var errNoAnswer = errors.New("no upstream resolver answers")

// exchange asks one server after the other until one has an answer. An answer that says no more than that the server
// cannot or will not say counts only if no other has a better one.
func (f *forwarder) exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	servers, good := f.serversFor(query.Question[0].Name)
	first := int(good.Load())
	failed, err := (*dns.Msg)(nil), errNoAnswer
	for i := range servers {
		k := (first + i) % len(servers)
		reply, tryErr := f.try(ctx, servers[k], query)
		if tryErr != nil {
			err = fmt.Errorf("ask %s: %w", servers[k], tryErr)
			continue
		}
		if unhelpful(reply.Rcode) {
			failed = reply
			continue
		}
		good.Store(int32(k))
		return reply, nil
	}
	if failed != nil {
		return failed, nil
	}
	return nil, err
}

func unhelpful(rcode int) bool {
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused || rcode == dns.RcodeNotImplemented
}

// try asks one server by UDP, and by TCP if the answer was cut. If TCP fails the cut answer stands.
func (f *forwarder) try(ctx context.Context, server netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	reply, err := f.ask(ctx, "udp", server, query)
	if err != nil || !reply.Truncated {
		return reply, err
	}
	if whole, err := f.ask(ctx, "tcp", server, query); err == nil {
		return whole, nil
	}
	return reply, nil
}

// asks tells whether an address is that of a socket on which an answer is waited for.
func (f *forwarder) asks(from netip.AddrPort) bool {
	_, ok := f.asking.Load(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	return ok
}

// maxStrays is how many messages that do not answer the query are passed over while waiting for the one that does.
const maxStrays = 64

// ask sends a query from a socket, and so a port, of its own, under an ID of its own.
func (f *forwarder) ask(ctx context.Context, network string, server netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	if local, ok := socket.LocalAddr().(*net.UDPAddr); ok {
		from := local.AddrPort()
		f.asking.Store(from, nil)
		defer f.asking.Delete(from)
	}
	conn := dns.Conn{Conn: socket, UDPSize: maxUDP}
	sent := *query
	sent.Id = dns.Id()
	if err := conn.WriteMsg(&sent); err != nil {
		return nil, err
	}
	for range maxStrays {
		reply, err := conn.ReadMsg()
		if err != nil && (reply == nil || network != "udp") {
			return nil, err
		}
		if err == nil && answers(reply, &sent) {
			return reply, passable(reply)
		}
	}
	return nil, errors.New("only answers to other questions came")
}

// passable returns an error if a reply can be read, but not be packed again so that an asker can read it: a record without
// data, for one, is read as one of which all fields are empty.
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

// answers tells whether a message is the reply to a query: what a forger would have to guess.
func answers(reply, query *dns.Msg) bool {
	if !reply.Response || reply.Id != query.Id || len(reply.Question) != 1 {
		return false
	}
	got, want := reply.Question[0], query.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}
