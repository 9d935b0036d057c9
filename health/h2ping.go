package health

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"

	"github.com/koine-sd/koine/catalog"
)

const (
	// maxPingFrames bounds the frames that a server may send before its answer to the PING.
	maxPingFrames = 100
	// maxPingFrame bounds the size of each: the size that RFC 9113 §4.2 allows a server to send to a client that has
	// not allowed more.
	maxPingFrame = 16 << 10
)

var errPingless = fmt.Errorf("%d frames and no answer to the PING", maxPingFrames)

// probeH2Ping opens an HTTP/2 connection and sends a PING (RFC 9113 §6.7): its acknowledgement passes.
func probeH2Ping(ctx context.Context, def *catalog.Definition) Result {
	conn, err := dialH2(ctx, def)
	if err != nil {
		return critical("HTTP/2 PING %s: %s", def.H2Ping, reason(err, def))
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := ping(conn); err != nil {
		return critical("HTTP/2 PING %s: %s", def.H2Ping, reason(err, def))
	}
	return Result{catalog.Passing, "HTTP/2 PING " + def.H2Ping + ": success"}
}

func dialH2(ctx context.Context, def *catalog.Definition) (net.Conn, error) {
	if def.H2PingPlain {
		return new(net.Dialer).DialContext(ctx, "tcp", def.H2Ping)
	}
	config := tlsConfig(def)
	config.NextProtos = []string{http2.NextProtoTLS}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", def.H2Ping)
	if err != nil {
		return nil, err
	}
	if agreed := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; agreed != http2.NextProtoTLS {
		_ = conn.Close()
		return nil, errors.New("the server speaks TLS, and not HTTP/2")
	}
	return conn, nil
}

// ping speaks as much HTTP/2 as a PING needs: the preface, an empty SETTINGS, and frames until one is the answer.
func ping(conn io.ReadWriter) error {
	var token [8]byte
	if _, err := rand.Read(token[:]); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	framer.SetMaxReadFrameSize(maxPingFrame)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	if err := framer.WritePing(false, token); err != nil {
		return err
	}
	for range maxPingFrames {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if done, err := answered(framer, frame, token); done || err != nil {
			return err
		}
	}
	return errPingless
}

// answered reports whether a frame is the answer to the PING, and responds to other frames as the protocol requires.
func answered(framer *http2.Framer, frame http2.Frame, token [8]byte) (bool, error) {
	switch frame := frame.(type) {
	case *http2.PingFrame:
		if frame.IsAck() {
			return frame.Data == token, nil
		}
		return false, framer.WritePing(true, frame.Data)
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return false, framer.WriteSettingsAck()
		}
	case *http2.GoAwayFrame:
		return false, fmt.Errorf("the server closes the connection: %v", frame.ErrCode)
	}
	return false, nil
}
