package docker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// rawEngine is an engine that answers with texts, as no client library would write them.
type rawEngine struct {
	list, networks string
	// mu guards containers once the source follows the engine.
	mu         sync.Mutex
	containers map[string]string
	// events are sent by the test.
	events chan string
}

// set replaces the engine's answer about a container.
func (e *rawEngine) set(id, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id] = text
}

// container returns the engine's answer about a container; "" if there is none.
func (e *rawEngine) container(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.containers[id]
}

func (e *rawEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch id, isContainer := strings.CutPrefix(strings.TrimSuffix(path, "/json"), "containers/"); {
	case path == "containers/json":
		fmt.Fprint(w, e.list)
	case isContainer && e.container(id) != "":
		fmt.Fprint(w, e.container(id))
	case path == "networks":
		fmt.Fprint(w, e.networks)
	case path == "events":
		e.stream(r.Context(), w)
	case r.URL.Path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
	default:
		http.Error(w, `{"message":"no such thing"}`, http.StatusNotFound)
	}
}

func (e *rawEngine) stream(ctx context.Context, w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case text := <-e.events:
			fmt.Fprintln(w, text)
			_ = http.NewResponseController(w).Flush()
		case <-ctx.Done():
			return
		}
	}
}

// rawContainer returns a running container's text, in which a part is replaced by another.
func rawContainer(name string, replace ...string) string {
	text := strings.NewReplacer(replace...).Replace(`{"Id":"NAME","Name":"/NAME","Created":"2026-01-01T00:00:00Z",
		"State":{"Status":"running","Running":true,"Pid":0,"StartedAt":"2026-01-01T00:00:00Z","Health":null},
		"Config":{"Image":"NAME","Labels":{"a":"b"},"Env":null,"ExposedPorts":{"80/tcp":{}}},
		"HostConfig":{"NetworkMode":"bridge"},
		"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"Networks":{"front":{
			"NetworkID":"f1","Gateway":"10.1.0.1","IPAddress":"10.1.0.2","GlobalIPv6Address":"","MacAddress":""}}}}`)
	return strings.ReplaceAll(text, "NAME", name)
}

const rawNetwork = `{"Name":"front","Id":"f1","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.1"}]}}`

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// follow runs a source on a raw engine until the test ends.
func (e *rawEngine) follow(t *testing.T, adjust ...func(*Config)) (*Source, *recordingSink, *logged) {
	t.Helper()
	server := httptest.NewServer(e)
	log, sink := new(logged), newSink()
	cfg := Config{
		Host: "tcp://" + strings.TrimPrefix(server.URL, "http://"), Node: "n1", Sink: sink, Networks: func([]catalog.Network) {},
		Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: prometheus.NewRegistry(),
	}
	for _, change := range adjust {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := runUntilEnd(t, s)
	t.Cleanup(func() {
		stop()
		server.CloseClientConnections()
		server.Close()
	})
	return s, sink, log
}

// unreadable returns the metric of a kind.
func unreadable(t *testing.T, s *Source, kind string) float64 {
	t.Helper()
	var m dto.Metric
	if err := s.metrics.unreadable.WithLabelValues(kind).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

// TestUnreadableContainer has one container with a value that cannot be decoded next to a sound one: both are registered, and the
// value is named.
func TestUnreadableContainer(t *testing.T) {
	for _, test := range []struct{ name, old, is, path string }{
		{"no address", `"Gateway":"10.1.0.1"`, `"Gateway":"<nil>"`, "NetworkSettings.Networks.front.Gateway"},
		{"MAC address", `"MacAddress":""`, `"MacAddress":"02:42"`, "NetworkSettings.Networks.front.MacAddress"},
		{"IPv6 prefix", `"GlobalIPv6Address":""`, `"GlobalIPv6Address":"fd00::1/64"`, "NetworkSettings.Networks.front.GlobalIPv6Address"},
		{"port", `"ExposedPorts":{`, `"ExposedPorts":{"http/tcp":{},`, "Config.ExposedPorts.http/tcp"},
		{"number for a text", `"HostPort":"8080"`, `"HostPort":8080`, "NetworkSettings.Ports.80/tcp[0].HostPort"},
		{"empty time", `"Health":null`, `"Health":{"Status":"healthy","Log":[{"Start":"","End":"","Output":"fine"}]}`, "State.Health.Log[0].Start"},
		{"list for an object", `"Labels":{"a":"b"}`, `"Labels":[]`, "Config.Labels"},
		{"label that is no text", `"Labels":{"a":"b"}`, `"Labels":{"a":1}`, "Config.Labels.a"},
		{"field of another engine", `"HostConfig":{`, `"HostConfig":{"Memory":"max",`, "HostConfig.Memory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &rawEngine{
				list: `[{"Id":"bad"},{"Id":"good"}]`, networks: "[" + rawNetwork + "]",
				containers: map[string]string{"bad": rawContainer("bad", test.old, test.is), "good": rawContainer("good")},
			}
			s, sink, log := e.follow(t)
			set := sink.wait(t, "both containers", func(set []catalog.Registration) bool { return has("good")(set) && has("bad")(set) })
			bad, _ := find(set, "bad")
			if got := bad.Instance.Addresses[0].IP.String(); got != "10.1.0.2" {
				t.Errorf("address %s", got)
			}
			if got := string(bad.Instance.Extras[sourceName]); !strings.Contains(got, test.path) {
				t.Errorf("what explains the instance is %s, want %s in it", got, test.path)
			}
			if good, _ := find(set, "good"); strings.Contains(string(good.Instance.Extras[sourceName]), test.path) {
				t.Error("the sound container has the warning, too")
			}
			if !strings.Contains(log.String(), test.path) {
				t.Errorf("%s is not named in the log:\n%s", test.path, log)
			}
			if got := unreadable(t, s, "container"); got != 1 {
				t.Errorf("%v unreadable containers are counted", got)
			}
		})
	}
}

