package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// upstream is a fake resolver on loopback. Its answer gets each query and the transport; it returns the messages to send.
type upstream struct {
	addr   string
	asked  atomic.Int32 // the number of questions; one that is sent again counts once
	answer func(q *dns.Msg, network string) []*dns.Msg
}

func newUpstream(t testing.TB, answer func(q *dns.Msg, network string) []*dns.Msg) *upstream {
	t.Helper()
	u := &upstream{answer: answer}
	var listener net.Listener
	var packets net.PacketConn
	for range 16 {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if packets, err = net.ListenPacket("udp", listener.Addr().String()); err == nil {
			break
		}
		listener.Close()
	}
	u.addr = packets.LocalAddr().String()
	var seen sync.Map
	done := make(chan struct{}, 2)
	for network, server := range map[string]*dns.Server{"udp": {PacketConn: packets}, "tcp": {Listener: listener}} {
		server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if _, again := seen.LoadOrStore(fmt.Sprint(network, q.Id, q.Question), true); !again {
				u.asked.Add(1)
			}
			for _, m := range u.answer(q, network) {
				w.WriteMsg(m)
			}
		})
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			server.ActivateAndServe()
			done <- struct{}{}
		}()
		<-started
	}
	t.Cleanup(func() {
		packets.Close()
		listener.Close()
		<-done
		<-done
	})
	return u
}

func reply(q *dns.Msg, records ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func one(m *dns.Msg) []*dns.Msg { return []*dns.Msg{m} }

// silent is an address where no server answers, and unreachable one where none listens.
func silent(t *testing.T) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

func unreachable(t *testing.T) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}

func forwarding(t *testing.T, upstreams ...string) *worker {
	t.Helper()
	cfg := Config{Upstreams: upstreams, UpstreamTimeout: eventually.Patience}
	return seeded(newTestServer(t, cfg, estate()), 1)
}

func TestForward(t *testing.T) {
	queries := make(chan *dns.Msg, 8)
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		queries <- q.Copy()
		m := reply(q, "www.example.com. 300 IN A 192.0.2.1")
		m.Question[0].Name = strings.ToLower(m.Question[0].Name)
		m.Authoritative, m.AuthenticatedData, m.RecursionAvailable = true, true, true
		m.SetEdns0(4000, false)
		return one(m)
	})
	w := forwarding(t, u.addr)
	q := query("wWw.ExAmple.com.", dns.TypeA)
	q.CheckingDisabled = true
	q.SetEdns0(1400, true)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}}
	m := ask(t, w, q, false)
	if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.1" || m.Id != q.Id {
		t.Fatalf("reply %v", m)
	}
	if m.Question[0].Name != "wWw.ExAmple.com." || m.Authoritative || m.AuthenticatedData || !m.RecursionAvailable || !m.CheckingDisabled {
		t.Errorf("reply %v", m)
	}
	if opt := m.IsEdns0(); opt == nil || opt.UDPSize() != offeredUDP || !opt.Do() {
		t.Errorf("edns %v", m.IsEdns0())
	}
	got := <-queries
	if opt := got.IsEdns0(); opt == nil || !opt.Do() || len(opt.Option) != 0 || !got.CheckingDisabled || got.Id == q.Id {
		t.Errorf("upstream was asked %v", got)
	}
	if m := ask(t, w, query("www.example.com.", dns.TypeA), true); m.IsEdns0() != nil || len(m.Answer) != 1 {
		t.Errorf("without EDNS: %v", m)
	}
}

func TestOwnNamesAreNotForwarded(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg { return one(reply(q)) })
	w := forwarding(t, u.addr)
	for _, name := range []string{"nosuch.koine.", "a.b.c.CONSUL.", "koine.", "1.0.1.10.in-addr.arpa."} {
		ask(t, w, query(name, dns.TypePTR), false)
	}
	if u.asked.Load() != 0 {
		t.Errorf("upstream was asked %d times", u.asked.Load())
	}
	ask(t, w, query("1.9.9.8.in-addr.arpa.", dns.TypePTR), false)
	if u.asked.Load() != 1 {
		t.Errorf("unknown address: upstream was asked %d times", u.asked.Load())
	}
	q := query("example.com.", dns.TypeA)
	q.RecursionDesired = false
	if m := ask(t, w, q, false); m.Rcode != refused || u.asked.Load() != 1 {
		t.Errorf("without RD: %v", m)
	}
}

