package docker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// release is an engine's release: the versions of the API that it speaks, as minor numbers, and how it writes the parts of its
// answers that versions differ in.
type release struct {
	name        string
	least, most int
	// settings are further fields of a container's NetworkSettings, endpoint of its networks, event of an event.
	settings, endpoint, event string
}

// docker29 refuses versions below 1.44, and writes no field that is deprecated; docker20 speaks none above 1.41, and writes what
// later versions dropped: the fields of the default network beside those of all networks, the short id among the aliases, status and
// id in events.
var (
	docker29 = release{
		name: "Docker 29", least: 44, most: 52,
		endpoint: `"Aliases":["back"],"DNSNames":["ID","back","IDIDIDIDIDID"],"GwPriority":0,"MacAddress":"02:42:0a:01:00:02",`,
	}
	docker20 = release{
		name: "Docker 20.10", least: 12, most: 41,
		settings: `"Bridge":"","HairpinMode":false,"LinkLocalIPv6Address":"","LinkLocalIPv6PrefixLen":0,"SecondaryIPAddresses":null,
			"SecondaryIPv6Addresses":null,"EndpointID":"","Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"IPAddress":"",
			"IPPrefixLen":0,"IPv6Gateway":"","MacAddress":"",`,
		endpoint: `"Aliases":["back","IDIDIDIDIDID"],"MacAddress":"02:42:0a:01:00:02",`,
		event:    `"status":"ACTION","id":"ID","from":"img",`,
	}
)

// versionedEngine is an engine of a release on a socket. The ids of its containers are one letter, repeated.
type versionedEngine struct {
	socket string
	server *httptest.Server

	mu       sync.Mutex
	speaks   release
	running  []string
	networks string
	events   chan string
	// refused counts the calls in a version that it does not speak, asked are the paths of the others.
	refused int
	asked   map[string]bool
}

func startVersioned(t *testing.T, speaks release) *versionedEngine {
	t.Helper()
	e := &versionedEngine{
		socket: filepath.Join(t.TempDir(), "docker.sock"), speaks: speaks, events: make(chan string), asked: make(map[string]bool),
		networks: rawNetwork,
	}
	e.listen(t)
	t.Cleanup(func() { e.stop() })
	return e
}

func (e *versionedEngine) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	e.server = httptest.NewUnstartedServer(e)
	_ = e.server.Listener.Close()
	e.server.Listener = listener
	e.server.Start()
}

func (e *versionedEngine) stop() {
	e.server.CloseClientConnections()
	e.server.Close()
}

// set changes the engine's state.
func (e *versionedEngine) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// send sends an event about a container or a network.
func (e *versionedEngine) send(kind, action, id, attributes string) {
	e.mu.Lock()
	more := strings.NewReplacer("ACTION", action, "ID", id).Replace(e.speaks.event)
	e.mu.Unlock()
	e.events <- fmt.Sprintf(`{%s"Type":%q,"Action":%q,"Actor":{"ID":%q,"Attributes":{%s}},"scope":"local","time":4102444800,"timeNano":4102444800000000000}`,
		more, kind, action, id, attributes)
}

func (e *versionedEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	speaks, running, networks := e.speaks, slices.Clone(e.running), e.networks
	e.mu.Unlock()
	w.Header().Set("Api-Version", "1."+strconv.Itoa(speaks.most))
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path
	if version, rest, ok := strings.Cut(strings.TrimPrefix(path, "/v1."), "/"); strings.HasPrefix(path, "/v1.") && ok {
		n, err := strconv.Atoi(version)
		if why := speaks.refuse(n); err != nil || why != "" {
			e.set(func() { e.refused++ })
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"message":%q}`, why)
			return
		}
		path = "/" + rest
	}
	e.set(func() { e.asked[path] = true })
	id, isContainer := strings.CutPrefix(strings.TrimSuffix(path, "/json"), "/containers/")
	switch {
	case path == "/_ping":
	case path == "/containers/json":
		var items []string
		for _, id := range running {
			items = append(items, fmt.Sprintf(`{"Id":%q,"Names":["/%s"]}`, id, id[:1]))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(items, ","))
	case isContainer && slices.Contains(running, id):
		fmt.Fprint(w, speaks.container(id))
	case path == "/networks":
		fmt.Fprintf(w, "[%s]", networks)
	case path == "/images/img/json":
		fmt.Fprint(w, `{"Id":"img","Config":{"ExposedPorts":{"80/tcp":{}}}}`)
	case path == "/events":
		(&rawEngine{events: e.events}).stream(r.Context(), w)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"No such container"}`)
	}
}

