package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/engine"
)

// leftBehind makes a temporary store as a killed process leaves it, an hour old.
func leftBehind(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	lock, err := engine.Claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "store", "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if err := markTemporary(path); err != nil {
		t.Fatal(err)
	}
	age(t, filepath.Join(path, marker))
	age(t, filepath.Join(path, temporaryMark))
	return path
}

// marker is the file that a process locks.
const marker = "koine.format"

func age(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	killed := leftBehind(t, dir, "koine-123")
	chosen, adopted := leftBehind(t, dir, "koine-1"), leftBehind(t, dir, "koine-2") // with --data-dir
	if err := os.Remove(filepath.Join(chosen, temporaryMark)); err != nil {
		t.Fatal(err)
	}
	adopt(adopted)
	unlocked := filepath.Join(dir, "koine-4") // its process was killed before it locked anything
	if err := errors.Join(os.Mkdir(unlocked, 0o700), markTemporary(unlocked)); err != nil {
		t.Fatal(err)
	}
	age(t, filepath.Join(unlocked, temporaryMark))

	used := leftBehind(t, dir, "koine-5")
	lock, err := engine.Claim(used)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	age(t, filepath.Join(used, marker))
	young := leftBehind(t, dir, "koine-6")
	if err := os.Chtimes(filepath.Join(young, marker), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	named := leftBehind(t, dir, "koine-data")
	foreign := filepath.Join(dir, "koine-7")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	age(t, foreign)
	elsewhere := leftBehind(t, t.TempDir(), "koine-8")
	link := filepath.Join(dir, "koine-9")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}

	removed := sweep(dir, time.Now())
	slices.Sort(removed)
	if diff := cmp.Diff([]string{killed, unlocked}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	for _, path := range removed {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range []string{used, young, named, chosen, adopted, foreign, elsewhere, link} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}

func TestSweepIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxSwept + 3 {
		leftBehind(t, dir, "koine-"+string(rune('1'+i/10))+string(rune('0'+i%10)))
	}
	if removed := sweep(dir, time.Now()); len(removed) != maxSwept {
		t.Errorf("%d of %d are removed at once", len(removed), maxSwept)
	}
	if removed := sweep(dir, time.Now()); len(removed) != 3 {
		t.Errorf("%d are removed the second time", len(removed))
	}
	if removed := sweep(filepath.Join(dir, "nosuch"), time.Now()); removed != nil {
		t.Errorf("%v is removed from nowhere", removed)
	}
}
