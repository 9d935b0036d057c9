package test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	moby "github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/needs"
)

// docker is an engine with the calls that these tests make.
type docker struct{ *dockertest.Engine }

// service describes a container of a service.
func service(name, service string, edit ...func(*dockertest.Container)) dockertest.Container {
	c := dockertest.Container{Name: name, Config: container.Config{Labels: map[string]string{"koine.name": service}}}
	for _, e := range edit {
		e(&c)
	}
	return c
}

func args(list ...string) func(*dockertest.Container) {
	return func(c *dockertest.Container) { c.Config.Cmd = list }
}

func label(key, value string) func(*dockertest.Container) {
	return func(c *dockertest.Container) { c.Config.Labels[key] = value }
}

func (d docker) stop(name string) {
	d.Do("stop "+name, func(ctx context.Context) error {
		_, err := d.Client().ContainerStop(ctx, name, moby.ContainerStopOptions{})
		return err
	})
}

// stopWithin stops a container and gives it some time before it is killed.
func (d docker) stopWithin(name string, within time.Duration) {
	seconds := int(within.Seconds())
	d.Do("stop "+name, func(ctx context.Context) error {
		_, err := d.Client().ContainerStop(ctx, name, moby.ContainerStopOptions{Timeout: &seconds})
		return err
	})
}

func (d docker) start(name string) {
	d.Do("start "+name, func(ctx context.Context) error {
		_, err := d.Client().ContainerStart(ctx, name, moby.ContainerStartOptions{})
		return err
	})
}

func (d docker) remove(names ...string) {
	for _, name := range names {
		d.Do("remove "+name, func(ctx context.Context) error {
			_, err := d.Client().ContainerRemove(ctx, name, moby.ContainerRemoveOptions{Force: true})
			return err
		})
	}
}

func (d docker) kill(name, signal string) {
	d.Do("kill "+name, func(ctx context.Context) error {
		_, err := d.Client().ContainerKill(ctx, name, moby.ContainerKillOptions{Signal: signal})
		return err
	})
}

// TestContainers follows real containers through the real binary, on both kinds of store.
func TestContainers(t *testing.T) {
	e := docker{startDocker(t)}
	for _, store := range []string{"embedded", "cluster"} {
		t.Run(store, func(t *testing.T) {
			flags := []string{"--docker", e.Host()}
			if store == "cluster" {
				flags = append(flags, "--engine", engine.Scheme+enginetest.Etcd(t))
			}
			k := newKoine(t, flags...).start()
			for _, scenario := range []struct {
				name string
				test func(t *testing.T, k *koine, e docker)
			}{
				{"start and stop", startAndStop}, {"kill -9", killed}, {"pause", paused}, {"healthcheck", healthcheck},
				{"koine's own check", ownCheck}, {"command in the container", ownCommand},
				{"two networks", twoNetworks}, {"published port", publishedPort},
				{"several ports", severalPorts}, {"rename", renamed}, {"ignored", ignored},
				{"another address of the host", anotherHostAddress},
			} {
				t.Run(scenario.name, func(t *testing.T) { scenario.test(t, k.in(t), e) })
			}
		})
	}
}

func startAndStop(t *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web", args("-grace", "1h")))
	k.awaitAddresses("web", "172.17.0.2")
	e.Run(service("web-2", "web"))
	k.awaitAddresses("web", "172.17.0.2", "172.17.0.3")
	reply, err := k.ask("web.service.koine.", mdns.TypeSRV)
	if err != nil || len(reply.Answer) != 2 || len(reply.Extra) != 2 {
		t.Errorf("SRV: %v, %v; want two with their addresses", reply, err)
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		e.stopWithin("web-1", time.Hour)
	}()
	k.awaitAddresses("web", "172.17.0.3")
	awaitFetch(t, "http://172.17.0.2/") // it is out of the answers, and its process still runs
	if i, ok := k.instance("web-1"); !ok || !strings.Contains(i.Drain, "SIGTERM") {
		t.Errorf("while it drains it is %+v, %v; want the signal as the reason", i.Drain, ok)
	}
	e.kill("web-1", "SIGKILL")
	<-done
	k.await("the stopped container is removed", func() bool { _, ok := k.instance("web-1"); return !ok })
	e.start("web-1")
	k.awaitAddresses("web", "172.17.0.2", "172.17.0.3")
	e.remove("web-1", "web-2")
	k.awaitAddresses("web")
}

// fetch gets a URL as a client of the service would, and returns the status line.
func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Status, nil
}

// awaitFetch waits until a container answers: without a check it is found before it listens.
func awaitFetch(t *testing.T, url string) {
	t.Helper()
	await(t, url+" answers", func() bool {
		status, err := fetch(t.Context(), url)
		return err == nil && status == "200 OK"
	})
}

