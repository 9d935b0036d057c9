package test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	mdns "github.com/miekg/dns"
	"github.com/moby/moby/api/types/container"
	moby "github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/needs"
)

// The host's address and a client's on a network between them that is not Docker's.
const (
	lanHost   = "10.90.0.1"
	lanClient = "10.90.0.2"
)

// bareImage holds the demo service and exposes nothing; koineImage is Koine itself.
const (
	bareImage  = "koine/bare:latest"
	koineImage = "koine/koine:latest"
)

// The ports of DNS on the LAN, and of the Koine that is itself a service of a project.
const (
	lanDNS   = "18600"
	selfHTTP = "127.0.0.1:8500"
	selfDNS  = "8600"
)

// TestCompose runs the projects below compose, one after the other on one engine. Each has a table, found.txt, of what is found
// of it: from the host, from its containers, and from a client of a network that is not Docker's.
//
//	CLIENT NAME TYPE ANSWER   a question and its answer, see composed.got
//	$ COMMAND                 docker-compose, docker, "koine stop" or "koine start", run before the lines that follow
//	! COMMAND                 the same, which must fail
//	# TEXT                    a comment
func TestCompose(t *testing.T) {
	needs.Tool(t, "docker-compose")
	needs.Tool(t, "docker")
	tables, err := filepath.Glob("compose/*/found.txt")
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	e := docker{startDocker(t)}
	e.Import(bareImage, dockertest.Build(t, "github.com/koine-sd/koine/test/demo"), `ENTRYPOINT ["/program"]`)
	lan := joinLAN(t)
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,"+lanHost+":"+lanDNS+",bridge", "--advertise", lanHost).start()
	e.Import(koineImage, k.cmd.Path, `ENTRYPOINT ["/program"]`)
	for _, table := range tables {
		dir := filepath.Dir(table)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Cleanup(e.clear)
			p := composed{docker: e, k: k.in(t), main: k, dir: dir, project: filepath.Base(dir), lan: lan, port: lanDNS}
			if p.project == "self" { // it has its own Koine
				p.k.http, p.k.dns, p.port = selfHTTP, "127.0.0.1:"+selfDNS, selfDNS
				if p.k.client, err = client.New(client.Config{Address: p.k.http}); err != nil {
					t.Fatal(err)
				}
			}
			for _, words := range linesOf(t, table) {
				p.line(t, words)
			}
		})
	}
}

// linesOf returns the words of each line of a file that is no comment.
func linesOf(t *testing.T, path string) (lines [][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			lines = append(lines, words)
		}
	}
	return lines
}

// clear removes all containers and their networks, and leaves the swarm.
func (d docker) clear() {
	d.Do("clear the engine", func(ctx context.Context) error {
		_, _ = d.Client().SwarmLeave(ctx, moby.SwarmLeaveOptions{Force: true}) // most are in none
		list, err := d.Client().ContainerList(ctx, moby.ContainerListOptions{All: true})
		var removals errgroup.Group
		for _, c := range list.Items {
			removals.Go(func() error {
				_, err := d.Client().ContainerRemove(ctx, c.ID, moby.ContainerRemoveOptions{Force: true})
				if cerrdefs.IsNotFound(err) {
					return nil
				}
				return err
			})
		}
		err = errors.Join(err, removals.Wait())
		_, pruned := d.Client().NetworkPrune(ctx, moby.NetworkPruneOptions{})
		return errors.Join(err, pruned)
	})
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
	// k is the Koine that is asked, main the process that the commands "koine stop" and "koine start" are for.
	k, main      *koine
	dir, project string
	// lan is a process on the LAN, port that of DNS there.
	lan  int
	port string
}

