package docker

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// denied returns the error for an engine whose socket this process may not open, with what its user can do; nil for any other
// failure to reach the engine.
func denied(host string) error {
	path, local := strings.CutPrefix(host, "unix://")
	if !local {
		return nil
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	who, me := "this user", "this user"
	if u, err := user.Current(); err == nil && u.Username != "" {
		who, me = "user "+u.Username, u.Username
	}
	hint := "run Koine as root"
	if group := groupOf(path); group != "" && group != "root" {
		hint += ", or put " + me + " into the group " + group + " and log in again: sudo usermod -aG " + group + " " + me
	}
	return catalog.Errorf(catalog.KindDenied, "%s may not open the Docker engine's socket %s", who, path).
		WithHint("%s; --docker off does without containers", hint)
}

// groupOf returns the name of the group that a file belongs to; empty if that is not known.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	group, err := user.LookupGroupId(strconv.FormatUint(uint64(stat.Gid), 10))
	if err != nil {
		return ""
	}
	return group.Name
}
