package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/koine-sd/koine/internal/pause"
)

// The times that a TCP connection is given (RFC 7766 §6.2.3).
const (
	idleTimeout  = 10 * time.Second // for the next message to come in whole
	writeTimeout = 10 * time.Second // for a reply to go out
	acceptPause  = 50 * time.Millisecond
)

// serveTCP accepts connections until the listener is closed. A connection too many is closed at once.
func (s *Server) serveTCP(ctx context.Context) error {
	for {
		conn, err := s.tcp.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			// Out of file descriptors, most likely: that passes.
			s.log.Warn("accept dns connection", "error", err)
			pause.For(ctx, acceptPause)
			continue
		}
		select {
		case s.conns <- struct{}{}:
			s.running.Go(func() {
				defer func() { <-s.conns }()
				s.serveConn(ctx, conn)
			})
		default:
			conn.Close()
		}
	}
}

// serveConn answers the messages of one connection in the order in which they come, until it is closed or idle.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	w := s.workers.Get().(*worker)
	defer s.workers.Put(w)
	w.req.asker = s.askerAt(conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
	var in, frame []byte
	for {
		msg, err := readFrame(conn, in)
		if err != nil {
			if err != io.EOF { //nolint:errorlint // as io.ReadFull returns it
				s.log.Debug("read dns connection", "from", conn.RemoteAddr(), "error", err)
			}
			return
		}
		in = msg
		reply := s.answerTCP(ctx, w, msg)
		if reply == nil {
			return
		}
		s.metrics.count(&w.req, reply)
		frame = binary.BigEndian.AppendUint16(frame[:0], uint16(len(reply)))
		frame = append(frame, reply...)
		if conn.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

func (s *Server) answerTCP(ctx context.Context, w *worker, msg []byte) []byte {
	reply, out := w.answer(msg, true)
	switch {
	case out == nil:
		return reply
	case !s.admit():
		return w.failure(&out.req, 0)
	default:
		defer s.leave()
		return s.finish(ctx, out)
	}
}

// readFrame reads the next message into buf, which grows as it must.
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
