package daemon

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Off turns a listener, the Docker source or the forwarding of names off.
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

// Config is the configuration of a process. The zero value of a field is its default, unless its comment says otherwise.
type Config struct {
	// Node is this host's name; empty means its host name.
	Node string
	// Datacenter is the datacenter's name in DNS; empty means "dc1".
	Datacenter string
	// Domains are the parents of Koine's names in DNS. The first is the one that is shown; none means koine and consul.
	Domains []string
	// Locality is the place of this host, and of the instances on it that have none of their own.
	Locality catalog.Locality
	// DataDir is the directory of the embedded store and the node's identity. Empty means a temporary directory that is
	// removed with the process.
	DataDir string
	// ConfigDir is the directory of definition files; empty means none.
	ConfigDir string
	// HTTP is the address of the HTTP listener, host:port, or Off.
	HTTP string
	// HTTPHosts are names by which clients reach this server over HTTP, besides its own: koine.corp.example, *.corp.example.
	HTTPHosts []string
	// CORSOrigins are the origins whose pages may use the HTTP API: https://ui.corp.example.
	CORSOrigins []string
	// DNS is the addresses of the DNS listeners with commas between them, host:port, Bridge and "bridge:NETWORK", or Off.
	DNS string
	// Docker is the engine's address, Auto, or Off; empty means Auto.
	Docker string
	// DockerExpose selects the containers to register: ExposeAll, which is the default, or ExposeLabelled.
	DockerExpose string
	// ComposeNames is the rule for the names of Compose's services: NamesService, which is the default, or NamesProject.
	ComposeNames string
	// Registrator registers containers as Registrator does.
	Registrator bool
	// Upstreams are the resolvers for names outside Koine's domains; none means the host's own. A single Off turns this off.
	Upstreams []string
	// DNSAllow are the clients that may resolve names outside Koine's domains, besides loopback, this host's subnets and
	// the Docker engine's networks: CIDR ranges, addresses, or "any".
	DNSAllow []string
	// ForwardInternal resolves such names for containers whose networks are all internal, too.
	ForwardInternal bool
	// DNSUDPSize bounds a DNS answer over UDP, in bytes; 0 means 1232.
	DNSUDPSize int
	// DNSTTL is how long resolvers may keep the catalog's names; 0 means 5 seconds.
	DNSTTL time.Duration
	// Engine is the store: empty for the embedded one, or etcd://host:port,….
	Engine string
	// Advertise is the address at which others reach this host; invalid means 127.0.0.1.
	Advertise netip.Addr
	// SessionTTL is how long the node counts as alive after its agent's last renewal; 0 means 10 seconds.
	SessionTTL time.Duration
	// StopWithin bounds the time that Run takes to return once its context has ended; 0 means 5 seconds.
	StopWithin time.Duration
	// EnableScriptChecks lets checks run commands on this host.
	EnableScriptChecks bool
	// Profile serves the runtime's profiles under /debug/pprof/ of the HTTP listener. They reveal much about the process.
	Profile bool
	// Version is shown by /health, the log and the banner.
	Version string
	// Logger gets the log; nil discards it.
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

// withDefaults fills in defaults, and validates.
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

// node returns this host's node as the agent declares it.
func (c Config) node(id string) catalog.Node {
	return catalog.Node{
		Name: c.Node, ID: id,
		Addresses: []catalog.Address{{Network: catalog.NetworkHost, IP: c.Advertise}},
		Locality:  c.Locality,
		Owner:     catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(c.SessionTTL)},
	}
}

// defaultDockerSocket is the Docker engine's default address. Tests change it.
var defaultDockerSocket = "/var/run/docker.sock"

// dockerHost returns the address of the engine to follow, and false if none is to be followed.
func (c Config) dockerHost() (string, bool) {
	switch c.Docker {
	case Off:
		return "", false
	case Auto:
		return cmp.Or(os.Getenv("DOCKER_HOST"), "unix://"+engineSocket()), true
	default:
		return c.Docker, true
	}
}

// locate returns a function for the address of the engine now, nil if the user has given one.
func (c Config) locate() func() string {
	if c.Docker != Auto || os.Getenv("DOCKER_HOST") != "" {
		return nil
	}
	return func() string { return "unix://" + engineSocket() }
}

// dockerMissing reports whether this host does not seem to have an engine: nobody has named one, and neither Docker's default socket
// nor one of Podman's is there. It is followed all the same, for it may come.
func (c Config) dockerMissing() bool {
	return c.locate() != nil && !isSocket(engineSocket())
}

// podmanSockets are the default addresses of Podman: root's, then this user's. Tests change them.
var podmanSockets = func() []string {
	sockets := []string{"/run/podman/podman.sock"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "podman", "podman.sock"))
	}
	return sockets
}

// engineSocket returns the socket of this host's engine: Docker's, or Podman's where there is no Docker.
func engineSocket() string {
	if isSocket(defaultDockerSocket) {
		return defaultDockerSocket
	}
	for _, socket := range podmanSockets() {
		if isSocket(socket) {
			return socket
		}
	}
	return defaultDockerSocket
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}

// checkDocker refuses an address that no engine can have, instead of waiting for an answer from it.
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

// checkContainers refuses unknown values of the settings for containers.
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

// engineAddress reports whether a text can be an engine's address: a socket's path, or a host and a port.
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

// storeElsewhere reports whether the store is not this process's own.
func (c Config) storeElsewhere() bool { return c.Engine != "" && c.Engine != "embedded" }

// forwards reports whether queries for names outside Koine's domains go to upstream resolvers.
func (c Config) forwards() bool { return len(c.Upstreams) != 1 || c.Upstreams[0] != Off }

// listenError is the error for an address at which a protocol cannot listen. It names the flag.
func listenError(protocol, flag, address string, err error) error {
	kind := catalog.Errorf(catalog.KindInvalid, "%s cannot listen on %s: %v", protocol, address, cause(err))
	if errors.Is(err, fs.ErrPermission) {
		return kind.WithHint("ports below 1024 need root, or the capability for them: sudo setcap cap_net_bind_service=+ep %s; "+
			"or choose another port with %s", executable(), flag)
	}
	return kind.WithHint("choose another address with %s, or turn %s off with %s off", flag, protocol, flag)
}

// executable returns the path of this program, for a command that a user can run.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "koine"
	}
	return path
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

func listenTCP(protocol, flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(protocol, flag, address, err)
	}
	return listener, nil
}
