//go:build unix

package files

import (
	"os"
	"syscall"
)

// device returns the number of the file system that a directory is on, 0 if it is unknown.
func device(dir string) uint64 {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(stat.Dev) //nolint:unconvert // it is an int32 on some systems
}
