package dns

import (
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// datagrams reads the datagrams of a socket, as many at once as the system gives, and sends the replies to them. The
// returned slices are valid until the next read.
type datagrams interface {
	// read waits for datagrams and returns their number, at most batchSize.
	read() (int, error)
	// message returns one of them and its sender.
	message(i int) ([]byte, netip.AddrPort)
	// source returns the control message that makes a reply leave from the address that the datagram was sent to; nil
	// if the socket is bound to one address.
	source(i int) []byte
	// reply queues a reply to one of them; flush sends all queued replies. A reply that cannot be sent is lost, as any
	// datagram may be; the client asks again.
	reply(i int, reply []byte)
	flush(log *slog.Logger)
}

// oobSize holds the control messages of a datagram, those of IPv4 and of IPv6.
const oobSize = 128

// oneByOne implements datagrams with the standard library: one datagram for each system call.
type oneByOne struct {
	conn    *net.UDPConn
	buf     []byte
	oob     []byte
	n, oobn int
	from    netip.AddrPort
	out     []byte
}

func newOneByOne(conn *net.UDPConn) *oneByOne {
	return &oneByOne{conn: conn, buf: make([]byte, maxRequest), oob: make([]byte, oobSize)}
}

func (d *oneByOne) read() (n int, err error) {
	d.n, d.oobn, _, d.from, err = d.conn.ReadMsgUDPAddrPort(d.buf, d.oob)
	return 1, err
}

func (d *oneByOne) message(int) ([]byte, netip.AddrPort) { return d.buf[:d.n], d.from }

func (d *oneByOne) source(int) []byte { return replySource(d.oob[:d.oobn]) }

func (d *oneByOne) reply(_ int, reply []byte) { d.out = reply }

func (d *oneByOne) flush(log *slog.Logger) {
	if d.out == nil {
		return
	}
	if _, _, err := d.conn.WriteMsgUDPAddrPort(d.out, d.source(0), d.from); err != nil {
		log.Debug("send dns reply", "to", d.from, "error", err)
	}
	d.out = nil
}

// replySource turns the control message of a datagram into that of its reply. It returns nil if there is no control
// message.
func replySource(oob []byte) []byte {
	if len(oob) == 0 {
		return nil
	}
	dst := destination(oob)
	switch {
	case dst == nil:
		return nil
	case dst.To4() != nil:
		return (&ipv4.ControlMessage{Src: dst}).Marshal()
	default:
		return (&ipv6.ControlMessage{Src: dst}).Marshal()
	}
}

func destination(oob []byte) net.IP {
	var six ipv6.ControlMessage
	if six.Parse(oob) == nil && six.Dst != nil {
		return six.Dst
	}
	var four ipv4.ControlMessage
	if four.Parse(oob) == nil {
		return four.Dst
	}
	return nil
}
