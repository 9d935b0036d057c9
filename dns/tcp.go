package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/koine-sd/koine/internal/pause"
)

const (
	// Timeouts of a TCP connection (RFC 7766 §6.2.3).
	idleTimeout  = 10 * time.Second // for the next whole message
	writeTimeout = 10 * time.Second // for writing a reply
	acceptPause  = 50 * time.Millisecond
	// maxPipelined bounds the queries of one connection that are in flight to the upstreams. At the bound, no more are
	// read.
	maxPipelined = 16
)

// acceptor is the part of a listener that serveTCP needs.
type acceptor interface {
	Accept() (net.Conn, error)
}

// serveTCP accepts connections until the listener is closed.
func (s *Server) serveTCP(ctx context.Context, listener acceptor) error {
	var failing spell
	for {
		raw, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				raw.Close()
			}
			return nil
		}
		if err != nil {
			// Most likely the process is out of file descriptors, which passes.
			if failing.begins(time.Now()) {
				s.log.Warn("dns cannot accept connections: retrying", "error", err)
			}
			pause.For(ctx, acceptPause)
			continue
		}
		s.startConn(ctx, raw)
	}
}

// startConn starts a goroutine for a connection, unless a bound is met and no other connection can be closed for it.
func (s *Server) startConn(ctx context.Context, raw net.Conn) {
	from := raw.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	conn := &tcpConn{Conn: raw, client: clientOf(from)}
	met, closing := s.conns.admit(conn, time.Now())
	if closing != nil {
		closing.Close()
		s.reportLimit(met, conn.client)
	}
	if closing == conn {
		return
	}
	s.running.Go(func() {
		defer s.conns.remove(conn)
		s.serveConn(ctx, conn, from)
	})
}

// reportLimit counts a connection that was closed because of a bound, and logs the first of a series.
func (s *Server) reportLimit(met limit, client netip.Addr) {
	s.metrics.shed[met].Inc()
	s.limiting.Lock()
	begins := s.limiting.spells[met].begins(time.Now())
	s.limiting.Unlock()
	switch {
	case !begins:
	case met == limitClient:
		s.log.Warn("dns client is at its limit of connections: closing those idle longest", "client", client, "connections", s.conns.perClient)
	default:
		s.log.Warn("dns is at its limit of connections: closing those idle longest", "connections", s.conns.most)
	}
}

// limiting holds when each bound was last met, for all listeners.
type limiting struct {
	sync.Mutex
	spells [limits]spell
}

// serveConn answers the messages of one connection until it is closed or idle. Queries that need the upstreams do not
// delay the queries after them (RFC 7766 §6.2.1.1).
func (s *Server) serveConn(ctx context.Context, conn *tcpConn, from netip.Addr) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	out := replies{conn: conn}
	places := make(chan struct{}, maxPipelined)
	var pending sync.WaitGroup
	defer pending.Wait() // a client may close its side after its last query, and wait for the replies
	var in []byte
	for {
		msg, err := readFrame(conn, in)
		if err != nil {
			if err != io.EOF { //nolint:errorlint // as io.ReadFull returns it
				s.log.Debug("read dns connection", "from", conn.RemoteAddr(), "error", err)
			}
			return
		}
		in = msg
		since := time.Now()
		w.req.client = s.clientAt(from)
		s.conns.begin(conn)
		reply, query := w.answer(msg, true)
		if query != nil {
			places <- struct{}{} // a slot becomes free within the timeout of a question
			query.since = since
			var finish func(context.Context) []byte
			if finish, reply = s.begin(w, query); finish != nil {
				pending.Go(func() {
					defer func() { <-places }()
					s.answerLater(ctx, query, finish, conn, &out)
				})
				continue
			}
			<-places
		}
		if reply == nil {
			s.conns.end(conn, time.Now())
			return
		}
		s.metrics.count(&w.req, reply)
		err = out.write(reply)
		s.conns.end(conn, time.Now())
		s.metrics.took(1, since)
		if err != nil {
			return
		}
	}
}

// answerLater answers a query that cannot be answered at once.
func (s *Server) answerLater(ctx context.Context, query *outbound, finish func(context.Context) []byte, conn *tcpConn, out *replies) {
	defer func() { s.conns.end(conn, time.Now()) }()
	reply := finish(ctx)
	s.metrics.count(&query.req, reply)
	if out.write(reply) != nil {
		conn.Close() // serveConn returns
	}
}

// replies writes the replies of one connection, one at a time.
type replies struct {
	conn  net.Conn
	mu    sync.Mutex
	frame []byte
}

func (r *replies) write(reply []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frame = binary.BigEndian.AppendUint16(r.frame[:0], uint16(len(reply)))
	r.frame = append(r.frame, reply...)
	if err := r.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := r.conn.Write(r.frame)
	return err
}

// readFrame reads the next message into buf, or into a new buffer if that is too small.
func readFrame(conn net.Conn, buf []byte) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > maxRequest {
		return nil, fmt.Errorf("message of %d bytes: %d are allowed", n, maxRequest)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(conn, buf[:n])
	return buf[:n], err
}
