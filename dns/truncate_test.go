package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// way is a way to ask: a server with its UDP size (0 for the default), and the transport: UDP with an EDNS size (0 for
// no EDNS), or TCP.
type way struct {
	server int
	size   uint16
	tcp    bool
	limit  int
}

var ways = []way{
	{0, 0, false, 512}, {0, 100, false, 512}, {0, 512, false, 512}, {0, 1231, false, 1231}, {0, 1232, false, 1232}, {0, 4096, false, 1232},
	{0, 65535, false, 1232}, {0, 0, true, 65535}, {0, 1232, true, 65535},
	{512, 0, false, 512}, {512, 4096, false, 512}, {4096, 0, false, 512}, {4096, 1232, false, 1232}, {4096, 65535, false, 4096},
	{4096, 4096, true, 65535},
}

func (w way) String() string { return fmt.Sprintf("server=%d,edns=%d,tcp=%v", w.server, w.size, w.tcp) }

func (w way) query(name string, qtype uint16) *dns.Msg {
	q := query(name, qtype)
	if w.size > 0 {
		q.SetEdns0(w.size, false)
	}
	return q
}

// TestTruncation holds what must be true of every answer, whatever the size of the service and of the message.
func TestTruncation(t *testing.T) {
	for _, n := range []int{1, 2, 7, 11, 12, 30, 31, 75, 300, 1400, 5000} {
		workers := make(map[int]*worker)
		for _, size := range []int{0, 512, 4096} {
			changes := fleet(n, func(i int, one *catalog.Instance) { one.Weight = int32(1 + i%5) })
			workers[size] = seeded(newTestServer(t, Config{UDPSize: size}, changes), 13)
			workers[size].req.client.ip = netip.MustParseAddr("192.0.2.9") // of another host
		}
		for _, way := range ways {
			w := workers[way.server]
			for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
				t.Run(fmt.Sprintf("%d,%s,%s", n, dns.TypeToString[qtype], way), func(t *testing.T) {
					checkCut(t, w, way, qtype, n)
				})
			}
		}
	}
}

// TestAnswersOnTheHostAreAsLargeAsTheClientTakes asks from the host itself, which no link separates from the server.
func TestAnswersOnTheHostAreAsLargeAsTheClientTakes(t *testing.T) {
	for _, n := range []int{200, 5000} {
		w := seeded(newTestServer(t, Config{}, fleet(n, nil)), 13)
		for _, ip := range []string{"127.0.0.1", "::1"} {
			w.req.client.ip = netip.MustParseAddr(ip)
			for size, limit := range map[uint16]int{0: 512, 512: 512, 1232: 1232, 8192: 8192, 16384: 16384, 65535: hostUDP} {
				for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
					checkCut(t, w, way{size: size, limit: limit}, qtype, n)
				}
			}
		}
	}
}

// TestLargeAnswersOverTheWire holds that the system takes them in one datagram.
func TestLargeAnswersOverTheWire(t *testing.T) {
	addr := start(t, newTestServer(t, Config{}, fleet(300, nil)), "127.0.0.1:0").String()
	q := query("fleet.service.koine.", dns.TypeSRV)
	q.SetEdns0(65535, false)
	m, _, err := (&dns.Client{Net: "udp", UDPSize: 65535, Timeout: eventually.Patience}).Exchange(q, addr)
	if err != nil || len(m.Answer) != 300 || len(m.Extra) != 301 || m.Truncated {
		t.Errorf("%v, %v; want all 300 with their addresses", m, err)
	}
}

func checkCut(t *testing.T, w *worker, way way, qtype uint16, n int) {
	packed, err := way.query("fleet.service.koine.", qtype).Pack()
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := w.answer(packed, way.tcp)
	m := parse(t, raw)
	if len(raw) > way.limit {
		t.Fatalf("%d bytes", len(raw))
	}
	if (m.IsEdns0() != nil) != (way.size > 0) {
		t.Error("EDNS came back otherwise than it was sent")
	} else if opt := m.IsEdns0(); opt != nil && int(opt.UDPSize()) != max(way.server, 512) && (way.server != 0 || opt.UDPSize() != 1232) {
		t.Errorf("the server says that it takes %d bytes", opt.UDPSize())
	}
	if m.Truncated != (len(m.Answer) < n) {
		t.Fatalf("TC is %v with %d of %d records", m.Truncated, len(m.Answer), n)
	}
	least := 16
	if qtype == dns.TypeSRV {
		least = 12 + 6 + 9 + len("addr") + 1 + len("dc1") + 1 + len("koine") + 2
	}
	if m.Truncated && (glueOf(m) > 0 || len(raw)+least <= way.limit) {
		t.Errorf("cut with %d additional records, at %d bytes", glueOf(m), len(raw))
	}
	if qtype == dns.TypeSRV && !m.Truncated && glueOf(m) < n && len(raw)+16 <= way.limit && len(raw) < maxPointer {
		t.Errorf("%d additional records for %d, at %d bytes", glueOf(m), n, len(raw))
	}
	checkDistinct(t, m)
}

