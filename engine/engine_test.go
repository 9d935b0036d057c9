package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestBothEnginesKeepWhatTheyAcknowledge(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		if _, err := e.Client.Put(t.Context(), "koine/a", "1"); err != nil {
			t.Fatal(err)
		}
		resp, err := e.Client.Get(t.Context(), "koine/a")
		if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "1" {
			t.Fatalf("got %v, %v; want the value put", resp, err)
		}
	})
}

func TestEmbeddedKeepsDataOverRestart(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []int{0, 1, 1} {
		e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := e.Client.Get(t.Context(), "k")
		if err != nil || len(resp.Kvs) != want {
			t.Fatalf("start %d: got %v, %v; want %d keys", i, resp, err, want)
		}
		if _, err := e.Client.Put(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenNamesTheWayOut(t *testing.T) {
	closed := func(t *testing.T) string {
		dir := t.TempDir()
		e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tests := []struct {
		name string
		cfg  func(t *testing.T) engine.Config
		kind catalog.Kind
		want []string
	}{
		{"unknown engine", func(*testing.T) engine.Config { return engine.Config{Endpoints: "raft"} },
			catalog.KindInvalid, []string{`engine "raft"`, "--engine"}},
		{"no cluster there", func(*testing.T) engine.Config {
			return engine.Config{Endpoints: "etcd://127.0.0.1:1", DialTimeout: 200e6}
		}, catalog.KindUnavailable, []string{"127.0.0.1:1", "--engine"}},
		{"no host", func(*testing.T) engine.Config { return engine.Config{Endpoints: "etcd://,"} },
			catalog.KindInvalid, []string{"names no host"}},
		{"foreign directory", func(t *testing.T) engine.Config {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "notes.txt"), "mine")
			return engine.Config{Dir: dir}
		}, catalog.KindConflict, []string{"notes.txt", "--data-dir"}},
		{"other version", func(t *testing.T) engine.Config {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "koine.format"), "koine data directory, format 99\n")
			return engine.Config{Dir: dir}
		}, catalog.KindConflict, []string{"format 99", "--data-dir"}},
		{"a file", func(t *testing.T) engine.Config {
			file := filepath.Join(t.TempDir(), "f")
			write(t, file, "")
			return engine.Config{Dir: file}
		}, catalog.KindInvalid, []string{"cannot be made", "--data-dir"}},
		{"in use", func(t *testing.T) engine.Config {
			dir := t.TempDir()
			e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { e.Close() })
			return engine.Config{Dir: dir}
		}, catalog.KindConflict, []string{"in use", "--data-dir"}},
		{"damaged database", func(t *testing.T) engine.Config {
			dir := closed(t)
			write(t, filepath.Join(dir, "store/member/snap/db"), strings.Repeat("damaged", 10_000))
			return engine.Config{Dir: dir}
		}, catalog.KindUnavailable, []string{"does not open", "--data-dir"}},
		{"damaged log", func(t *testing.T) engine.Config {
			dir := closed(t)
			logs, err := filepath.Glob(filepath.Join(dir, "store/member/wal/*.wal"))
			if err != nil || len(logs) == 0 {
				t.Fatalf("logs: %v, %v", logs, err)
			}
			overwrite(t, logs[0], 64, strings.Repeat("\xff", 256))
			return engine.Config{Dir: dir}
		}, catalog.KindUnavailable, []string{"does not open", "--data-dir"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := engine.Open(t.Context(), tt.cfg(t))
			if err == nil {
				e.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			if got := catalog.KindOf(err); got != tt.kind {
				t.Errorf("kind %v, want %v: %v", got, tt.kind, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q is more than a line", err)
			}
		})
	}
}

// TestOpenThatIsToldToStopLeavesNothingRunning opens a directory again right after an interrupted open has returned.
func TestOpenThatIsToldToStopLeavesNothingRunning(t *testing.T) {
	dir := t.TempDir()
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if _, err := engine.Open(stopped, engine.Config{Dir: dir}); !errors.Is(err, context.Canceled) {
			t.Fatalf("opened as %v, want that it was stopped", err)
		}
	}
	e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestFirstStartThatWasBrokenOffIsBegunAgain opens the directory of a process that was killed before its store had
// elected itself for the first time.
func TestFirstStartThatWasBrokenOffIsBegunAgain(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "koine.format"), "koine data directory, format 1\n")
	write(t, filepath.Join(dir, "store.new"), "")
	if err := os.MkdirAll(filepath.Join(dir, "store/member/wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "store/member/wal/0000000000000000-0000000000000000.wal"), "half a log")
	for i := range 2 {
		e, err := engine.Open(t.Context(), engine.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := e.Client.Get(t.Context(), "k")
		if err != nil || len(resp.Kvs) != i {
			t.Errorf("start %d: got %v, %v; want %d keys", i, resp, err, i)
		}
		if _, err := e.Client.Put(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAMarkerThatACrashTore opens a directory whose first claim was cut short by a crash of the machine.
func TestAMarkerThatACrashTore(t *testing.T) {
	for name, torn := range map[string]string{
		"empty": "", "a part": "koine data", "never written": strings.Repeat("\x00", 31), "a part, padded": "koine data\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "koine.format"), torn)
			lock, err := engine.Claim(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			content, err := os.ReadFile(filepath.Join(dir, "koine.format"))
			if err != nil || string(content) != "koine data directory, format 1\n" {
				t.Errorf("the marker is %q, %v", content, err)
			}
		})
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, file string, offset int64, content string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(content), offset); err != nil {
		t.Fatal(err)
	}
}
