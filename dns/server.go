package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/meter"
	"github.com/koine-sd/koine/internal/pause"
)

// Config configures a Server.
type Config struct {
	// View is the source of the answers. It must be set.
	View *catalog.View
	// Domains are the domains that the server answers for, of one label or several; nil means "koine." and "consul.".
	// The first one appears in PTR records. The server does not answer for a domain that Upstreams has resolvers for.
	Domains []string
	// Datacenter is this datacenter's name, one label; empty means "dc1".
	Datacenter string
	// Node is the name of the node that the server runs on. Its addresses in the View are those of ns.<domain>.
	Node string
	// NodeAddresses, if set, replace the node's addresses in the View.
	NodeAddresses []netip.Addr
	// Upstreams are the resolvers for all other names, host:port or host, tried in order, or zone=host:port for those
	// of one zone. If none is for all names, those in ResolvConf are used, as they are at the time.
	Upstreams []string
	// NoForward refuses all other names.
	NoForward bool
	// Allow are the clients whose queries for other names are forwarded, besides loopback, the subnets of this host's
	// interfaces, and the networks of AllowNetworks: CIDR ranges, addresses, or AllowAny.
	Allow []string
	// ForwardInternal forwards the queries of clients on internal networks only, too.
	ForwardInternal bool
	// UDPSize bounds the bytes of an answer by UDP to a client of another host, whatever size it offers, from 512 to 4096; 0 means
	// 1232, which fits every link unfragmented.
	UDPSize int
	// ResolvConf is the file with the upstreams if Upstreams has none; empty means /etc/resolv.conf.
	ResolvConf string
	// UpstreamTimeout is the time that a question has for each of its upstreams; 0 means 1.5 s. Within the sum of these
	// times it is sent again, and to the next upstream.
	UpstreamTimeout time.Duration
	// MaxForwards bounds the queries in flight to the upstreams; 0 means 1024. Queries beyond it get SERVFAIL.
	MaxForwards int
	// MaxConns bounds the TCP connections; 0 means 1024. A client that is not on loopback may have an eighth of them.
	// When a bound is met, the connection idle longest is closed.
	MaxConns int
	// Holder says who has an address that ListenAlso wants, and what to do: "container adguard publishes it". The network is tcp or
	// udp. It may take seconds, and is empty if that is not known; nil means that it never is.
	Holder func(ctx context.Context, network string, at netip.AddrPort) string
	// TTL is how long answers may be kept, in whole seconds, from a second to a day; 0 means 5 s.
	TTL time.Duration
	// Metrics is where counters are registered; nil means nowhere.
	Metrics prometheus.Registerer
	// Logger receives warnings and failures; nil discards them.
	Logger *slog.Logger
}

// maxTTL bounds Config.TTL: resolvers may use a removed instance for that long.
const maxTTL = 24 * time.Hour

// Server is the name server, at one address or several.
type Server struct {
	*shared

	// udp are sockets that share one port.
	udp []*net.UDPConn
	tcp *net.TCPListener

	// also are servers at further addresses; they share everything with this one except their sockets.
	also []*Server
	// running counts the goroutines of Run.
	running sync.WaitGroup
}

// shared is what a name server has once, for all addresses that it listens on.
type shared struct {
	view *catalog.View
	slot catalog.Slot
	// deriveService makes what the server keeps on a service's snapshot.
	deriveService func(*catalog.Service) any
	zones         []*zone
	specials      specials
	datacenter    string
	node          string
	own           []catalog.Address
	ttl           uint32
	udpSize       uint16
	upstream      *forwarder // nil if nothing is ever forwarded
	// reread has room for one request to read the host's resolvers at once.
	reread chan struct{}
	access *access
	// forwardInternal is Config.ForwardInternal.
	forwardInternal bool
	cookies         *cookies
	cache           *answerCache
	metrics         *metrics
	log             *slog.Logger
	// bare is the zone of the bare names of containers: the root, as seen by a client on their networks.
	bare *zone

	workers sync.Pool
	// outbound has room for each query that is in flight to the upstreams.
	outbound chan struct{}
	conns    *conns
	// newcomers are the queries of containers that are not known yet.
	newcomers newcomers
	limiting  limiting
	guests    guests
	// holder is Config.Holder.
	holder func(ctx context.Context, network string, at netip.AddrPort) string
}