func TestForwardPassesCodesOn(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		m := reply(q)
		m.Rcode = nxdomain
		return one(m)
	})
	if m := ask(t, forwarding(t, u.addr), query("no.example.com.", dns.TypeA), false); m.Rcode != nxdomain {
		t.Errorf("reply %v", m)
	}
}

func TestForwardTurns(t *testing.T) {
	const unreachable, silent, failing, answering = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
	servers := map[string]func(int, *dns.Msg, string) (*dns.Msg, error){
		unreachable: func(int, *dns.Msg, string) (*dns.Msg, error) { return nil, errGone },
		silent:      func(int, *dns.Msg, string) (*dns.Msg, error) { return nil, nil },
		failing:     func(_ int, q *dns.Msg, _ string) (*dns.Msg, error) { return denial(q, dns.RcodeServerFailure, ""), nil },
		answering: func(_ int, q *dns.Msg, _ string) (*dns.Msg, error) {
			return reply(q, "x.example. 0 IN A 192.0.2.1"), nil
		},
	}
	synctest.Test(t, func(t *testing.T) {
		wires := &wires{start: time.Now(), servers: servers, counts: make(map[string]int)}
		w := forwarding(t, unreachable, silent, failing, answering)
		w.server.upstream.dial = wires.dial
		for range 3 {
			if m := ask(t, w, query("x.example.", dns.TypeA), false); len(m.Answer) != 1 {
				t.Fatalf("reply %v", m)
			}
		}
		wires.serving.Wait()
		if wires.counts[failing] != 1 || wires.counts[answering] != 3 {
			t.Errorf("asked %v times: the one that answered last comes first", wires.counts)
		}
		w = forwarding(t, failing, unreachable)
		w.server.upstream.dial = wires.dial
		if m := ask(t, w, query("x.example.", dns.TypeA), false); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("all fail: %v", m)
		}
		wires.serving.Wait()
	})
}

func TestNoUpstreamAnswers(t *testing.T) {
	w := forwarding(t, unreachable(t))
	q := query("x.example.", dns.TypeA)
	q.SetEdns0(1232, false)
	m := ask(t, w, q, false)
	if m.Rcode != dns.RcodeServerFailure || len(m.IsEdns0().Option) != 1 {
		t.Fatalf("reply %v", m)
	}
	if ede := m.IsEdns0().Option[0].(*dns.EDNS0_EDE); ede.InfoCode != dns.ExtendedErrorCodeNoReachableAuthority {
		t.Errorf("extended error %v", ede)
	}
}

func TestForgedAnswersArePassedOver(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		evil := func(change func(*dns.Msg)) *dns.Msg {
			m := reply(q, "x.example. 1 IN A 203.0.113.66")
			change(m)
			return m
		}
		return []*dns.Msg{
			evil(func(m *dns.Msg) { m.Id++ }),
			evil(func(m *dns.Msg) { m.Question[0].Name = "y.example." }),
			evil(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }),
			evil(func(m *dns.Msg) { m.Question = nil }),
			evil(func(m *dns.Msg) { m.Response = false }),
			reply(q, "x.example. 1 IN A 192.0.2.1"),
		}
	})
	m := ask(t, forwarding(t, u.addr), query("x.example.", dns.TypeA), false)
	if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
		t.Errorf("reply %v", m)
	}
	flood := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		var list []*dns.Msg
		for range maxStrays + 1 {
			m := reply(q)
			m.Id++
			list = append(list, m)
		}
		return list
	})
	if m := ask(t, forwarding(t, flood.addr), query("x.example.", dns.TypeA), false); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("flood: %v", m)
	}
}

