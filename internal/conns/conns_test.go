package conns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox is a listener within the process.
type inbox struct {
	arrivals chan any // net.Conn or error
	closed   chan struct{}
}

func newInbox() *inbox { return &inbox{make(chan any, 100), make(chan struct{})} }

func (i *inbox) Accept() (net.Conn, error) {
	select {
	case next := <-i.arrivals:
		if err, failed := next.(error); failed {
			return nil, err
		}
		return next.(net.Conn), nil
	case <-i.closed:
		return nil, net.ErrClosed
	}
}
func (i *inbox) Close() error   { close(i.closed); return nil }
func (i *inbox) Addr() net.Addr { return &net.TCPAddr{} }

// end is the server's end of a connection from an address.
type end struct {
	net.Conn
	from net.Addr
}

func (e end) RemoteAddr() net.Addr { return e.from }

// dial puts a connection from an address into the inbox, and returns the client's end.
func (i *inbox) dial(from string) net.Conn {
	client, server := net.Pipe()
	i.arrivals <- end{server, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 1234))}
	return client
}

// bed is a bounded listener, and what it has reported.
type bed struct {
	*inbox
	*Listener
	reports []string
}

func newBed(most, perClient int) *bed {
	b := &bed{inbox: newInbox()}
	b.Listener = New(b.inbox, Config{
		Most: most, PerClient: perClient,
		Exempt:  netip.Addr.IsLoopback,
		Refusal: func() []byte { return []byte("refused") },
		Met: func(l Limit, client netip.Addr, begins bool) {
			b.reports = append(b.reports, fmt.Sprint(l, " ", client, map[bool]string{true: " begins"}[begins]))
		},
		Failed: func(err error) { b.reports = append(b.reports, err.Error()) },
	})
	return b
}

// connect connects and accepts; the server's end is nil if the connection was refused.
func (b *bed) connect(t *testing.T, from string) (client, server net.Conn) {
	t.Helper()
	client = b.dial(from)
	t.Cleanup(func() { client.Close() })
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := b.Listener.Accept()
		if err == nil {
			accepted <- c
		}
	}()
	read := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(client)
		read <- string(text)
	}()
	synctest.Wait()
	select {
	case c := <-accepted:
		t.Cleanup(func() { c.Close() })
		return client, c
	default: // it goes on accepting
		go func() { _, _ = client.Write([]byte("request")) }()
		time.Sleep(2 * tellTime) // of the bubble's clock
		if got := <-read; got != "refused" {
			t.Errorf("%s is sent %q", from, got)
		}
		b.arrivals <- net.ErrClosed // ends that accept
		synctest.Wait()
		return client, nil
	}
}

func TestBounds(t *testing.T) {
	for name, test := range map[string]struct {
		most, perClient int
		clients         []string
		refused         []bool
		reports         []string
	}{
		"in all": {3, 3, []string{"10.0.0.1", "10.0.0.2", "127.0.0.1", "10.0.0.3", "127.0.0.1"},
			[]bool{false, false, false, true, true}, []string{"1 10.0.0.3 begins", "1 127.0.0.1"}},
		"of one client": {10, 2, []string{"10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"},
			[]bool{false, false, true, false, true}, []string{"2 10.0.0.1 begins", "2 10.0.0.1"}},
		"of one that is exempt": {4, 1, []string{"127.0.0.1", "::1", "127.0.0.1", "127.0.0.2"},
			[]bool{false, false, false, false}, nil},
		"of one network of IPv6": {10, 1, []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1", "fe80::2"},
			[]bool{false, true, false, false, false}, []string{"2 2001:db8:: begins"}},
		"of IPv4 in IPv6": {10, 1, []string{"10.0.0.1", "::ffff:10.0.0.1"}, []bool{false, true}, []string{"2 10.0.0.1 begins"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(test.most, test.perClient)
				for i, client := range test.clients {
					_, server := b.connect(t, client)
					if server != nil {
						b.State(server, http.StateActive)
					}
					if (server == nil) != test.refused[i] {
						t.Errorf("connection %d, from %s: refused is %t", i, client, server == nil)
					}
				}
				if diff := cmp.Diff(test.reports, b.reports); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestIdleConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(3, 3)
		_, busy := b.connect(t, "10.0.0.1")
		b.State(busy, http.StateActive)
		_, older := b.connect(t, "10.0.0.2")
		b.State(older, http.StateIdle)
		time.Sleep(time.Minute)
		_, newer := b.connect(t, "10.0.0.3")
		b.State(newer, http.StateIdle)

		_, fourth := b.connect(t, "10.0.0.4")
		if fourth == nil || b.Len() != 3 {
			t.Fatalf("%d connections", b.Len())
		}
		if _, err := older.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the one that was idle longest is open: %v", err)
		}
		b.State(fourth, http.StateActive)
		older.Close() // by its server
		if b.Len() != 3 {
			t.Errorf("%d connections", b.Len())
		}
		b.State(newer, http.StateActive)
		if _, server := b.connect(t, "10.0.0.5"); server != nil {
			t.Error("a busy connection has made room")
		}
		busy.Close()
		_, silentOne := b.connect(t, "10.0.0.6")
		if silentOne == nil || b.Len() != 3 {
			t.Errorf("no room after one has ended: %d connections", b.Len())
		}
		if _, server := b.connect(t, "10.0.0.7"); server != nil {
			t.Error("a connection that is as new has made room")
		}
		time.Sleep(2 * silent)
		if _, server := b.connect(t, "10.0.0.8"); server == nil {
			t.Error("one without a request has made no room")
		}
	})
}