// refuse returns the engine's words about a version that it does not speak; "" if it speaks it.
func (r release) refuse(version int) string {
	switch {
	case version < r.least:
		return fmt.Sprintf("client version 1.%d is too old. Minimum supported API version is 1.%d, please upgrade your client to a newer version", version, r.least)
	case version > r.most:
		return fmt.Sprintf("client version 1.%d is too new. Maximum supported API version is 1.%d", version, r.most)
	default:
		return ""
	}
}

// container returns a running container as the release writes it.
func (r release) container(id string) string {
	text := `{"Id":"LONG","Name":"/ID","Created":"2026-01-01T00:00:00Z","Image":"img","State":{"Status":"running","Running":true,"Pid":0,
		"StartedAt":"2026-01-01T00:00:00Z","FinishedAt":"0001-01-01T00:00:00Z","Health":{"Status":"healthy","FailingStreak":0,"Log":[]}},
		"Config":{"Image":"img","Labels":{},"ExposedPorts":{"80/tcp":{},"81/tcp":{}}},"HostConfig":{"NetworkMode":"front"},
		"NetworkSettings":{` + r.settings + `"Ports":{"80/tcp":null,"81/tcp":[{"HostIp":"0.0.0.0","HostPort":"8081"},{"HostIp":"::","HostPort":"8081"}]},
		"Networks":{"front":{` + r.endpoint + `"NetworkID":"f1","Gateway":"10.1.0.1","IPAddress":"10.1.0.2","IPPrefixLen":24,"IPv6Gateway":"",
		"GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DriverOpts":null}}}}`
	return strings.NewReplacer("LONG", id, "IDIDIDIDIDID", id[:12], "ID", id[:1]).Replace(text)
}

// longID is the id of the container of a letter.
func longID(letter string) string { return strings.Repeat(letter, 64) }

