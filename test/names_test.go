package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	moby "github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/needs"
)

// within runs a function in the network namespace of a process, on a thread that ends with it.
func within(pid int, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is in the wrong namespace for all other goroutines
		done <- func() error {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace: %w", err)
			}
			return do()
		}()
	}()
	return <-done
}

// resolve asks a name server from a container as its resolver would, and returns the code and the sorted data.
func (d docker) resolve(from, server, name string, qtype uint16, over string) (answer string, err error) {
	m := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), qtype)
	var reply *mdns.Msg
	err = within(d.Inspect(from).State.Pid, func() (err error) {
		reply, err = exchange(m, server, over)
		return err
	})
	if err != nil {
		return "", err
	}
	data := []string{mdns.RcodeToString[reply.Rcode]}
	for _, rr := range reply.Answer {
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(data[1:])
	return strings.Join(data, " "), nil
}

func (d docker) network(name, subnet string, edit ...func(*moby.NetworkCreateOptions)) {
	options := moby.NetworkCreateOptions{IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix(subnet)}}}}
	for _, e := range edit {
		e(&options)
	}
	d.Do("create network "+name, func(ctx context.Context) error {
		_, err := d.Client().NetworkCreate(ctx, name, options)
		return err
	})
}

func (d docker) connect(name, network string) {
	d.Do("connect "+name, func(ctx context.Context) error {
		_, err := d.Client().NetworkConnect(ctx, network, moby.NetworkConnectOptions{Container: name})
		return err
	})
}

func on(name string, aliases ...string) func(*dockertest.Container) {
	return func(c *dockertest.Container) {
		c.Networks = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: {Aliases: aliases}}}
	}
}

func publish(port, at string) func(*dockertest.Container) {
	return func(c *dockertest.Container) {
		p := network.MustParsePort(port)
		c.Config.ExposedPorts = network.PortSet{p: {}}
		c.Host.PortBindings = network.PortMap{p: {{HostPort: at}}}
	}
}

