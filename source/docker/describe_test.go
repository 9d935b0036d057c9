package docker

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

const (
	testID    = "aaaaaaaaaaaa0000000000000000000000000000000000000000000000000000"
	testStart = "2026-01-02T03:04:05.000000006Z"
)

// edit changes a container before it is described.
type edit func(*container.InspectResponse)

// inspected returns what an engine says of a container "web" of image "web:1" on the default bridge.
func inspected(edits ...edit) *container.InspectResponse {
	c := &container.InspectResponse{
		ID: testID, Name: "/web", Created: "2026-01-02T03:04:04Z",
		State:      &container.State{Running: true, Pid: 42, StartedAt: testStart},
		Config:     &container.Config{Image: "web:1", ExposedPorts: network.PortSet{}},
		HostConfig: &container.HostConfig{NetworkMode: "bridge"},
		NetworkSettings: &container.NetworkSettings{
			Ports: network.PortMap{},
			Networks: map[string]*network.EndpointSettings{
				"bridge": {NetworkID: "n0", IPAddress: netip.MustParseAddr("172.17.0.2")},
			},
		},
	}
	for _, e := range edits {
		e(c)
	}
	return c
}

func labels(pairs ...string) edit {
	return func(c *container.InspectResponse) {
		if c.Config.Labels == nil {
			c.Config.Labels = make(map[string]string)
		}
		for i := 0; i < len(pairs); i += 2 {
			c.Config.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

func env(pairs ...string) edit {
	return func(c *container.InspectResponse) { c.Config.Env = append(c.Config.Env, pairs...) }
}

func image(name string) edit {
	return func(c *container.InspectResponse) { c.Config.Image = name }
}

func mode(m container.NetworkMode) edit {
	return func(c *container.InspectResponse) { c.HostConfig.NetworkMode = m }
}

func expose(ports ...string) edit {
	return func(c *container.InspectResponse) {
		for _, p := range ports {
			c.Config.ExposedPorts[network.MustParsePort(p)] = struct{}{}
		}
	}
}

// publish binds a port to "ip:port" addresses of the host.
func publish(port string, bindings ...string) edit {
	return func(c *container.InspectResponse) {
		var list []network.PortBinding
		for _, b := range bindings {
			i := strings.LastIndexByte(b, ':')
			ip, _ := netip.ParseAddr(strings.Trim(b[:i], "[]"))
			list = append(list, network.PortBinding{HostIP: ip, HostPort: b[i+1:]})
		}
		c.NetworkSettings.Ports[network.MustParsePort(port)] = list
	}
}

func attach(name, v4, v6 string) edit {
	return func(c *container.InspectResponse) {
		endpoint := &network.EndpointSettings{NetworkID: "id-" + name}
		endpoint.IPAddress, _ = netip.ParseAddr(v4)
		endpoint.GlobalIPv6Address, _ = netip.ParseAddr(v6)
		c.NetworkSettings.Networks[name] = endpoint
	}
}

func detached(c *container.InspectResponse) { clear(c.NetworkSettings.Networks) }

func testOptions() options {
	return options{node: "n1", scripts: true, hostAddresses: []catalog.Address{
		{Network: catalog.NetworkHost, IP: netip.MustParseAddr("10.0.0.1")},
		{Network: catalog.NetworkHost, IP: netip.MustParseAddr("fd00::1")},
	}}
}

// registered describes a container that has to be registered, and returns the labels that were warned of.
func registered(t *testing.T, o options, edits ...edit) (catalog.Registration, []string) {
	t.Helper()
	d, err := describe(inspected(edits...), o)
	if err != nil {
		t.Fatal(err)
	}
	if d.skip != "" {
		t.Fatalf("skipped: %s", d.skip)
	}
	var warned []string
	for _, w := range d.warnings {
		if w.Reason == "" {
			t.Errorf("warning of %s without a reason", w.Label)
		}
		warned = append(warned, w.Label)
	}
	return d.members[0].Registration, warned
}

func TestDescribeName(t *testing.T) {
	compose := labels(composeService, "compose", composeNumber, "1")
	swarm := labels("com.docker.swarm.service.name", "swarm")
	tests := []struct {
		name  string
		edits []edit
		want  string
		rule  string
	}{
		{"koine first", []edit{labels("koine.name", "mine"), compose, swarm, env("SERVICE_NAME=env")}, "mine", "label koine.name"},
		{"compose", []edit{compose, swarm, env("SERVICE_NAME=env")}, "compose", "label com.docker.compose.service"},
		{"swarm", []edit{swarm, env("SERVICE_NAME=env")}, "swarm", "label com.docker.swarm.service.name"},
		{"env", []edit{env("SERVICE_NAME=env")}, "env", "env SERVICE_NAME"},
		{"label after env", []edit{env("SERVICE_NAME=env"), labels("SERVICE_NAME", "label")}, "label", "label SERVICE_NAME"},
		{"image", nil, "web", "image web:1"},
		{"whole reference", []edit{image("reg.example:5000/team/api.v2:1.0@sha256:00")}, "api-v2", "image reg.example:5000/team/api.v2:1.0@sha256:00"},
		{"of this host, as Podman names it", []edit{image("localhost/shop:latest")}, "shop", "image localhost/shop:latest"},
		{"image id", []edit{image("sha256:" + testID)}, "web", "container name"},
		{"short image id", []edit{image("0123456789ab")}, "web", "container name"},
		{"sanitised", []edit{labels("koine.name", "my shop/api")}, "my-shop-api", "label koine.name"},
		{"nothing left", []edit{labels("koine.name", "///")}, "web", "image web:1"},
		{"empty", []edit{env("SERVICE_NAME=")}, "web", "image web:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, _ := registered(t, testOptions(), test.edits...)
			var kept extras
			if err := json.Unmarshal(r.Instance.Extras[sourceName], &kept); err != nil {
				t.Fatal(err)
			}
			if r.Instance.Service != test.want || kept.NamedBy != test.rule {
				t.Errorf("named %q by %q, want %q by %q", r.Instance.Service, kept.NamedBy, test.want, test.rule)
			}
			if kept.ContainerID != testID || kept.StartedAt != testStart {
				t.Errorf("extras are %+v", kept)
			}
		})
	}
}

func TestDescribePorts(t *testing.T) {
	tcp := func(n, published uint16) catalog.Port {
		return catalog.Port{Number: n, Protocol: "tcp", Published: published}
	}
	named := func(name string, p catalog.Port) catalog.Port { p.Name = name; return p }
	bound := func(n uint16, pairs ...string) catalog.Port {
		p := tcp(n, 0)
		for _, pair := range pairs {
			p.Bindings = append(p.Bindings, netip.MustParseAddrPort(pair))
		}
		return p
	}
	tests := []struct {
		name  string
		edits []edit
		want  []catalog.Port
		warn  int
	}{
		{"none", nil, nil, 0},
		{"order", []edit{expose("9000", "53/udp", "80"), publish("443/tcp", "0.0.0.0:8443"), publish("8080/tcp", "0.0.0.0:80", "[::]:80")},
			[]catalog.Port{bound(443, "10.0.0.1:8443"), tcp(8080, 80), tcp(80, 0), tcp(9000, 0), {Number: 53, Protocol: "udp"}}, 0},
		{"exposed and published before published only", []edit{expose("8500", "8600"), publish("8400/tcp", "0.0.0.0:8400"), publish("8500/tcp", "0.0.0.0:8500")},
			[]catalog.Port{tcp(8500, 8500), tcp(8400, 8400), tcp(8600, 0)}, 0},
		{"published before exposed only", []edit{expose("4369", "5672"), publish("5672/tcp", "0.0.0.0:5672")}, []catalog.Port{tcp(5672, 5672), tcp(4369, 0)}, 0},
		{"named before all others", []edit{expose("20", "21"), env("SERVICE_21_NAME=ftp"), publish("20/tcp", "0.0.0.0:20")},
			[]catalog.Port{named("ftp", tcp(21, 0)), tcp(20, 20)}, 0},
		{"named by a label, and UDP", []edit{expose("80", "53/udp"), labels("SERVICE_53_NAME", "dns")},
			[]catalog.Port{named("dns", catalog.Port{Number: 53, Protocol: "udp"}), tcp(80, 0)}, 0},
		{"published for others before published on loopback", []edit{expose("8080", "9090"), publish("8080/tcp", "127.0.0.1:8080"), publish("9090/tcp", "0.0.0.0:9090")},
			[]catalog.Port{tcp(9090, 9090), bound(8080, "127.0.0.1:8080")}, 0},
		{"TCP on loopback before UDP for others", []edit{publish("8080/tcp", "127.0.0.1:8080"), publish("10000/udp", "0.0.0.0:10000")},
			[]catalog.Port{bound(8080, "127.0.0.1:8080"), {Number: 10000, Protocol: "udp", Published: 10000}}, 0},
		{"public and LAN", []edit{publish("80/tcp", "10.0.0.7:8443"), publish("9090/tcp", "10.0.0.1:9100")},
			[]catalog.Port{bound(80, "10.0.0.7:8443"), bound(9090, "10.0.0.1:9100")}, 0},
		{"TCP and UDP of one number", []edit{publish("53/tcp", "10.0.0.7:53"), publish("53/udp", "10.0.0.1:5353")},
			[]catalog.Port{bound(53, "10.0.0.7:53"), {Number: 53, Protocol: "udp", Bindings: bound(0, "10.0.0.1:5353").Bindings}}, 0},
		{"each family with its own", []edit{publish("80/tcp", "0.0.0.0:8092", "[::]:8091")}, []catalog.Port{bound(80, "10.0.0.1:8092", "[fd00::1]:8091")}, 0},
		{"IPv6 only", []edit{publish("80/tcp", "[::]:8091"), publish("81/tcp", "0.0.0.0:8092")},
			[]catalog.Port{bound(80, "[fd00::1]:8091"), bound(81, "10.0.0.1:8092")}, 0},
		{"on [::1]", []edit{publish("80/tcp", "[::1]:8091")}, []catalog.Port{bound(80, "[::1]:8091")}, 0},
		{"all addresses, as Podman has it", []edit{publish("80/tcp", ":8080")}, []catalog.Port{tcp(80, 8080)}, 0},
		{"one address and all", []edit{publish("80/tcp", "0.0.0.0:8080", "[::]:8080", "10.0.0.7:9090")}, []catalog.Port{tcp(80, 8080)}, 0},
		{"lowest binding", []edit{publish("80/tcp", "0.0.0.0:9002", "0.0.0.0:9001")}, []catalog.Port{tcp(80, 9001)}, 0},
		{"a number on the host's address", []edit{publish("80/tcp", "10.0.0.7:9001", "10.0.0.1:9002")}, []catalog.Port{bound(80, "10.0.0.1:9002", "10.0.0.7:9001")}, 0},
		{"the number on more of the host's addresses", []edit{publish("80/tcp", "[::]:9001", "0.0.0.0:9002", "[::]:9002")}, []catalog.Port{tcp(80, 9002)}, 0},
		{"loopback is in a pair", []edit{publish("80/tcp", "127.0.0.1:8080")}, []catalog.Port{bound(80, "127.0.0.1:8080")}, 0},
		{"port names", []edit{expose("80", "81"), env("SERVICE_80_NAME=http", "SERVICE_81_NAME=admin api")},
			[]catalog.Port{named("http", tcp(80, 0)), named("admin-api", tcp(81, 0))}, 1},
		{"bad port name", []edit{expose("80"), env("SERVICE_80_NAME=//")}, []catalog.Port{tcp(80, 0)}, 1},
		{"ignored port", []edit{expose("80", "81"), env("SERVICE_80_IGNORE=1", "SERVICE_81_IGNORE=false")}, []catalog.Port{tcp(81, 0)}, 0},
		{"explicit", []edit{expose("80", "22"), publish("9000/tcp", "0.0.0.0:19000"), labels("koine.ports", "admin=9000/tcp, http=80,53/udp")},
			[]catalog.Port{named("admin", tcp(9000, 19000)), named("http", tcp(80, 0)), {Number: 53, Protocol: "udp"}}, 0},
		{"explicit with bad items", []edit{labels("koine.ports", "0,x=,99999,80,80,a b=7,5/icmp")}, []catalog.Port{tcp(80, 0)}, 6},
		{"all bad", []edit{expose("80"), labels("koine.ports", "http")}, []catalog.Port{tcp(80, 0)}, 1},
		{"SERVICE_PORTS", []edit{env("SERVICE_PORTS=81,82", "SERVICE_82_NAME=b")}, []catalog.Port{tcp(81, 0), named("b", tcp(82, 0))}, 0},
		{"host mode", []edit{mode("host"), detached, expose("80", "443")}, []catalog.Port{tcp(80, 80), tcp(443, 443)}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, warned := registered(t, testOptions(), test.edits...)
			if diff := cmp.Diff(test.want, r.Instance.Ports, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Error(diff)
			}
			if len(warned) != test.warn {
				t.Errorf("warned of %v, want %d warnings", warned, test.warn)
			}
		})
	}
	t.Run("too many", func(t *testing.T) {
		var ports []string
		for n := range 200 {
			ports = append(ports, fmt.Sprint(1000+n))
		}
		r, warned := registered(t, testOptions(), expose(ports...))
		if len(r.Instance.Ports) != catalog.MaxPorts || len(warned) != 1 || r.Instance.Ports[0].Number != 1000 {
			t.Errorf("%d ports, warned of %v", len(r.Instance.Ports), warned)
		}
	})
}

func TestDescribeAddresses(t *testing.T) {
	tests := []struct {
		name  string
		edits []edit
		want  []string
	}{
		{"bridge", nil, []string{"bridge 172.17.0.2"}},
		{"networks by name", []edit{attach("zeta", "10.9.0.2", ""), attach("alpha", "10.8.0.2", "fd08::2"), attach("ingress", "10.255.0.2", "")},
			[]string{"alpha 10.8.0.2", "alpha fd08::2", "zeta 10.9.0.2", "bridge 172.17.0.2", "ingress 10.255.0.2"}},
		{"preferred", []edit{attach("zeta", "10.9.0.2", ""), attach("alpha", "10.8.0.2", ""), labels("koine.network", "bridge")},
			[]string{"bridge 172.17.0.2", "alpha 10.8.0.2", "zeta 10.9.0.2"}},
		{"IPv6 only", []edit{detached, attach("six", "", "fd06::2")}, []string{"six fd06::2"}},
		{"published", []edit{publish("80/tcp", "0.0.0.0:80")}, []string{"bridge 172.17.0.2", "host 10.0.0.1"}},
		{"published on both families", []edit{publish("80/tcp", "0.0.0.0:80", "[::]:80")}, []string{"bridge 172.17.0.2", "host 10.0.0.1", "host fd00::1"}},
		{"published on one address", []edit{publish("80/tcp", "10.0.0.7:80")}, []string{"bridge 172.17.0.2", "host 10.0.0.7"}},
		{"published on the host's IPv6", []edit{publish("80/tcp", "[fd00::1]:80")}, []string{"bridge 172.17.0.2", "host fd00::1"}},
		{"two numbers on two addresses", []edit{publish("80/tcp", "10.0.0.7:80", "10.0.0.8:81")}, []string{"bridge 172.17.0.2", "host 10.0.0.7", "host 10.0.0.8"}},
		{"two numbers, one on the host's address", []edit{publish("80/tcp", "10.0.0.7:80", "10.0.0.1:81")}, []string{"bridge 172.17.0.2", "host 10.0.0.1", "host 10.0.0.7"}},
		{"each family with its own number", []edit{publish("80/tcp", "0.0.0.0:32768", "[::]:32769")}, []string{"bridge 172.17.0.2", "host 10.0.0.1", "host fd00::1"}},
		{"two ports on two addresses", []edit{publish("80/tcp", "10.0.0.7:80"), publish("81/tcp", "10.0.0.8:81")}, []string{"bridge 172.17.0.2", "host 10.0.0.7", "host 10.0.0.8"}},
		{"published on loopback", []edit{publish("80/tcp", "127.0.0.1:80")}, []string{"bridge 172.17.0.2", "host 127.0.0.1"}},
		{"published on loopback and on others", []edit{publish("80/tcp", "127.0.0.1:80", "10.0.0.7:80")}, []string{"bridge 172.17.0.2", "host 10.0.0.7", "host 127.0.0.1"}},
		{"published without a network that others see, as by Podman's pasta", []edit{mode("pasta"), detached, publish("80/tcp", "0.0.0.0:80")}, []string{"host 10.0.0.1"}},
		{"host mode", []edit{mode("host"), detached}, []string{"host 10.0.0.1", "host fd00::1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, warned := registered(t, testOptions(), test.edits...)
			if diff := cmp.Diff(test.want, addressesOf(r)); diff != "" {
				t.Error(diff)
			}
			if len(warned) != 0 {
				t.Errorf("warned of %v", warned)
			}
		})
	}
	t.Run("loopback is the host's address", func(t *testing.T) {
		o := options{node: "n1", hostAddresses: []catalog.Address{{Network: "host", IP: netip.MustParseAddr("127.0.0.1")}}}
		r, _ := registered(t, o, publish("80/tcp", "127.0.0.1:8080"))
		if r.Instance.Ports[0].Published != 8080 || len(r.Instance.Addresses) != 2 {
			t.Errorf("registered %+v", r.Instance)
		}
	})
	t.Run("unknown preferred network", func(t *testing.T) {
		_, warned := registered(t, testOptions(), labels("koine.network", "nowhere"))
		if diff := cmp.Diff([]string{"koine.network"}, warned); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDescribeSharedNetwork(t *testing.T) {
	shared := mode("container:" + testID)
	o := testOptions()
	o.peer = inspected(expose("80", "81"), publish("8080/tcp", "0.0.0.0:18080"))
	ports := func(r catalog.Registration) (list []uint16) {
		for _, p := range r.Instance.Ports {
			list = append(list, p.Number, p.Published)
		}
		return list
	}
	own, _ := registered(t, o, shared, detached, expose("8080", "9090"))
	if diff := cmp.Diff([]uint16{8080, 18080, 9090, 0}, ports(own)); diff != "" {
		t.Errorf("with ports of its own: %s", diff)
	}
	if diff := cmp.Diff([]string{"bridge 172.17.0.2", "host 10.0.0.1"}, addressesOf(own)); diff != "" {
		t.Error(diff)
	}
	none, _ := registered(t, o, shared, detached)
	if len(none.Instance.Ports) != 0 {
		t.Errorf("without ports of its own it has %v", none.Instance.Ports)
	}
}

func TestDescribeSkips(t *testing.T) {
	later := func(c *container.InspectResponse) { c.State.StartedAt = "2026-01-02T03:04:06Z" }
	stopped := func(c *container.InspectResponse) { c.State.Running = false }
	shared := mode("container:x")
	tests := []struct {
		name  string
		edits []edit
		peer  *container.InspectResponse
		want  string
	}{
		{"not running", []edit{stopped}, nil, "not running"},
		{"restarting", []edit{func(c *container.InspectResponse) { c.State.Restarting = true }}, nil, "not running"},
		{"koine.ignore", []edit{labels("koine.ignore", "true")}, nil, "koine.ignore"},
		{"SERVICE_IGNORE", []edit{env("SERVICE_IGNORE=yes")}, nil, "env SERVICE_IGNORE"},
		{"all ports ignored", []edit{expose("80"), env("SERVICE_80_IGNORE=1")}, nil, "all of its ports"},
		{"none", []edit{mode("none"), detached, attach("none", "", "")}, nil, "none"},
		{"no address", []edit{detached}, nil, "no address"},
		{"no settings", []edit{func(c *container.InspectResponse) { c.NetworkSettings = nil }}, nil, "no address"},
		{"peer gone", []edit{shared}, nil, "not running"},
		{"peer stopped", []edit{shared}, inspected(stopped), "not running"},
		{"peer restarted", []edit{shared}, inspected(later), "restarted after it"},
		{"peer shares too", []edit{shared}, inspected(shared), "none of its own"},
		{"peer without network", []edit{shared}, inspected(mode("none"), detached), "network mode is none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions()
			o.peer = test.peer
			d, err := describe(inspected(test.edits...), o)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(d.skip, test.want) {
				t.Errorf("skip = %q, want %q in it", d.skip, test.want)
			}
		})
	}
	for _, value := range []string{"false", "0", "", "no", "False"} {
		registered(t, testOptions(), env("SERVICE_IGNORE="+value))
	}
	registered(t, testOptions(), env("SERVICE_IGNORE=1"), labels("koine.ignore", "false"))
}

func TestDescribeSettings(t *testing.T) {
	r, warned := registered(t, testOptions(),
		expose("80", "81"),
		env("SERVICE_TAGS=rails,a\\,b, c ,,rails", "SERVICE_81_TAGS=admin", "SERVICE_ID=w-1",
			"PATH=/bin", "SERVICE_CHECK_INTERVAL=3s", "koine.name=env is no label"),
		labels("koine.weight", "7", "koine.dns_limit", " 2 ", "koine.zone", "z1", "koine.region", "r1", "koine.meta.version", "1.2", "SERVICE_OWNER", "me",
			"SERVICE_REGION", "eu", "SERVICE_80_REGION", "us", "SERVICE_81_REGION", "asia"),
	)
	want := catalog.Instance{
		ID: "w-1", Node: "n1", Service: "web", Weight: 7, DNSLimit: 2, Locality: catalog.Locality{Region: "r1", Zone: "z1"},
		Tags:   []string{"rails", "a,b", "c", "admin"},
		Meta:   map[string]string{"region": "us", "81_region": "asia", "version": "1.2", "owner": "me"},
		Source: "docker", Owner: catalog.Owner{Kind: catalog.OwnerContainer, ID: testID},
	}
	if diff := cmp.Diff(want, r.Instance, cmpopts.IgnoreFields(catalog.Instance{}, "Ports", "Addresses", "Extras")); diff != "" {
		t.Error(diff)
	}
	if len(warned) != 0 {
		t.Errorf("warned of %v", warned)
	}
	r, _ = registered(t, testOptions(), expose("80", "81"), env("SERVICE_TAGS=a", "SERVICE_80_TAGS=b", "SERVICE_81_TAGS=c"),
		labels("koine.tags", "x,y", "koine.id", "mine"))
	if diff := cmp.Diff([]string{"x", "y"}, r.Instance.Tags); diff != "" || r.Instance.ID != "mine" {
		t.Errorf("id %q, tags %s", r.Instance.ID, diff)
	}
}

func TestDescribeBadLabels(t *testing.T) {
	bad := map[string]string{
		"koine.weight": "heavy", "koine.nmae": "typo", "koine.tags": strings.Repeat("x", 300), "koine.id": "a\nb",
		"koine.meta." + strings.Repeat("k", 200): "v", "koine.meta.big": strings.Repeat("v", 5000),
		"SERVICE_TOO_LONG": strings.Repeat("v", 9000), "koine.check.http": "gopher://x", "koine.check.a.interval": "5s",
	}
	var edits []edit
	for key, value := range bad {
		edits = append(edits, labels(key, value))
	}
	r, warned := registered(t, testOptions(), edits...)
	if len(warned) != len(bad) {
		t.Errorf("warned of %d of %d labels: %v", len(warned), len(bad), warned)
	}
	if r.Instance.ID != "web" || r.Instance.Weight != 0 || r.Instance.Tags != nil || len(r.Instance.Meta) != 0 || r.Checks != nil {
		t.Errorf("a bad label left something: %+v", r)
	}
	many := make([]string, 0, 200)
	for n := range 100 {
		many = append(many, fmt.Sprintf("koine.meta.k%03d", n), "v")
	}
	r, warned = registered(t, testOptions(), labels(many...))
	if len(r.Instance.Meta) != catalog.MaxMeta || len(warned) != 100-catalog.MaxMeta {
		t.Errorf("%d pairs of meta, %d warnings", len(r.Instance.Meta), len(warned))
	}
}

func TestDescribeInvalid(t *testing.T) {
	for name, e := range map[string]edit{
		"no config":  func(c *container.InspectResponse) { c.Config = nil },
		"no state":   func(c *container.InspectResponse) { c.State = nil },
		"no host":    func(c *container.InspectResponse) { c.HostConfig = nil },
		"big extras": image(strings.Repeat("x", catalog.MaxExtras)),
	} {
		if _, err := describe(inspected(e), testOptions()); catalog.KindOf(err) != catalog.KindInvalid {
			t.Errorf("%s: error %v, want one of kind invalid", name, err)
		}
	}
}

// FuzzDescribe gives arbitrary settings to a container: whatever they are, it is registered within the limits or skipped.
func FuzzDescribe(f *testing.F) {
	f.Add(false, "SERVICE_80_CHECK_HTTP", "/health", "koine.ports", "http=80,53/udp")
	f.Add(false, "SERVICE_TAGS", "a\\,b,c", "koine.check.web.http", "https://:8443/x?y=z")
	f.Add(false, "SERVICE_PORTS", "1,2,3", "koine.check.tcp", "[::1]:80")
	f.Add(false, "SERVICE_CHECK_SCRIPT", "curl $SERVICE_IP:$SERVICE_PORT", "koine.check.ttl", "30s")
	f.Add(false, "SERVICE_NAME", "\xff\x00", "koine.meta.", "x")
	f.Add(false, "SERVICE_81_NAME", "admin", "id", strings.Repeat("\u00e9", 127))
	f.Add(true, "SERVICE_ID", strings.Repeat("x", catalog.MaxID), "SERVICE_81_CHECK_TTL", "10s")
	f.Add(true, "SERVICE_080_NAME", "x", "SERVICE_81_IGNORE", "no")
	f.Add(true, "SERVICE_DB_PASSWORD", "x", "com.docker.compose.project", "\xff")
	f.Fuzz(func(t *testing.T, registrator bool, envKey, envValue, labelKey, labelValue string) {
		o := testOptions()
		o.registrator = registrator
		c := inspected(expose("80", "81/udp"), publish("80/tcp", "0.0.0.0:8080"), publish("81/udp", "127.0.0.1:8081", "[::1]:8082"),
			env(envKey+"="+envValue, "SERVICE_"+envKey+"="+envValue), labels(labelKey, labelValue, "koine."+labelKey, labelValue))
		d, err := describe(c, o)
		if err != nil {
			t.Fatalf("the settings made the container invalid: %v", err)
		}
		if (d.skip == "") != (len(d.members) > 0) {
			t.Fatalf("%d instances, skipped for %q", len(d.members), d.skip)
		}
		state := catalog.NodeState{
			Node:          catalog.Node{Name: "n1", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}},
			Registrations: registrations([]verdict{{instances: d.members}}),
		}
		if err := state.Validate(); err != nil {
			t.Fatal(err)
		}
		again, _ := describe(c, o)
		if !same(state.Registrations, registrations([]verdict{{instances: again.members}})) {
			t.Fatal("describing twice gives two sets of registrations")
		}
	})
}
