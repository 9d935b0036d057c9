package daemon

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Off closes a door or a source.
const Off = "off"

// Auto takes the Docker engine that the environment names, if there is one.
const Auto = "auto"

// The values of Config.DockerExpose: all containers, or those that are labelled for it.
const (
	ExposeAll      = "all"
	ExposeLabelled = "labelled"
)

// The values of Config.ComposeNames: the service's name, or that with the project's behind it.
const (
	NamesService = "service"
	NamesProject = "project"
)

// Config says what a process does. The zero value of a field is its default, except where it says otherwise.
type Config struct {
	// Node is this host's name; empty means its host name.
	Node string
	// Datacenter is its name in DNS; empty means "dc1".
	Datacenter string
	// Domains are those of Koine's names in DNS, the one to show first; none means koine and consul.
	Domains []string
	// Locality is where this host is; what runs on it is there, too, unless it says otherwise.
	Locality catalog.Locality
	// DataDir is where the embedded store and the node's identity are kept. Empty means a temporary directory that goes
	// with the process.
	DataDir string
	// ConfigDir is the directory of definition files; empty means none.
	ConfigDir string
	// HTTP is the HTTP door's address, host:port, or Off.
	HTTP string
	// HTTPHosts are names by which this server is asked over HTTP, beside its own: koine.corp.example, *.corp.example.
	HTTPHosts []string
	// CORSOrigins are the origins whose pages may use the HTTP API: https://ui.corp.example.
	CORSOrigins []string
	// DNS is the DNS door's addresses by commas, host:port, Bridge and "bridge:NETWORK", or Off.
	DNS string
	// Docker is the engine's address, Auto, or Off; empty means Auto.
	Docker string
	// DockerExpose says which containers are registered: ExposeAll, which empty means, or ExposeLabelled.
	DockerExpose string
	// ComposeNames says what a service of Compose is called: NamesService, which empty means, or NamesProject.
	ComposeNames string
	// Registrator has containers registered as Registrator does.
	Registrator bool
	// Upstreams answer names outside Koine's domains; none means the host's own resolvers, and a single Off nobody.
	Upstreams []string
	// DNSAllow are the clients for which names outside Koine's domains are resolved, besides loopback, this host's subnets and
	// the Docker engine's networks: CIDR ranges, addresses, or "any".
	DNSAllow []string
	// DNSUDPSize is the most bytes of a DNS answer by UDP; 0 means 1232.
	DNSUDPSize int
	// DNSTTL is how long the catalog's names may be kept by resolvers; 0 means 5 seconds.
	DNSTTL time.Duration
	// Engine is the store: empty for the embedded one, or etcd://host:port,….
	Engine string
	// Advertise is the address at which others reach this host; invalid means 127.0.0.1.
	Advertise netip.Addr
	// SessionTTL is how long the node counts as alive after its agent's last sign; 0 means 10 seconds.
	SessionTTL time.Duration
	// StopWithin bounds the time that Run takes to return once its context has ended; 0 means 5 seconds.
	StopWithin time.Duration
	// EnableScriptChecks lets checks run commands on this host.
	EnableScriptChecks bool
	// Profile serves the runtime's profiles under /debug/pprof/ of the HTTP door. They tell much about the process.
	Profile bool
	// Version is told to whoever asks.
	Version string
	// Logger receives everything that is worth a line; nil discards it.
	Logger *slog.Logger
}

const (
	defaultSessionTTL = 10 * time.Second
	defaultStopWithin = 5 * time.Second
)

// How StopWithin is shared, in percent: requests that were taken are finished first, then the registry ends its last
// transaction, for which a second is kept free, and the store is closed.
const (
	drainShare = 40
	closeShare = 40
)

// withDefaults fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, catalog.Errorf(catalog.KindInvalid, "this host has no name: %v", err).WithHint("give it one with --node")
		}
		first, _, _ := strings.Cut(name, ".")
		c.Node = catalog.SanitizeName(first)
	}
	if err := catalog.ValidateName("node", c.Node); err != nil {
		return c, err
	}
	if c.Datacenter == "" {
		c.Datacenter = "dc1"
	}
	if err := catalog.ValidateName("datacenter", c.Datacenter); err != nil {
		return c, err
	}
	if len(c.Domains) == 0 {
		c.Domains = []string{"koine", "consul"}
	}
	if c.Docker == "" {
		c.Docker = Auto
	}
	if err := c.checkDocker(); err != nil {
		return c, err
	}
	if err := c.checkContainers(); err != nil {
		return c, err
	}
	if !c.Advertise.IsValid() {
		c.Advertise = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if c.SessionTTL == 0 {
		c.SessionTTL = defaultSessionTTL
	}
	if c.StopWithin == 0 {
		c.StopWithin = defaultStopWithin
	}
	return c, nil
}

