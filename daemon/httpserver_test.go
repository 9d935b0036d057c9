package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
)

// pipes is a listener within the process. Its connections have no buffer: a write waits until the other end reads.
type pipes struct {
	arrivals chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.arrivals:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// registrar takes every registration at once.
type registrar struct{}

func (registrar) Register(context.Context, catalog.Registration) (uint64, error) { return 5, nil }
func (registrar) Deregister(context.Context, string, string) (uint64, error)     { return 5, nil }
func (registrar) Renew(context.Context, string, string) error                    { return nil }

// historian has a long history, and is slow to return it.
type historian struct{}

func (historian) History(context.Context, string, time.Duration) (h catalog.History, err error) {
	time.Sleep(2 * answerTimeout)
	for range 1000 {
		h.Events = append(h.Events, catalog.Event{Reason: strings.Repeat("x", 1000)})
	}
	return h, nil
}

// served runs an httpServer within a bubble, and returns a function that connects to it.
func served(t *testing.T) (dial func() net.Conn, stop func() error) {
	view := catalog.NewView()
	records := []catalog.Change{{Type: catalog.RecordNode, Name: "n", Node: &catalog.Node{Name: "n", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}}}
	for i := range 100 {
		instance := &catalog.Instance{ID: fmt.Sprint(i), Node: "n", Service: "big", Meta: map[string]string{"x": strings.Repeat("x", 4000)}}
		records = append(records, catalog.Change{Type: catalog.RecordInstance, Name: "n", ID: instance.ID, Instance: instance})
	}
	view.Load(3, records)
	native, err := api.New(api.Config{View: view, Registrar: registrar{}, Historian: historian{}, Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	listener := &pipes{make(chan net.Conn), make(chan struct{})}
	server, err := newHTTPServer(httpConfig{
		listener: listener, native: native, handler: native.Handler(), most: 10, local: func(netip.Addr) bool { return false },
		drainWithin: 2 * time.Second, metrics: prometheus.NewRegistry(), logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.run(ctx) }()
	dial = func() net.Conn {
		client, conn := net.Pipe()
		listener.arrivals <- conn
		return client
	}
	return dial, func() error { cancel(); return <-ended }
}

// send writes a request byte by byte, with a pause after each, until the connection is closed.
func send(conn net.Conn, request string, pause time.Duration) {
	for i := range request {
		if _, err := conn.Write([]byte{request[i]}); err != nil {
			return
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
}

// closedAfter returns the time until the server has closed a connection that the client does not read. The server reads ahead
// what the client sends meanwhile.
func closedAfter(conn net.Conn) time.Duration {
	begun := time.Now()
	for time.Since(begun) < time.Hour {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write([]byte("x")); errors.Is(err, io.ErrClosedPipe) {
			break
		}
		time.Sleep(time.Second)
	}
	return time.Since(begun)
}

// TestSlowRequests holds that no client keeps a connection by sending a request slowly.
func TestSlowRequests(t *testing.T) {
	const put = "PUT /api/v1/instances/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
	for name, test := range map[string]struct {
		request string
		pause   time.Duration
		want    time.Duration
	}{
		"nothing":               {"", 0, requestTimeout},
		"headers, slowly":       {"GET /api/v1/services HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1000), time.Second, requestTimeout},
		"a part of a body":      {put + strings.Repeat(" ", 1000), 0, requestTimeout},
		"a body, byte by byte":  {put + strings.Repeat(" ", 5000), 10 * time.Millisecond, requestTimeout},
		"nothing after a whole": {"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 0, idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := served(t)
				conn := dial()
				var sender sync.WaitGroup
				defer sender.Wait()
				defer conn.Close()
				begun := time.Now()
				sender.Go(func() { send(conn, test.request, test.pause) })
				answer, err := io.ReadAll(conn)
				if took := time.Since(begun); err != nil || took < test.want || took > test.want+2*time.Second {
					t.Errorf("the connection ends after %v (%v), want %v", took, err, test.want)
				}
				if strings.HasPrefix(test.request, "PUT") && !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
					t.Errorf("answered %q", answer)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestUnreadAnswers holds that a client that reads no answer keeps neither its connection nor the handler.
func TestUnreadAnswers(t *testing.T) {
	const body = `{"service":"web","permanent":true}`
	for path, most := range map[string]time.Duration{
		"GET /api/v1/services/big":                 pieceTimeout,
		"GET /api/v1/instances":                    pieceTimeout,
		"GET /api/v1/watch":                        pieceTimeout,
		"GET /api/v1/history?name=big":             2*answerTimeout + pieceTimeout,
		"GET /api/v1/services/big?index=3&wait=5m": 5*time.Minute*17/16 + pieceTimeout,
		"PUT /api/v1/instances/x":                  answerTimeout,
	} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := served(t)
				conn := dial()
				defer conn.Close()
				request := path + " HTTP/1.1\r\nHost: x\r\n"
				if strings.HasPrefix(path, "PUT") {
					request += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
				} else {
					request += "\r\n"
				}
				send(conn, request, 0)
				if took := closedAfter(conn); took > most+5*time.Second {
					t.Errorf("the connection ends after %v, want %v", took, most)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// pieceTimeout is the API's default time for a client to read a piece of an answer.
const pieceTimeout = 30 * time.Second

// A client that reads a long answer slowly gets all of it.
func TestPatientClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := served(t)
		conn := dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /api/v1/services/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		read := int64(0)
		for piece := make([]byte, 10_000); ; time.Sleep(3 * time.Second) {
			n, err := io.ReadFull(response.Body, piece)
			read += int64(n)
			if err != nil {
				break
			}
		}
		if read != response.ContentLength || time.Since(begun) < answerTimeout {
			t.Errorf("%d of %d bytes within %v", read, response.ContentLength, time.Since(begun))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A body that is too large, or encoded, is refused before any of it is read.
func TestBodiesThatAreNotAskedFor(t *testing.T) {
	for header, want := range map[string]int{
		"Content-Length: 99999999999\r\nExpect: 100-continue\r\n":                    413,
		"Content-Length: 99999999999\r\n":                                            413,
		"Content-Length: 30\r\nContent-Encoding: gzip\r\nExpect: 100-continue\r\n":   415,
		"Transfer-Encoding: chunked\r\nContent-Encoding: br\r\nExpect: 100-continue": 415,
	} {
		synctest.Test(t, func(t *testing.T) {
			dial, stop := served(t)
			conn := dial()
			defer conn.Close()
			request := "PUT /api/v1/instances/x HTTP/1.1\r\nHost: x\r\n" + strings.TrimSpace(header) + "\r\n\r\n"
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%q: %s, want %d", header, response.Status, want)
			}
			conn.Close()
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The stop does not wait for clients that read nothing.
func TestStopWithSlowClients(t *testing.T) {
	for name, request := range map[string]string{
		"no request": "", "half a request": "GET /api/v1/services HTTP/1.1\r\nHost", "a watch that is not read": "GET /api/v1/watch HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			dial, stop := served(t)
			conn := dial()
			defer conn.Close()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if name == "half a request" {
				go io.Copy(io.Discard, conn) // a pipe does not even hold the short answer that it gets
			}
			begun := time.Now()
			if err := stop(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > time.Second {
				t.Errorf("%s: the stop takes %v", name, took)
			}
		})
	}
}