// New returns a server that does not listen yet. It returns an error of catalog.KindInvalid for an invalid name or
// upstream, and the registerer's error if it already has counters of the same names.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	upstream, err := newForwarder(&cfg)
	if err != nil {
		return nil, err
	}
	zones, err := newZones(cfg.Domains, strings.ToLower(cfg.Datacenter))
	if err != nil {
		return nil, err
	}
	if zones, err = cfg.ownZones(zones, upstream); err != nil {
		return nil, err
	}
	access, err := newAccess(cfg.Allow)
	if err != nil {
		return nil, err
	}
	access.readOwn()
	counters, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{shared: &shared{
		view: cfg.View, slot: cfg.View.Slot(), deriveService: deriverOn(cfg.Node), zones: zones, specials: newSpecials(), datacenter: strings.ToLower(cfg.Datacenter),
		node: cfg.Node, ttl: uint32(cfg.TTL / time.Second), upstream: upstream, cache: newAnswerCache(),
		udpSize: uint16(cfg.UDPSize), access: access, forwardInternal: cfg.ForwardInternal, cookies: newCookies(time.Now()),
		metrics: counters, log: cfg.Logger,
		outbound: make(chan struct{}, cfg.MaxForwards), conns: newConns(cfg.MaxConns),
		bare: &zone{wire: []byte{0}, ns: zones[0].ns, contact: zones[0].contact}, guests: newGuests(), holder: cfg.Holder, reread: make(chan struct{}, 1),
	}}
	s.takeSystem()
	meter.Queue(cfg.Metrics, "dns_upstream", cap(s.outbound), func() int { return len(s.outbound) })
	meter.Queue(cfg.Metrics, "dns_newcomers", maxWaiting, s.newcomers.len)
	meter.Queue(cfg.Metrics, "dns_connections", s.conns.most, s.conns.len)
	for _, ip := range cfg.NodeAddresses {
		s.own = append(s.own, catalog.Address{IP: ip})
	}
	s.workers.New = func() any { return s.newWorker() }
	return s, nil
}

// takeSystem takes the host's resolvers, unless the user has named others.
func (s *Server) takeSystem() {
	if s.upstream == nil || s.upstream.system == nil {
		return
	}
	system := s.upstream.system
	system.problem = s.view.ProblemSetter()
	system.apply = func(servers []netip.AddrPort) {
		s.upstream.use(servers)
		s.cache.renew()
	}
	system.look(false)
}

