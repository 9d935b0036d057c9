package daemon

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/koine-sd/koine/internal/durable"
)

// sessionFile keeps, in the data directory, the last session of the node in a store elsewhere.
const sessionFile = "node-session"

// formerSession tells a session that the former process of a data directory has left from that of a living host. The process that
// has claimed the directory knows that the former one has ended, but not whether the directory is a copy whose original lives on
// another host. So the file names, beside the session, the place that it was written at: one directory of one running kernel.
type formerSession struct {
	dir    string
	logger *slog.Logger
}

// keptSession is the content of the file.
type keptSession struct {
	Session string `json:"session"`
	place
}

// place is a directory of a running kernel: a copy of the directory, and a clone of the machine, are at another.
type place struct {
	// Boot is the kernel's id of its start.
	Boot string `json:"boot"`
	// Device and Inode identify the file that keeps the node's identity.
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// bootID is the file in which Linux has the id of its start.
const bootID = "/proc/sys/kernel/random/boot_id"

// here returns the place of the data directory; false if the system does not tell.
func (f *formerSession) here() (place, bool) {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return place{}, false
	}
	info, err := os.Stat(filepath.Join(f.dir, idFile))
	if err != nil {
		return place{}, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return place{}, false
	}
	return place{strings.TrimSpace(string(boot)), uint64(stat.Dev), stat.Ino}, true //nolint:unconvert // not on every system
}

// ended reports whether a session is that of the directory's former process.
func (f *formerSession) ended(session string) bool {
	raw, err := os.ReadFile(filepath.Join(f.dir, sessionFile))
	if err != nil {
		return false
	}
	var kept keptSession
	at, known := f.here()
	return json.Unmarshal(raw, &kept) == nil && known && kept.place == at && session != "" && kept.Session == session
}

// keep records a session of this process. Without the record a rename waits until the session has ended.
func (f *formerSession) keep(session string) {
	at, known := f.here()
	if !known {
		return
	}
	raw, err := json.Marshal(keptSession{session, at})
	if err == nil {
		err = durable.WriteFile(filepath.Join(f.dir, sessionFile), append(raw, '\n'), 0o600)
	}
	if err != nil {
		f.logger.Debug("keep the node's session", "error", err)
	}
}
