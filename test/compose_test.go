package test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	mdns "github.com/miekg/dns"
	moby "github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/needs"
)

// The host's address and a client's on a network between them that is not Docker's.
const (
	lanHost   = "10.90.0.1"
	lanClient = "10.90.0.2"
)

// bareImage holds the demo service and exposes nothing.
const bareImage = "koine/bare:latest"

// TestCompose starts the Compose projects below compose, one after the other on one engine, and compares what is found of each
// with its table found.txt: from the host, from its containers, and from a client of a network that is not Docker's. An answer
// names containers without the project, or the host. The commands of run.txt are run after the start.
func TestCompose(t *testing.T) {
	compose := needs.Tool(t, "docker-compose")
	files, err := filepath.Glob("compose/*/found.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	e := docker{startDocker(t)}
	e.Import(bareImage, dockertest.Build(t, "github.com/koine-sd/koine/test/demo"), `ENTRYPOINT ["/program"]`)
	lan := joinLAN(t)
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,"+lanHost+":53,bridge", "--advertise", lanHost).start()
	for _, file := range files {
		project := filepath.Base(filepath.Dir(file))
		t.Run(project, func(t *testing.T) {
			run := func(args ...string) {
				t.Helper()
				cmd := exec.Command(compose, append([]string{"-p", project}, args...)...)
				cmd.Dir, cmd.Env = filepath.Dir(file), append(os.Environ(), "DOCKER_HOST="+e.Host())
				if output, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("docker-compose %v: %v\n%s", args, err, output)
				}
			}
			t.Cleanup(func() { run("down", "-v", "-t", "0", "--remove-orphans") })
			run("up", "-d")
			for _, words := range wordsOf(t, filepath.Join(filepath.Dir(file), "run.txt")) {
				run(words...)
			}
			p := composed{docker: e, k: k.in(t), project: project, lan: lan}
			for _, words := range wordsOf(t, file) {
				p.check(t, words[0], words[1], words[2], strings.Join(words[3:], " "))
			}
		})
	}
}

// wordsOf returns the words of each line of a file that is no comment; nothing if there is no such file.
func wordsOf(t *testing.T, path string) (lines [][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			lines = append(lines, words)
		}
	}
	return lines
}

// joinLAN makes a network between the host and a process in a network namespace of its own, and returns the process's id.
func joinLAN(t *testing.T) (pid int) {
	t.Helper()
	other := exec.Command("sleep", "infinity")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	pid = other.Process.Pid
	for _, line := range []string{
		fmt.Sprintf("ip link add lan0 type veth peer name lan1 netns %d", pid),
		"ip addr add " + lanHost + "/24 dev lan0", "ip link set lan0 up",
		fmt.Sprintf("nsenter -n -t %d ip addr add %s/24 dev lan1", pid, lanClient),
		fmt.Sprintf("nsenter -n -t %d ip link set lan1 up", pid),
	} {
		words := strings.Fields(line)
		if output, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, output)
		}
	}
	return pid
}

// composed is a Compose project that runs.
type composed struct {
	docker
	k       *koine
	project string
	lan     int
}

// check waits until a client's question has the wanted answer. A name without a dot that is not asked from a container is a service.
func (p composed) check(t *testing.T, from, name, qtype, want string) {
	t.Helper()
	var last string
	await(t, fmt.Sprintf("%s asks %s %s, and gets %s", from, name, qtype, want), func() bool {
		reply, err := p.ask(from, name, mdns.StringToType[qtype])
		got := fmt.Sprint(err)
		if err == nil {
			got = p.text(reply)
		}
		if got != want && got != last {
			t.Logf("%s asks %s %s: %s, not %s yet", from, name, qtype, got, want)
		}
		last = got
		return got == want
	})
}

func (p composed) ask(from, name string, qtype uint16) (reply *mdns.Msg, err error) {
	if (from == "host" || from == "lan") && !strings.Contains(name, ".") {
		name += ".service.koine"
	}
	pid, server := p.lan, lanHost+":53"
	switch from {
	case "host":
		return p.k.ask(name+".", qtype)
	case "lan":
	default:
		c := p.Inspect(p.project + "_" + from)
		pid = c.State.Pid
		for _, endpoint := range c.NetworkSettings.Networks {
			server = endpoint.Gateway.String() + ":53"
		}
	}
	err = within(pid, func() (err error) {
		reply, err = exchange(new(mdns.Msg).SetQuestion(mdns.Fqdn(name), qtype), server, "udp")
		return err
	})
	return reply, err
}

// text writes an answer with the names of the containers that its addresses are of.
func (p composed) text(reply *mdns.Msg) string {
	if reply.Rcode != mdns.RcodeSuccess {
		return mdns.RcodeToString[reply.Rcode]
	}
	names, targets := p.names(), make(map[string]string)
	for _, rr := range reply.Extra {
		if a, ok := rr.(*mdns.A); ok {
			targets[a.Hdr.Name] = names[a.A.String()]
		}
	}
	var list []string
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *mdns.A:
			list = append(list, names[rr.A.String()])
		case *mdns.SRV:
			list = append(list, fmt.Sprintf("%s:%d", targets[rr.Target], rr.Port))
		}
	}
	if len(list) == 0 {
		return "NODATA"
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// names returns the names of the project's containers and of the host by their addresses.
func (p composed) names() map[string]string {
	names := map[string]string{lanHost: "host"}
	p.Do("list containers", func(ctx context.Context) error {
		list, err := p.Client().ContainerList(ctx, moby.ContainerListOptions{})
		for _, c := range list.Items {
			name := strings.TrimPrefix(strings.TrimPrefix(c.Names[0], "/"), p.project+"_")
			for _, endpoint := range c.NetworkSettings.Networks {
				if endpoint.IPAddress != (netip.Addr{}) {
					names[endpoint.IPAddress.String()] = name
				}
			}
		}
		return err
	})
	return names
}
