package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestTurns holds the order in which servers are asked, and when none is left.
func TestTurns(t *testing.T) {
	for _, test := range []struct {
		servers, first int
		out            map[int]int // by the number of questions sent before: the server that fails
		want           string
	}{
		{1, 0, nil, "0 0 0"},
		{2, 1, nil, "1 0 1 0 1 0"},
		{3, 5, nil, "2 0 1 2 0 1 2 0 1"},
		{2, 0, map[int]int{1: 0}, "0 1 1 1"},
		{2, 0, map[int]int{2: 1}, "0 1 0 0"},
		{3, 0, map[int]int{1: 0, 2: 1, 3: 2}, "0 1 2"},
		{0, 0, nil, ""},
	} {
		turns := newTurns(test.servers, test.first)
		var got []string
		for k := turns.next(); k >= 0; k = turns.next() {
			turns.sent[k]++
			got = append(got, fmt.Sprint(k))
			if failing, ok := test.out[len(got)]; ok {
				turns.out[failing] = true
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%d servers from %d, failing %v: %q, want %q", test.servers, test.first, test.out, got, test.want)
		}
		if over := turns.over(); over != (len(test.out) == test.servers) {
			t.Errorf("%d servers, %d have failed: over is %v", test.servers, len(test.out), over)
		}
	}
}

// wires is a network in memory: each dialled server defines what it does with the questions that reach it.
type wires struct {
	mu sync.Mutex
	// asked are the servers by the times of the questions, counted from start.
	asked []string
	start time.Time
	// servers answer the nth question, counted from 1; without an answer it is lost. An error closes the line.
	servers map[string]func(n int, q *dns.Msg, network string) (*dns.Msg, error)
	counts  map[string]int
	serving sync.WaitGroup
}

var errGone = errors.New("gone")

func (w *wires) dial(_ context.Context, network, address string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	w.serving.Go(func() { w.serve(theirs, network, address) })
	return ours, nil
}

func (w *wires) serve(conn net.Conn, network, address string) {
	defer conn.Close()
	var c dns.Conn
	buf := make([]byte, maxUDP)
	for {
		var q dns.Msg
		if network == "tcp" {
			c.Conn = conn
			m, err := c.ReadMsg()
			if err != nil {
				return
			}
			q = *m
		} else if n, err := conn.Read(buf); err != nil || q.Unpack(buf[:n]) != nil {
			return
		}
		m, err := w.ask(network, address, &q)
		switch {
		case err != nil:
			return
		case m == nil:
		case network == "tcp":
			_ = c.WriteMsg(m)
		default:
			packed, _ := m.Pack()
			_, _ = conn.Write(packed)
		}
	}
}

func (w *wires) ask(network, address string, q *dns.Msg) (*dns.Msg, error) {
	w.mu.Lock()
	name := strings.TrimSuffix(address, ":53")
	w.counts[name]++
	n := w.counts[name]
	w.asked = append(w.asked, fmt.Sprintf("%s %s %v", name, network, time.Since(w.start)))
	w.mu.Unlock()
	return w.servers[name](n, q, network)
}

// TestResend holds when a question is sent again, and to which server, in time that advances only while all wait.
func TestResend(t *testing.T) {
	good := func(_ int, q *dns.Msg, _ string) (*dns.Msg, error) {
		return reply(q, "x.example. 60 IN A 192.0.2.1"), nil
	}
	lost := func(int, *dns.Msg, string) (*dns.Msg, error) { return nil, nil }
	gone := func(int, *dns.Msg, string) (*dns.Msg, error) { return nil, errGone }
	fails := func(_ int, q *dns.Msg, _ string) (*dns.Msg, error) { return denial(q, dns.RcodeServerFailure, ""), nil }
	type server = func(int, *dns.Msg, string) (*dns.Msg, error)
	from := func(first int, s server) server {
		return func(n int, q *dns.Msg, network string) (*dns.Msg, error) {
			if n < first {
				return nil, nil
			}
			return s(n, q, network)
		}
	}
	after := func(d time.Duration, s server) server {
		return func(n int, q *dns.Msg, network string) (*dns.Msg, error) {
			time.Sleep(d)
			return s(n, q, network)
		}
	}
	cut := func(whole server) server {
		return func(n int, q *dns.Msg, network string) (*dns.Msg, error) {
			m, err := whole(n, q, network)
			if network == "udp" {
				m, err = reply(q), nil
				m.Truncated = true
			}
			return m, err
		}
	}
	partly := func(_ int, q *dns.Msg, _ string) (*dns.Msg, error) {
		m := reply(q)
		m.Truncated = true
		return m, nil
	}
	old := func(code int) server { // a server that knows no EDNS
		return func(n int, q *dns.Msg, network string) (*dns.Msg, error) {
			if q.IsEdns0() == nil {
				return good(n, q, network)
			}
			m := denial(q, code, "")
			if code == dns.RcodeFormatError {
				m.Question = nil
			}
			return m, nil
		}
	}
	for _, test := range []struct {
		name    string
		servers []server
		want    string // the code and number of records, or the error
		took    time.Duration
		asked   string
	}{
		{"at once", []server{good, good}, "NOERROR 1", 0, "a udp 0s"},
		{"the only one loses the first datagram", []server{from(2, good)}, "NOERROR 1", 400 * time.Millisecond, "a udp 0s, a udp 400ms"},
		{"and the second", []server{from(3, good)}, "NOERROR 1", 800 * time.Millisecond, "a udp 0s, a udp 400ms, a udp 800ms"},
		{"the only one is silent", []server{lost}, errNoAnswer.Error(), 1500 * time.Millisecond, "a udp 0s, a udp 400ms, a udp 800ms"},
		{"the first is silent", []server{lost, good}, "NOERROR 1", 400 * time.Millisecond, "a udp 0s, b udp 400ms"},
		{"slow, and no other", []server{after(1400*time.Millisecond, good)}, "NOERROR 1", 1400 * time.Millisecond, ""},
		{"slow, and the other fails", []server{after(2*time.Second, good), fails}, "NOERROR 1", 2 * time.Second, ""},
		{"both lose one", []server{from(2, good), from(2, good)}, "NOERROR 1", 800 * time.Millisecond, "a udp 0s, b udp 400ms, a udp 800ms"},
		{"the first is gone", []server{gone, good}, "NOERROR 1", 0, "a udp 0s, b udp 0s"},
		{"all are gone", []server{gone, gone}, "ask ", 0, "a udp 0s, b udp 0s"},
		{"the first cannot", []server{fails, from(2, good)}, "NOERROR 1", 400 * time.Millisecond, "a udp 0s, b udp 0s, b udp 400ms"},
		{"the first cannot, the other is silent", []server{fails, lost}, "SERVFAIL 0", 3 * time.Second, "a udp 0s, b udp 0s, b udp 400ms, b udp 800ms"},
		{"without EDNS", []server{old(dns.RcodeFormatError)}, "NOERROR 1", 0, "a udp 0s, a udp 0s"},
		{"without EDNS, by another code", []server{old(dns.RcodeNotImplemented)}, "NOERROR 1", 0, "a udp 0s, a udp 0s"},
		{"cut", []server{cut(good)}, "NOERROR 1", 0, "a udp 0s, a tcp 0s"},
		{"cut, and TCP is gone", []server{cut(gone)}, "NOERROR 0 TC", 0, "a udp 0s, a tcp 0s"},
		{"cut, TCP is gone, and another has the whole", []server{cut(gone), good}, "NOERROR 1", 0, "a udp 0s, a tcp 0s, b udp 0s"},
		{"cut, and by TCP it fails", []server{cut(fails)}, "NOERROR 0 TC", 0, "a udp 0s, a tcp 0s"},
		{"cut, even by TCP", []server{partly}, "NOERROR 0 TC", 0, "a udp 0s, a tcp 0s"},
		{"cut, and TCP is silent", []server{cut(lost)}, "NOERROR 0 TC", 1500 * time.Millisecond, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wires{start: time.Now(), servers: make(map[string]server), counts: make(map[string]int)}
				f := &forwarder{timeout: 1500 * time.Millisecond, dial: w.dial}
				var servers []netip.AddrPort
				for i, s := range test.servers {
					ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})
					servers = append(servers, netip.AddrPortFrom(ip, 53))
					w.servers[ip.String()] = s
				}
				f.use(servers)
				q := query("x.example.", dns.TypeA)
				q.SetEdns0(offeredUDP, false)
				m, err := f.exchange(t.Context(), q)
				got := fmt.Sprint(err)
				if err == nil {
					got = fmt.Sprint(dns.RcodeToString[m.Rcode], " ", len(m.Answer))
					if m.Truncated {
						got += " TC"
					}
				}
				if took := time.Since(w.start); !strings.HasPrefix(got, test.want) || took != test.took {
					t.Errorf("%s after %v, want %s after %v", got, took, test.want, test.took)
				}
				w.serving.Wait()
				asked := strings.NewReplacer("192.0.2.1", "a", "192.0.2.2", "b").Replace(strings.Join(w.asked, ", "))
				if test.asked != "" && asked != test.asked {
					t.Errorf("asked %s\n want %s", asked, test.asked)
				}
			})
		})
	}
}

// TestOneLostDatagram has a real resolver that does not answer the first question.
func TestOneLostDatagram(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[uint16]int)
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		mu.Lock()
		defer mu.Unlock()
		if seen[q.Id]++; seen[q.Id] == 1 {
			return nil
		}
		return one(reply(q, "drop.example. 60 IN A 192.0.2.1"))
	})
	w := forwarding(t, u.addr)
	m := ask(t, w, query("drop.example.", dns.TypeA), false)
	w.server.upstream.asking.Range(func(from, _ any) bool {
		t.Errorf("the socket %v is still waited on", from)
		return true
	})
	mu.Lock()
	defer mu.Unlock()
	if len(m.Answer) != 1 || u.asked.Load() != 1 || len(seen) != 1 {
		t.Errorf("asked %d questions, under these IDs: %v: %v", u.asked.Load(), seen, m)
	}
}
