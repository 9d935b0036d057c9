package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/dockertest"
)

// registratorCase is a container, and what Registrator registers of it.
type registratorCase struct {
	name string
	run  dockertest.Container
	want []registratorService
}

// registratorService is one line of the table.
type registratorService struct {
	service, id, port, address string
	tags                       []string
	meta                       map[string]string
	check                      string
	// named is set if the service is registered with -explicit, too.
	named bool
}

const probeImage = "koine-probe-app"

// registratorCases reads testdata/registrator.txt.
func registratorCases(t *testing.T) (cases []*registratorCase) {
	t.Helper()
	raw, err := os.ReadFile("testdata/registrator.txt")
	if err != nil {
		t.Fatal(err)
	}
	for number, line := range strings.Split(string(raw), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t"):
			last := cases[len(cases)-1]
			last.want = append(last.want, parseService(words))
		case strings.HasSuffix(words[0], ":"):
			name := strings.TrimSuffix(words[0], ":")
			run, err := parseRun(name, words[1:])
			if err != nil {
				t.Fatalf("line %d: %v", number+1, err)
			}
			cases = append(cases, &registratorCase{name: name, run: run})
		default:
			t.Fatalf("line %d: %q", number+1, line)
		}
	}
	return cases
}

func parseService(words []string) (s registratorService) {
	if s.named = words[0] == "+"; s.named {
		words = words[1:]
	}
	s.service, s.id, s.port, s.address = words[0], words[1], words[2], "10.9.8.7"
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "tags":
			s.tags = list(value)
			slices.Sort(s.tags)
		case "meta":
			s.meta = make(map[string]string)
			for _, pair := range strings.Split(value, ",") {
				k, v, _ := strings.Cut(pair, "=")
				s.meta[k] = v
			}
		case "check":
			s.check = value
		case "address":
			s.address = value
		}
	}
	return s
}

