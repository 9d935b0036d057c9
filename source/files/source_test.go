package files

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// sink records the declarations, in brief: the instances with their checks, and the checks of the node.
type sink struct {
	declared   chan string
	nodeChecks chan string
}

func newSink() *sink { return &sink{make(chan string, 64), make(chan string, 64)} }

func (s *sink) Declare(source string, registrations []catalog.Registration) {
	parts := []string{source}
	for _, r := range registrations {
		part := r.Instance.ID
		if len(r.Instance.Ports) > 0 {
			part += fmt.Sprintf(":%d", r.Instance.Ports[0].Number)
		}
		for _, c := range r.Checks {
			part += "+" + c.ID
		}
		parts = append(parts, part)
	}
	s.declared <- strings.Join(parts, " ")
}

func (s *sink) DeclareNodeChecks(_ string, checks []catalog.Check) {
	var ids []string
	for _, c := range checks {
		ids = append(ids, c.ID)
	}
	s.nodeChecks <- strings.Join(ids, " ")
}

// next returns the next declaration, "-" if there was none.
func next(c chan string) string {
	select {
	case got := <-c:
		return got
	default:
		return "-"
	}
}

// await waits for the next declaration and returns it.
func await(t *testing.T, c chan string) string {
	t.Helper()
	return eventually.Receive(t, "something is declared", c)
}