// TestUnreadableNetwork has one network with a value that cannot be decoded, or that is none, next to a sound one.
func TestUnreadableNetwork(t *testing.T) {
	for _, test := range []struct{ name, text, path string }{
		{"no gateway", `{"Name":"own","Id":"o1","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.2.0.0/24","Gateway":"<nil>"}]}}`, "IPAM.Config[0].Gateway"},
		{"IPv6 prefix", `{"Name":"own","Id":"o1","Driver":"bridge","IPAM":{"Config":[{"Subnet":"fd00::/129"}]}}`, "IPAM.Config[0].Subnet"},
		{"empty time", `{"Name":"own","Id":"o1","Created":"","IPAM":{"Config":null}}`, "Created"},
		{"object for a list", `{"Name":"own","Id":"o1","IPAM":{"Config":{}}}`, "IPAM.Config"},
		{"no object", `"own"`, "[0]"},
		{"no id", `{"Name":"own","Id":7}`, "Id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &rawEngine{
				list: `[{"Id":"good"}]`, networks: "[" + test.text + "," + rawNetwork + "]",
				containers: map[string]string{"good": rawContainer("good")},
			}
			s, sink, log := e.follow(t)
			sink.wait(t, "the container", has("good"))
			s.nets.listing.Lock()
			handed := s.nets.handed
			s.nets.listing.Unlock()
			front := false
			for _, n := range handed {
				front = front || n.ID == "f1" && len(n.Gateways) == 1
				if n.ID == "o1" && len(n.Gateways) > 0 {
					t.Errorf("network without a gateway has %v", n.Gateways)
				}
			}
			if !front {
				t.Errorf("networks %+v, want front among them", handed)
			}
			if !strings.Contains(log.String(), test.path) {
				t.Errorf("%s is not named in the log:\n%s", test.path, log)
			}
			if got := unreadable(t, s, "network"); got != 1 {
				t.Errorf("%v unreadable networks are counted", got)
			}
		})
	}
}

// TestUnreadableNetworkIsExplained asks for a network that could not be read as a whole, by its name and for a container on it.
func TestUnreadableNetworkIsExplained(t *testing.T) {
	e := &rawEngine{
		list: `[{"Id":"one"}]`, networks: `[{"Name":"own","Id":7},{"Name":"front","Id":"f1","Driver":[]}]`,
		containers: map[string]string{"one": rawContainer("one", `"front":{`, `"own":{`, `"NetworkID":"f1"`, `"NetworkID":"o1"`)},
	}
	s, sink, _ := e.follow(t)
	set := sink.wait(t, "the container", has("one"))
	if one, _ := find(set, "one"); !strings.Contains(string(one.Instance.Extras[sourceName]), "network own: Id") {
		t.Errorf("the container on it is explained by %s", one.Instance.Extras[sourceName])
	}
	_, left, err := s.Explain(t.Context(), "own")
	if err != nil || len(left) != 1 || left[0].Source != catalog.SourceNetwork || !strings.Contains(left[0].Why, "Id") {
		t.Errorf("own is explained by %+v, %v", left, err)
	}
	if _, left, err = s.Explain(t.Context(), "front"); err != nil || len(left) != 0 {
		t.Errorf("front, of which a part was read, is explained by %+v, %v", left, err)
	}
}

