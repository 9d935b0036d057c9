package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

// run starts the source's Run and returns a function that ends it and waits for it.
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
	// A file may be read while it is being written; only the final state counts.
	for deadline := time.Now().Add(eventually.Patience); ; {
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

// follower is a directory followed in a synctest bubble, where the test controls time.
type follower struct {
	*directory
	events chan fsnotify.Event
	// unwatchable makes watching the directory fail.
	unwatchable atomic.Bool
	stop        func()
}

// follow follows the directory with the default delays. It must be called in a bubble.
func follow(t *testing.T) *follower {
	f := &follower{directory: newDirectory(t), events: make(chan fsnotify.Event)}
	f.times = usualTimes()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Source.follow(ctx, &notices{
			add: f.add, events: f.events, errors: make(chan error),
		})
	}()
	f.stop = func() {
		cancel()
		<-done
	}
	synctest.Wait()
	return f
}

func (f *follower) add(string) error {
	if f.unwatchable.Load() {
		return errors.New("no such directory")
	}
	return nil
}

// after sends a notice of a change, lets time pass, and compares the declarations since the last time.
func (f *follower) after(d time.Duration, want string) {
	f.t.Helper()
	f.events <- fsnotify.Event{}
	f.wait(d, want)
}

// wait lets time pass without a notice.
func (f *follower) wait(d time.Duration, want string) {
	f.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := next(f.sink.declared); got != want {
		f.t.Errorf("declared %q, want %q", got, want)
	}
}

func (f *follower) logged(parts ...string) {
	f.t.Helper()
	log := f.log.take()
	for _, part := range parts {
		if !strings.Contains(log, part) {
			f.t.Errorf("log has no %q:\n%s", part, log)
		}
	}
	if len(parts) == 0 && log != "" {
		f.t.Errorf("logged %s", log)
	}
}

func TestFileThatIsMissingForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.stop()
		f.wait(0, "file")
		f.write("web.json", service("web", 1))
		f.after(100*time.Millisecond, "file web:1")
		f.remove("web.json")
		f.after(time.Second, "-")
		f.write("web.json", service("web", 1))
		f.after(time.Hour, "-")

		// A file that comes back with other content is a change like any other.
		f.remove("web.json")
		f.after(time.Second, "-")
		f.write("web.json", service("web", 2))
		f.after(100*time.Millisecond, "file web:2")

		// The services of a file that stays away are taken out.
		f.remove("web.json")
		f.after(time.Second, "-")
		f.log.take()
		f.wait(time.Second, "file")
		f.logged("removed=web")
		f.wait(time.Hour, "-")
	})
}

func TestFileThatIsRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.stop()
		f.wait(0, "file")
		f.write("b.json", services("web+up", "db"))
		f.after(100*time.Millisecond, "file db web+up")
		f.log.take()
		if err := os.Rename(filepath.Join(f.path, "b.json"), filepath.Join(f.path, "a.json")); err != nil {
			t.Fatal(err)
		}
		f.after(time.Hour, "-")
		if log := f.log.take(); strings.Contains(log, "ERROR") {
			t.Errorf("log %s", log)
		}
		f.write("a.json", services("web+up"))
		f.after(100*time.Millisecond, "file web+up")
	})
}

// TestMissingFileKeepsItsIDFromOlderFiles holds that a file whose claim of an ID failed does not get it because the
// holder is being rewritten.
func TestMissingFileKeepsItsIDFromOlderFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.stop()
		f.wait(0, "file")
		f.write("b.json", service("web", 1))
		f.after(100*time.Millisecond, "file web:1")
		f.write("a.json", service("web", 2))
		f.after(100*time.Millisecond, "-")
		f.logged("a.json:1:13: instance web is declared in b.json")
		f.remove("b.json")
		f.after(time.Second, "-")
		f.write("b.json", service("web", 1))
		f.after(time.Hour, "-")
		f.remove("b.json")
		f.after(time.Hour, "file web:2")
		f.logged("in order again", "changed=web")
	})
}

func TestDirectoryThatVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.stop()
		f.wait(0, "file")
		f.write("web.json", service("web", 1))
		f.after(time.Second, "file web:1")
		f.log.take()
		if err := os.Rename(f.path, f.path+".away"); err != nil {
			t.Fatal(err)
		}
		f.unwatchable.Store(true)
		f.after(time.Hour, "-")
		log := f.log.take()
		for _, once := range []string{"cannot be read: keeping its last definitions", "cannot be watched", "every=30s"} {
			if strings.Count(log, once) != 1 {
				t.Errorf("%q is not once in the log:\n%s", once, log)
			}
		}
		f.unwatchable.Store(false)
		if err := os.Rename(f.path+".away", f.path); err != nil {
			t.Fatal(err)
		}
		f.wait(time.Second, "-") // without a notice
		f.logged("config directory can be read again", "config directory is watched again")
	})
}

// TestDirectoryThatIsUnmounted changes the file system's number, as when a mount goes and the empty directory below it
// shows.
func TestDirectoryThatIsUnmounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.stop()
		f.wait(0, "file")
		f.write("web.json", service("web", 1))
		f.after(time.Second, "file web:1")
		f.log.take()
		f.mu.Lock()
		mount := f.device
		f.device++
		f.mu.Unlock()
		if mount == 0 {
			needs.Kernel(t, "this system does not number its file systems")
		}
		f.remove("web.json")
		f.after(time.Hour, "-")
		f.logged("on another file system than before, and has no definition file: mount it again")
		f.write("db.json", service("db", 1))
		f.after(100*time.Millisecond, "file db:1 web:1")
		f.wait(time.Hour, "file db:1")
	})
}

func TestReloadTellsItsOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.stop()
		f.wait(0, "file")
		f.logged(`level=INFO msg="read definition files: nothing has changed" files=0 services=0 errors=0`)
		f.write("a.json", services("web", "db"))
		f.write("b.json", `{"check": {"name": "disk", "ttl": "1m"}}`)
		f.after(100*time.Millisecond, "file db web")
		f.logged(`level=INFO msg="read definition files" files=2 services=2 added="db, web, check disk" errors=0`)
		f.wait(time.Hour, "-")
		f.logged()
		f.Reload()
		f.wait(0, "-")
		f.logged(`level=INFO msg="read definition files: nothing has changed" files=2 services=2 errors=0`)
		f.write("a.json", `{"services": [{"name": "web", "port": 1}, {"name": "mq"}]}`)
		f.write("c.json", "{")
		f.Reload()
		f.wait(0, "file mq web:1")
		f.logged(`msg="read definition files" files=3 services=2 added=mq changed=web removed=db errors=1`, "c.json:1:1")
		f.Reload()
		f.wait(0, "-")
		if log := f.log.take(); strings.Contains(log, "c.json") || !strings.Contains(log, "nothing has changed\" files=3 services=2 errors=1") {
			t.Errorf("log %s", log)
		}
		if err := os.RemoveAll(f.path); err != nil {
			t.Fatal(err)
		}
		f.Reload()
		f.wait(0, "-")
		f.logged("cannot be read")
		f.Reload()
		f.wait(0, "-")
		f.logged("cannot be read") // a reload was requested
	})
}

func TestShorten(t *testing.T) {
	var list []string
	for i := range 12 {
		list = append(list, fmt.Sprint(i))
	}
	if got := shorten(list); got != "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more" {
		t.Error(got)
	}
}

// TestSinkWithoutNodeChecks holds that the declarations do not depend on a second interface.
func TestSinkWithoutNodeChecks(t *testing.T) {
	d := newDirectory(t)
	d.cfg.Sink = plainSink{d.sink}
	d.write("a.json", `{"service": {"name": "web"}, "check": {"name": "disk", "ttl": "1m"}}`)
	d.expect("file web", "a.json:1:39: check has no service_id")
}

// plainSink takes no checks of the node.
type plainSink struct{ sink *sink }

func (s plainSink) Declare(source string, registrations []catalog.Registration) {
	s.sink.Declare(source, registrations)
}