func killed(t *testing.T, k *koine, e docker) {
	id := e.Run(service("web-1", "web"))
	k.awaitAddresses("web", "172.17.0.2")
	e.kill("web-1", "SIGKILL")
	k.awaitAddresses("web")
	e.start("web-1")
	k.awaitAddresses("web", "172.17.0.2")
	// This time without Docker: the process dies by itself.
	if err := syscall.Kill(e.Inspect(id).State.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.awaitAddresses("web")
	e.remove("web-1")
}

func paused(t *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web"))
	k.awaitAddresses("web", "172.17.0.2")
	e.Do("pause", func(ctx context.Context) error {
		_, err := e.Client().ContainerPause(ctx, "web-1", moby.ContainerPauseOptions{})
		return err
	})
	k.awaitAddresses("web")
	if i, ok := k.instance("web-1"); !ok || i.Drain != "paused" || i.WhyNot == "" {
		t.Errorf("paused instance is %+v, %v", i, ok)
	}
	e.Do("unpause", func(ctx context.Context) error {
		_, err := e.Client().ContainerUnpause(ctx, "web-1", moby.ContainerUnpauseOptions{})
		return err
	})
	k.awaitAddresses("web", "172.17.0.2")
	e.remove("web-1")
	k.awaitAddresses("web")
}

// setHealth sets a demo container healthy or not.
func setHealth(t *testing.T, address string, ok bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("http://%s/health?ok=%v", address, ok), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func healthcheck(t *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web", func(c *dockertest.Container) {
		c.Config.Healthcheck = &container.HealthConfig{
			Test: []string{"CMD", "/program", "-healthcheck"}, Interval: 200 * time.Millisecond, Retries: 1,
		}
	}))
	k.await("the instance is registered", func() bool { _, ok := k.instance("web-1"); return ok })
	k.awaitAddresses("web", "172.17.0.2")
	setHealth(t, "172.17.0.2", false)
	k.awaitAddresses("web")
	i, ok := k.instance("web-1")
	if !ok || len(i.Checks) != 1 || i.Checks[0].Status != catalog.Critical || i.Checks[0].Output == "" {
		t.Errorf("unhealthy instance is %+v, %v; want its check critical with Docker's output", i, ok)
	}
	setHealth(t, "172.17.0.2", true)
	k.awaitAddresses("web", "172.17.0.2")
	e.remove("web-1")
	k.awaitAddresses("web")
}

func ownCheck(t *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web", label("koine.check.http", "/health"), label("koine.check.interval", "50ms")))
	k.awaitAddresses("web", "172.17.0.2")
	setHealth(t, "172.17.0.2", false)
	k.awaitAddresses("web")
	if i, ok := k.instance("web-1"); !ok || !strings.Contains(i.WhyNot, "is critical") {
		t.Errorf("instance is %+v, %v", i, ok)
	}
	setHealth(t, "172.17.0.2", true)
	k.awaitAddresses("web", "172.17.0.2")
	e.remove("web-1")
	k.awaitAddresses("web")
}

// ownCommand checks by a command in the container, without --enable-script-checks: its exit code 1 is a warning.
func ownCommand(t *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web", label("koine.check.exec", `["/program", "-healthcheck"]`), label("koine.check.interval", "100ms")))
	k.awaitAddresses("web", "172.17.0.2")
	status := func(want catalog.Status) func() bool {
		return func() bool {
			i, ok := k.instance("web-1")
			return ok && i.Status == want && len(i.Checks) == 1 && i.Checks[0].Type == catalog.CheckExec
		}
	}
	k.await("the command passes", status(catalog.Passing))
	setHealth(t, "172.17.0.2", false)
	k.await("the command warns", status(catalog.Warning))
	e.remove("web-1")
	k.awaitAddresses("web")
}