func TestForwardGoesToTCP(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, network string) []*dns.Msg {
		m := reply(q)
		if network == "udp" {
			m.Truncated = true
			return one(m)
		}
		for i := range 100 {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: "x.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 9},
				A: net.IPv4(192, 0, 2, byte(i))})
		}
		return one(m)
	})
	w := seeded(newTestServer(t, Config{Upstreams: []string{u.addr}, UDPSize: 4096}, estate()), 1)
	if m := ask(t, w, query("x.example.", dns.TypeA), true); len(m.Answer) != 100 || m.Truncated {
		t.Errorf("tcp: %d answers, TC %v", len(m.Answer), m.Truncated)
	}
	if m := ask(t, w, query("x.example.", dns.TypeA), false); len(m.Answer) == 0 || len(m.Answer) > 31 || !m.Truncated {
		t.Errorf("udp: %d answers, TC %v", len(m.Answer), m.Truncated)
	}
	q := query("x.example.", dns.TypeA)
	q.SetEdns0(4096, false)
	if m := ask(t, w, q, false); len(m.Answer) != 100 || m.Truncated {
		t.Errorf("edns: %d answers, TC %v", len(m.Answer), m.Truncated)
	}
	elsewhere := forwarding(t, u.addr)
	elsewhere.req.client.ip = netip.MustParseAddr("192.0.2.9")
	if m := ask(t, elsewhere, q, false); len(m.Answer) < 60 || len(m.Answer) > 76 || !m.Truncated {
		t.Errorf("edns, by default: %d answers, TC %v", len(m.Answer), m.Truncated)
	}
}

func TestCNAMEIsFollowed(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		if q.Question[0].Name != "db.example.com." {
			m := reply(q)
			m.Rcode = nxdomain
			return one(m)
		}
		return one(reply(q, "db.example.com. 60 IN A 192.0.2.9"))
	})
	tests := []struct {
		name      string
		upstreams []string
		want      []string
	}{
		{"ext.service.koine.", []string{u.addr}, []string{"db.example.com. A 192.0.2.9", "ext.service.koine. CNAME db.example.com."}},
		{"ext.service.koine.", nil, []string{"ext.service.koine. CNAME db.example.com."}},
		{"alias.service.koine.", nil, []string{"alias.service.koine. CNAME pub.service.koine.", "pub.service.koine. A 10.0.0.1"}},
	}
	for _, test := range tests {
		m := ask(t, forwarding(t, test.upstreams...), query(test.name, dns.TypeA), false)
		if got := lines(m.Answer); strings.Join(got, "\n") != strings.Join(test.want, "\n") || m.Rcode != ok || !m.Authoritative {
			t.Errorf("%s: %v", test.name, m)
		}
	}
	m := ask(t, forwarding(t, u.addr), query("named.node.koine.", dns.TypeAAAA), false)
	if m.Rcode != nxdomain || len(m.Answer) != 1 {
		t.Errorf("a host that is not there: %v", m)
	}
	m = ask(t, forwarding(t, unreachable(t)), query("ext.service.koine.", dns.TypeA), false)
	if m.Rcode != dns.RcodeServerFailure {
		t.Errorf("a host that cannot be asked for: %v", m)
	}
}

func TestForwardsAreBounded(t *testing.T) {
	release := make(chan struct{})
	reached := make(chan struct{}, 8)
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		reached <- struct{}{}
		<-release
		return one(reply(q, "x.example. 1 IN A 192.0.2.1"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}, UpstreamTimeout: eventually.Patience, MaxForwards: 1}, estate())
	addr := start(t, s, "127.0.0.1:0").String()
	first := make(chan *dns.Msg, 1)
	client := &dns.Client{Timeout: eventually.Patience}
	go func() {
		m, _, _ := client.Exchange(query("x.example.", dns.TypeA), addr)
		first <- m
	}()
	<-reached
	for _, network := range []string{"udp", "tcp"} {
		m, _, err := (&dns.Client{Net: network, Timeout: eventually.Patience}).Exchange(query("y.example.", dns.TypeA), addr)
		if err != nil || m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s while full: %v %v", network, m, err)
		}
	}
	if m, _, err := client.Exchange(query("web.service.koine.", dns.TypeA), addr); err != nil || len(m.Answer) != 2 {
		t.Errorf("own names while full: %v %v", m, err)
	}
	close(release)
	if m := <-first; m == nil || len(m.Answer) != 1 {
		t.Errorf("the first: %v", m)
	}
	var m *dns.Msg
	var err error
	for range 10_000 { // the slot is freed just after the answer was sent
		m, _, err = (&dns.Client{Net: "tcp", Timeout: eventually.Patience}).Exchange(query("x.example.", dns.TypeA), addr)
		if err != nil || m.Rcode != dns.RcodeServerFailure {
			break
		}
	}
	if err != nil || len(m.Answer) != 1 {
		t.Errorf("by TCP: %v %v", m, err)
	}
}

