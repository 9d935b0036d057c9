package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// echo answers datagrams with their content and a mark, until the test ends.
func echo(t *testing.T, silent bool) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if !silent {
				_, _ = conn.WriteTo(append([]byte("pong "), buffer[:n]...), from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return conn.LocalAddr().String()
}

func TestUDP(t *testing.T) {
	def := catalog.Definition{Type: catalog.CheckUDP, UDP: echo(t, false), UDPPayload: "ping"}
	expect(t, probe(t, def), catalog.Passing, "answered\npong ping")
	def.UDPPayload = ""
	expect(t, probe(t, def), catalog.Passing, "pong \n")

	def.UDP = echo(t, true)
	eventually.True(t, "in time to be sent, and not refused", func() bool {
		got := within(t, 50*time.Millisecond, def)
		return got.Status == catalog.Passing && strings.Contains(got.Output, "not refused")
	})
	def.UDPReply = true
	expect(t, within(t, 50*time.Millisecond, def), catalog.Critical, "no answer: timed out after 50ms")

	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	def = catalog.Definition{Type: catalog.CheckUDP, UDP: conn.LocalAddr().String()}
	expect(t, probe(t, def), catalog.Critical, "refused")
	expect(t, probe(t, catalog.Definition{Type: catalog.CheckUDP, UDP: "127.0.0.1"}), catalog.Critical, "missing port")
}

// TestUDPTriesEachAddress holds that a name with addresses of both families is checked at that which answers: localhost is
// ::1 as well on most hosts, and many servers listen at 127.0.0.1 only.
func TestUDPTriesEachAddress(t *testing.T) {
	_, port, err := net.SplitHostPort(echo(t, false))
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{"::1", "127.0.0.2", "127.0.0.1"} // a refusal, or no route, at the first two
	def := catalog.Definition{Type: catalog.CheckUDP, UDP: "name:" + port, UDPReply: true}
	expect(t, probeAddresses(t.Context(), addresses, port, &def), catalog.Passing, "UDP name:"+port+": answered")
	expect(t, probeAddresses(t.Context(), addresses[:2], port, &def), catalog.Critical, "UDP name:"+port)
	for _, host := range []string{"localhost", "127.0.0.1", ""} {
		def.UDP = host + ":" + port
		expect(t, probe(t, def), catalog.Passing, "answered")
	}
}

// TestUDPSharesTheTime holds that a silent address leaves time for those behind it, all of what is left for the last, and that
// nothing is tried after the end of the run.
func TestUDPSharesTheTime(t *testing.T) {
	const silent, refuses = -1, -2
	for _, tt := range []struct {
		name    string
		answers []time.Duration // of each address
		status  catalog.Status
		tried   int
		took    time.Duration
	}{
		{"the second answers", []time.Duration{silent, time.Second}, catalog.Passing, 2, 4 * time.Second},
		{"the last has all that is left", []time.Duration{silent, refuses, 3 * time.Second}, catalog.Passing, 3, 5 * time.Second},
		{"the first answers within its share", []time.Duration{1900 * time.Millisecond, 0, 0}, catalog.Passing, 1, 1900 * time.Millisecond},
		{"the only one has all", []time.Duration{5 * time.Second}, catalog.Passing, 1, 5 * time.Second},
		{"all are silent", []time.Duration{silent, silent, silent, silent}, catalog.Critical, 4, 6 * time.Second},
		{"all refuse", []time.Duration{refuses, refuses, refuses}, catalog.Critical, 3, 0},
		{"the last is too late", []time.Duration{silent, 4 * time.Second}, catalog.Critical, 2, 6 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
			defer cancel()
			begun, tried := time.Now(), 0
			result := tryEach(ctx, make([]string, len(tt.answers)), func(ctx context.Context, _ string) Result {
				after := tt.answers[tried]
				tried++
				if after == refuses {
					return critical("refused")
				}
				if after == silent {
					after = time.Hour
				}
				select {
				case <-ctx.Done():
					return critical("silent")
				case <-time.After(after):
					return Result{Status: catalog.Passing}
				}
			})
			if took := time.Since(begun); result.Status != tt.status || tried != tt.tried || took != tt.took {
				t.Errorf("%s: %s after %v and %d addresses, want %s after %v and %d", tt.name, result.Status, took, tried, tt.status, tt.took, tt.tried)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	tried := 0
	tryEach(ctx, []string{"a", "b"}, func(context.Context, string) Result {
		tried++
		cancel()
		return critical("removed")
	})
	if tried != 1 {
		t.Errorf("%d addresses are tried after the end of the run", tried)
	}
}

// endedInTime is a connection whose context ends at the moment at which a deadline of the run's own is set.
type endedInTime struct {
	net.Conn
	end context.CancelFunc
}

func (c endedInTime) SetReadDeadline(at time.Time) error {
	if at.After(time.Now()) {
		c.end()
		synctest.Wait() // until the effects of the context's end have taken place
	}
	return c.Conn.SetReadDeadline(at)
}

// TestUDPEndsWithItsContext holds that a run whose context has ended ends, whatever deadline it is about to set.
func TestUDPEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go func() { _, _ = io.Copy(io.Discard, theirs) }() // and never an answer
		begun := time.Now()
		probeOver(ctx, endedInTime{ours, cancel}, &catalog.Definition{Type: catalog.CheckUDP})
		if took := time.Since(begun); took > 0 {
			t.Errorf("the run went on for %v after its end", took)
		}
	})
}

// grpcServer serves gRPC until the test ends.
func grpcServer(t *testing.T, health bool, options ...grpc.ServerOption) (string, *grpchealth.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, service := grpc.NewServer(options...), grpchealth.NewServer()
	if health {
		grpc_health_v1.RegisterHealthServer(server, service)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-ended })
	return listener.Addr().String(), service
}