type directory struct {
	t    *testing.T
	path string
	*sink
	*Source
	log lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func newDirectory(t *testing.T) *directory {
	t.Helper()
	d := &directory{t: t, path: t.TempDir(), sink: newSink()}
	source, err := New(Config{
		Dir: d.path, Node: "n1", Sink: d.sink, Metrics: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(&d.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	source.absence = 0
	d.Source = source
	return d
}

func (d *directory) write(name, data string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.path, name), []byte(data), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *directory) remove(name string) {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, name)); err != nil {
		d.t.Fatal(err)
	}
}

// expect loads and compares the declarations ("-" for none) and the error, each line of which must begin as given.
func (d *directory) expect(declared string, errs ...string) {
	d.t.Helper()
	err := d.Load()
	if got := next(d.sink.declared); got != declared {
		d.t.Errorf("declared %q, want %q", got, declared)
	}
	compareErrors(d.t, d.path, err, errs)
}

// compareErrors compares the errors of a load with the wanted ones, each of which must begin as given.
func compareErrors(t *testing.T, dir string, err error, want []string) {
	t.Helper()
	var lines []string
	if err != nil {
		lines = strings.Split(err.Error(), "\n")
	}
	if len(lines) != len(want) {
		t.Fatalf("errors %q, want %q", lines, want)
	}
	for i, line := range lines {
		if got := strings.TrimPrefix(line, dir+"/"); !strings.HasPrefix(got, want[i]) {
			t.Errorf("error %q, want %q", got, want[i])
		}
	}
	if err != nil && catalog.KindOf(err) != catalog.KindInvalid {
		t.Errorf("error of kind %v", catalog.KindOf(err))
	}
}

func service(id string, port int) string {
	return fmt.Sprintf(`{"service": {"name": %q, "port": %d}}`, id, port)
}

func TestLoadOfNothingIsDeclared(t *testing.T) {
	d := newDirectory(t)
	d.expect("file")
	if got := next(d.sink.nodeChecks); got != "" {
		t.Errorf("node checks %q", got)
	}
	d.expect("-")
}

// orderly notes the order of the declarations.
type orderly struct{ calls []string }

func (o *orderly) Declare(string, []catalog.Registration) { o.calls = append(o.calls, "instances") }
func (o *orderly) DeclareNodeChecks(string, []catalog.Check) {
	o.calls = append(o.calls, "checks of the node")
}

// TestChecksOfTheNodeComeFirst holds that a source has reported only once it has declared all that it has.
func TestChecksOfTheNodeComeFirst(t *testing.T) {
	sink := &orderly{}
	source, err := New(Config{Dir: t.TempDir(), Node: "n1", Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Load(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(sink.calls, ", "); got != "checks of the node, instances" {
		t.Errorf("declared %s", got)
	}
}

func TestLoadDeclaresChangesOnly(t *testing.T) {
	d := newDirectory(t)
	d.write("b.yaml", "service: {name: web, port: 80}")
	d.write("a.json", service("db", 5432))
	d.write("c.yml", "services: [{name: mq}]")
	d.expect("file db:5432 mq web:80")
	d.expect("-")
	d.write("b.yaml", "# the same\nservice: {name: web, port: 80}")
	d.expect("-")
	d.write("b.yaml", "service: {name: web, port: 81}")
	d.expect("file db:5432 mq web:81")
	d.remove("a.json")
	d.expect("file mq web:81")
	d.expect("-")
}

func TestBadFileKeepsItsPreviousContent(t *testing.T) {
	d := newDirectory(t)
	d.write("a.json", service("db", 1))
	d.write("b.json", service("web", 1))
	d.expect("file db:1 web:1")
	d.write("a.json", service("db", 2))
	d.write("b.json", `{"service": {"name": "web", "prot": 2}}`)
	d.expect("file db:2 web:1", `b.json:1:29: unknown field "prot"`)
	if log := d.log.take(); strings.Count(log, "definition file is in error") != 1 || !strings.Contains(log, "kept=true") {
		t.Errorf("log %s", log)
	}
	d.expect("-", `b.json:1:29: unknown field "prot"`)
	d.write("b.json", "")
	d.expect("-", `b.json:1: is empty`)
	d.log.take()
	d.expect("-", `b.json:1: is empty`)
	if log := d.log.take(); log != "" {
		t.Errorf("the same error was logged again: %s", log)
	}
	d.write("b.json", service("web", 3))
	d.expect("file db:2 web:3")
	if log := d.log.take(); !strings.Contains(log, "in order again") {
		t.Errorf("log %s", log)
	}
	d.write("b.json", "[")
	d.expect("-", "b.json:1:1: unexpected end")
	d.remove("b.json")
	d.expect("file db:2")
}

func TestBadFileAtFirstContributesNothing(t *testing.T) {
	d := newDirectory(t)
	d.write("a.json", "{")
	d.write("b.json", service("web", 1))
	d.write("c.yaml", "services: [")
	d.expect("file web:1", "a.json:1:1: unexpected end", "c.yaml:1:12: a value is missing")
}

func TestUnreadableDirectoryChangesNothing(t *testing.T) {
	d := newDirectory(t)
	d.write("a.json", service("web", 1))
	d.expect("file web:1")
	d.log.take()
	if err := os.Rename(d.path, d.path+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := d.Load()
		if catalog.KindOf(err) != catalog.KindNotFound || !strings.Contains(err.Error(), "--config-dir") {
			t.Errorf("error %v", err)
		}
	}
	if got := next(d.sink.declared); got != "-" {
		t.Errorf("declared %q", got)
	}
	if log := d.log.take(); strings.Count(log, "config directory cannot be read") != 1 {
		t.Errorf("log %s", log)
	}
	if err := os.Rename(d.path+".away", d.path); err != nil {
		t.Fatal(err)
	}
	d.expect("-")
}

func TestChecksOfServicesInOtherFiles(t *testing.T) {
	d := newDirectory(t)
	check := `{"check": {"id": "up", "service_id": "web", "ttl": "1s"}}`
	d.write("a.json", check)
	d.expect("file", "a.json:1:11: check up is for service_id web, which no file declares")
	d.write("b.json", service("web", 1))
	d.expect("file web:1+up")
	d.remove("b.json")
	d.expect("file", "a.json:1:11: check up is for service_id web")
	d.write("b.json", service("web", 1))
	d.expect("file web:1+up")
	d.write("c.json", `{"checks": [{"id": "up", "service_id": "web", "ttl": "2s"}]}`)
	d.expect("-", "c.json:1:13: check up is declared in a.json")
	d.remove("c.json")
	many := make([]string, catalog.MaxChecks)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id": "c%02d", "service_id": "web", "ttl": "1s"}`, i)
	}
	d.write("c.json", `{"checks": [`+strings.Join(many, ",\n")+`]}`)
	if err := d.Load(); err == nil || !strings.Contains(err.Error(), "c.json:32:1: instance web has more than 32 checks") {
		t.Errorf("error %v", err)
	}
	if got := next(d.sink.declared); strings.Count(got, "+c") != catalog.MaxChecks-1 || !strings.HasSuffix(got, "+up") {
		t.Errorf("declared %q", got)
	}
}

func TestNodeChecks(t *testing.T) {
	d := newDirectory(t)
	d.write("a.json", `{"checks": [{"name": "disk", "ttl": "1m"}, {"name": "load", "ttl": "1m"}]}`)
	d.expect("file")
	if got := next(d.sink.nodeChecks); got != "disk load" {
		t.Errorf("node checks %q", got)
	}
	d.write("b.json", service("web", 1))
	d.expect("file web:1")
	if got := next(d.sink.nodeChecks); got != "-" {
		t.Errorf("node checks %q without a change", got)
	}
	many := make([]string, catalog.MaxChecks-1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id": "c%d", "ttl": "1s"}`, i)
	}
	d.write("c.json", `{"checks": [`+strings.Join(many, ",\n")+`]}`)
	d.expect("-", "c.json:31:1: all files together declare more than 32 checks of the node")
}

func TestTooManyInstances(t *testing.T) {
	d := newDirectory(t)
	big := func(prefix string, n int) string {
		var b strings.Builder
		b.WriteString("services:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {name: %s%d}\n", prefix, i)
		}
		return b.String()
	}
	d.write("a.yaml", big("a", catalog.MaxRegistration-1))
	d.write("b.yaml", big("b", 2))
	err := d.Load()
	if err == nil || !strings.Contains(err.Error(), "b.yaml:3:3: all files together declare more than 10000 instances") {
		t.Errorf("error %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	for _, cfg := range []Config{
		{Node: "n1", Sink: newSink()}, {Dir: "/x", Sink: newSink()}, {Dir: "/x", Node: "n1"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	registry := prometheus.NewRegistry()
	for i := range 2 {
		_, err := New(Config{Dir: "/x", Node: "n1", Sink: newSink(), Metrics: registry})
		if (err != nil) != (i == 1) {
			t.Errorf("source %d: %v", i, err)
		}
	}
}

func TestDeclaredTwiceIsTheSame(t *testing.T) {
	a := []catalog.Registration{{Instance: catalog.Instance{ID: "a"}, Checks: []catalog.Check{{ID: "c"}}}}
	b := []catalog.Registration{{Instance: catalog.Instance{ID: "a"}, Checks: []catalog.Check{{ID: "d"}}}}
	got := []bool{sameRegistrations(a, a), sameRegistrations(a, b), sameRegistrations(a, nil)}
	if diff := cmp.Diff([]bool{true, false, false}, got); diff != "" {
		t.Error(diff)
	}
}
