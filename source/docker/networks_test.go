package docker

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestNamesOn tells under which names others find a container.
func TestNamesOn(t *testing.T) {
	short := testID[:12]
	for _, test := range []struct {
		name, network string
		c             *container.InspectResponse
		endpoint      *network.EndpointSettings
		want          []string
	}{
		{"its own", "bridge", inspected(), &network.EndpointSettings{}, []string{"web", short}},
		{"host name by the user", "bridge", inspected(func(c *container.InspectResponse) { c.Config.Hostname = "shop-7" }),
			&network.EndpointSettings{}, []string{"web", short, "shop-7"}},
		{"host name by Docker", "bridge", inspected(func(c *container.InspectResponse) { c.Config.Hostname = short }),
			&network.EndpointSettings{}, []string{"web", short}},
		{"aliases", "front", inspected(), &network.EndpointSettings{
			Aliases: []string{"www", short, "store.internal"}, DNSNames: []string{"WEB", "www", "extra"},
		}, []string{"web", short, "www", "store.internal", "extra"}},
		{"Compose", "front", inspected(labels(composeService, "shop", composeNumber, "1")), &network.EndpointSettings{},
			[]string{"web", short, "shop"}},
		{"Swarm", "over", inspected(labels("com.docker.swarm.service.name", "stack_shop")), &network.EndpointSettings{},
			[]string{"web", short, "stack_shop", "tasks.stack_shop"}},
		{"Swarm's mesh", "ingress", inspected(labels("com.docker.swarm.service.name", "shop")), &network.EndpointSettings{}, nil},
		{"bridge to the host", "docker_gwbridge", inspected(), &network.EndpointSettings{}, nil},
		{"in another's network", "front", inspected(func(c *container.InspectResponse) { c.Config.Hostname = "peer" }), nil,
			[]string{"web", short}},
		{"what cannot be asked for", "front", inspected(func(c *container.InspectResponse) { c.Name = "/web-" }),
			&network.EndpointSettings{Aliases: []string{"a..b", "sp ace", "", "fine"}}, []string{short, "fine"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, namesOn(test.c, test.network, test.endpoint)); diff != "" {
				t.Error(diff)
			}
		})
	}
	many := &network.EndpointSettings{}
	for i := range 2 * catalog.MaxNames {
		many.Aliases = append(many.Aliases, "a"+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	if got := namesOn(inspected(), "front", many); len(got) != catalog.MaxNames {
		t.Errorf("%d names", len(got))
	}
}

func TestSharedNetworkHasBothNames(t *testing.T) {
	peer := inspected(attach("front", "10.1.0.2", ""), func(c *container.InspectResponse) {
		c.Name = "/pod"
		c.NetworkSettings.Networks["front"].Aliases = []string{"pod-alias"}
	})
	d, err := describe(inspected(mode("container:pod")), options{node: "n1", peer: peer})
	if err != nil || d.skip != "" {
		t.Fatal(d.skip, err)
	}
	for _, a := range d.members[0].Instance.Addresses {
		if diff := cmp.Diff([]string{"web", testID[:12]}, a.Names); diff != "" {
			t.Errorf("%s: %s", a.Network, diff)
		}
	}
}

func ipam(driver string, config ...network.IPAMConfig) network.Network {
	return network.Network{ID: "n1", Name: "net", Driver: driver, IPAM: network.IPAM{Config: config}}
}

func TestNetworkOf(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	for _, test := range []struct {
		name     string
		network  network.Network
		gateways []netip.Addr
		subnets  int
	}{
		{"named gateway", ipam("bridge", network.IPAMConfig{Subnet: prefix("10.1.0.0/24"), Gateway: addr("10.1.0.254")}),
			[]netip.Addr{addr("10.1.0.254")}, 1},
		{"first of the subnet", ipam("bridge", network.IPAMConfig{Subnet: prefix("10.1.0.7/24")}),
			[]netip.Addr{addr("10.1.0.1")}, 1},
		{"first of the range", ipam("bridge", network.IPAMConfig{Subnet: prefix("10.1.0.0/16"), IPRange: prefix("10.1.5.0/24")}),
			[]netip.Addr{addr("10.1.5.1")}, 1},
		{"both families", ipam("bridge", network.IPAMConfig{Subnet: prefix("10.1.0.0/24")}, network.IPAMConfig{Subnet: prefix("fd01::/64")}),
			[]netip.Addr{addr("10.1.0.1"), addr("fd01::1")}, 2},
		{"overlay", ipam("overlay", network.IPAMConfig{Subnet: prefix("10.1.0.0/24"), Gateway: addr("10.1.0.1")}), nil, 1},
		{"macvlan", ipam("macvlan", network.IPAMConfig{Subnet: prefix("10.1.0.0/24"), Gateway: addr("10.1.0.1")}), nil, 1},
		{"without a subnet", ipam("bridge", network.IPAMConfig{}), nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := networkOf(test.network)
			if diff := cmp.Diff(test.gateways, got.Gateways, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
			if len(got.Subnets) != test.subnets || got.ID != "n1" || got.Name != "net" || got.Isolated {
				t.Errorf("%+v", got)
			}
		})
	}
	alone := ipam("bridge")
	alone.Options = map[string]string{"com.docker.network.bridge.enable_icc": "false"}
	if !networkOf(alone).Isolated {
		t.Error("a network on which containers do not reach one another is not isolated")
	}
	closed := ipam("bridge")
	closed.Internal = true
	if got := networkOf(closed); !got.Internal || sameNetwork(got, networkOf(ipam("bridge"))) {
		t.Errorf("an internal network is %+v", got)
	}
}

// TestNetworksNoted holds what an instance's addresses take from the engine's networks: those of macvlan and ipvlan networks
// belong to the network around the host, and koine.network is the name in the Compose file, too.
func TestNetworksNoted(t *testing.T) {
	f := &fakeNetworks{fakeEngine: newFake()}
	for id, driver := range map[string]string{"lan": "macvlan", "l3": "ipvlan", "closed": "macvlan", "c30_back": "bridge", "c30_a": "bridge"} {
		n := ipam(driver)
		n.ID, n.Name, n.Internal = "id-"+id, id, id == "closed"
		if id == "c30_back" {
			n.Labels = map[string]string{composeNetwork: "back"}
		}
		f.list = append(f.list, n)
	}
	n := newNetworks(Config{}, f, slog.New(slog.DiscardHandler))
	n.refresh(t.Context())
	for _, test := range []struct {
		name  string
		edits []edit
		want  string
		warn  int
	}{
		{"macvlan", []edit{attach("lan", "198.51.100.50", "")}, "lan routed", 0},
		{"ipvlan", []edit{attach("l3", "198.51.100.51", "")}, "l3 routed", 0},
		{"internal macvlan", []edit{attach("closed", "198.51.100.52", "")}, "closed", 0},
		{"bridge", []edit{attach("c30_a", "10.1.0.2", "")}, "c30_a", 0},
		{"Compose's name", []edit{attach("c30_a", "10.1.0.2", ""), attach("c30_back", "10.2.0.2", ""), labels("koine.network", "back")}, "c30_back", 0},
		{"the whole name", []edit{attach("c30_a", "10.1.0.2", ""), attach("c30_back", "10.2.0.2", ""), labels("koine.network", "c30_back")}, "c30_back", 0},
		{"no such name", []edit{attach("c30_a", "10.1.0.2", ""), labels("koine.network", "back")}, "c30_a", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := inspected(append([]edit{detached}, test.edits...)...)
			n.note(c)
			d, err := describe(c, testOptions())
			if err != nil || d.skip != "" {
				t.Fatalf("%v, %s", err, d.skip)
			}
			first := d.members[0].Instance.Addresses[0]
			got := first.Network
			if first.Routed {
				got += " routed"
			}
			if got != test.want || len(d.warnings) != test.warn {
				t.Errorf("first address on %s, want %s; warned of %v", got, test.want, d.warnings)
			}
		})
	}
	if got := networkOf(f.list[0]); got.Short == "" && f.list[0].Labels[composeNetwork] != "" {
		t.Errorf("handed on as %+v", got)
	}
}

