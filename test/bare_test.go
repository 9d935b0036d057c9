package test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	moby "github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/dockertest"
)

// member describes a container of a Compose project, on the project's own network.
func member(project, name string, edit ...func(*dockertest.Container)) dockertest.Container {
	c := dockertest.Container{Name: project + "-" + name + "-1"}
	c.Config.Labels = map[string]string{
		"com.docker.compose.project": project, "com.docker.compose.service": name, "com.docker.compose.container-number": "1",
	}
	on(project+"_default", name)(&c)
	for _, e := range edit {
		e(&c)
	}
	return c
}

// TestProjectsDoNotAnswerForOneAnother stops, removes and recreates the database of a test project whose name in production is
// published, through a restart of Koine.
func TestProjectsDoNotAnswerForOneAnother(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge", "--advertise", "172.17.0.1").start()
	e.network("test_default", "10.86.0.0/24")
	e.network("prod_default", "10.86.1.0/24")
	e.Run(member("prod", "db", publish("80/tcp", "18081")))
	e.Run(service("queue", "queue", on("prod_default"), publish("80/tcp", "18083"))) // of no project
	e.Run(member("test", "app"))
	e.Run(member("test", "db"))
	k.awaitAddresses("app", "10.86.0.2")

	asks := func(what, name, want string) {
		t.Helper()
		var got string
		var err error
		defer func() {
			if t.Failed() {
				t.Logf("%s: last answer %q, %v; want %q", what, got, err, want)
			}
		}()
		await(t, what, func() bool {
			got, err = e.resolve("test-app-1", "10.86.0.1:53", name, mdns.TypeA, "udp")
			if strings.Contains(got, "172.17.0.1") {
				t.Errorf("%s: %s is answered by another project: %q", what, name, got)
				return true
			}
			return got == want
		})
	}
	asks("while both run", "db", "NOERROR 10.86.0.3")
	e.stop("test-db-1")
	asks("stopped", "db", "NOERROR")
	asks("stopped, with the network's name", "db.test_default", "NOERROR")
	k.kill()
	k.start()
	k.awaitAddresses("app", "10.86.0.2")
	asks("stopped before Koine began", "db", "NOERROR")
	e.start("test-db-1")
	asks("started again", "db", "NOERROR 10.86.0.3")
	e.remove("test-db-1")
	asks("removed", "db", "NOERROR")
	e.Run(service("queue-2", "other", on("test_default", "queue"), label("koine.ignore", "true")))
	asks("a container of the network that is not registered", "queue", "NOERROR")
	got, err := e.resolve("test-app-1", "10.86.0.1:53", "db.service.koine", mdns.TypeA, "udp")
	if got != "NOERROR 172.17.0.1" {
		t.Errorf("by its full name: %q, %v", got, err)
	}
}

// output runs a container to its end and returns what it has printed.
func (d docker) output(id string) string {
	var text string
	d.start(id)
	d.Do("wait", func(ctx context.Context) error {
		wait := d.Client().ContainerWait(ctx, id, moby.ContainerWaitOptions{})
		select {
		case <-wait.Result:
		case err := <-wait.Error:
			return err
		}
		logs, err := d.Client().ContainerLogs(ctx, id, moby.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
		if err != nil {
			return err
		}
		defer logs.Close()
		raw, err := io.ReadAll(logs)
		text = string(raw)
		return err
	})
	return text
}

// TestContainersThatAskAtOnce starts containers that look up a name as soon as they run, before the engine has told of them. They
// reach the service by their second network, which their address does not show.
func TestContainersThatAskAtOnce(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge", "--advertise", "172.17.0.1").start()
	e.network("front", "10.87.0.0/24")
	e.network("zz", "10.87.1.0/24")
	e.Run(service("db", "dbz", on("zz")))
	k.awaitAddresses("dbz", "10.87.1.2")
	found, later := 0, 0
	for i := range 20 {
		id := e.Create(service(fmt.Sprint("q", i), "q", on("front"), args("-lookup", "dbz.service.koine", "-server", "10.87.0.1:53"), func(c *dockertest.Container) {
			c.Host.DNS = []netip.Addr{netip.MustParseAddr("10.87.0.1")}
			if i%2 == 1 { // one that is not registered is known as well
				c.Config.Labels["koine.ignore"] = "true"
			}
		}))
		e.connect(id, "zz")
		switch answer := e.output(id); {
		case strings.Contains(answer, "answer: NOERROR 10.87.1.2"):
			found++
		case strings.Contains(answer, "answer: SERVFAIL"), strings.Contains(answer, "timeout"):
			later++ // a stub asks again
		default:
			t.Errorf("container %d is answered %q", i, answer)
		}
	}
	t.Logf("%d were answered, %d have to ask again", found, later)
	if found == 0 {
		t.Error("none was answered")
	}
}
