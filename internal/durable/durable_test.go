package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

var errPower = errors.New("the power went")

// drive is a disk with a cache: unsynced data is lost when the power goes, after a number of steps. It writes in the
// worst order, too: names reach it before the content that they lead to.
type drive struct {
	steps int
	// names leads to the files in the cache, kept on the disk.
	names, kept map[string]*node
	// eager writes names to the disk at once, content only when it must.
	eager bool
}

type node struct{ content, synced string }

func (d *drive) step() error {
	if d.steps == 0 {
		return errPower
	}
	d.steps--
	return nil
}

func (d *drive) renamed() {
	if d.eager {
		d.kept = maps.Clone(d.names)
	}
}

func (d *drive) create(path string, _ fs.FileMode) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	d.names[path] = &node{}
	d.renamed()
	return open{d, d.names[path]}, nil
}

func (d *drive) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.renamed()
	return nil
}

func (d *drive) syncDir(string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.kept = maps.Clone(d.names)
	return nil
}

type open struct {
	*drive
	*node
}

func (f open) Write(p []byte) (int, error) {
	if err := f.step(); err != nil {
		return 0, err
	}
	f.content += string(p)
	return len(p), nil
}

func (f open) Sync() error {
	if err := f.step(); err != nil {
		return err
	}
	f.synced = f.content
	return nil
}

func (f open) Close() error { return f.step() }

// TestACrashLeavesTheOldOrTheNew cuts the power at each step, on a disk that keeps names at once and on a lazy one.
func TestACrashLeavesTheOldOrTheNew(t *testing.T) {
	for _, eager := range []bool{false, true} {
		for steps := range 10 {
			old := &node{"old", "old"}
			d := &drive{steps: steps, eager: eager, names: map[string]*node{"/d/f": old}, kept: map[string]*node{"/d/f": old}}
			err := writeFile(d, "/d/f", []byte("new"), 0o600)
			left := d.kept["/d/f"]
			switch {
			case left == nil || left.synced != "old" && left.synced != "new":
				t.Errorf("eager %v, power gone after %d steps: %+v is left", eager, steps, left)
			case err == nil && left.synced != "new":
				t.Errorf("eager %v, %d steps: written without an error, and not on the disk", eager, steps)
			case steps == 9 && err != nil:
				t.Errorf("with the power on: %v", err)
			}
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path+".new", []byte("left behind by a crash, and longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		want := fmt.Sprint("content ", i)
		if err := WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("entries %v, error %v, want the file alone", entries, err)
	}
	if err := WriteFile(filepath.Join(path, "below"), nil, 0o600); err == nil {
		t.Error("a file below a file was written")
	}
}

func TestMkdirAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	if got := missing(dir); len(got) != 3 || got[0] != dir {
		t.Errorf("missing are %q, want c, b and a", got)
	}
	for range 2 {
		if err := MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || len(missing(dir)) != 0 {
		t.Errorf("%v, %v", info, err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(file, "below"), 0o700); err == nil {
		t.Error("a directory was made below a file")
	}
}