func TestGRPC(t *testing.T) {
	address, service := grpcServer(t, true)
	def := catalog.Definition{Type: catalog.CheckGRPC, GRPC: address}
	expect(t, probe(t, def), catalog.Passing, "SERVING")
	service.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	expect(t, probe(t, def), catalog.Critical, "NOT_SERVING")

	def.GRPC = address + "/shop.Cart"
	expect(t, probe(t, def), catalog.Critical, "does not know the service")
	service.SetServingStatus("shop.Cart", grpc_health_v1.HealthCheckResponse_SERVING)
	expect(t, probe(t, def), catalog.Passing, "/shop.Cart: SERVING")

	def.GRPCUseTLS = true
	expect(t, probe(t, def), catalog.Critical, "tls")
	def.GRPC, _ = grpcServer(t, false)
	def.GRPCUseTLS = false
	expect(t, probe(t, def), catalog.Critical, "no health service")
	def.GRPC = closedAddress(t)
	expect(t, probe(t, def), catalog.Critical, "refused")
	def.GRPC = silentServer(t)
	expect(t, within(t, 50*time.Millisecond, def), catalog.Critical, "timed out after 50ms")
}

func TestGRPCWithTLS(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate, of example.com
	defer web.Close()
	address, _ := grpcServer(t, true, grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	def := catalog.Definition{Type: catalog.CheckGRPC, GRPC: address, GRPCUseTLS: true}
	expect(t, probe(t, def), catalog.Critical, "certificate")
	def.TLSSkipVerify = true
	expect(t, probe(t, def), catalog.Passing, "SERVING")
}

// closedAddress returns an address without a listener.
func closedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	return listener.Addr().String()
}

// silentServer returns the address of a server that sends nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

func TestH2Ping(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the failed handshake
	server.StartTLS()
	defer server.Close()
	def := catalog.Definition{Type: catalog.CheckH2Ping, H2Ping: server.Listener.Addr().String()}
	expect(t, probe(t, def), catalog.Critical, "certificate")
	def.TLSSkipVerify = true
	expect(t, probe(t, def), catalog.Passing, "success")

	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = server.Config.ErrorLog
	old.StartTLS()
	defer old.Close()
	def.H2Ping = old.Listener.Addr().String()
	expect(t, probe(t, def), catalog.Critical, "HTTP/2")
}

