package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udpReaders is how many goroutines read the UDP socket.
func udpReaders() int { return runtime.GOMAXPROCS(0) }

// batchSize is how many datagrams one system call reads or sends at most. One that comes alone waits for no others.
const batchSize = 32

// udpBatch is the datagrams of one read and the replies to them. Its buffers are used again.
type udpBatch struct {
	conn    *ipv4.PacketConn // sends and receives for IPv6 sockets as well
	in, out []ipv4.Message
	// replies are the buffers that the replies are packed into, one for each datagram of a read.
	replies [batchSize][]byte
}

func newUDPBatch(conn *net.UDPConn) *udpBatch {
	b := &udpBatch{conn: ipv4.NewPacketConn(conn), in: make([]ipv4.Message, batchSize)}
	for i := range b.in {
		b.in[i].Buffers = [][]byte{make([]byte, maxRequest)}
		b.in[i].OOB = make([]byte, 128)
		b.replies[i] = make([]byte, 0, maxUDP)
	}
	b.out = make([]ipv4.Message, 0, batchSize)
	for i := range batchSize {
		b.out[:batchSize][i].Buffers = make([][]byte, 1)
	}
	return b
}

// add has a reply to a datagram sent with the others.
func (b *udpBatch) add(reply []byte, request *ipv4.Message) {
	b.out = b.out[:len(b.out)+1]
	m := &b.out[len(b.out)-1]
	m.Buffers[0], m.OOB, m.Addr = reply, replySource(request.OOB[:request.NN]), request.Addr
}

// flush sends the replies. One that cannot be sent is lost, as any may be; the asker asks again.
func (b *udpBatch) flush(log *slog.Logger) {
	for rest := b.out; len(rest) > 0; {
		n, err := b.conn.WriteBatch(rest, 0)
		if err != nil {
			log.Debug("send dns reply", "to", rest[0].Addr, "error", err)
			n = 1 // it is the first one's
		}
		rest = rest[max(n, 1):]
	}
	b.out = b.out[:0]
}

// serveUDP answers datagrams until the socket is closed.
func (s *Server) serveUDP(ctx context.Context) error {
	w, b := s.newWorker(), newUDPBatch(s.udp)
	for {
		n, err := b.conn.ReadBatch(b.in, 0)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read udp: %w", err)
		}
		for i := range n {
			w.out = b.replies[i]
			s.answerDatagram(ctx, w, b, &b.in[i])
			b.replies[i] = w.out // it may have grown
		}
		b.flush(s.log)
	}
}

func (s *Server) answerDatagram(ctx context.Context, w *worker, b *udpBatch, m *ipv4.Message) {
	w.req.asker = s.askerAt(m.Addr.(*net.UDPAddr).AddrPort().Addr())
	reply, out := w.answer(m.Buffers[0][:m.N], false)
	if out != nil {
		reply = s.startOutbound(ctx, w, out, m.Addr.(*net.UDPAddr).AddrPort(), replySource(m.OOB[:m.NN]))
	}
	if reply == nil {
		return
	}
	s.metrics.count(&w.req, reply)
	b.add(reply, m)
}

// startOutbound has a query finished by a goroutine of its own. If too many are at it, or the query is one that this
// server sent out itself, it returns the reply to that.
func (s *Server) startOutbound(ctx context.Context, w *worker, out *outbound, from netip.AddrPort, oob []byte) []byte {
	if s.upstream != nil && s.upstream.asks(from) {
		return w.pack(&out.req, &plan{rcode: dns.RcodeRefused})
	}
	if !s.admit() {
		return w.failure(&out.req, 0)
	}
	s.running.Go(func() {
		defer s.leave()
		reply := s.finish(ctx, out)
		s.metrics.count(&out.req, reply)
		s.send(reply, oob, from)
	})
	return nil
}

// send sends a datagram. One that cannot be sent is lost, as any may be; the asker asks again.
func (s *Server) send(reply, oob []byte, to netip.AddrPort) {
	if _, _, err := s.udp.WriteMsgUDPAddrPort(reply, oob, to); err != nil {
		s.log.Debug("send dns reply", "to", to, "error", err)
	}
}

// receiveDestination asks for the address that each datagram was sent to, if the socket is bound to all of them: the
// reply must come from that very address, or the asker drops it.
func receiveDestination(conn *net.UDPConn) error {
	if !conn.LocalAddr().(*net.UDPAddr).IP.IsUnspecified() {
		return nil
	}
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
	if err6 != nil && err4 != nil {
		return fmt.Errorf("ask for destination addresses: %w", err4)
	}
	return nil
}

// replySource turns the control message of a datagram into that of its reply. It returns nil if there is none.
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
