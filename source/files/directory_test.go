package files

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOtherFilesAreIgnored(t *testing.T) {
	d := newDirectory(t)
	for _, name := range []string{
		".hidden.json", "a.json~", "#a.json", "#a.toml#", "a.txt", "README.md", "a.json.swp", ".a.yaml", "a.json.bak", ".a.conf.swp", "a",
	} {
		d.write(name, "not a definition")
	}
	if err := os.Mkdir(filepath.Join(d.path, "sub.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(d.path, "link.json")); err != nil {
		t.Fatal(err)
	}
	d.expect("file")
	if log := d.log.take(); strings.Contains(log, "WARN") {
		t.Errorf("log %s", log)
	}
}

func TestEndings(t *testing.T) {
	d := newDirectory(t)
	d.write("a.JSON", service("db", 1))
	d.write("b.Yaml", "service: {name: mq}")
	d.write("c.YML", "service: {name: web}")
	for _, name := range []string{"a.toml", "b.conf", "c.JSON5", "d.cfg"} {
		d.write(name, "not read")
	}
	d.expect("file db:1 mq web")
	d.expect("-")
	log := d.log.take()
	for _, name := range []string{"a.toml", "b.conf", "c.JSON5", "d.cfg"} {
		if strings.Count(log, "file="+name+" read=\".json, ") != 1 {
			t.Errorf("%s is not once in the log:\n%s", name, log)
		}
	}
	d.remove("a.toml")
	d.expect("-")
	d.write("a.toml", "once more")
	d.expect("-")
	if log := d.log.take(); strings.Count(log, "a.toml") != 1 || strings.Contains(log, "b.conf") {
		t.Errorf("log %s", log)
	}
}

func TestUnreadableFilesKeepTheirContent(t *testing.T) {
	d := newDirectory(t)
	d.write("a.json", service("web", 1))
	d.expect("file web:1")
	d.remove("a.json")
	if err := unix.Mkfifo(filepath.Join(d.path, "a.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.expect("-", "a.json: cannot be read: not a regular file")
	d.remove("a.json")
	if err := os.Symlink(filepath.Join(d.path, "none"), filepath.Join(d.path, "a.json")); err != nil {
		t.Fatal(err)
	}
	d.expect("-", "a.json: cannot be read: no such file")
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