// TestNamesDependOnWhoAsks asks from inside of containers on the default bridge, on two separate networks, on both of
// them and on the host's.
func TestNamesDependOnWhoAsks(t *testing.T) {
	e := docker{startDocker(t)}
	const hostAddress = "172.17.0.1" // the host's own, on the default bridge
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge", "--advertise", hostAddress)
	k.start()
	e.network("front", "10.81.0.0/24")
	e.network("Back", "10.81.1.0/24")
	e.Run(service("db", "db"))
	e.Run(service("peer", "peer", func(c *dockertest.Container) { c.Config.Hostname = "peer-host" }))
	id := e.Run(service("web", "shop", on("front", "www", "store.internal"), label("com.docker.compose.service", "webapp"), label("com.docker.compose.container-number", "1")))
	e.Run(service("api", "api", on("Back", "www"), publish("80/tcp", "18081")))
	e.Run(service("both", "both", on("front")))
	e.connect("both", "Back")
	e.Run(service("hosted", "hosted", args("-ports", "18082"), label("koine.ports", "18082"), func(c *dockertest.Container) {
		c.Host.NetworkMode = "host"
	}))
	e.Run(service("unseen", "x", on("front"), label("koine.ignore", "true")))

	for _, ask := range []struct {
		from, name string
		qtype      uint16
		want       string
	}{
		// The default bridge, where Docker itself has no names.
		{"peer", "db", mdns.TypeA, "NOERROR 172.17.0.2"},
		{"peer", "DB.", mdns.TypeA, "NOERROR 172.17.0.2"},
		{"db", "peer-host", mdns.TypeA, "NOERROR 172.17.0.3"},
		{"db", "peer.bridge", mdns.TypeA, "NOERROR 172.17.0.3"},
		{"db", "db", mdns.TypeA, "NOERROR 172.17.0.2"},
		{"peer", "db", mdns.TypeAAAA, "NOERROR"},
		{"peer", "web", mdns.TypeA, "NXDOMAIN"},
		{"peer", "nosuch", mdns.TypeA, "NXDOMAIN"},
		{"peer", "web.front", mdns.TypeA, "REFUSED"}, // a name that belongs elsewhere, and there is no upstream
		{"peer", "2.0.17.172.in-addr.arpa", mdns.TypePTR, "NOERROR db.bridge."},
		// A network of its own.
		{"unseen", "web", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"both", "www", mdns.TypeA, "NOERROR 10.81.0.2 10.81.1.2"},
		{"both", "www.front", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"both", "www.back", mdns.TypeA, "NOERROR 10.81.1.2"},
		{"both", "store.internal", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"both", "webapp", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"both", id[:12], mdns.TypeA, "NOERROR 10.81.0.2"},
		{"web", "both", mdns.TypeA, "NOERROR 10.81.0.3"},
		{"api", "both", mdns.TypeA, "NOERROR 10.81.1.3"},
		{"web", "both.back", mdns.TypeA, "REFUSED"},
		{"web", "db", mdns.TypeA, "NOERROR"}, // no container that it can reach, but a service
		{"web", "www", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"api", "www", mdns.TypeA, "NOERROR 10.81.1.2"},
		// Services: on a shared network, at the published port, on the host, or not at all.
		{"both", "shop", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"both", "shop.service.koine", mdns.TypeSRV, "NOERROR 1 1 80 0a510002.addr.dc1.koine."},
		{"both", "both.service.consul", mdns.TypeA, "NOERROR 10.81.1.3"},
		{"web", "both.service.consul", mdns.TypeA, "NOERROR 10.81.0.3"},
		{"db", "shop.service.koine", mdns.TypeA, "NOERROR"},
		{"db", "shop.service.koine", mdns.TypeSRV, "NOERROR"},
		{"both", "api.service.koine", mdns.TypeSRV, "NOERROR 1 1 80 0a510102.addr.dc1.koine."},
		{"web", "api.service.koine", mdns.TypeSRV, "NOERROR 1 1 18081 ac110001.addr.dc1.koine."},
		{"db", "api", mdns.TypeA, "NOERROR " + hostAddress},
		{"web", "hosted.service.koine", mdns.TypeSRV, "NOERROR 1 1 18082 ac110001.addr.dc1.koine."},
		{"hosted", "shop.service.koine", mdns.TypeA, "NOERROR 10.81.0.2"},
		{"hosted", "db.service.koine", mdns.TypeA, "NOERROR 172.17.0.2"},
		{"hosted", "db", mdns.TypeA, "REFUSED"},
	} {
		t.Run(fmt.Sprintf("%s asks %s %s", ask.from, mdns.TypeToString[ask.qtype], ask.name), func(t *testing.T) {
			var got string
			var err error
			defer func() {
				if t.Failed() {
					t.Logf("last answer %q, %v; want %q", got, err, ask.want)
				}
			}()
			await(t, "the answer over UDP", func() bool {
				got, err = e.resolve(ask.from, hostAddress+":53", ask.name, ask.qtype, "udp")
				return got == ask.want
			})
			if got, err = e.resolve(ask.from, hostAddress+":53", ask.name, ask.qtype, "tcp"); got != ask.want {
				t.Error("over TCP it is another answer")
			}
		})
	}
	t.Run("every gateway", func(t *testing.T) { everyGateway(t, e) })
	t.Run("docker's own resolver", func(t *testing.T) { throughDocker(t, e) })
}