// A client makes room among its own connections only.
func TestIdleConnectionsOfOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(10, 1)
		_, other := b.connect(t, "10.0.0.1")
		b.State(other, http.StateIdle)
		_, own := b.connect(t, "10.0.0.2")
		b.State(own, http.StateIdle)
		if _, server := b.connect(t, "10.0.0.2"); server == nil || b.Len() != 2 {
			t.Errorf("%d connections", b.Len())
		}
		if _, err := own.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the client's own: %v", err)
		}
	})
}

// More clients than can be told are refused without a word.
func TestManyRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(0, 0)
		var clients []net.Conn
		for range tellers + 3 {
			c := b.dial("10.0.0.1")
			clients = append(clients, c)
			go func() { _, _ = c.Write([]byte("request")) }()
		}
		go func() { _, _ = b.Listener.Accept() }()
		synctest.Wait()
		told := 0
		for _, c := range clients {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			text := make([]byte, 7)
			if n, _ := io.ReadFull(c, text); n == len(text) {
				told++
			}
			c.Close()
		}
		if told != tellers {
			t.Errorf("%d are refused in words", told)
		}
		b.Listener.Close()
		b.Wait()
	})
}

func TestAcceptGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(1, 1)
		begun := time.Now()
		for range 12 {
			b.arrivals <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		defer b.dial("10.0.0.1").Close()
		server, err := b.Listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if len(b.reports) != 1 || !strings.Contains(b.reports[0], "too many open files") {
			t.Errorf("reports %q", b.reports)
		}
		if took := time.Since(begun); took > 12*lastPause {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAcceptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(1, 1)
		b.arrivals <- errors.New("broken")
		if _, err := b.Listener.Accept(); err == nil || err.Error() != "broken" {
			t.Errorf("accept: %v", err)
		}
		b.arrivals <- syscall.EMFILE
		ended := make(chan error)
		go func() {
			_, err := b.Listener.Accept()
			ended <- err
		}()
		synctest.Wait()
		if err := errors.Join(b.Listener.Close(), b.Listener.Close()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}

func TestStopEndsTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(3, 3)
		_, quiet := b.connect(t, "127.0.0.1")
		_, busy := b.connect(t, "127.0.0.1")
		b.State(busy, http.StateActive)
		begun := time.Now()
		var stopping sync.WaitGroup
		stopping.Go(b.Stop)
		synctest.Wait()
		var timeout net.Error
		if _, err := quiet.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(begun) != lastChance {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		quiet.Close()
		stopping.Wait()
	})
}

// TestServer bounds a real http.Server.
// held is a listener that accepts nothing before it is let go.
type held struct {
	*net.TCPListener
	letGo chan struct{}
}

func (h *held) Accept() (net.Conn, error) {
	<-h.letGo
	return h.TCPListener.Accept()
}

// TestStopAnswersWhatIsQueued has connections that wait to be accepted when the server stops.
func TestStopAnswersWhatIsQueued(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw := &held{tcp.(*net.TCPListener), make(chan struct{})}
	l := New(raw, Config{Most: 100, PerClient: 100, Exempt: func(netip.Addr) bool { return true }})
	server := http.Server{ConnState: l.State, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var clients []net.Conn
	for range 30 {
		client, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	go func() {
		for !l.stopping.Load() {
			runtime.Gosched()
		}
		close(raw.letGo)
	}()
	l.Stop()
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for i, client := range clients {
		if line, err := bufio.NewReader(client).ReadString('\n'); !strings.Contains(line, " 503 ") {
			t.Errorf("client %d read %q, %v", i, line, err)
		}
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func TestServer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"
	l := New(inner, Config{
		Most: 1, PerClient: 1, Exempt: func(netip.Addr) bool { return false }, Refusal: func() []byte { return []byte(refusal) },
		Met: func(Limit, netip.Addr, bool) {}, Failed: func(error) {},
	})
	held, free := make(chan struct{}), make(chan struct{})
	server := &http.Server{ConnState: l.State, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(held)
			<-free
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	get := func(path string) (int, string) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get("http://" + inner.Addr().String() + path)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	first := make(chan int, 1)
	go func() {
		code, _ := get("/hold")
		first <- code
	}()
	<-held
	if code, body := get("/"); code != 503 || body != "full" {
		t.Errorf("beyond the bound: %d %q", code, body)
	}
	close(free)
	if code := <-first; code != 200 {
		t.Errorf("within the bound: %d", code)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
	l.Wait()
}