func TestH2PingPlain(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	def := catalog.Definition{Type: catalog.CheckH2Ping, H2Ping: server.Listener.Addr().String(), H2PingPlain: true}
	expect(t, probe(t, def), catalog.Passing, "success")

	http1 := httptest.NewServer(http.NotFoundHandler())
	defer http1.Close()
	def.H2Ping = http1.Listener.Addr().String()
	expect(t, probe(t, def), catalog.Critical, "HTTP/2 PING")
	def.H2Ping = closedAddress(t)
	expect(t, probe(t, def), catalog.Critical, "refused")
	def.H2Ping = silentServer(t)
	expect(t, within(t, 50*time.Millisecond, def), catalog.Critical, "timed out after 50ms")
}

// duplex is a connection whose other side has sent everything beforehand.
type duplex struct {
	io.Reader
	io.Writer
}

// frames returns the bytes that a server sends.
func frames(t testing.TB, write func(*http2.Framer)) []byte {
	t.Helper()
	var said bytes.Buffer
	write(http2.NewFramer(&said, nil))
	return said.Bytes()
}

func TestPingRefusals(t *testing.T) {
	tests := []struct {
		name  string
		write func(*http2.Framer)
		want  error
	}{
		{"another's answer", func(f *http2.Framer) { _ = f.WritePing(true, [8]byte{1}) }, io.EOF},
		{"the server's own ping", func(f *http2.Framer) { _ = f.WritePing(false, [8]byte{1}) }, io.EOF},
		{"talk without end", func(f *http2.Framer) {
			for range maxPingFrames {
				_ = f.WriteSettings()
			}
		}, errPingless},
		{"a frame too large", func(f *http2.Framer) {
			_ = f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, maxPingFrame+1))
		}, http2.ErrFrameTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			said := frames(t, tt.write)
			if err := ping(duplex{bytes.NewReader(said), io.Discard}); !errors.Is(err, tt.want) {
				t.Errorf("ping: %v, want %v", err, tt.want)
			}
		})
	}
	gone := frames(t, func(f *http2.Framer) { _ = f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) })
	if err := ping(duplex{bytes.NewReader(gone), io.Discard}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("ping of a server that goes away: %v", err)
	}
}

// FuzzPing gives the bytes of a server to the reader of frames.
func FuzzPing(f *testing.F) {
	f.Add(frames(f, func(f *http2.Framer) { _ = f.WriteSettings(); _ = f.WritePing(true, [8]byte{}) }))
	f.Add(frames(f, func(f *http2.Framer) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil); _ = f.WritePing(false, [8]byte{}) }))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		if err := ping(duplex{bytes.NewReader(said), io.Discard}); err == nil {
			t.Error("bytes that were there before the PING answer it") // its 8 bytes are random
		}
	})
}

// execer is an Execer whose outcome is set.
type execer struct {
	code   int
	output string
	err    error
	asked  []string
}

func (e *execer) Exec(ctx context.Context, container string, args []string) (int, []byte, error) {
	e.asked = append(append(e.asked, container), args...)
	if e.err == nil && e.code < 0 {
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	return e.code, []byte(e.output), e.err
}

func TestExec(t *testing.T) {
	def := catalog.Definition{Type: catalog.CheckExec, Container: "c1", Args: []string{"check", "-v"}}
	runFor := func(timeout time.Duration, e Execer) Result {
		def.Timeout = catalog.Duration(timeout)
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return (&probers{containers: e}).probe(ctx, &def)
	}
	run := func(e Execer) Result { return runFor(eventually.Patience, e) }
	e := &execer{output: "fine"}
	expect(t, run(e), catalog.Passing, "fine")
	if len(e.asked) != 3 || e.asked[0] != "c1" || e.asked[2] != "-v" {
		t.Errorf("asked for %v", e.asked)
	}
	expect(t, run(&execer{code: 1, output: "hm"}), catalog.Warning, "hm")
	expect(t, run(&execer{code: 2, output: "no"}), catalog.Critical, "no")
	expect(t, run(&execer{code: 137}), catalog.Critical, "exit code 137")
	expect(t, run(&execer{err: errors.New("no such container")}), catalog.Critical, "no such container")
	expect(t, runFor(20*time.Millisecond, &execer{code: -1}), catalog.Critical, "timed out after 20ms")
	expect(t, run(nil), catalog.Critical, "no container engine")
}