func TestRunEndsWithQueriesInFlight(t *testing.T) {
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	s := newTestServer(t, Config{Upstreams: []string{hole.LocalAddr().String()}, UpstreamTimeout: time.Hour}, estate())
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	packed, _ := query("x.example.", dns.TypeA).Pack()
	client.Write(packed)
	if _, _, err := hole.ReadFrom(make([]byte, 512)); err != nil { // the query is in flight, and will not be answered
		t.Fatal(err)
	}
	idle, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestIsSelf(t *testing.T) {
	tests := []struct {
		upstream, self string
		want           bool
	}{
		{"127.0.0.1:53", "127.0.0.1:53", true},
		{"127.0.0.1:53", "127.0.0.1:8600", false},
		{"127.0.0.2:53", "127.0.0.1:53", false},
		{"0.0.0.0:53", "127.0.0.1:53", true},
		{"127.0.0.1:53", "0.0.0.0:53", true},
		{"[::1]:53", "[::]:53", true},
		{"127.0.0.11:53", "0.0.0.0:53", false},
		{"192.0.2.1:53", "0.0.0.0:53", false},
	}
	for _, test := range tests {
		if got := isSelf(netip.MustParseAddrPort(test.upstream), netip.MustParseAddrPort(test.self)); got != test.want {
			t.Errorf("upstream %s of %s: %v", test.upstream, test.self, got)
		}
	}
}

func TestUpstreamIsSelf(t *testing.T) {
	addr := unreachable(t)
	s := newTestServer(t, Config{Upstreams: []string{addr}}, estate())
	err := s.Listen(addr)
	want := "upstream " + addr + " is this name server itself: name another resolver with --upstream, or turn forwarding off with --upstream off"
	if err == nil || err.Error() != want || catalog.KindOf(err) != catalog.KindInvalid {
		t.Errorf("Listen: %v, want %s", err, want)
	}
}

// TestForwardingLoop holds that a running server detects that an upstream leads back to it.
func TestForwardingLoop(t *testing.T) {
	s := newTestServer(t, Config{Upstreams: []string{unreachable(t)}}, estate())
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	addr := s.Addr()
	s.upstream.use([]netip.AddrPort{addr})
	serve(t, s)
	m, _, err := (&dns.Client{Timeout: eventually.Patience}).Exchange(query("x.example.", dns.TypeA), addr.String())
	if err != nil || m.Rcode != refused {
		t.Errorf("reply %v, error %v", m, err)
	}
	if n := len(s.outbound); n > 1 {
		t.Errorf("%d queries went out", n)
	}
}

// TestOnlyAPartByTCP has an upstream that gives a part by UDP, and fails by TCP. A client that asks for the whole must not get the
// part: without records it says that there are none.
func TestOnlyAPartByTCP(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, network string) []*dns.Msg {
		m := reply(q)
		if network == "tcp" {
			m.Rcode = dns.RcodeServerFailure
		}
		m.Truncated = network == "udp"
		return one(m)
	})
	w := forwarding(t, u.addr)
	if m := ask(t, w, query("big.example.com.", dns.TypeA), false); m.Rcode != dns.RcodeSuccess || !m.Truncated {
		t.Errorf("by UDP: %v", m)
	}
	if m := ask(t, w, query("big.example.com.", dns.TypeA), true); m.Rcode != dns.RcodeServerFailure || m.Truncated {
		t.Errorf("by TCP: %v", m)
	}
}