func twoNetworks(t *testing.T, k *koine, e docker) {
	for i, name := range []string{"front", "back"} {
		e.Do("create network", func(ctx context.Context) error {
			subnet := netip.MustParsePrefix(fmt.Sprintf("10.80.%d.0/24", i))
			_, err := e.Client().NetworkCreate(ctx, name, moby.NetworkCreateOptions{
				IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}},
			})
			return err
		})
	}
	e.Run(service("web-1", "web", label("koine.network", "front"), func(c *dockertest.Container) {
		c.Networks = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{"front": {}}}
	}))
	k.awaitAddresses("web", "10.80.0.2")
	e.Do("connect", func(ctx context.Context) error {
		_, err := e.Client().NetworkConnect(ctx, "back", moby.NetworkConnectOptions{Container: "web-1"})
		return err
	})
	k.await("both addresses are registered", func() bool {
		i, _ := k.instance("web-1")
		return slices.EqualFunc(i.Addresses, []string{"front 10.80.0.2", "back 10.80.1.2"}, func(a catalog.Address, want string) bool {
			return a.Network+" "+a.IP.String() == want && a.NetworkID != ""
		})
	})
	k.awaitAddresses("web", "10.80.0.2")
	e.Do("disconnect", func(ctx context.Context) error {
		_, err := e.Client().NetworkDisconnect(ctx, "front", moby.NetworkDisconnectOptions{Container: "web-1"})
		return err
	})
	k.awaitAddresses("web", "10.80.1.2")
	e.remove("web-1")
	k.awaitAddresses("web")
	for _, name := range []string{"front", "back"} {
		e.Do("remove network", func(ctx context.Context) error {
			_, err := e.Client().NetworkRemove(ctx, name, moby.NetworkRemoveOptions{})
			return err
		})
	}
}

func publishedPort(t *testing.T, k *koine, e docker) {
	port := network.MustParsePort("80/tcp")
	e.Run(service("web-1", "web", func(c *dockertest.Container) {
		c.Config.ExposedPorts = network.PortSet{port: {}}
		c.Host.PortBindings = network.PortMap{port: {{HostPort: "18080"}}}
	}))
	k.awaitAddresses("web", "172.17.0.2")
	i, _ := k.instance("web-1")
	if len(i.Ports) != 1 || i.Ports[0].Number != 80 || i.Ports[0].Published != 18080 {
		t.Errorf("ports %+v, want 80 published as 18080", i.Ports)
	}
	if last := i.Addresses[len(i.Addresses)-1]; last.Network != catalog.NetworkHost || last.IP.String() != "127.0.0.1" {
		t.Errorf("addresses %v, want the host's as the last", i.Addresses)
	}
	awaitFetch(t, "http://127.0.0.1:18080/")
	e.remove("web-1")
	k.awaitAddresses("web")
}

func severalPorts(t *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web", args("-ports", "80,9000"), label("koine.ports", "http=80,admin=9000")))
	k.awaitAddresses("web", "172.17.0.2")
	for name, want := range map[string]uint16{
		"web.service.koine.": 80, "_admin._tcp.web.service.koine.": 9000, "_http._tcp.web.service.koine.": 80,
	} {
		reply, err := k.ask(name, mdns.TypeSRV)
		if err != nil || len(reply.Answer) != 1 || reply.Answer[0].(*mdns.SRV).Port != want {
			t.Errorf("%s: %v, %v; want one with port %d", name, reply, err, want)
		}
	}
	if list, err := k.client.Instances(t.Context(), instancesOf("web")); err != nil || len(list.Instances) != 1 {
		t.Errorf("%+v, %v; want one instance with all of its ports", list, err)
	}
	e.remove("web-1")
	k.awaitAddresses("web")
}

func renamed(_ *testing.T, k *koine, e docker) {
	e.Run(service("web-1", "web"))
	k.awaitAddresses("web", "172.17.0.2")
	e.Do("rename", func(ctx context.Context) error {
		_, err := e.Client().ContainerRename(ctx, "web-1", moby.ContainerRenameOptions{NewName: "web-9"})
		return err
	})
	k.await("the instance has its new name", func() bool {
		_, before := k.instance("web-1")
		_, after := k.instance("web-9")
		return after && !before
	})
	k.awaitAddresses("web", "172.17.0.2")
	e.remove("web-9")
	k.awaitAddresses("web")
}

func ignored(_ *testing.T, k *koine, e docker) {
	e.Run(service("no", "web", label("SERVICE_IGNORE", "true")))
	e.Run(service("yes", "web", label("SERVICE_IGNORE", "false")))
	k.awaitAddresses("web", "172.17.0.3")
	e.remove("no", "yes")
	k.awaitAddresses("web")
}

// anotherHostAddress gives the host an address while Koine runs: queries from there are the host's own, and it reaches its containers.
func anotherHostAddress(t *testing.T, k *koine, e docker) {
	ip := needs.Tool(t, "ip")
	const address = "198.51.100.77"
	change := func(what string) {
		if out, err := exec.Command(ip, "addr", what, address+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	e.Run(service("web-1", "web"))
	k.awaitAddresses("web", "172.17.0.2")
	change("add")
	defer change("del")
	from := &mdns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(address)}}, Timeout: resendAfter}
	k.await("queries from the new address reach the container", func() bool {
		reply, _, err := from.Exchange(new(mdns.Msg).SetQuestion("web.service.koine.", mdns.TypeA), k.dns)
		return err == nil && len(reply.Answer) == 1
	})
	e.remove("web-1")
	k.awaitAddresses("web")
}

