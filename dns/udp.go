package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udpReaders is how many goroutines read the UDP socket.
func udpReaders() int { return runtime.GOMAXPROCS(0) }

// serveUDP answers datagrams until the socket is closed.
func (s *Server) serveUDP(ctx context.Context) error {
	w := s.newWorker()
	in, oob := make([]byte, maxRequest), make([]byte, 128)
	for {
		n, oobn, _, from, err := s.udp.ReadMsgUDPAddrPort(in, oob)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read udp: %w", err)
		}
		reply, out := w.answer(in[:n], false)
		if out != nil {
			reply = s.startOutbound(ctx, w, out, from, replySource(oob[:oobn]))
		}
		if reply == nil {
			continue
		}
		s.metrics.count(&w.req, reply)
		s.send(reply, replySource(oob[:oobn]), from)
	}
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
	oob = slices.Clone(oob)
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
