//go:build !unix

package conns

import "net"

// queued reports whether a connection waits to be accepted, as far as that can be known.
func queued(net.Listener) bool { return false }