// TestDockerGoesAway restarts and kills dockerd under Koine.
func TestDockerGoesAway(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host()).start()
	always := func(c *dockertest.Container) { c.Host.RestartPolicy = container.RestartPolicy{Name: "always"} }
	e.Run(service("stays", "web", always))
	e.Run(service("ends", "web"))
	k.awaitAddresses("web", "172.17.0.2", "172.17.0.3")

	t.Run("restart", func(t *testing.T) {
		k := k.in(t)
		e.Restart() // a stop ends all containers, the start brings back those that always restart
		k.await("only the container that came back is answered", func() bool {
			i, ok := k.instance("stays")
			_, other := k.instance("ends")
			return ok && !other && i.Healthy
		})
		k.awaitAddresses("web", e.Inspect("stays").NetworkSettings.Networks["bridge"].IPAddress.String())
	})
	t.Run("kill -9", func(t *testing.T) {
		k := k.in(t)
		e.start("ends")
		both := []string{
			e.Inspect("stays").NetworkSettings.Networks["bridge"].IPAddress.String(),
			e.Inspect("ends").NetworkSettings.Networks["bridge"].IPAddress.String(),
		}
		slices.Sort(both)
		k.awaitAddresses("web", both...)
		pid := e.Inspect("ends").State.Pid
		left := e.Inspect("stays").NetworkSettings.Networks["bridge"].IPAddress.String()
		e.Kill9()
		if got := k.addresses("web"); !slices.Equal(got, both) {
			t.Errorf("without dockerd %v is answered, want what runs on: %v", got, both)
		}
		// No event will ever report this one.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		k.awaitAddresses("web", left)
		e.Start()
		k.await("the engine is followed again", func() bool {
			i, ok := k.instance("stays")
			_, other := k.instance("ends")
			return ok && i.Healthy && !other
		})
		e.start("ends")
		k.await("events come again", func() bool { i, ok := k.instance("ends"); return ok && i.Healthy })
	})
}

// TestKilledWhileContainersComeAndGo kills Koine again and again. Every instance that it answers with afterwards is
// running.
func TestKilledWhileContainersComeAndGo(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host()).start()
	e.Run(service("first", "web"))
	k.awaitAddresses("web", "172.17.0.2")
	for round := range 4 {
		old, fresh := fmt.Sprint("old-", round), fmt.Sprint("new-", round)
		e.Run(service(old, "web"))
		gone := e.Inspect(old).NetworkSettings.Networks["bridge"].IPAddress.String()
		k.await("the container is answered", func() bool { return slices.Contains(k.addresses("web"), gone) })
		k.kill()
		// The new container must not take over the address of the old one.
		e.Run(service(fresh, "web"))
		e.stop(old)
		came := e.Inspect(fresh).NetworkSettings.Networks["bridge"].IPAddress.String()

		k.launch()
		var wrong []string
		k.await("the new container is answered", func() bool {
			got := k.addresses("web")
			if slices.Contains(got, gone) || got != nil && len(got) == 0 {
				wrong = append(wrong, fmt.Sprint(got))
			}
			return slices.Contains(got, came)
		})
		if len(wrong) > 0 {
			t.Fatalf("round %d: answered %v, though %s had stopped and others ran", round, wrong, gone)
		}
		e.remove(old)
	}
	if got, want := len(k.addresses("web")), 5; got != want {
		t.Errorf("%d containers are answered, want %d", got, want)
	}
	if err := k.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestDrainSurvivesRestart kills Koine while a container drains: the container is not offered again.
func TestDrainSurvivesRestart(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host()).start()
	e.Run(service("web-1", "web", args("-grace", "1h")))
	e.Run(service("web-2", "web"))
	k.awaitAddresses("web", "172.17.0.2", "172.17.0.3")
	e.kill("web-1", "SIGTERM")
	k.awaitAddresses("web", "172.17.0.3")
	k.kill()
	k.launch()
	k.await("web-2 is answered", func() bool {
		got := k.addresses("web")
		if slices.Contains(got, "172.17.0.2") {
			t.Fatalf("%v: a draining container is offered again", got)
		}
		return slices.Contains(got, "172.17.0.3")
	})
}

// TestStormOfContainers starts and removes many at once; in the end both sides agree.
func TestStormOfContainers(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host()).start()
	const n = 12
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { e.Run(service(fmt.Sprint("web-", i), "web")) })
	}
	wg.Wait()
	k.await("all are answered", func() bool { return len(k.addresses("web")) == n })
	for i := range n / 2 {
		wg.Go(func() { e.remove(fmt.Sprint("web-", i)) })
	}
	wg.Wait()
	k.await("those that are left are answered", func() bool { return len(k.addresses("web")) == n/2 })
}
