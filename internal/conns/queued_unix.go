//go:build unix

package conns

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// queued reports whether a connection waits to be accepted.
func queued(l net.Listener) (waits bool) {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor
		waits = err == nil && n > 0
	})
	return err == nil && waits
}
