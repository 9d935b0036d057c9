package docker

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/leak"
	"github.com/koine-sd/koine/internal/pause"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// hostAddress is the host's in these tests; it is of no interface, and nothing dials it.
var hostAddress = catalog.Address{Network: catalog.NetworkHost, IP: netip.MustParseAddr("192.0.2.1")}

// startEngine starts an engine with the demo image.
func startEngine(t *testing.T, args ...string) *dockertest.Engine {
	t.Helper()
	e := dockertest.Start(t, dockertest.Config{Args: args})
	e.Demo()
	return e
}

// followEngine starts a source on an engine and waits for its first declaration.
func followEngine(t *testing.T, e *dockertest.Engine) *recordingSink {
	t.Helper()
	sink := newSink()
	start(t, Config{Host: e.Host(), HostAddresses: []catalog.Address{hostAddress}, Sink: sink})
	sink.wait(t, "the first look at the engine", func([]catalog.Registration) bool { return true })
	return sink
}

func demo(name string, args ...string) dockertest.Container {
	return dockertest.Container{Name: name, Config: container.Config{Cmd: args}}
}

func addressesOf(r catalog.Registration) (list []string) {
	for _, a := range r.Instance.Addresses {
		list = append(list, a.Network+" "+a.String())
	}
	return list
}

func withAddresses(want ...string) func(catalog.Registration) bool {
	return func(r catalog.Registration) bool { return slices.Equal(addressesOf(r), want) }
}

func withPorts(want ...catalog.Port) func(catalog.Registration) bool {
	return func(r catalog.Registration) bool { return slices.EqualFunc(r.Instance.Ports, want, catalog.Port.Equal) }
}