func (c Config) withDefaults() Config {
	if c.Domains == nil {
		c.Domains = []string{"koine.", "consul."}
	}
	if c.Datacenter == "" {
		c.Datacenter = "dc1"
	}
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.UpstreamTimeout == 0 {
		c.UpstreamTimeout = 1500 * time.Millisecond
	}
	if c.MaxForwards == 0 {
		c.MaxForwards = 1024
	}
	if c.MaxConns == 0 {
		c.MaxConns = 1024
	}
	if c.TTL == 0 {
		c.TTL = 5 * time.Second
	}
	if c.UDPSize == 0 {
		c.UDPSize = offeredUDP
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) validate() error {
	if c.View == nil {
		return catalog.Errorf(catalog.KindInvalid, "name server has no view")
	}
	if len(c.Domains) == 0 {
		return catalog.Errorf(catalog.KindInvalid, "name server has no domain")
	}
	if c.UpstreamTimeout < 0 || c.MaxForwards < 0 || c.MaxConns < 0 {
		return catalog.Errorf(catalog.KindInvalid, "name server has a negative timeout or number of forwards or connections")
	}
	if c.TTL < time.Second || c.TTL > maxTTL || c.TTL%time.Second != 0 {
		return catalog.Errorf(catalog.KindInvalid, "DNS answers cannot have a TTL of %v", c.TTL).
			WithHint("choose whole seconds, from 1s to %v", maxTTL)
	}
	if c.UDPSize < minUDP || c.UDPSize > maxUDP {
		return catalog.Errorf(catalog.KindInvalid, "DNS answers by UDP cannot be limited to %d bytes", c.UDPSize).
			WithHint("choose a size from %d to %d", minUDP, maxUDP)
	}
	if reserved(strings.ToLower(c.Datacenter)) {
		return catalog.Errorf(catalog.KindInvalid, "datacenter name %q is reserved in DNS", c.Datacenter).
			WithHint("choose a name other than service, near, node, addr, dc and ns")
	}
	return catalog.ValidateName("datacenter", c.Datacenter)
}

// Listen binds UDP and TCP on one port of addr; with port 0, on any port that is free for both. It may be called again
// for further addresses before Run. It returns an error that names the address if the port is taken, and one of
// catalog.KindInvalid if an upstream is the server itself; nothing is bound then.
func (s *Server) Listen(addr string) error {
	at := s
	if s.udp != nil {
		at = &Server{shared: s.shared}
	}
	if err := at.bind(addr); err != nil {
		s.Close()
		return fmt.Errorf("listen for dns on %s: %w", addr, err)
	}
	if at != s {
		s.also = append(s.also, at)
	}
	if s.upstream == nil {
		return nil
	}
	if err := s.upstream.refuse(at.Addr()); err != nil {
		s.Close()
		return err
	}
	s.opened(at.Addr())
	return nil
}

// opened and closed keep the addresses of this server out of the host's resolvers.
func (s *shared) opened(addr netip.AddrPort) {
	if s.upstream != nil && s.upstream.system != nil {
		s.upstream.system.listen(addr)
	}
}

func (s *shared) closed(addr netip.AddrPort) {
	if s.upstream != nil && s.upstream.system != nil {
		s.upstream.system.leave(addr)
	}
}

// bindTries bounds the search for a port that is free for both UDP and TCP.
const bindTries = 16

func (s *Server) bind(addr string) (err error) {
	wanted, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	for range bindTries {
		if s.tcp, err = net.ListenTCP("tcp", wanted); err != nil {
			return err
		}
		port := s.tcp.Addr().(*net.TCPAddr).Port
		s.udp, err = bindUDP(&net.UDPAddr{IP: wanted.IP, Port: port, Zone: wanted.Zone})
		if err == nil {
			return nil
		}
		s.tcp.Close()
		s.tcp = nil
		if wanted.Port != 0 {
			break
		}
	}
	return err
}

// Listens reports whether Listen has bound an address.
func (s *Server) Listens() bool { return s.udp != nil }

// Addr returns the address that Listen bound first.
func (s *Server) Addr() netip.AddrPort {
	addr := s.udp[0].LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// Domain returns the first of the domains that the server answers for, without a trailing dot.
func (s *Server) Domain() string { return strings.Join(s.zones[0].labels, ".") }

// Addrs returns the addresses that Listen has bound, in order.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := []netip.AddrPort{s.Addr()}
	for _, at := range s.also {
		addrs = append(addrs, at.Addr())
	}
	return addrs
}

// Close closes what Listen has bound, for a server that is never run.
func (s *Server) Close() {
	for _, at := range append(s.also, s) {
		at.closeSockets()
	}
}

func (s *Server) closeSockets() {
	for _, conn := range s.udp {
		conn.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
}

// Run answers until the context ends, and returns nil once all of its goroutines have returned. If a socket fails, it
// returns the reason. Listen must have succeeded before.
func (s *Server) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, at := range append([]*Server{s}, s.also...) {
		all.Go(func() error { return at.serve(ctx) })
	}
	all.Go(func() error {
		s.runGuests(ctx)
		return nil
	})
	all.Go(func() error {
		s.keepUp(ctx)
		return nil
	})
	all.Go(func() error {
		s.followResolvers(ctx)
		return nil
	})
	return all.Wait()
}

// Reload reads the host's resolvers again at once, and logs them even if nothing has changed; it is for SIGHUP. It does not wait.
func (s *Server) Reload() {
	select {
	case s.reread <- struct{}{}:
	default: // one is pending already
	}
}

// Upstreams returns the resolvers for names of other domains as they are now, those of a zone with it in front: corp.example=192.0.2.1:53.
func (s *Server) Upstreams() []string {
	if s.upstream == nil {
		return nil
	}
	return s.upstream.list()
}

// followResolvers looks at the host's resolvers every resolvConfEvery, until the context ends.
func (s *Server) followResolvers(ctx context.Context) {
	if s.upstream == nil || s.upstream.system == nil {
		return
	}
	tick := time.NewTicker(resolvConfEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.upstream.system.look(false)
		case <-s.reread:
			s.upstream.system.look(true)
		case <-ctx.Done():
			return
		}
	}
}

// upkeep is the interval of keepUp.
const upkeep = 30 * time.Second

// keepUp reads this host's subnets every upkeep, because interfaces come and go, and replaces the key of the cookies
// when it is due, until the context ends.
func (s *Server) keepUp(ctx context.Context) {
	for pause.For(ctx, upkeep) {
		s.access.readOwn()
		s.cookies.rollOver(time.Now())
	}
}

// serve answers at one address until the context ends or a socket fails.
func (s *Server) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	serve := func(loop func(context.Context) error) {
		s.running.Go(func() {
			if err := loop(ctx); err != nil {
				select {
				case failed <- err:
				default: // the first reason counts
				}
				cancel()
			}
		})
	}
	for i := range udpReaders() {
		serve(func(ctx context.Context) error { return s.serveUDP(ctx, s.udp[i%len(s.udp)]) })
	}
	serve(func(ctx context.Context) error { return s.serveTCP(ctx, s.tcp) })
	<-ctx.Done()
	s.closeSockets()
	s.running.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
