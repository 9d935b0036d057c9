//go:build linux && (amd64 || arm64)

package dns

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchHeader is struct mmsghdr.
type batchHeader struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// udpBatch implements datagrams with recvmmsg and sendmmsg: up to batchSize for each system call. It allocates nothing:
// its buffers are reused, and senders' addresses stay in the system's form.
type udpBatch struct {
	conn syscall.RawConn
	in   [batchSize]batchHeader
	from [batchSize]unix.RawSockaddrInet6 // IPv4 addresses are shorter
	iov  [batchSize]unix.Iovec
	buf  [batchSize][maxRequest]byte
	oob  [batchSize][oobSize]byte

	out    [batchSize]batchHeader
	outIov [batchSize]unix.Iovec
	// queued counts the replies in out, sent those already sent.
	queued, sent int

	// readable and writable are handed to conn. They are made once, and leave the result of their system call in n and
	// errno.
	readable, writable func(fd uintptr) bool
	n                  int
	errno              syscall.Errno
}

func newDatagrams(conn *net.UDPConn) (datagrams, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &udpBatch{conn: raw}
	for i := range b.in {
		b.iov[i] = unix.Iovec{Base: &b.buf[i][0], Len: maxRequest}
		b.in[i].Msghdr = unix.Msghdr{
			Name: (*byte)(unsafe.Pointer(&b.from[i])), Iov: &b.iov[i], Iovlen: 1, Control: &b.oob[i][0],
		}
	}
	b.readable = func(fd uintptr) bool {
		return b.call(unix.SYS_RECVMMSG, fd, &b.in[0], batchSize)
	}
	b.writable = func(fd uintptr) bool {
		return b.call(unix.SYS_SENDMMSG, fd, &b.out[b.sent], b.queued-b.sent)
	}
	return b, nil
}

// call makes a system call of either kind. It returns false if the caller must wait for the socket.
func (b *udpBatch) call(number, fd uintptr, first *batchHeader, count int) bool {
	for {
		n, _, errno := unix.Syscall6(number, fd, uintptr(unsafe.Pointer(first)), uintptr(count), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		b.n, b.errno = int(n), errno
		return errno != unix.EAGAIN
	}
}

func (b *udpBatch) read() (int, error) {
	for i := range b.in {
		b.in[i].Namelen, b.in[i].Controllen = unix.SizeofSockaddrInet6, oobSize
	}
	if err := b.conn.Read(b.readable); err != nil {
		return 0, err
	}
	if b.errno != 0 {
		return 0, b.errno
	}
	return b.n, nil
}

func (b *udpBatch) message(i int) ([]byte, netip.AddrPort) {
	return b.buf[i][:b.in[i].n], addrPortOf(&b.from[i])
}

// addrPortOf returns an address of either family. Ports are in network byte order.
func addrPortOf(from *unix.RawSockaddrInet6) netip.AddrPort {
	if from.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), swapPort(four.Port))
	}
	ip := netip.AddrFrom16(from.Addr)
	if from.Scope_id != 0 {
		ip = ip.WithZone(strconv.Itoa(int(from.Scope_id)))
	}
	return netip.AddrPortFrom(ip, swapPort(from.Port))
}

func swapPort(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}

// source rewrites in place the control message that holds a datagram's destination into one that sets the source of the
// reply. A datagram by IPv4 on an IPv6 socket has both kinds; either will do.
func (b *udpBatch) source(i int) []byte {
	const head = unix.SizeofCmsghdr
	for rest := b.oob[i][:b.in[i].Controllen]; len(rest) >= head; {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&rest[0]))
		size := int(h.Len)
		if size < head || size > len(rest) {
			return nil
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && size >= head+unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&rest[head]))
			info.Ifindex, info.Spec_dst = 0, info.Addr
			return rest[:size]
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && size >= head+unix.SizeofInet6Pktinfo:
			(*unix.Inet6Pktinfo)(unsafe.Pointer(&rest[head])).Ifindex = 0
			return rest[:size]
		}
		rest = rest[min(unix.CmsgSpace(size-head), len(rest)):]
	}
	return nil
}

func (b *udpBatch) reply(i int, reply []byte) {
	to := b.queued
	b.queued++
	b.outIov[to] = unix.Iovec{Base: &reply[0], Len: uint64(len(reply))}
	b.out[to].Msghdr = unix.Msghdr{
		Name: b.in[i].Name, Namelen: b.in[i].Namelen, Iov: &b.outIov[to], Iovlen: 1,
	}
	if source := b.source(i); len(source) > 0 {
		b.out[to].Control, b.out[to].Controllen = &source[0], uint64(len(source))
	}
}

func (b *udpBatch) flush(log *slog.Logger) {
	for b.sent = 0; b.sent < b.queued; b.sent += max(b.n, 1) {
		err := b.conn.Write(b.writable)
		if err == nil && b.errno != 0 {
			err = b.errno
		}
		if err != nil {
			log.Debug("send dns reply", "error", err)
			b.n = 1 // the error is that of the first message
		}
	}
	b.queued = 0
}

// udpSockets is how many sockets share the port of a listener: one for each reader, so that no reader waits for
// another.
func udpSockets() int { return runtime.GOMAXPROCS(0) }

// sharePort lets further sockets of this process bind the same port. It is a net.ListenConfig's Control.
func sharePort(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