// line carries out a line of the table.
func (p composed) line(t *testing.T, words []string) {
	t.Helper()
	switch command := strings.Join(words[1:], " "); {
	case words[0] != "$" && words[0] != "!":
		p.check(t, words[0], words[1], words[2], strings.Join(words[3:], " "))
	case command == "koine stop":
		if err := p.main.stop(); err != nil {
			t.Fatal(err)
		}
	case command == "koine start":
		p.main.start()
	default:
		cmd := exec.Command(words[1], words[2:]...)
		cmd.Dir = p.dir
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+p.Host(), "COMPOSE_PROJECT_NAME="+p.project,
			fmt.Sprintf("COMPOSE_HTTP_TIMEOUT=%.0f", patience.Seconds()), "DOCKER_SOCKET_DIR="+filepath.Dir(p.Socket()))
		if output, err := cmd.CombinedOutput(); (err == nil) != (words[0] == "$") {
			t.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
}

// check waits until a client's question has the wanted answer. On the way there no bare name may lead a container out of its project,
// not even for a moment.
func (p composed) check(t *testing.T, from, name, qtype, want string) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Logf("%s asks %s %s: the last answer is %s", from, name, qtype, last)
		}
	}()
	await(t, fmt.Sprintf("%s asks %s %s, and gets %s", from, name, qtype, want), func() bool {
		var holds bool
		if last, holds = p.got(from, name, qtype, want); holds {
			return true
		}
		if qtype == "A" && p.containers().leadsOut(from, name, last) {
			t.Errorf("%s asks %s and is led out of its project: %s", from, name, last)
			return true
		}
		return false
	})
}

// got returns the answer to a client's question and whether it is the wanted one. The types are those of DNS, and these:
// "explain" has the wanted text in it, "health" has it in what is wrong, which is "-" if nothing is, and "nodes" is their number.
func (p composed) got(from, name, qtype, want string) (got string, holds bool) {
	switch qtype {
	case "explain":
		got = p.explain(from, name)
		return got, strings.Contains(got, want)
	case "health":
		got = p.k.problems()
		return cmp.Or(got, "-"), want == cmp.Or(got, "-") || want != "-" && strings.Contains(got, want)
	case "nodes":
		list, err := p.k.client.Nodes(p.k.t.Context())
		got = fmt.Sprint(len(list.Nodes))
		return got, err == nil && got == want
	}
	found := p.containers()
	reply, err := p.ask(found, from, name, mdns.StringToType[qtype])
	if err != nil {
		return err.Error(), false
	}
	got = found.text(reply)
	return got, got == want
}

// explain returns what koine explain prints for a client.
func (p composed) explain(from, name string) string {
	args := []string{"explain", name, "--http", p.k.http}
	switch from {
	case "host":
	case "lan":
		args = append(args, "--as", lanClient)
	default:
		args = append(args, "--as", p.containers().of(from).full)
	}
	path, err := binary()
	if err != nil {
		return err.Error()
	}
	output, _ := exec.Command(path, args...).CombinedOutput() // its error is a text, too
	return strings.Join(strings.Fields(string(output)), " ")
}

// ask asks over DNS. A name without a dot that is not asked from a container is a service.
func (p composed) ask(found residents, from, name string, qtype uint16) (reply *mdns.Msg, err error) {
	if (from == "host" || from == "lan") && !strings.Contains(name, ".") {
		name += ".service.koine"
	}
	pid, server := p.lan, net.JoinHostPort(lanHost, p.port)
	switch from {
	case "host":
		return p.k.ask(name+".", qtype)
	case "lan":
	default:
		client := found.of(from)
		if client.full == "" {
			return nil, errors.New("the client does not run yet")
		}
		c := p.Inspect(client.full)
		pid = c.State.Pid
		server = p.server(found, &c)
	}
	err = within(pid, func() (err error) {
		reply, err = exchange(new(mdns.Msg).SetQuestion(mdns.Fqdn(name), qtype), server, "udp")
		return err
	})
	return reply, err
}