// parseRun reads the options of docker run that the table uses.
func parseRun(name string, words []string) (c dockertest.Container, err error) {
	c.Name = name
	c.Config = container.Config{Image: probeImage, Labels: make(map[string]string), ExposedPorts: make(network.PortSet)}
	c.Host.PortBindings = make(network.PortMap)
	for i := 0; i < len(words); i++ {
		option := words[i]
		if option == "-P" {
			c.Host.PublishAllPorts = true
			continue
		}
		if i++; i == len(words) {
			return c, fmt.Errorf("%s has no value", option)
		}
		value := words[i]
		switch option {
		case "-p":
			err = publishPort(&c, value)
		case "-e":
			c.Config.Env = append(c.Config.Env, value)
		case "--label":
			key, text, _ := strings.Cut(value, "=")
			c.Config.Labels[key] = text
		case "--net":
			c.Host.NetworkMode = container.NetworkMode(value)
		case "--expose":
			c.Config.ExposedPorts[network.MustParsePort(value)] = struct{}{}
		case "--cmd":
			c.Config.Cmd = []string{value}
		default:
			err = fmt.Errorf("no option %s", option)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// publishPort reads HOST:CONTAINER or IP:HOST:CONTAINER.
func publishPort(c *dockertest.Container, text string) error {
	parts := strings.Split(text, ":")
	port, err := network.ParsePort(parts[len(parts)-1])
	if err != nil {
		return err
	}
	binding := network.PortBinding{HostPort: parts[len(parts)-2]}
	if len(parts) == 3 {
		binding.HostIP = netip.MustParseAddr(parts[0])
	}
	c.Config.ExposedPorts[port] = struct{}{}
	c.Host.PortBindings[port] = append(c.Host.PortBindings[port], binding)
	return nil
}

// registratorOptions are those under which the table holds.
func registratorOptions() options {
	return options{
		node: "vm", registrator: true, scripts: true,
		hostAddresses: []catalog.Address{{Network: catalog.NetworkHost, IP: netip.MustParseAddr("10.9.8.7")}},
	}
}

// simulated is what an engine would say of a container of the table.
func simulated(c dockertest.Container) *container.InspectResponse {
	mode := c.Host.NetworkMode
	if mode == "" {
		mode = "bridge"
	}
	result := inspected(as(c.Name), image(probeImage), expose("80", "9090"))
	result.Config.Env, result.Config.Labels = c.Config.Env, c.Config.Labels
	maps.Copy(result.Config.ExposedPorts, c.Config.ExposedPorts)
	result.HostConfig.NetworkMode = mode
	if mode.IsHost() || mode.IsContainer() {
		detached(result)
		return result
	}
	next := 32768
	for port := range result.Config.ExposedPorts {
		bindings := c.Host.PortBindings[port]
		if c.Host.PublishAllPorts {
			bindings = []network.PortBinding{{HostIP: netip.IPv4Unspecified(), HostPort: fmt.Sprint(next)}}
			next++
		}
		result.NetworkSettings.Ports[port] = bindings
	}
	return result
}

// registeredAs writes registrations in the terms of the table.
func registeredAs(set []catalog.Registration) (services []registratorService) {
	for _, r := range set {
		s := registratorService{
			service: r.Instance.Service, id: r.Instance.ID, meta: r.Instance.Meta, tags: slices.Sorted(slices.Values(r.Instance.Tags)),
		}
		if len(r.Instance.Ports) == 1 && r.Instance.Ports[0].Published == 0 {
			s.port = fmt.Sprint(r.Instance.Ports[0].Number)
		}
		if len(r.Instance.Addresses) == 1 {
			s.address = r.Instance.Addresses[0].String()
		}
		for _, c := range r.Checks {
			s.check += checkAs(&c)
		}
		services = append(services, s)
	}
	return services
}

func checkAs(c *catalog.Check) string {
	text := func(d catalog.Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	}
	target := c.HTTP + c.TCP + strings.Join(c.Args, "+") + text(c.TTL)
	return strings.Join([]string{string(c.Type), target, text(c.Interval), text(c.Timeout), string(c.InitialStatus)}, "/")
}

// expected returns what the table says of a container, given what the engine says of it and of others by name.
func (k *registratorCase) expected(labelled bool, inspect func(string) *container.InspectResponse) (services []registratorService) {
	for _, s := range k.want {
		if labelled && !s.named {
			continue
		}
		if port, ok := strings.CutPrefix(s.port, "@"); ok {
			s.port = inspect(k.name).NetworkSettings.Ports[network.MustParsePort(port)][0].HostPort
		}
		if peer, ok := strings.CutPrefix(s.address, "@"); ok {
			s.address = inspect(peer).NetworkSettings.Networks["bridge"].IPAddress.String()
		}
		s.named = false
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b registratorService) int { return strings.Compare(a.id, b.id) })
	return services
}

var sameServices = cmp.AllowUnexported(registratorService{})

// TestRegistrator compares what becomes of the containers of the table, as an engine would tell of them.
func TestRegistrator(t *testing.T) {
	cases := registratorCases(t)
	all := make(map[string]*container.InspectResponse)
	for _, k := range cases {
		all[k.name] = simulated(k.run)
	}
	inspect := func(name string) *container.InspectResponse { return all[name] }
	for _, k := range cases {
		for _, labelled := range []bool{false, true} {
			o := registratorOptions()
			o.labelled = labelled
			if peer, ok := strings.CutPrefix(string(k.run.Host.NetworkMode), "container:"); ok {
				o.peer = all[peer]
			}
			d, err := describe(all[k.name], o)
			if err != nil {
				t.Errorf("%s: %v", k.name, err)
			}
			if (d.skip == "") != (len(d.members) > 0) {
				t.Errorf("%s: %d services, skipped for %q", k.name, len(d.members), d.skip)
			}
			got := registeredAs(registrations([]verdict{{instances: d.members}}))
			if diff := cmp.Diff(k.expected(labelled, inspect), got, sameServices); diff != "" {
				t.Errorf("%s, labelled only %v: %s", k.name, labelled, diff)
			}
		}
	}
}

// TestEngineRegistrator runs all containers of the table at once, and compares the exact sets.
func TestEngineRegistrator(t *testing.T) {
	e := startEngine(t)
	e.Import(probeImage, dockertest.Build(t, "github.com/koine-sd/koine/test/demo"), "EXPOSE 80 9090", `ENTRYPOINT ["/program"]`)
	createNetwork(t, e, "probe", "10.40.0.0/24", "")
	cases := registratorCases(t)
	e.RunAll(runs(cases, false)...)
	e.RunAll(runs(cases, true)...)
	inspect := func(name string) *container.InspectResponse {
		c := e.Inspect(name)
		return &c
	}
	for _, labelled := range []bool{false, true} {
		var want []registratorService
		for _, k := range cases {
			want = append(want, k.expected(labelled, inspect)...)
		}
		slices.SortFunc(want, func(a, b registratorService) int { return strings.Compare(a.id, b.id) })
		sink := newSink()
		stop := start(t, Config{
			Host: e.Host(), Node: "vm", HostAddresses: registratorOptions().hostAddresses, Sink: sink, Registrator: true, Labelled: labelled,
		})
		set := sink.wait(t, "the first look at the engine", func([]catalog.Registration) bool { return true })
		if diff := cmp.Diff(want, registeredAs(set), sameServices); diff != "" {
			t.Errorf("labelled only %v: %s", labelled, diff)
		}
		stop()
	}
}

// runs returns the containers that share the network of another one, or the others, which have to run before them.
func runs(cases []*registratorCase, shared bool) (list []dockertest.Container) {
	for _, k := range cases {
		if k.run.Host.NetworkMode.IsContainer() == shared {
			list = append(list, k.run)
		}
	}
	return list
}

func TestRegistratorBesideTheTable(t *testing.T) {
	o := registratorOptions()
	all := func(edits ...edit) (services []registratorService, warned []Warning) {
		t.Helper()
		d, err := describe(inspected(append([]edit{image("team/shop:2"), expose("80"), publish("80/tcp", "0.0.0.0:8080")}, edits...)...), o)
		if err != nil {
			t.Fatal(err)
		}
		return registeredAs(registrations([]verdict{{instances: d.members}})), d.warnings
	}
	ids := func(edits ...edit) string {
		services, _ := all(edits...)
		var list []string
		for _, s := range services {
			list = append(list, s.service+" "+s.id)
		}
		return strings.Join(list, ", ")
	}
	both := []edit{expose("9090"), publish("9090/tcp", "0.0.0.0:9091")}
	for _, test := range []struct {
		name, want string
		edits      []edit
	}{
		{"plain", "shop vm:web:80", nil},
		{"a slash in the container's name", "shop vm:a/b:80", []edit{func(c *container.InspectResponse) { c.Name = "/a/b" }}},
		{"an image by digest", "shop vm:web:80", []edit{image("reg:5000/shop@sha256:00")}},
		{"one id for two ports", "shop-80 one, shop-9090 one:9090", append(both, env("SERVICE_ID=one"))},
		{"an id that is none", "shop vm:web:80", []edit{env("SERVICE_ID=a\nb")}},
		{"koine.name", "mine-80 vm:web:80, mine-9090 vm:web:9090", append(both, labels("koine.name", "mine"), env("SERVICE_NAME=theirs"))},
		{"koine.name and a port's name", "front vm:web:80, mine-9090 vm:web:9090", append(both, labels("koine.name", "mine"), env("SERVICE_80_NAME=front"))},
		{"koine.id", "shop k", []edit{labels("koine.id", "k"), env("SERVICE_ID=s")}},
		{"koine.ignore", "", []edit{labels("koine.ignore", "1")}},
		{"koine.ignore says no", "shop vm:web:80", []edit{labels("koine.ignore", "no"), env("SERVICE_IGNORE=1")}},
		{"koine.enable", "", []edit{labels("koine.enable", "false")}},
		{"several addresses", "shop vm:web:80", []edit{publish("80/tcp", "0.0.0.0:8080", "[::]:8080")}},
		{"one port of the host for both", "shop-80 vm:web:80, shop-80 vm:web:80:udp", []edit{expose("80/udp"), publish("80/udp", "0.0.0.0:8080")}},
		{"one port with both protocols and one id", "shop-80 one, shop-80 one:80", []edit{expose("80/udp"), publish("80/udp", "0.0.0.0:8080"), env("SERVICE_ID=one")}},
		{"SCTP", "shop-80 vm:web:80, shop-80 vm:web:80:80", []edit{expose("80/sctp"), publish("80/sctp", "0.0.0.0:8080")}},
		{"UDP in the host's network", "shop-53 vm:web:53:udp, shop-80 vm:web:80", []edit{expose("53/udp"), mode("host"), detached}},
		{"a network that others do not see", "shop vm:web:80", []edit{mode("pasta"), detached, publish("80/tcp", "0.0.0.0:8080")}},
		{"a name that DNS does not carry", "a-b vm:web:80", []edit{env("SERVICE_NAME=a.b")}},
	} {
		if got := ids(test.edits...); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}

	d, err := describe(inspected(mode("host"), detached), o)
	if err != nil || !strings.HasPrefix(d.skip, "it exposes no port") {
		t.Errorf("without a port in the host's network: skipped for %q, %v", d.skip, err)
	}
	services, warned := all(publish("80/tcp", "[::]:8080", "[::]:8081"))
	if len(services) != 0 || len(warned) != 1 {
		t.Errorf("published on IPv6 alone, at no address of the host: %+v, warned of %v", services, warned)
	}
	services, warned = all(env("SERVICE_DB_PASSWORD=hunter2", "SERVICE_REGION=eu"), labels("koine.meta.team", "a", composeProject, "prod", composeNumber, "1"))
	want := map[string]string{"region": "eu", "team": "a", "compose_project": "prod"}
	if !maps.Equal(services[0].meta, want) || len(services[0].tags) != 0 || len(warned) != 1 || warned[0].Label != "SERVICE_DB_PASSWORD" {
		t.Errorf("%+v, warned of %v; want meta %v and no tag", services, warned, want)
	}
	if _, warned := all(publish("80/tcp", "127.0.0.1:8080", "0.0.0.0:8080")); len(warned) != 0 {
		t.Errorf("of a loopback address beside all: %v", warned)
	}
	services, _ = all(publish("80/tcp", "10.9.8.6:8081", "10.9.8.7:8082"))
	if len(services) != 1 || services[0].address != "10.9.8.7" || services[0].port != "8082" {
		t.Errorf("published on two addresses: %+v", services)
	}
	services, _ = all(publish("80/tcp", "10.9.8.6:8081"))
	if len(services) != 1 || services[0].address != "10.9.8.6" || services[0].port != "8081" {
		t.Errorf("published on another address than the host's: %+v", services)
	}
	if _, warned := all(publish("80/tcp", "127.0.0.1:8080")); len(warned) != 1 || !strings.Contains(warned[0].String(), "published on 127.0.0.1 only") {
		t.Errorf("of a loopback address: %v", warned)
	}
	services, _ = all(append(both, publish("80/tcp", "0.0.0.0:9090"), labels("koine.check.tcp", ":80"))...)
	for _, s := range services {
		if s.check != "tcp/10.9.8.7:9090///" {
			t.Errorf("check of port 80, published as 9090, beside port 9090: %+v", s)
		}
	}
	services, _ = all(func(c *container.InspectResponse) { c.State.Health = &container.Health{Status: container.Healthy} })
	if len(services) != 1 || services[0].check != "docker////" {
		t.Errorf("with a HEALTHCHECK: %+v", services)
	}
}
