package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udpReaders returns how many goroutines read the UDP sockets of an address.
func udpReaders() int { return runtime.GOMAXPROCS(0) }

const (
	// batchSize bounds the datagrams that one system call reads or sends. A single datagram does not wait for others.
	batchSize = 32
	// receiveBuffer is the buffer asked of the system for queries not read yet, in bytes for each socket. The system
	// gives less if its own limit (net.core.rmem_max) is lower.
	receiveBuffer = 4 << 20
)

// bindUDP binds several sockets to an address that share its port. The first one is bound alone, so that a port that
// another program has is an error; if no further one can be bound, it serves all readers.
//
//nolint:contextcheck,nolintlint // binding an address waits for nothing; the second takes the first for unused
func bindUDP(addr *net.UDPAddr) ([]*net.UDPConn, error) {
	first, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	if err := prepare(first); err != nil {
		return nil, errors.Join(err, first.Close())
	}
	conns := []*net.UDPConn{first}
	raw, err := first.SyscallConn()
	if err != nil || sharePort("", "", raw) != nil {
		return conns, nil
	}
	lc := net.ListenConfig{Control: sharePort}
	for len(conns) < udpSockets() {
		conn, err := lc.ListenPacket(context.Background(), "udp", first.LocalAddr().String())
		if err != nil {
			break
		}
		if prepare(conn.(*net.UDPConn)) != nil {
			conn.Close()
			break
		}
		conns = append(conns, conn.(*net.UDPConn))
	}
	return conns, nil
}

func prepare(conn *net.UDPConn) error {
	_ = conn.SetReadBuffer(receiveBuffer) // the system's default will do
	return receiveDestination(conn)
}

// receiveDestination asks for the address that each datagram was sent to, if the socket is bound to all of them: the
// reply must come from that very address, or the client drops it.
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

// serveUDP answers the datagrams of a socket until it is closed.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	d, err := newDatagrams(conn)
	if err != nil {
		return fmt.Errorf("read udp: %w", err)
	}
	w := s.newWorker()
	var replies [batchSize][]byte
	for i := range replies {
		replies[i] = make([]byte, 0, maxUDP)
	}
	for {
		n, err := d.read()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read udp: %w", err)
		}
		since, answered := time.Now(), 0
		for i := range n {
			w.out = replies[i]
			if s.answerDatagram(ctx, w, d, i, conn, since) {
				answered++
			}
			replies[i] = w.out // it may have grown
		}
		d.flush(s.log)
		s.metrics.took(answered, since)
	}
}

// answerDatagram answers a datagram that was read at since. It returns false if there is no reply, or not yet.
func (s *Server) answerDatagram(ctx context.Context, w *worker, d datagrams, i int, conn *net.UDPConn, since time.Time) bool {
	msg, from := d.message(i)
	w.req.client = s.clientAt(from.Addr())
	reply, out := w.answer(msg, false)
	if out != nil {
		out.since = since
		source := slices.Clone(d.source(i))
		reply = s.startOutbound(ctx, w, out, from, func(reply []byte) { s.send(conn, reply, source, from) })
	}
	if reply == nil {
		return false
	}
	s.metrics.count(&w.req, reply)
	d.reply(i, reply)
	return true
}

// startOutbound starts a goroutine that finishes and sends a query. If too many are in flight, or the query came from
// one of this server's own sockets, it returns the reply that says so.
func (s *Server) startOutbound(ctx context.Context, w *worker, out *outbound, from netip.AddrPort, send func([]byte)) []byte {
	if s.upstream != nil && s.upstream.asks(from) {
		return w.pack(&out.req, &plan{rcode: dns.RcodeRefused})
	}
	finish, reply := s.begin(w, out)
	if finish == nil {
		return reply
	}
	s.running.Go(func() {
		reply := finish(ctx)
		s.metrics.count(&out.req, reply)
		send(reply)
	})
	return nil
}

// send sends a datagram. One that cannot be sent is lost, as any datagram may be; the client asks again.
func (s *Server) send(conn *net.UDPConn, reply, oob []byte, to netip.AddrPort) {
	if _, _, err := conn.WriteMsgUDPAddrPort(reply, oob, to); err != nil {
		s.log.Debug("send dns reply", "to", to, "error", err)
	}
}