func checkDistinct(t *testing.T, m *dns.Msg) {
	t.Helper()
	targets := make(map[string]bool)
	for _, rr := range m.Answer {
		key := rr.String()
		if srv, isSRV := rr.(*dns.SRV); isSRV {
			key = srv.Target
		}
		if targets[key] {
			t.Errorf("%s stands twice", key)
		}
		targets[key] = true
	}
	for _, rr := range m.Extra {
		if a, isA := rr.(*dns.A); isA && !targets[a.Hdr.Name] {
			t.Errorf("additional record for %s, which is no target", a.Hdr.Name)
		} else if want := fmt.Sprintf("%x.addr.dc1.koine.", a4(rr)); isA && a.Hdr.Name != want {
			t.Errorf("%s has the address %s", a.Hdr.Name, a.A)
		}
	}
}

func a4(rr dns.RR) []byte {
	if a, isA := rr.(*dns.A); isA {
		return a.A.To4()
	}
	return nil
}

func TestWholeFleetByTCP(t *testing.T) {
	w := seeded(newTestServer(t, Config{}, fleet(300, nil)), 1)
	m := ask(t, w, query("fleet.service.koine.", dns.TypeSRV), true)
	if len(m.Answer) != 300 || len(m.Extra) != 300 || m.Truncated {
		t.Errorf("%d answers, %d additional, TC %v", len(m.Answer), len(m.Extra), m.Truncated)
	}
}

// TestGlueBeyondPointers has names too far back in the message for compression.
func TestGlueBeyondPointers(t *testing.T) {
	w := seeded(newTestServer(t, Config{}, fleet(600, nil)), 1)
	m := ask(t, w, query("fleet.service.koine.", dns.TypeSRV), true)
	if len(m.Answer) != 600 || len(m.Extra) != 600 || m.Truncated {
		t.Errorf("%d answers, %d additional, TC %v", len(m.Answer), len(m.Extra), m.Truncated)
	}
	checkDistinct(t, m)
}

// TestCutAnswersAreFair has many clients ask: every instance must appear as often as any other, and one client gets the same
// each time.
func TestCutAnswersAreFair(t *testing.T) {
	const trials, n = 3000, 300
	w := seeded(newTestServer(t, Config{}, fleet(n, nil)), 17)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
		seen := make(map[netip.Addr]int)
		size := 0
		for trial := range trials {
			w.req.client.ip = netip.AddrFrom4([4]byte{192, 0, byte(trial >> 8), byte(trial)})
			m := ask(t, w, query("fleet.service.koine.", qtype), false)
			size = len(m.Answer)
			if trial%100 == 0 {
				again := ask(t, w, query("fleet.service.koine.", qtype), false)
				if got, want := sampleOf(t, again), sampleOf(t, m); !slices.Equal(got, want) {
					t.Fatalf("a client gets %v and then %v", want, got)
				}
			}
			for _, rr := range m.Answer {
				seen[addressOf(t, rr)]++
			}
		}
		if len(seen) != n {
			t.Fatalf("%d of %d seen", len(seen), n)
		}
		for addr, count := range seen {
			near(t, addr.String(), count, trials, float64(size)/n)
		}
	}
}

// sampleOf returns the addresses of an answer, sorted.
func sampleOf(t *testing.T, m *dns.Msg) (list []netip.Addr) {
	t.Helper()
	for _, rr := range m.Answer {
		list = append(list, addressOf(t, rr))
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

func addressOf(t *testing.T, rr dns.RR) netip.Addr {
	t.Helper()
	switch rr := rr.(type) {
	case *dns.A:
		addr, _ := netip.AddrFromSlice(rr.A.To4())
		return addr
	case *dns.SRV:
		addr, okay := parseHex(dns.SplitDomainName(rr.Target)[:1])
		if !okay {
			t.Fatalf("target %s", rr.Target)
		}
		return addr
	default:
		t.Fatalf("record %s", rr)
		return netip.Addr{}
	}
}

func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{3, 300, 10_000} {
		s := newTestServer(b, Config{}, fleet(n, func(i int, one *catalog.Instance) { one.Weight = int32(1 + i%2) }))
		for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
			b.Run(fmt.Sprintf("%s-%d", dns.TypeToString[qtype], n), func(b *testing.B) {
				w := seeded(s, 1)
				packed, err := way{size: 1232}.query("fleet.service.koine.", qtype).Pack()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					w.answer(packed, false)
				}
			})
		}
	}
}