// fakeNetworks is a fakeEngine with networks.
type fakeNetworks struct {
	*fakeEngine
	mu      sync.Mutex
	list    []network.Network
	refused bool
	lists   int
	gateway map[string]network.EndpointResource
}

func (f *fakeNetworks) NetworkList(context.Context, client.NetworkListOptions) (r client.NetworkListResult, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	if f.refused {
		return r, errAway
	}
	for _, n := range f.list {
		r.Items = append(r.Items, network.Summary{Network: n})
	}
	return r, nil
}

func (f *fakeNetworks) NetworkInspect(_ context.Context, id string, _ client.NetworkInspectOptions) (r client.NetworkInspectResult, err error) {
	if id != gatewayBridge || f.gateway == nil {
		return r, errAway
	}
	r.Network = network.Inspect{Network: network.Network{ID: "gw", Name: id}, Containers: f.gateway}
	return r, nil
}

func (f *fakeNetworks) add(id, name, driver, subnet string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := ipam(driver, network.IPAMConfig{Subnet: netip.MustParsePrefix(subnet)})
	n.ID, n.Name = id, name
	f.list = append(f.list, n)
}

// handedOn records the names of the networks that are handed on, and what was declared by then.
type handedOn struct {
	mu    sync.Mutex
	names [][]string
	sink  *recordingSink
	early int
}

