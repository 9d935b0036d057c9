package files

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/koine-sd/koine/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink remembers what was declared, in brief: the instances with their checks, and the checks of the node.
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

// next returns what was declared, "-" if nothing was.
func next(c chan string) string {
	select {
	case got := <-c:
		return got
	default:
		return "-"
	}
}

// await returns what is declared before long.
func await(t *testing.T, c chan string) string {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was declared")
		return ""
	}
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

// expect loads and compares what is declared ("-" for nothing) and the error, of which each line must begin as told.
func (d *directory) expect(declared string, errs ...string) {
	d.t.Helper()
	err := d.Load()
	if got := next(d.sink.declared); got != declared {
		d.t.Errorf("declared %q, want %q", got, declared)
	}
	var lines []string
	if err != nil {
		lines = strings.Split(err.Error(), "\n")
	}
	if len(lines) != len(errs) {
		d.t.Fatalf("errors %q, want %q", lines, errs)
	}
	for i, line := range lines {
		if got := strings.TrimPrefix(line, d.path+"/"); !strings.HasPrefix(got, errs[i]) {
			d.t.Errorf("error %q, want %q", got, errs[i])
		}
	}
	if err != nil && catalog.KindOf(err) != catalog.KindInvalid {
		d.t.Errorf("error of kind %v", catalog.KindOf(err))
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
	if err := d.Reload(); err != nil || next(d.sink.declared) != "-" {
		t.Errorf("reload of the same: %v", err)
	}
}

func TestOtherFilesAreIgnored(t *testing.T) {
	d := newDirectory(t)
	for _, name := range []string{".hidden.json", "a.json~", "#a.json", "a.txt", "a.json.swp", ".a.yaml"} {
		d.write(name, "not a definition")
	}
	if err := os.Mkdir(filepath.Join(d.path, "sub.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(d.path, "link.json")); err != nil {
		t.Fatal(err)
	}
	d.expect("file")
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
	d.expect("file web:1", "a.json:1:1: unexpected end", "c.yaml:1: did not find")
}

func TestUnreadableFilesKeepTheirContent(t *testing.T) {
	d := newDirectory(t)
	d.write("a.json", service("web", 1))
	d.expect("file web:1")
	d.remove("a.json")
	if err := unix.Mkfifo(filepath.Join(d.path, "a.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.expect("-", "a.json: is not a regular file")
	d.remove("a.json")
	if err := os.Symlink(filepath.Join(d.path, "none"), filepath.Join(d.path, "a.json")); err != nil {
		t.Fatal(err)
	}
	d.expect("-", "a.json: stat")
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

func TestSameIDInTwoFilesIsTheErrorOfTheLater(t *testing.T) {
	d := newDirectory(t)
	d.write("b.json", `{"services": [{"name": "web", "port": 1}, {"name": "api", "port": 1}]}`)
	d.expect("file api:1 web:1")
	d.write("a.json", service("web", 2))
	d.expect("file api:1 web:2", "b.json:1:15: instance web is declared in an earlier file")
	d.remove("a.json")
	d.expect("file api:1 web:1")
	d.write("c.json", `{"services": [{"name": "mq"}, {"name": "web", "port": 3}]}`)
	d.expect("-", "c.json:1:31: instance web is declared in an earlier file")
	d.write("c.json", `{"service": {"name": "mq", "check": {"id": "ping", "ttl": "1s"}}}`)
	d.expect("file api:1 mq+ping web:1")
	d.write("d.json", `{"check": {"id": "ping", "ttl": "1s"}}`)
	d.expect("-", "d.json:1:11: check ping is declared in c.json")
	d.write("d.json", `{"service": {"name": "x", "check": {"id": "ping", "ttl": "1s"}}}`)
	d.expect("-", "d.json:1:13: check ping is declared in c.json")
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
	d.expect("-", "c.json:1:13: check up is declared twice")
	d.remove("c.json")
	many := make([]string, catalog.MaxChecks)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id": "c%d", "service_id": "web", "ttl": "1s"}`, i)
	}
	d.write("c.json", `{"checks": [`+strings.Join(many, ",\n")+`]}`)
	d.expect("-", "c.json:32:1: instance web has more than 32 checks")
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
	if err == nil || !strings.Contains(err.Error(), "b.yaml:1: all files together declare more than 10000 instances") {
		t.Errorf("error %v", err)
	}
}

func TestTooManyFiles(t *testing.T) {
	d := newDirectory(t)
	for i := range maxFiles {
		d.write(fmt.Sprintf("f%04d.json", i+1), service(fmt.Sprintf("s%d", i+1), 1))
	}
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	before := next(d.sink.declared)
	d.write("f0000.json", service("s0", 1))
	err := d.Load()
	if err == nil || !strings.Contains(err.Error(), "has 1001 definition files") {
		t.Errorf("error %v", err)
	}
	if got, want := next(d.sink.declared), strings.Replace(before, "file ", "file s0:1 ", 1); got != want {
		t.Error("the file that came last was pushed out, or the new one was not read")
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

// run starts the source's Run and returns what ends it and waits for it.
func (d *directory) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return func() {
		d.t.Helper()
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("run: %v", err)
		}
	}
}

func (d *directory) await(want string) {
	d.t.Helper()
	// A file may be read while it is being written; what stays is what counts.
	for deadline := time.Now().Add(30 * time.Second); ; {
		got := await(d.t, d.sink.declared)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("declared %q, want %q", got, want)
		}
	}
}

func TestRunFollowsTheDirectory(t *testing.T) {
	d := newDirectory(t)
	d.rescan = time.Hour
	defer d.run()()
	d.await("file")
	d.write("a.json", service("web", 1))
	d.await("file web:1")
	d.write("b.yaml", "service: {name: db}")
	d.await("file db web:1")
	d.write("a.json", "{")
	d.write("b.yaml", "service: {name: db2}")
	d.await("file db2 web:1")
	d.remove("b.yaml")
	d.await("file web:1")
	d.write("c.tmp", service("new", 1))
	if err := os.Rename(filepath.Join(d.path, "c.tmp"), filepath.Join(d.path, "a.json")); err != nil {
		t.Fatal(err)
	}
	d.await("file new:1")
}

func TestRunSeesTheSwapOfAConfigMap(t *testing.T) {
	d := newDirectory(t)
	d.rescan = time.Hour
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(d.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for i, port := range []int{1, 2} {
		if err := os.Mkdir(filepath.Join(d.path, fmt.Sprintf("..v%d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
		d.write(fmt.Sprintf("..v%d/web.json", i), service("web", port))
	}
	link("..v0", "..data")
	link("..data/web.json", "web.json")
	defer d.run()()
	d.await("file web:1")
	link("..v1", "..data_tmp")
	if err := os.Rename(filepath.Join(d.path, "..data_tmp"), filepath.Join(d.path, "..data")); err != nil {
		t.Fatal(err)
	}
	d.await("file web:2")
}

func TestRunReadsNowAndThen(t *testing.T) {
	d := newDirectory(t)
	elsewhere := filepath.Join(t.TempDir(), "web.json")
	if err := os.WriteFile(elsewhere, []byte(service("web", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(d.path, "web.json")); err != nil {
		t.Fatal(err)
	}
	d.rescan = 10 * time.Millisecond
	defer d.run()()
	d.await("file web:1")
	if err := os.WriteFile(elsewhere, []byte(service("web", 2)), 0o644); err != nil {
		t.Fatal(err)
	}
	d.await("file web:2")
}

func TestRunWaitsForItsDirectory(t *testing.T) {
	d := newDirectory(t)
	d.remove("")
	d.rescan = 10 * time.Millisecond
	defer d.run()()
	if err := os.Mkdir(d.path, 0o755); err != nil {
		t.Fatal(err)
	}
	d.await("file")
	d.write("a.json", service("web", 1))
	d.await("file web:1")
}

func TestRunIsNotHeldUpByAFileThatIsAlwaysWritten(t *testing.T) {
	d := newDirectory(t)
	d.settle, d.patience, d.rescan = time.Hour, 10*time.Millisecond, time.Hour
	defer d.run()()
	d.await("file")
	d.write("a.json", service("web", 1))
	d.await("file web:1")
}

func TestDeclaredTwiceIsTheSame(t *testing.T) {
	a := []catalog.Registration{{Instance: catalog.Instance{ID: "a"}, Checks: []catalog.Check{{ID: "c"}}}}
	b := []catalog.Registration{{Instance: catalog.Instance{ID: "a"}, Checks: []catalog.Check{{ID: "d"}}}}
	got := []bool{sameRegistrations(a, a), sameRegistrations(a, b), sameRegistrations(a, nil)}
	if diff := cmp.Diff([]bool{true, false, false}, got); diff != "" {
		t.Error(diff)
	}
}
