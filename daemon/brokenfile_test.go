package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/koine-sd/koine/internal/eventually"
)

// TestFilesInErrorKeepTheirServicesOverARestart: what an error may hide stays registered, as it was, until all files are in order.
func TestFilesInErrorKeepTheirServicesOverARestart(t *testing.T) {
	const (
		good = `{"service": {"name": "web", "port": 80, "check": {"id": "up", "tcp": "127.0.0.1:1"}},
			"check": {"id": "disk", "name": "disk", "tcp": "127.0.0.1:1"}}`
		refused = `{"service": {"name": "web", "port": 80, "tags": ["a", "a"]}}`
		nothing = `{"services": []}`
	)
	for _, tt := range []struct {
		name string
		// spoil changes the directory while Koine is stopped, mend while it runs.
		spoil, mend func(dir string) error
	}{
		{"a service is refused", write("web.json", refused), write("web.json", nothing)},
		{"a file is empty", write("web.json", ""), write("web.json", nothing)},
		{"a file in error is removed later", write("web.json", "{"), remove("web.json")},
		{"a link leads nowhere", link("web.json"), write("web.json", nothing)},
		{"the directory is missing", func(dir string) error { return os.Rename(dir, dir+".away") }, func(dir string) error {
			return os.Mkdir(dir, 0o700)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, dir := t.TempDir(), filepath.Join(t.TempDir(), "services")
			must(t, os.Mkdir(dir, 0o700))
			must(t, write("web.json", good)(dir))
			must(t, write("db.json", `{"service": {"name": "db", "port": 81}}`)(dir))
			first, stop := runWithFiles(t, data, dir)
			there(t, first, "web", "db")
			stop()
			must(t, tt.spoil(dir))
			d, stop := runWithFiles(t, data, dir)
			defer stop()
			there(t, d, "web")
			web, node := d.View().Instance("n1", "web"), d.View().Node("n1")
			if web != nil && (web.Drain != "" || len(web.Checks) != 1) || len(node.Checks) != 1 {
				t.Errorf("%+v with %d checks, the node with %d; want all as it was", web, len(web.Checks), len(node.Checks))
			}
			must(t, tt.mend(dir))
			eventually.True(t, "what no file declares is gone", func() bool {
				return d.View().Instance("n1", "web") == nil && len(d.View().Node("n1").Checks) == 0
			})
		})
	}
}

// TestFilesRemovedBeforeTheStartAreGone: without an error there is nothing that a file may hide.
func TestFilesRemovedBeforeTheStartAreGone(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	must(t, write("web.json", `{"service": {"name": "web", "port": 80}}`)(dir))
	d, stop := runWithFiles(t, data, dir)
	there(t, d, "web")
	stop()
	must(t, remove("web.json")(dir))
	d, stop = runWithFiles(t, data, dir)
	defer stop()
	if d.View().Instance("n1", "web") != nil {
		t.Error("web is answered although its file is gone")
	}
}

// runWithFiles runs a daemon until stop is called, and returns once it is ready.
func runWithFiles(t *testing.T, data, dir string) (d *Daemon, stop func()) {
	t.Helper()
	d, err := New(Config{Node: "n1", HTTP: Off, DNS: Off, Docker: Off, DataDir: data, ConfigDir: dir})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	must(t, d.View().WaitReady(ctx))
	return d, func() {
		cancel()
		must(t, <-done)
	}
}

func there(t *testing.T, d *Daemon, names ...string) {
	t.Helper()
	for _, name := range names {
		if d.View().Instance("n1", name) == nil {
			t.Errorf("%s is deregistered", name)
		}
	}
}

func write(name, content string) func(dir string) error {
	return func(dir string) error {
		_ = os.Remove(filepath.Join(dir, name)) // it may be a link
		return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)
	}
}

func remove(name string) func(dir string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
}

func link(name string) func(dir string) error {
	return func(dir string) error {
		_ = os.Remove(filepath.Join(dir, name))
		return os.Symlink("nowhere", filepath.Join(dir, name))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