// TestEngineLife follows a container through its life.
func TestEngineLife(t *testing.T) {
	e := startEngine(t)
	sink := newGoneSink()
	start(t, Config{Host: e.Host(), HostAddresses: []catalog.Address{hostAddress}, Sink: sink})
	docker := e.Client()

	t.Run("start", func(t *testing.T) {
		e.Run(demo("web"))
		set := sink.wait(t, "web", has("web", withAddresses("bridge 172.17.0.2"), drained("")))
		r, _ := find(set, "web")
		if r.Instance.Service != "demo" || r.Instance.Owner.Kind != catalog.OwnerContainer {
			t.Errorf("registered as %+v", r.Instance)
		}
	})
	t.Run("pause", func(t *testing.T) {
		e.Do("pause", func(ctx context.Context) error {
			_, err := docker.ContainerPause(ctx, "web", client.ContainerPauseOptions{})
			return err
		})
		sink.wait(t, "web to drain", has("web", drained("paused")))
		e.Do("unpause", func(ctx context.Context) error {
			_, err := docker.ContainerUnpause(ctx, "web", client.ContainerUnpauseOptions{})
			return err
		})
		sink.wait(t, "web to be back", has("web", drained("")))
	})
	t.Run("rename", func(t *testing.T) {
		e.Do("rename", func(ctx context.Context) error {
			_, err := docker.ContainerRename(ctx, "web", client.ContainerRenameOptions{NewName: "web2"})
			return err
		})
		sink.wait(t, "web2", func(set []catalog.Registration) bool { return has("web2")(set) && gone("web")(set) })
	})
	t.Run("restart", func(t *testing.T) {
		e.Do("restart", func(ctx context.Context) error {
			_, err := docker.ContainerRestart(ctx, "web2", client.ContainerRestartOptions{})
			return err
		})
		startedAt := e.Inspect("web2").State.StartedAt
		sink.wait(t, "web2 after its restart", has("web2", drained(""), func(r catalog.Registration) bool {
			var kept extras
			return json.Unmarshal(r.Instance.Extras[sourceName], &kept) == nil && kept.StartedAt == startedAt
		}))
	})
	t.Run("kill -9 of the process", func(t *testing.T) {
		if err := syscall.Kill(e.Inspect("web2").State.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		sink.wait(t, "web2 to go", gone("web2"))
		sink.waitReason(t, "web2", "container exited 137")
	})
	t.Run("docker kill", func(t *testing.T) {
		e.Run(demo("short"))
		sink.wait(t, "short", has("short"))
		e.Do("kill", func(ctx context.Context) error {
			_, err := docker.ContainerKill(ctx, "short", client.ContainerKillOptions{Signal: "KILL"})
			return err
		})
		sink.wait(t, "short to go", gone("short"))
		sink.waitReason(t, "short", "container exited 137 after SIGKILL")
	})
}

// TestEngineStopDrainsFirst stops a container that takes its time: it leaves the answers while its process still runs.
func TestEngineStopDrainsFirst(t *testing.T) {
	e := startEngine(t)
	sink := followEngine(t, e)
	id := e.Run(demo("web", "-grace", "1500ms"))
	sink.wait(t, "web", has("web"))
	pid := e.Inspect(id).State.Pid

	stopped := make(chan error, 1)
	go func() {
		_, err := e.Client().ContainerStop(context.Background(), id, client.ContainerStopOptions{})
		stopped <- err
	}()
	sink.wait(t, "web to drain", has("web", drained("stop signal SIGTERM")))
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the process was gone before its instance drained: %v", err)
	}
	sink.wait(t, "web to go", gone("web"))
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestEngineDrainSurvivesKoine ends the source while a container drains; the next source adopts the drain.
func TestEngineDrainSurvivesKoine(t *testing.T) {
	e := startEngine(t)
	first := newSink()
	stop := start(t, Config{Host: e.Host(), Sink: first})
	config := demo("web", "-grace", "1h")
	e.Run(config)
	e.Run(demo("other"))
	first.wait(t, "web and other", func(set []catalog.Registration) bool { return has("web")(set) && has("other")(set) })
	e.Do("signal", func(ctx context.Context) error {
		_, err := e.Client().ContainerKill(ctx, "web", client.ContainerKillOptions{Signal: "TERM"})
		return err
	})
	set := first.wait(t, "web to drain", has("web", drained("stop signal SIGTERM")))
	stop()
	second := newSink()
	start(t, Config{Host: e.Host(), Sink: second, Adopt: func() []catalog.Registration { return set }})
	for _, r := range second.wait(t, "the second source", func([]catalog.Registration) bool { return true }) {
		want := map[string]string{"web": "stop signal SIGTERM"}[r.Instance.ID]
		if r.Instance.Drain != want {
			t.Errorf("%s has drain %q after a restart of Koine, want %q", r.Instance.ID, r.Instance.Drain, want)
		}
	}
	e.Do("end", func(ctx context.Context) error {
		_, err := e.Client().ContainerKill(ctx, "web", client.ContainerKillOptions{Signal: "KILL"})
		return err
	})
	second.wait(t, "web to go", gone("web"))
	e.Do("start", func(ctx context.Context) error {
		_, err := e.Client().ContainerStart(ctx, "web", client.ContainerStartOptions{})
		return err
	})
	second.wait(t, "web without drain", has("web", drained("")))
}

// TestEngineNetworks covers every way in which a container comes to addresses and ports.
func TestEngineNetworks(t *testing.T) {
	e := startEngine(t)
	sink := followEngine(t, e)
	createNetwork(t, e, "blue", "10.20.0.0/24", "")
	createNetwork(t, e, "green", "10.30.0.0/24", "fd00:30::/64")
	e.Run(demo("web"))

	t.Run("connect and disconnect", func(t *testing.T) {
		sink.wait(t, "web", has("web", withAddresses("bridge 172.17.0.2")))
		connect(e, "blue", "web")
		sink.wait(t, "web on two networks", has("web", withAddresses("blue 10.20.0.2", "bridge 172.17.0.2")))
		e.Do("disconnect", func(ctx context.Context) error {
			_, err := e.Client().NetworkDisconnect(ctx, "bridge", client.NetworkDisconnectOptions{Container: "web"})
			return err
		})
		sink.wait(t, "web on blue", has("web", withAddresses("blue 10.20.0.2")))
	})
	t.Run("IPv6", func(t *testing.T) {
		connect(e, "green", "web")
		sink.wait(t, "web with IPv6",
			has("web", withAddresses("blue 10.20.0.2", "green 10.30.0.2", "green fd00:30::2")))
	})
	t.Run("preferred network", func(t *testing.T) {
		c := demo("picky")
		c.Config.Labels = map[string]string{"koine.network": "green"}
		c.Host.NetworkMode = "blue"
		e.Run(c)
		connect(e, "green", "picky")
		sink.wait(t, "picky", has("picky", withAddresses("green 10.30.0.3", "green fd00:30::3", "blue 10.20.0.3")))
	})
	t.Run("published ports", func(t *testing.T) {
		c := demo("public", "-ports", "80,81")
		c.Config.ExposedPorts = network.PortSet{network.MustParsePort("81/tcp"): {}, network.MustParsePort("53/udp"): {}}
		c.Host.PortBindings = network.PortMap{
			network.MustParsePort("81/tcp"): {{HostPort: "18081"}},
			network.MustParsePort("80/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "18080"}},
		}
		id := e.Run(c)
		want := e.Inspect(id).NetworkSettings.Networks["bridge"].IPAddress.String()
		sink.wait(t, "public", has("public", withAddresses("bridge "+want, "host 192.0.2.1", "host 127.0.0.1"), withPorts(
			catalog.Port{Number: 81, Protocol: "tcp", Published: 18081},
			catalog.Port{Number: 80, Protocol: "tcp", Bindings: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:18080")}},
			catalog.Port{Number: 53, Protocol: "udp"},
		)))
	})
	t.Run("host mode", func(t *testing.T) {
		c := demo("onhost", "-ports", "9090")
		c.Host.NetworkMode = "host"
		c.Config.Env = []string{"SERVICE_PORTS=http=9090"}
		e.Run(c)
		sink.wait(t, "onhost", has("onhost", withAddresses("host 192.0.2.1"),
			withPorts(catalog.Port{Name: "http", Number: 9090, Protocol: "tcp", Published: 9090})))
	})
	t.Run("container mode", func(t *testing.T) {
		c := demo("sidecar", "-ports", "8080")
		c.Host.NetworkMode = "container:picky"
		c.Config.Labels = map[string]string{"koine.ports": "8080"}
		e.Run(c)
		sink.wait(t, "sidecar", has("sidecar", withPorts(catalog.Port{Number: 8080, Protocol: "tcp"}),
			withAddresses("blue 10.20.0.3", "green 10.30.0.3", "green fd00:30::3")))
		e.Do("disconnect", func(ctx context.Context) error {
			_, err := e.Client().NetworkDisconnect(ctx, "blue", client.NetworkDisconnectOptions{Container: "picky"})
			return err
		})
		sink.wait(t, "sidecar to follow", has("sidecar", withAddresses("green 10.30.0.3", "green fd00:30::3")))
		e.Do("kill", func(ctx context.Context) error {
			_, err := e.Client().ContainerKill(ctx, "picky", client.ContainerKillOptions{Signal: "KILL"})
			return err
		})
		sink.wait(t, "sidecar to go with its network", gone("sidecar"))
	})
	t.Run("none", func(t *testing.T) {
		c := demo("alone")
		c.Host.NetworkMode = "none"
		e.Run(c)
		e.Run(demo("last"))
		if set := sink.wait(t, "last", has("last")); has("alone")(set) {
			t.Error("a container without network was registered")
		}
	})
}

func createNetwork(t *testing.T, e *dockertest.Engine, name string, subnets ...string) {
	t.Helper()
	options := client.NetworkCreateOptions{IPAM: &network.IPAM{}}
	for _, subnet := range subnets {
		if subnet == "" {
			continue
		}
		prefix := netip.MustParsePrefix(subnet)
		options.IPAM.Config = append(options.IPAM.Config, network.IPAMConfig{Subnet: prefix})
		if prefix.Addr().Is6() {
			yes := true
			options.EnableIPv6 = &yes
		}
	}
	e.Do("create network "+name, func(ctx context.Context) error {
		_, err := e.Client().NetworkCreate(ctx, name, options)
		return err
	})
}

func connect(e *dockertest.Engine, network, id string) {
	e.Do("connect "+id, func(ctx context.Context) error {
		_, err := e.Client().NetworkConnect(ctx, network, client.NetworkConnectOptions{Container: id})
		return err
	})
}

// TestEngineHealthcheck turns a container's HEALTHCHECK.
func TestEngineHealthcheck(t *testing.T) {
	e := startEngine(t)
	sink := followEngine(t, e)
	c := demo("web")
	c.Config.Healthcheck = &container.HealthConfig{
		Test: []string{"CMD", "/program", "-healthcheck"}, Interval: 200 * time.Millisecond, Timeout: eventually.Patience, Retries: 1,
	}
	e.Run(c)
	status := func(want catalog.Status) func(catalog.Registration) bool {
		return func(r catalog.Registration) bool {
			return len(r.Checks) == 1 && r.Checks[0].ID == "web:docker" && r.Checks[0].Status == want
		}
	}
	sink.wait(t, "web while it starts", has("web", status(catalog.Critical)))
	set := sink.wait(t, "web to pass", has("web", status(catalog.Passing)))
	ip := set[0].Instance.Addresses[0].IP
	turn(t, ip, "false")
	sink.wait(t, "web to fail", has("web", status(catalog.Critical)))
	turn(t, ip, "true")
	sink.wait(t, "web to recover", has("web", status(catalog.Passing)))
}

// TestEngineRestart restarts dockerd under the source; what is known stays until the engine says otherwise.
func TestEngineRestart(t *testing.T) {
	e := startEngine(t, "--live-restore")
	sink := followEngine(t, e)
	e.Run(demo("stays"))
	e.Run(demo("goes"))
	sink.wait(t, "both", func(set []catalog.Registration) bool { return has("stays")(set) && has("goes")(set) })
	pid := e.Inspect("goes").State.Pid
	_, before, _ := sink.latest()

	e.Stop()
	if set, n, _ := sink.latest(); n != before || !has("stays")(set) || !has("goes")(set) {
		t.Errorf("after dockerd's end %d sets were declared, the last is %v; want none", n-before, set)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	set := sink.wait(t, "goes to go while dockerd is away", gone("goes"))
	if !has("stays")(set) {
		t.Error("stays went too")
	}
	e.Start()
	e.Run(demo("new"))
	set = sink.wait(t, "new", has("new"))
	if !has("stays")(set) || has("goes")(set) {
		t.Errorf("after dockerd's return the set is %v", set)
	}
}

// TestEngineKilled kills dockerd; its containers run on and stay, until the next dockerd ends them.
func TestEngineKilled(t *testing.T) {
	e := startEngine(t)
	sink := followEngine(t, e)
	e.Run(demo("one"))
	c := demo("two")
	c.Host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyAlways}
	e.Run(c)
	sink.wait(t, "both", func(set []catalog.Registration) bool { return has("one")(set) && has("two")(set) })
	pid := e.Inspect("one").State.Pid

	e.Kill9()
	set, _, _ := sink.latest()
	if !has("one")(set) || !has("two")(set) {
		t.Errorf("after kill -9 of dockerd the set is %v, want both", set)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sink.wait(t, "one to go", gone("one"))
	e.Start()
	e.Do("wait for two", func(ctx context.Context) error {
		for {
			result, err := e.Client().ContainerInspect(ctx, "two", client.ContainerInspectOptions{})
			if err != nil || result.Container.State.Running && result.Container.State.Pid != 0 {
				return err
			}
			if !pause.For(ctx, 20*time.Millisecond) {
				return ctx.Err()
			}
		}
	})
	startedAt := e.Inspect("two").State.StartedAt
	sink.wait(t, "two to be back", has("two", func(r catalog.Registration) bool {
		var kept extras
		return json.Unmarshal(r.Instance.Extras[sourceName], &kept) == nil && kept.StartedAt == startedAt
	}))
}

// TestEngineAbsent starts the source before there is an engine: nothing is declared until it answers.
func TestEngineAbsent(t *testing.T) {
	e := startEngine(t)
	e.Run(demo("web"))
	e.Kill9()
	sink := newSink()
	told := newLogWatch(e.Host())
	start(t, Config{Host: e.Host(), Sink: sink, Logger: textLogger(told)})
	<-told.met
	if set, n, _ := sink.latest(); n != 0 {
		t.Errorf("declared %v without an engine", set)
	}
	e.Start()
	sink.wait(t, "the engine", func([]catalog.Registration) bool { return true })
}

// TestEngineLeaks ends a source and looks for goroutines that it left.
func TestEngineLeaks(t *testing.T) {
	e := startEngine(t)
	known := goleak.IgnoreCurrent()
	sink := newSink()
	stop := start(t, Config{Host: e.Host(), Sink: sink})
	e.Run(demo("web"))
	sink.wait(t, "web", has("web"))
	stop()
	e.Client().Close()
	leak.None(t, known)
}

// BenchmarkEngineStart measures the time from the engine's start event to the declaration of the instance.
func BenchmarkEngineStart(b *testing.B) {
	e := dockertest.Start(b, dockertest.Config{})
	e.Demo()
	sink := newSink()
	s, err := New(Config{Host: e.Host(), Node: "n1", Sink: sink})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var children sync.WaitGroup
	children.Go(func() { _ = s.Run(ctx) })
	defer children.Wait()
	defer cancel()
	stream := e.Client().Events(ctx, client.EventsListOptions{Filters: make(client.Filters).Add("event", "start")})
	var latencies []time.Duration
	for b.Loop() {
		id := e.Run(dockertest.Container{})
		var started events.Message
		select {
		case started = <-stream.Messages:
		case err := <-stream.Err:
			b.Fatal(err)
		}
		latencies = append(latencies, declaredAt(b, sink, id).Sub(time.Unix(0, started.TimeNano)))
		e.Do("remove", func(ctx context.Context) error {
			_, err := e.Client().ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
			return err
		})
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1000, "ms-p99")
}

// declaredAt waits until a container is declared and returns when it was first.
func declaredAt(b *testing.B, sink *recordingSink, id string) time.Time {
	deadline := time.After(eventually.Patience)
	for {
		sink.mu.Lock()
		for n := max(0, len(sink.declared)-4); n < len(sink.declared); n++ {
			for _, r := range sink.declared[n] {
				if r.Instance.Owner.ID == id {
					at := sink.at[n]
					sink.mu.Unlock()
					return at
				}
			}
		}
		changed := sink.changed
		sink.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			b.Fatal("not declared")
		}
	}
}
