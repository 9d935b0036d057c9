package daemon

import (
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/koine-sd/koine/engine"
)

// Bounds on the directories that one start inspects and removes, so that it takes no longer for a full directory of
// temporary files.
const (
	maxSwept   = 32
	maxEntries = 10_000
	// youngest protects the store of a process that is just starting: it has made its lock file, but not locked it yet.
	youngest = 10 * time.Second
)

// temporaryPattern is the pattern given to os.MkdirTemp.
const temporaryPattern = "koine-*"

var temporaryName = regexp.MustCompile(`^koine-[0-9]+$`)

// sweep removes the temporary stores in a directory that no process uses any more, because their own was killed. It
// touches only directories that are named like them, belong to this user, and hold a lock that no process has. It
// returns those that it removed.
func sweep(dir string, now time.Time) (removed []string) {
	parent, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer parent.Close()
	entries, _ := parent.ReadDir(maxEntries) // what cannot be read is not swept
	for _, entry := range entries {
		if len(removed) == maxSwept {
			break
		}
		path := filepath.Join(dir, entry.Name())
		if temporaryName.MatchString(entry.Name()) && owned(path) && removeUnused(path, now) {
			removed = append(removed, path)
		}
	}
	return removed
}

// owned reports whether a path is a directory of this user. It follows no link.
func owned(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}

// removeUnused removes a store while it holds its lock. A directory that was never locked is removed only if it is
// empty.
func removeUnused(dir string, now time.Time) bool {
	claimed, err := engine.Claimed(dir)
	if err != nil {
		return false
	}
	if claimed.IsZero() {
		info, err := os.Lstat(dir)
		return err == nil && now.Sub(info.ModTime()) > youngest && os.Remove(dir) == nil
	}
	if now.Sub(claimed) < youngest {
		return false
	}
	lock, err := engine.Claim(dir)
	if err != nil {
		return false // it is in use, or not ours
	}
	defer lock.Close()
	return os.RemoveAll(dir) == nil
}
