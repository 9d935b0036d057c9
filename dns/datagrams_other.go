//go:build !(linux && (amd64 || arm64))

package dns

import (
	"net"
	"syscall"
)

func newDatagrams(conn *net.UDPConn) (datagrams, error) { return newOneByOne(conn), nil }

// udpSockets is how many sockets share the port of a listener.
func udpSockets() int { return 1 }

func sharePort(string, string, syscall.RawConn) error { return nil }
