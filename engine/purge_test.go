package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"

	"github.com/koine-sd/koine/catalog"
)

func TestPurge(t *testing.T) {
	dir := t.TempDir()
	member := filepath.Join(dir, storeDir, "member")
	var log bytes.Buffer
	p := purger{dir: dir, logger: slog.New(slog.NewTextHandler(&log, nil))}
	p.purge()
	p.purge()
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || !strings.Contains(log.String(), "tried again") {
		t.Errorf("two passes without a directory: %d warnings: %s", got, &log)
	}
	for _, sub := range []string{"snap", "wal"} {
		if err := os.MkdirAll(filepath.Join(member, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range keepFiles + 3 {
			if err := os.WriteFile(filepath.Join(member, sub, fmt.Sprintf("%04d.%s", i, sub)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	inUse, err := fileutil.TryLockFile(filepath.Join(member, "wal", "0001.wal"), os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()
	p.purge()
	for sub, want := range map[string]string{"snap": "0003.snap", "wal": "0001.wal"} {
		left, err := os.ReadDir(filepath.Join(member, sub))
		if err != nil || left[0].Name() != want {
			t.Errorf("%s: %v, %v, want %s to be the first that is left", sub, left, err, want)
		}
	}
	if err := os.RemoveAll(member); err != nil {
		t.Fatal(err)
	}
	p.purge()
	if got := strings.Count(log.String(), "are not removed"); got != 2 {
		t.Errorf("%d warnings: %s", got, &log)
	}
}

// TestErrorsOfAnOpenStore holds that no message advises to throw away a store that is intact.
func TestErrorsOfAnOpenStore(t *testing.T) {
	const dir = "/var/lib/koine"
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"out of descriptors":           {&fs.PathError{Op: "open", Path: dir, Err: syscall.EMFILE}, "ulimit -n"},
		"out of descriptors, as text":  {errors.New("failed to purge snap file: open x: too many open files"), "ulimit -n"},
		"out of descriptors, the host": {syscall.ENFILE, "ulimit -n"},
		"a full disk":                  {fmt.Errorf("save: %w", syscall.ENOSPC), "free some space"},
		"a broken disk":                {errors.New("failed to save Raft entries: input/output error\nand more"), "failed to save Raft entries: input/output error: look at its disk"},
	} {
		err := failed(dir, test.err)
		if catalog.KindOf(err) != catalog.KindUnavailable || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		for _, wrong := range []string{"does not open", "start empty", "\n"} {
			if strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v has %q", name, err, wrong)
			}
		}
		if !strings.Contains(err.Error(), "what was acknowledged is kept") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := explain(Config{Dir: dir}, syscall.EMFILE); strings.Contains(err.Error(), "start empty") {
		t.Errorf("at the start: %v", err)
	}
}