// TestUnreadableState has a container of which nobody can tell whether it runs: it is named, and the others are registered.
func TestUnreadableState(t *testing.T) {
	for _, test := range []struct{ name, text string }{
		{"no state", rawContainer("bad", `"State":{`, `"State":"running","Was":{`)},
		{"running is a text", rawContainer("bad", `"Running":true`, `"Running":"yes"`)},
		{"network mode is a list", rawContainer("bad", `"NetworkMode":"bridge"`, `"NetworkMode":["bridge"]`)},
		{"null", rawContainer("bad", `"State":{`, `"State":null,"Was":{`)},
		{"behind many others", rawContainer("bad", `"Created"`, `"Args":[`+strings.Repeat("1,", 100)+`1],"Created"`, `"Running":true`, `"Running":"yes"`)},
		{"no object", `[]`},
		{"no JSON", `oops`},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &rawEngine{
				list: `[{"Id":"bad","Ports":[{"IP":"<nil>"}]},{"Id":"good"},{"Id":5}]`, networks: "[" + rawNetwork + "]",
				containers: map[string]string{"bad": test.text, "good": rawContainer("good")},
			}
			s, sink, log := e.follow(t)
			if set := sink.wait(t, "the sound container", has("good")); len(set) != 1 {
				t.Errorf("%d instances", len(set))
			}
			eventually.True(t, "the container is explained", func() bool {
				_, left, err := s.Explain(t.Context(), "bad")
				return err == nil && len(left) == 1 && strings.Contains(left[0].Why, "cannot be read")
			})
			if !strings.Contains(log.String(), "container=bad") {
				t.Errorf("the container is not named in the log:\n%s", log)
			}
			if got := unreadable(t, s, "container"); got != 2 {
				t.Errorf("%v unreadable containers are counted, want that one and the one without an id", got)
			}
		})
	}
}

// TestUnreadableContainerIsNamedOnce: an answer that stays unreadable is no news, and stays counted.
func TestUnreadableContainerIsNamedOnce(t *testing.T) {
	tr := newTracker(options{node: "n1"})
	for i := range 6 {
		told := tr.unread("abc", &unreadableError{name: "web", reason: `State.Running: "x"`})
		if first := i == 0; first != (len(told.faults) == 1) || tr.unreadable() != 1 {
			t.Errorf("answer %d: %d faults to log, %d containers counted", i, len(told.faults), tr.unreadable())
		}
	}
}

// TestUnreadableContainerIsKept has a container whose answer becomes unreadable: its last known state stays.
func TestUnreadableContainerIsKept(t *testing.T) {
	e := &rawEngine{
		list: `[{"Id":"one"}]`, networks: "[]", events: make(chan string),
		containers: map[string]string{"one": rawContainer("one")},
	}
	_, sink, log := e.follow(t)
	sink.wait(t, "the container", has("one"))
	e.events <- `{"Type":"container","Action":7,"Actor":{"ID":"one"},"timeNano":"soon"}`
	e.events <- `{"Type":"container","Action":"pause","Actor":{"ID":"other","Attributes":{"a":1}},"timeNano":1}`
	e.set("one", rawContainer("one", `"Running":true`, `"Running":[]`))
	e.events <- `{"Type":"container","Action":"update","Actor":{"ID":"one"},"timeNano":2}`
	eventually.True(t, "the fault is logged", func() bool { return strings.Contains(log.String(), "State.Running") })
	if set, _, _ := sink.latest(); !has("one", drained(""))(set) {
		t.Errorf("declared %+v", set)
	}
	if strings.Contains(log.String(), "lost the docker engine") {
		t.Errorf("an event that cannot be read ended the stream:\n%s", log)
	}
}

// TestInternalNetworkOfUnreadable: of a network that may be internal, no name must get out.
func TestInternalNetworkOfUnreadable(t *testing.T) {
	for text, want := range map[string]bool{"": false, `"Internal":false,`: false, `"Internal":true,`: true, `"Internal":"true",`: true, `"Internal":"no",`: true, `"Internal":0,`: true} {
		e := &rawEngine{
			list: `[{"Id":"good"}]`, networks: "[" + strings.Replace(rawNetwork, "{", "{"+text, 1) + "]",
			containers: map[string]string{"good": rawContainer("good")},
		}
		s, sink, _ := e.follow(t)
		sink.wait(t, "the container", has("good"))
		s.nets.listing.Lock()
		if handed := s.nets.handed; len(handed) != 1 || handed[0].Internal != want {
			t.Errorf("%s %+v, want internal %v", text, handed, want)
		}
		s.nets.listing.Unlock()
	}
}

// TestNetworksAreNotListed has an engine that answers, and not about its networks: /health says so.
func TestNetworksAreNotListed(t *testing.T) {
	for name, text := range map[string]string{"not a list": `{"message":"forbidden"}`, "no JSON": "<html>", "too deep": strings.Repeat("[", 100_000)} {
		t.Run(name, func(t *testing.T) {
			e := &rawEngine{list: `[{"Id":"good"}]`, networks: text, containers: map[string]string{"good": rawContainer("good")}}
			var problem atomic.Pointer[string]
			_, sink, _ := e.follow(t, func(cfg *Config) { cfg.NetworksProblem = func(what string) { problem.Store(&what) } })
			sink.wait(t, "the container", has("good"))
			eventually.True(t, "it is reported", func() bool {
				what := problem.Load()
				return what != nil && strings.Contains(*what, "does not list its networks")
			})
		})
	}
}