// everyGateway asks on the gateways of networks that come and go.
func everyGateway(t *testing.T, e docker) {
	if got, err := e.resolve("web", "10.81.0.1:53", "both", mdns.TypeA, "udp"); got != "NOERROR 10.81.0.3" {
		t.Errorf("on its own gateway: %q, %v", got, err)
	}
	e.network("late", "10.81.7.0/24")
	listens := func() bool {
		conn, err := net.DialTimeout("tcp", "10.81.7.1:53", patience)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	await(t, "the new network's gateway is listened on", listens)
	e.connect("web", "late")
	await(t, "the container is found on it", func() bool {
		got, _ := e.resolve("web", "10.81.7.1:53", "web.late", mdns.TypeA, "udp")
		return got == "NOERROR 10.81.7.2"
	})
	e.Do("disconnect", func(ctx context.Context) error {
		_, err := e.Client().NetworkDisconnect(ctx, "late", moby.NetworkDisconnectOptions{Container: "web"})
		return err
	})
	await(t, "the network it left is none of its own", func() bool {
		got, _ := e.resolve("web", "10.81.0.1:53", "web.late", mdns.TypeA, "udp")
		return got == "REFUSED"
	})
	e.Do("remove network", func(ctx context.Context) error {
		_, err := e.Client().NetworkRemove(ctx, "late", moby.NetworkRemoveOptions{})
		return err
	})
	await(t, "no listener is left on removed addresses", func() bool { return !listens() })
}

// throughDocker asks Docker's resolver of a user-defined network, which forwards the names that it does not know.
func throughDocker(t *testing.T, e docker) {
	e.Run(service("client", "client", on("front"), func(c *dockertest.Container) {
		c.Host.DNS = []netip.Addr{netip.MustParseAddr("172.17.0.1")}
	}))
	await(t, "a service's name", func() bool {
		got, _ := e.resolve("client", "127.0.0.11:53", "shop.service.koine", mdns.TypeA, "udp")
		return got == "NOERROR 10.81.0.2"
	})
}

// TestOverlay asks from containers on a network made by Swarm. Without IPVS there are no virtual addresses.
func TestOverlay(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge", "--advertise", "172.17.0.1").start()
	e.Do("swarm init", func(ctx context.Context) error {
		_, err := e.Client().SwarmInit(ctx, moby.SwarmInitOptions{ListenAddr: "127.0.0.1:12377", AdvertiseAddr: "127.0.0.1"})
		return err
	})
	e.network("over", "10.82.0.0/24", func(o *moby.NetworkCreateOptions) { o.Driver, o.Attachable = "overlay", true })
	replicas := uint64(2)
	e.Do("create service", func(ctx context.Context) error {
		_, err := e.Client().ServiceCreate(ctx, moby.ServiceCreateOptions{Spec: swarm.ServiceSpec{
			Annotations: swarm.Annotations{Name: "shop"},
			TaskTemplate: swarm.TaskSpec{
				ContainerSpec: &swarm.ContainerSpec{Image: dockertest.DemoImage},
				Networks:      []swarm.NetworkAttachmentConfig{{Target: "over"}},
			},
			Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &replicas}},
			EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeDNSRR},
		}})
		return err
	})
	k.await("both tasks are registered", func() bool {
		list, err := k.client.Instances(t.Context(), instancesOf("shop"))
		return err == nil && len(list.Instances) == 2
	})
	e.Run(service("client", "client", on("over")))
	e.Run(service("apart", "apart"))
	own := func(id, network string) string {
		return e.Inspect(id).NetworkSettings.Networks[network].IPAddress.String()
	}
	var tasks []string
	list, err := k.client.Instances(t.Context(), instancesOf("shop"))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list.Instances {
		tasks = append(tasks, own(i.ID, "over"))
	}
	slices.Sort(tasks)
	both := "NOERROR " + strings.Join(tasks, " ")
	for name, want := range map[string]string{
		"shop": both, "tasks.shop": both, "shop.over": both, "shop.service.koine": both,
		list.Instances[0].ID: "NOERROR " + own(list.Instances[0].ID, "over"), "apart": "NOERROR",
	} {
		var got string
		defer func() {
			if t.Failed() {
				t.Logf("%s: last answer %q, want %q", name, got, want)
			}
		}()
		await(t, "the overlay's containers find "+name, func() bool {
			got, _ = e.resolve("client", "172.17.0.1:53", name, mdns.TypeA, "udp")
			return got == want
		})
	}
	if got, err := e.resolve("apart", "172.17.0.1:53", "shop.service.koine", mdns.TypeA, "udp"); got != "NOERROR" {
		t.Errorf("a container that is not on the overlay is answered %q, %v", got, err)
	}
	if got := k.addresses("shop"); len(got) != 2 || !strings.HasPrefix(got[0], "172.") {
		t.Errorf("the host is answered %v, want the addresses on its bridge to the overlay", got)
	}
}

// TestMacvlan asks from a container that shares the wire with its host, which cannot reach it.
func TestMacvlan(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge").start()
	if err := e.try("create macvlan network", func(ctx context.Context) error {
		_, err := e.Client().NetworkCreate(ctx, "wire", moby.NetworkCreateOptions{
			Driver: "macvlan", IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("10.83.0.0/24")}}},
		})
		return err
	}); err != nil {
		needs.Kernel(t, "no macvlan: %v", err)
	}
	id := e.Create(service("wired", "wired", on("wire")))
	if err := e.try("start", func(ctx context.Context) error {
		_, err := e.Client().ContainerStart(ctx, id, moby.ContainerStartOptions{})
		return err
	}); err != nil {
		needs.Kernel(t, "no macvlan: %v", err)
	}
	e.Run(service("friend", "friend", on("wire")))
	e.connect("friend", "bridge")
	await(t, "found on the wire", func() bool {
		got, _ := e.resolve("friend", "172.17.0.1:53", "wired", mdns.TypeA, "udp")
		return got == "NOERROR 10.83.0.2"
	})
	if got := k.addresses("wired"); got == nil || len(got) > 0 {
		t.Errorf("the host is answered %v, and reaches none", got)
	}
}

// try makes a call of the engine that may fail.
func (d docker) try(what string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := call(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