func (h *handedOn) take(list []catalog.Network) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, n := range list {
		names = append(names, n.Name)
	}
	h.names = append(h.names, names)
	if _, declared, _ := h.sink.latest(); declared == 0 {
		h.early++
	}
}

func (h *handedOn) want(t *testing.T, want ...[]string) {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, h.names); diff != "" {
		t.Errorf("networks handed on: %s", diff)
	}
}

func TestNetworksAreHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := &fakeNetworks{fakeEngine: newFake()}, newSink()
		f.add("n0", "bridge", "bridge", "172.17.0.0/16")
		f.add("nh", "host", "host", "10.0.0.0/8")
		f.put("web")
		handed := &handedOn{sink: sink}
		start(t, Config{Client: f, Sink: sink, Networks: handed.take})
		handed.want(t, []string{"bridge"})
		if expect(t, sink, "web"); handed.early != 1 {
			t.Error("the networks did not come before the first declaration")
		}

		created := events.Message{Type: events.NetworkEventType, Action: events.ActionCreate}
		f.message(created) // nothing has changed
		handed.want(t, []string{"bridge"})
		f.add("n1", "front", "bridge", "10.1.0.0/16")
		f.message(created)
		handed.want(t, []string{"bridge"}, []string{"bridge", "front"})

		// A network whose creation nobody has told of is known by its first container.
		f.add("n2", "over", "overlay", "10.2.0.0/16")
		f.gateway = map[string]network.EndpointResource{"api": {IPv4Address: netip.MustParsePrefix("172.18.0.3/16")}}
		f.put("api", attach("over", "10.2.0.2", ""), func(c *container.InspectResponse) {
			delete(c.NetworkSettings.Networks, "bridge")
			c.NetworkSettings.Networks["over"].NetworkID = "n2"
		})
		f.send("start", "api")
		handed.want(t, []string{"bridge"}, []string{"bridge", "front"}, []string{"bridge", "front", "over"})
		set, _, _ := sink.latest()
		api, ok := find(set, "api")
		if !ok || len(api.Instance.Addresses) != 2 || api.Instance.Addresses[1].String() != "172.18.0.3" ||
			api.Instance.Addresses[1].NetworkID != "gw" || api.Instance.Addresses[1].Names != nil {
			t.Errorf("declared %+v, want the address on the bridge to the host behind its own", api.Instance.Addresses)
		}
	})
}

// TestNetworksThatAreNotTold holds that an engine which keeps its networks to itself is followed all the same.
func TestNetworksThatAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := &fakeNetworks{fakeEngine: newFake(), refused: true}, newSink()
		f.put("web")
		f.put("api")
		handed := &handedOn{sink: sink}
		start(t, Config{Client: f, Sink: sink, Networks: handed.take})
		expect(t, sink, "api web")
		handed.want(t, nil) // that there are none to go by
		if f.lists != 1 {
			t.Errorf("asked %d times though it was refused", f.lists)
		}
	})
}

// TestLookDoesNotWaitForTheListOfNetworks holds that a list which the engine hangs on delays no look at a container whose networks
// are known.
func TestLookDoesNotWaitForTheListOfNetworks(t *testing.T) {
	f := &hangingNetworks{&fakeNetworks{fakeEngine: newFake()}, make(chan struct{}), make(chan struct{})}
	f.add("net1", "front", "bridge", "10.1.0.0/24")
	n := newNetworks(Config{}, f, slog.New(slog.DiscardHandler))
	n.refresh(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer close(f.goesOn)
	all.Go(func() { n.refresh(t.Context()) })
	eventually.Receive(t, "the list", f.hangs)
	looked := make(chan struct{})
	all.Go(func() {
		defer close(looked)
		c := inspected(func(c *container.InspectResponse) {
			c.NetworkSettings.Networks = map[string]*network.EndpointSettings{"front": {NetworkID: "net1"}}
		})
		n.know(t.Context(), c)
		n.addGateway(t.Context(), c)
	})
	eventually.Receive(t, "the look at a container on a known network", looked)
}

// hangingNetworks lists its networks once, and hangs the second time until the test lets it go on.
type hangingNetworks struct {
	*fakeNetworks
	hangs, goesOn chan struct{}
}

func (f *hangingNetworks) NetworkList(ctx context.Context, o client.NetworkListOptions) (client.NetworkListResult, error) {
	if f.lists == 1 {
		close(f.hangs)
		<-f.goesOn
	}
	return f.fakeNetworks.NetworkList(ctx, o)
}