// server returns the address of DNS for a container: the gateway of a network, that on the LAN if it has none, or Koine's own
// where that is a container, too.
func (p composed) server(found residents, c *container.InspectResponse) string {
	if p.port == selfDNS {
		for ip := range found.of("koine_1").addresses {
			return net.JoinHostPort(ip, p.port)
		}
	}
	for _, endpoint := range c.NetworkSettings.Networks {
		if endpoint.Gateway.IsValid() {
			return endpoint.Gateway.String() + ":53"
		}
	}
	return net.JoinHostPort(lanHost, p.port)
}

// resident is a container as tables name it.
type resident struct {
	full, name, project string
	// addresses are its addresses, each with the name of its network.
	addresses map[string]string
}

// residents are all containers of the engine.
type residents []resident

// containers lists the containers that run. Tables name those of the project without it, and tasks of Swarm without their id.
func (p composed) containers() (found residents) {
	p.Do("list containers", func(ctx context.Context) error {
		list, err := p.Client().ContainerList(ctx, moby.ContainerListOptions{})
		for _, c := range list.Items {
			r := resident{full: strings.TrimPrefix(c.Names[0], "/"), addresses: make(map[string]string)}
			r.project = cmp.Or(c.Labels["com.docker.compose.project"], c.Labels["com.docker.stack.namespace"])
			r.name = strings.TrimPrefix(r.full, p.project+"_")
			if id := c.Labels["com.docker.swarm.task.id"]; id != "" {
				r.name = strings.TrimSuffix(r.name, "."+id)
			}
			for network, endpoint := range c.NetworkSettings.Networks {
				if endpoint.IPAddress.IsValid() {
					r.addresses[endpoint.IPAddress.String()] = strings.TrimPrefix(network, p.project+"_")
				}
			}
			found = append(found, r)
		}
		return errors.Join(err, p.overlaid(ctx, list.Items, found))
	})
	return found
}

// overlaid adds the addresses of tasks of Swarm on the bridge to their host, which the list lacks.
func (p composed) overlaid(ctx context.Context, list []container.Summary, found residents) error {
	const name = "docker_gwbridge"
	bridge, err := p.Client().NetworkInspect(ctx, name, moby.NetworkInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	for i, c := range list {
		if ip := bridge.Network.Containers[c.ID].IPv4Address.Addr(); ip.IsValid() {
			found[i].addresses[ip.String()] = name
		}
	}
	return err
}

// of returns the container that a table means; the zero value if there is none.
func (l residents) of(name string) resident {
	for _, r := range l {
		if r.name == name {
			return r
		}
	}
	return resident{}
}

// leadsOut reports whether the answer to a container that has asked for a bare name is a container of another project, or the host.
func (l residents) leadsOut(from, name, answer string) bool {
	client := l.of(from).project
	return client != "" && !strings.Contains(name, ".") && slices.ContainsFunc(strings.Fields(answer), func(word string) bool {
		word, _, _ = strings.Cut(word, "@")
		project := l.of(word).project
		return word == "host" || project != "" && project != client
	})
}

// named returns a name for an address: its container's, with the network's if it is on several, or that of the host.
func (l residents) named(ip string) string {
	if ip == lanHost {
		return "host"
	}
	for _, r := range l {
		switch network, ok := r.addresses[ip]; {
		case !ok:
		case len(r.addresses) > 1:
			return r.name + "@" + network
		default:
			return r.name
		}
	}
	return ip
}

// text writes an answer with the names of the containers that its addresses are of.
func (l residents) text(reply *mdns.Msg) string {
	if reply.Rcode != mdns.RcodeSuccess {
		return mdns.RcodeToString[reply.Rcode]
	}
	targets := make(map[string]string)
	for _, rr := range reply.Extra {
		if a, ok := rr.(*mdns.A); ok {
			targets[a.Hdr.Name] = l.named(a.A.String())
		}
	}
	var list []string
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *mdns.A:
			list = append(list, l.named(rr.A.String()))
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
