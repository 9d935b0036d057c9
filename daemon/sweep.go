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

// temporaryMark is the file in a temporary store that tells it from one that a person has put among the temporary files. Files
// whose names begin with a dot are nobody's in a data directory.
const temporaryMark = ".koine-temporary"

var temporaryName = regexp.MustCompile(`^koine-[0-9]+$`)

// sweep removes the temporary stores in a directory that no process uses any more, because their own was killed. It
// touches only directories that are named and marked like them, belong to this user, and hold a lock that no process
// has. It returns those that it removed.
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

// markTemporary marks a directory as one that goes with the process.
func markTemporary(dir string) error {
	return os.WriteFile(filepath.Join(dir, temporaryMark), nil, 0o600)
}

// adopt keeps a directory that a person has chosen, even if a process made it as a temporary one.
func adopt(dir string) { _ = os.Remove(filepath.Join(dir, temporaryMark)) } // where there is none, nothing is to be done

// marked reports whether a directory was marked as temporary, longer ago than a process takes to start.
func marked(dir string, now time.Time) bool {
	info, err := os.Lstat(filepath.Join(dir, temporaryMark))
	return err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) >= youngest
}

// removeUnused removes a marked store while it holds its lock.
func removeUnused(dir string, now time.Time) bool {
	if claimed, err := engine.Claimed(dir); err != nil || now.Sub(claimed) < youngest || !marked(dir, now) {
		return false
	}
	lock, err := engine.Claim(dir)
	if err != nil {
		return false // it is in use, or not ours
	}
	defer lock.Close()
	return marked(dir, now) && os.RemoveAll(dir) == nil // it may have been adopted before the lock was taken
}
