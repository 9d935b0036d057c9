package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/durable"
)

const (
	// markerFile marks a directory as Koine's and holds its format. It is locked while a process uses the directory.
	markerFile = "koine.format"
	marker     = "koine data directory, format 1\n"
	// storeDir is the directory of etcd's own files below the data directory.
	storeDir = "store"
	// freshFile exists until the store has been ready once. A start that is broken off before that can leave files from
	// which etcd never elects itself.
	freshFile = "store.new"
	// minFree is the room that the store needs to start: two log segments of 64 MiB, allocated ahead.
	minFree = 160 << 20
)

// claimDir makes the directory if need be, locks it for this process until the file is closed, and checks that the store
// has room there.
func claimDir(dir string) (*os.File, error) {
	lock, err := Claim(dir)
	if err != nil {
		return nil, err
	}
	if err := checkRoom(dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Claim makes a data directory if need be, and locks it for this process until the file is closed. Its errors name the
// way out: they are of KindConflict for a directory that holds other files or is in use.
func Claim(dir string) (*os.File, error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "data directory %s cannot be made: %v", dir, reason(err)).
			WithHint("choose another with --data-dir")
	}
	if err := checkForeign(dir); err != nil {
		return nil, err
	}
	return lockMarker(dir)
}

// Claimed returns the time when Claim last locked a directory, for any process; the zero time if it never did. It follows
// no link.
func Claimed(dir string) (time.Time, error) {
	info, err := os.Lstat(filepath.Join(dir, markerFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case !info.Mode().IsRegular():
		return time.Time{}, fmt.Errorf("%s in %s is not a file", markerFile, dir)
	}
	return info.ModTime(), nil
}

// checkForeign refuses a directory that holds files but not Koine's marker: the files belong to another program.
func checkForeign(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, markerFile))
	if err == nil && isMarker(string(content)) {
		return nil
	}
	if err == nil {
		return catalog.Errorf(catalog.KindConflict, "data directory %s is of another version: %.60q", dir, content).
			WithHint("run the version that wrote it, or choose another with --data-dir")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return catalog.Errorf(catalog.KindInvalid, "data directory %s cannot be read: %v", dir, reason(err)).
			WithHint("correct its permissions, or choose another with --data-dir")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && entry.Name() != "lost+found" {
			return catalog.Errorf(catalog.KindConflict, "data directory %s holds other files, %s for one", dir, entry.Name()).
				WithHint("choose an empty directory with --data-dir")
		}
	}
	return nil
}

// isMarker reports whether a file's content is the marker, or what a crash of the machine may have left of it: a part,
// nothing, or zeros of the same length.
func isMarker(content string) bool {
	return strings.HasPrefix(marker, strings.TrimRight(content, "\x00"))
}

// lockMarker locks the marker, and writes it if it is new. The lock ends with the process, however that ends.
func lockMarker(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, markerFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, catalog.Errorf(catalog.KindInvalid, "data directory %s cannot be written: %v", dir, reason(err)).
			WithHint("correct its permissions, or choose another with --data-dir")
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(catalog.Errorf(catalog.KindConflict, "data directory %s is in use by another process", dir).
			WithHint("stop it, or choose another directory with --data-dir"), lock.Close())
	}
	now := time.Now()
	if err := errors.Join(writeMarker(lock, dir), os.Chtimes(lock.Name(), now, now)); err != nil { // see Claimed
		return nil, errors.Join(explain(Config{Dir: dir}, err), lock.Close())
	}
	return lock, nil
}

// writeMarker completes the marker. It must be written in place, because the lock is on the file itself.
func writeMarker(lock *os.File, dir string) error {
	content := make([]byte, len(marker)+1)
	if n, err := lock.ReadAt(content, 0); errors.Is(err, io.EOF) && string(content[:n]) == marker {
		return nil
	}
	if _, err := lock.WriteAt([]byte(marker), 0); err != nil {
		return err
	}
	if err := errors.Join(lock.Truncate(int64(len(marker))), lock.Sync()); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// beginStore prepares for the start of a store. The files of a first start that never became ready are removed: nothing
// in them was ever acknowledged.
func beginStore(dir string) error {
	fresh, store := filepath.Join(dir, freshFile), filepath.Join(dir, storeDir)
	switch _, err := os.Stat(fresh); {
	case err == nil:
		return os.RemoveAll(store)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := os.Stat(store); err == nil {
		return nil
	}
	return durable.WriteFile(fresh, nil, 0o600)
}

// completeStore records durably that the store has been ready, before anything is written to it. The directory is synced
// even if nothing is left to remove: an earlier process may have ended between the removal and the sync.
func completeStore(dir string) error {
	if err := durable.SyncDir(filepath.Join(dir, storeDir)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, freshFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(dir)
}

func checkRoom(dir string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("measure data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, storeDir)); err == nil {
		return nil // its segments are allocated already
	}
	if free := uint64(stat.Bavail) * uint64(stat.Bsize); free < minFree { //nolint:unconvert // FreeBSD counts in signed numbers
		return catalog.Errorf(catalog.KindUnavailable, "data directory %s has %d MiB of free space: %d MiB are needed",
			dir, free>>20, minFree>>20).WithHint("free some, or choose another with --data-dir")
	}
	return nil
}

// explain turns etcd's error about its directory into a line that names the way out.
func explain(cfg Config, err error) error {
	text := err.Error()
	switch {
	case outOfSpace(err):
		return catalog.Errorf(catalog.KindUnavailable, "disk of data directory %s is full", cfg.Dir).
			WithHint("free some space and start again, or choose another with --data-dir; what was acknowledged is kept")
	case errors.Is(err, fs.ErrPermission):
		return catalog.Errorf(catalog.KindInvalid, "data directory %s: %v", cfg.Dir, reason(err)).
			WithHint("correct its permissions, or choose another with --data-dir")
	case outOfFiles(err):
		return tooManyFiles(cfg.Dir)
	default:
		return catalog.Errorf(catalog.KindUnavailable, "store in %s does not open: %s", cfg.Dir, firstLine(text)).
			WithHint("put back a copy of the directory, or start empty with another --data-dir")
	}
}

// failed is explain for a store that was open: its content is sound, and starting empty is no way out.
func failed(dir string, err error) error {
	switch {
	case outOfSpace(err):
		return explain(Config{Dir: dir}, err)
	case outOfFiles(err):
		return tooManyFiles(dir)
	default:
		return catalog.Errorf(catalog.KindUnavailable, "store in %s has failed: %s", dir, firstLine(err.Error())).
			WithHint("look at its disk, and start again: what was acknowledged is kept")
	}
}

// Some of etcd's errors are only texts.
func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

func outOfFiles(err error) bool {
	for _, limit := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, limit) || strings.Contains(err.Error(), limit.Error()) {
			return true
		}
	}
	return false
}

func tooManyFiles(dir string) error {
	return catalog.Errorf(catalog.KindUnavailable, "store in %s cannot open its files: too many are open", dir).
		WithHint("raise the limit (ulimit -n, LimitNOFILE) and start again; what was acknowledged is kept")
}

// reason returns the innermost error, without the path that the message names already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