// node returns what is declared of this host.
func (c Config) node(id string) catalog.Node {
	return catalog.Node{
		Name: c.Node, ID: id,
		Addresses: []catalog.Address{{Network: catalog.NetworkHost, IP: c.Advertise}},
		Locality:  c.Locality,
		Owner:     catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(c.SessionTTL)},
	}
}

// defaultDockerSocket is where Docker's engine listens if nobody says otherwise.
const defaultDockerSocket = "/var/run/docker.sock"

// dockerHost returns the engine's address, and false if there is none to follow.
func (c Config) dockerHost() (string, bool) {
	switch c.Docker {
	case Off:
		return "", false
	case Auto:
		if host := os.Getenv("DOCKER_HOST"); host != "" {
			return host, true
		}
		if info, err := os.Stat(defaultDockerSocket); err == nil && info.Mode().Type() == os.ModeSocket {
			return "unix://" + defaultDockerSocket, true
		}
		return "", false
	default:
		return c.Docker, true
	}
}

// checkDocker refuses what can be no engine's address, rather than waiting for it to answer.
func (c Config) checkDocker() error {
	host, ok := c.dockerHost()
	if !ok || engineAddress(host) {
		return nil
	}
	const forms = "unix:///path or tcp://host:port"
	if c.Docker == Auto {
		return catalog.Errorf(catalog.KindInvalid, "DOCKER_HOST %q is not %s", host, forms).
			WithHint("name the engine with --docker, or follow none with --docker off")
	}
	return catalog.Errorf(catalog.KindInvalid, "--docker %q is not auto, off, %s", host, forms)
}

// checkContainers refuses values of the settings for containers that are none.
func (c Config) checkContainers() error {
	if c.DockerExpose != "" && c.DockerExpose != ExposeAll && c.DockerExpose != ExposeLabelled {
		return catalog.Errorf(catalog.KindInvalid, "--docker-expose %q is not %s or %s", c.DockerExpose, ExposeAll, ExposeLabelled)
	}
	if c.ComposeNames != "" && c.ComposeNames != NamesService && c.ComposeNames != NamesProject {
		return catalog.Errorf(catalog.KindInvalid, "--compose-names %q is not %s or %s", c.ComposeNames, NamesService, NamesProject)
	}
	if c.Registrator && c.ComposeNames == NamesProject {
		return catalog.Errorf(catalog.KindInvalid, "--compose-names project has no effect with --registrator, which does not read Compose's names").
			WithHint("leave one of them out")
	}
	return nil
}

// engineAddress tells whether an engine may be reached at an address: a socket's path, or a host and a port.
func engineAddress(address string) bool {
	if strings.HasPrefix(address, "/") {
		return true
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "unix":
		return u.Host == "" && strings.HasPrefix(u.Path, "/")
	case "tcp", "http", "https":
		return u.Hostname() != "" && u.Port() != ""
	}
	return false
}

// storeElsewhere tells whether the store is not this process's own.
func (c Config) storeElsewhere() bool { return c.Engine != "" && c.Engine != "embedded" }

// forwards tells whether names outside Koine's domains are asked of others.
func (c Config) forwards() bool { return len(c.Upstreams) != 1 || c.Upstreams[0] != Off }

// listenError names the flag for an address that cannot be listened on.
func listenError(door, flag, address string, err error) error {
	kind := catalog.Errorf(catalog.KindInvalid, "%s door cannot listen on %s: %v", door, address, cause(err))
	return kind.WithHint("choose another address with %s, or close the door with %s off", flag, flag)
}

func cause(err error) error {
	for {
		next, ok := err.(interface{ Unwrap() error })
		if !ok || next.Unwrap() == nil {
			return err
		}
		err = next.Unwrap()
	}
}

func listenTCP(door, flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(door, flag, address, err)
	}
	return listener, nil
}