// follow runs a source on the engine until the test ends.
func (e *versionedEngine) follow(t *testing.T, networks func([]catalog.Network)) (*recordingSink, *logged) {
	t.Helper()
	sink, log := newSink(), new(logged)
	s, err := New(Config{
		Host: "unix://" + e.socket, Node: "n1", Sink: sink, Networks: networks, HostAddresses: testOptions().hostAddresses,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s)
	return sink, log
}

// TestReleases follows an engine of each release from the list over events to the end of a container.
func TestReleases(t *testing.T) {
	for _, speaks := range []release{docker29, docker20} {
		t.Run(speaks.name, func(t *testing.T) {
			e := startVersioned(t, speaks)
			e.set(func() { e.running = []string{longID("a")} })
			var mu sync.Mutex
			var networks []catalog.Network
			sink, log := e.follow(t, func(list []catalog.Network) {
				mu.Lock()
				defer mu.Unlock()
				networks = list
			})
			set := sink.wait(t, "the container of the list", has("a"))
			r, _ := find(set, "a")
			var names []string
			for _, a := range r.Instance.Addresses {
				names = append(names, a.Network+" "+a.IP.String()+" "+strings.Join(a.Names, ","))
			}
			if got := strings.Join(names, "; "); !strings.HasPrefix(got, "front 10.1.0.2 ") || !strings.Contains(got, "back") || !strings.Contains(got, longID("a")[:12]) {
				t.Errorf("addresses %q, want the container's on front with its alias and short id", got)
			}
			if got := r.Instance.Ports; len(got) == 0 || got[0].Number != 81 || len(r.Checks) != 1 || r.Checks[0].Status != catalog.Passing {
				t.Errorf("ports %+v, checks %+v", got, r.Checks)
			}

			e.set(func() { e.running = append(e.running, longID("b")) })
			e.send("container", "start", longID("b"), `"name":"b"`)
			sink.wait(t, "the container of the event", has("b"))
			e.send("container", "kill", longID("b"), `"name":"b","signal":"15"`)
			sink.wait(t, "the drain", has("b", drained("stop signal SIGTERM")))
			e.set(func() { e.running = e.running[:1] })
			e.send("container", "die", longID("b"), `"name":"b","exitCode":"0"`)
			sink.wait(t, "the end", gone("b"))

			e.set(func() {
				e.networks += `,{"Name":"late","Id":"l1","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.2.0.0/24"}]}}`
			})
			e.send("network", "create", "l1", `"name":"late","type":"bridge"`)
			eventually.True(t, "the new network", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return slices.ContainsFunc(networks, func(n catalog.Network) bool { return n.Name == "late" })
			})
			e.set(func() {
				if e.refused != 0 || !e.asked["/images/img/json"] {
					t.Errorf("%d calls were refused; asked %v", e.refused, e.asked)
				}
			})
			if strings.Contains(log.String(), "level=WARN") {
				t.Errorf("logged\n%s", log)
			}
		})
	}
}

// TestReleaseRefusesAPinnedVersion: the engines of these tests do refuse, and the engine's own words are in the log.
func TestReleaseRefusesAPinnedVersion(t *testing.T) {
	for _, test := range []struct {
		speaks       release
		pinned, want string
	}{
		{docker29, "1.41", "client version 1.41 is too old. Minimum supported API version is 1.44"},
		{docker20, "1.52", "client version 1.52 is too new. Maximum supported API version is 1.41"},
	} {
		t.Setenv(client.EnvOverrideAPIVersion, test.pinned)
		e := startVersioned(t, test.speaks)
		sink, log := e.follow(t, nil)
		eventually.True(t, "the refusal is logged", func() bool { return strings.Contains(log.String(), test.want) })
		if set, n, _ := sink.latest(); n != 0 {
			t.Errorf("%s: %v is declared of an engine that refuses", test.speaks.name, set)
		}
	}
}

// TestEngineOfAnotherRelease: an engine is upgraded, or put back, while it is followed. Both speak no version in common.
func TestEngineOfAnotherRelease(t *testing.T) {
	for _, test := range []struct{ before, after release }{{docker20, docker29}, {docker29, docker20}} {
		t.Run(test.before.name+" to "+test.after.name, func(t *testing.T) {
			e := startVersioned(t, test.before)
			e.set(func() { e.running = []string{longID("a")} })
			sink, _ := e.follow(t, nil)
			containers, err := NewContainers(func() string { return "unix://" + e.socket })
			if err != nil {
				t.Fatal(err)
			}
			defer containers.Close()
			exec := func() error {
				_, _, err := containers.Exec(context.Background(), longID("a"), []string{"true"})
				return err
			}
			sink.wait(t, "the first container", has("a"))
			if err := exec(); err == nil || !strings.Contains(err.Error(), "No such container") {
				t.Errorf("a command: %v; want the answer of an engine that runs none", err)
			}
			e.stop()
			e.set(func() { e.speaks, e.running = test.after, append(e.running, longID("b")) })
			e.listen(t)
			sink.wait(t, "a container of the other release", has("b"))
			eventually.True(t, "a command reaches the other release", func() bool {
				return strings.Contains(exec().Error(), "No such container")
			})
		})
	}
}
