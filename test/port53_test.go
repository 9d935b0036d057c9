package test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"github.com/moby/moby/api/types/network"
	moby "github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/dockertest"
)

// published publishes port 53 at an address of the host, "" for all, as a name server in a container does.
func published(at string) func(*dockertest.Container) {
	return func(c *dockertest.Container) {
		c.Config.ExposedPorts, c.Host.PortBindings = make(network.PortSet), make(network.PortMap)
		for _, text := range []string{"53/tcp", "53/udp"} {
			port := network.MustParsePort(text)
			c.Config.ExposedPorts[port] = struct{}{}
			binding := network.PortBinding{HostPort: "53"}
			if at != "" {
				binding.HostIP = netip.MustParseAddr(at)
			}
			c.Host.PortBindings[port] = []network.PortBinding{binding}
		}
	}
}

// problems returns what /health reports.
func (k *koine) problems() string {
	state, err := k.client.State(k.t.Context())
	if err != nil {
		return err.Error()
	}
	return strings.Join(state.Problems, "\n")
}

// TestPort53 has other programs want the port of --dns bridge: before Koine and after it, at all addresses and at one.
func TestPort53(t *testing.T) {
	e := docker{startDocker(t)}
	const gateway = "172.17.0.1:53"
	e.Run(service("web", "web"))
	resolves := func() bool {
		got, err := e.resolve("web", gateway, "web.service.koine", mdns.TypeA, "udp")
		return err == nil && got == "NOERROR 172.17.0.2"
	}
	e.Run(service("adguard", "adguard", published("")))
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge", "--advertise", "127.0.0.1")
	k.start()
	k.await("the container that was first is named", func() bool {
		return strings.Contains(k.problems(), "DNS does not listen on "+gateway+": container adguard publishes TCP port 53: publish it at one other address")
	})
	k.await("the log names it", func() bool {
		return strings.Contains(k.stderr.String(), "container adguard publishes TCP port 53")
	})
	k.await("the banner names it", func() bool {
		return strings.Contains(k.stderr.String(), "Problem DNS does not listen on "+gateway+": container adguard")
	})
	e.stop("adguard")
	k.await("the listener comes up when the port is free", resolves)
	k.await("the problem is over", func() bool { return k.problems() == "" })

	if _, err := e.Client().ContainerStart(t.Context(), "adguard", moby.ContainerStartOptions{}); err == nil {
		t.Error("both have the port")
	}
	e.Run(service("pihole", "pihole", published("127.0.0.1")))
	k.await("at another address both run", func() bool { return resolves() && k.problems() == "" })
}

// TestPort53OfAProcess has a process hold the port, on TCP and UDP or on one of them.
func TestPort53OfAProcess(t *testing.T) {
	e := docker{startDocker(t)}
	e.Run(service("web", "web"))
	const gateway = "172.17.0.1:53"
	udp, err := net.ListenPacket("udp", "0.0.0.0:53")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge")
	k.start()
	holds := func(network string) bool {
		return strings.Contains(k.problems(), fmt.Sprintf("(process %d) has %s port 53: have it listen at other addresses only", os.Getpid(), network))
	}
	k.await("the process that has TCP is named", func() bool { return holds("TCP") })
	tcp.Close()
	k.await("and for UDP, when TCP is free", func() bool { return holds("UDP") })
	udp.Close()
	k.await("the listener comes up when both are free", func() bool {
		got, err := e.resolve("web", gateway, "web.service.koine", mdns.TypeA, "tcp")
		return err == nil && got == "NOERROR 172.17.0.2" && k.problems() == ""
	})
}
