package dns

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/eventually"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestSipHash holds the test values of its authors: the key is 00 to 0f, and the message begins at 00.
func TestSipHash(t *testing.T) {
	var key [16]byte
	var message [64]byte
	for i := range message {
		message[i] = byte(i)
	}
	copy(key[:], message[:])
	for length, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		if got := sipHash(&key, message[:length]); got != want {
			t.Errorf("of %d bytes: %x, want %x", length, got, want)
		}
	}
}

// TestServerCookies holds the exchanges of RFC 9018, appendix A.
func TestServerCookies(t *testing.T) {
	const secret = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	for _, test := range []struct {
		name, current, previous, from, sent string
		at                                  int64
		valid                               bool
		reply                               string
	}{
		{"A.1", secret, "", "198.51.100.100", "2464c4abcf10c957", 1559731985, false, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		{"A.2", secret, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385, true,
			"2464c4abcf10c957010000005cf7a871d4a564a1442aca77"},
		{"A.3, when it was made", secret, "", "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559727985, true,
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5"},
		{"A.3", secret, "", "::ffff:203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559734700, false,
			"fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"},
		{"A.4", "445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715", "2001:db8:220:1:59de:d0f4:8769:82b8",
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741817, true, "22681ab97d52c298010000005cf7c57926556bd0934c72f8"},
		{"A.4, half an hour later", "445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715", "2001:db8:220:1:59de:d0f4:8769:82b8",
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741817 + 1800, true, ""},

		// Near misses.
		{"of another address", secret, "", "198.51.100.101", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985, false, ""},
		{"of another client", secret, "", "198.51.100.100", "2464c4abcf10c958010000005cf79f111f8130c3eee29480", 1559731985, false, ""},
		{"of another version", secret, "", "198.51.100.100", "2464c4abcf10c957020000005cf79f111f8130c3eee29480", 1559731985, false, ""},
		{"of another length", secret, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee2948000", 1559731985, false, ""},
		{"of an hour ago", secret, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 + 3600, true, ""},
		{"of more than an hour ago", secret, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 + 3601, false, ""},
		{"from a clock that is ahead", secret, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 - 300, true,
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		{"from the future", secret, "", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 - 301, false, ""},
	} {
		var c cookies
		s := &secrets{current: [16]byte(unhex(t, test.current)), previous: [16]byte(unhex(t, test.current))}
		if test.previous != "" {
			s.previous = [16]byte(unhex(t, test.previous))
		}
		c.secrets.Store(s)
		sent, ok := readCookie(unhex(t, test.sent))
		from, now := netip.MustParseAddr(test.from), time.Unix(test.at, 0)
		if got := s.valid(from, &sent, now); !ok || got != test.valid {
			t.Errorf("%s: read %v, valid %v", test.name, ok, got)
		}
		reply := hex.EncodeToString(c.appendReply(nil, from, &sent, now))
		if test.reply != "" && reply != test.reply || reply[:16] != test.sent[:16] {
			t.Errorf("%s: reply %s, want %s", test.name, reply, test.reply)
		}
		if made := fmt.Sprintf("%08x", uint32(test.at)); test.reply == "" && reply[16:32] != "01000000"+made {
			t.Errorf("%s: reply %s, want a new one of %s", test.name, reply, made)
		}
	}
}

func TestSecretsRollOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCookies(time.Now())
		first := *c.secrets.Load()
		if first.current == first.previous || first.current == [16]byte{} || first.previous == [16]byte{} {
			t.Errorf("secrets %x, %x", first.current, first.previous)
		}
		time.Sleep(secretLife - time.Second)
		c.rollOver(time.Now())
		if *c.secrets.Load() != first {
			t.Error("the secret is replaced before its time")
		}
		sent, _ := readCookie(c.appendReply(nil, netip.IPv6Loopback(), &cookie{size: clientCookieSize}, time.Now()))
		time.Sleep(time.Second)
		c.rollOver(time.Now())
		second := *c.secrets.Load()
		if second.previous != first.current || second.current == first.current || !second.valid(netip.IPv6Loopback(), &sent, time.Now()) {
			t.Errorf("secrets %x, %x after %x", second.current, second.previous, first.current)
		}
	})
}

// TestCookiesOverTheWire asks with cookies of several kinds, over both transports, for names in the server's own
// domains and for others.
func TestCookiesOverTheWire(t *testing.T) {
	u := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		if q.IsEdns0() == nil || len(q.IsEdns0().Option) != 0 {
			t.Errorf("upstream was asked %v", q)
		}
		return one(reply(q, q.Question[0].Name+" 60 IN A 192.0.2.1"))
	})
	s := newTestServer(t, Config{Upstreams: []string{u.addr}}, append(estate(), fleet(300, nil)...))
	addr := start(t, s, "127.0.0.1:0").String()
	ask := func(network, name, cookie string) (*dns.Msg, string) {
		t.Helper()
		q := query(name, dns.TypeA)
		q.SetEdns0(4096, false)
		if cookie != "" {
			q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
		}
		m, _, err := (&dns.Client{Net: network, UDPSize: 4096, Timeout: eventually.Patience}).Exchange(q, addr)
		if err != nil {
			t.Fatal(err)
		}
		for _, option := range m.IsEdns0().Option {
			if c, ok := option.(*dns.EDNS0_COOKIE); ok {
				return m, c.Cookie
			}
		}
		return m, ""
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"web.service.koine.", "fleet.service.koine.", "www.example.com.", "nosuch.koine."} {
			const client = "0011223344556677"
			if _, got := ask(network, name, ""); got != "" {
				t.Errorf("%s %s: cookie %s for a client that sent none", network, name, got)
			}
			m, first := ask(network, name, client)
			if len(first) != 48 || !strings.HasPrefix(first, client) {
				t.Errorf("%s %s: cookie %s for %s", network, name, first, client)
			}
			if cut := network == "udp" && name == "fleet.service.koine."; m.Truncated != cut || cut && len(m.Answer) > (4096-headerSize-25-optSize-cookieOptionSize)/16 {
				t.Errorf("%s %s: %d answers, TC %v", network, name, len(m.Answer), m.Truncated)
			}
			if _, again := ask(network, name, first); again != first {
				t.Errorf("%s %s: cookie %s for the good one %s", network, name, again, first)
			}
			if _, fresh := ask(network, name, client+"00112233445566778899aabbccddeeff"); len(fresh) != 48 || !strings.HasPrefix(fresh, client) {
				t.Errorf("%s %s: cookie %s for a bad one", network, name, fresh)
			}
			for _, bad := range []string{"00", "00112233445566", "001122334455667788", strings.Repeat("00", 15), strings.Repeat("00", 41)} {
				if m, got := ask(network, name, bad); m.Rcode != dns.RcodeFormatError || got != "" {
					t.Errorf("%s %s: cookie of %d bytes: %v", network, name, len(bad)/2, m)
				}
			}
		}
	}
}

// FuzzOPT compares the reading of OPT records with that of the message library, which is slow and refuses more.
func FuzzOPT(f *testing.F) {
	seed := func(options ...dns.EDNS0) {
		q := query(".", dns.TypeA)
		q.SetEdns0(1232, true)
		q.IsEdns0().Option = options
		packed, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed[headerSize+5:])
	}
	seed()
	seed(&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"})
	seed(&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"},
		&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "00"})
	seed(&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "001122334455667788"})
	seed(&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{10, 0, 0, 0}})
	f.Add([]byte{0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 3, 0, 10, 0})
	f.Fuzz(func(t *testing.T, record []byte) {
		var r request
		next, ours, rcode := r.parseOPT(record, 0, false)
		rr, end, err := dns.UnpackRR(record, 0)
		opt, theirs := rr.(*dns.OPT)
		if err != nil || !theirs || record[0] != 0 {
			return
		}
		if !ours {
			t.Fatalf("no OPT record: %x", record)
		}
		want, bad := "", false
		for _, option := range opt.Option {
			if c, ok := option.(*dns.EDNS0_COOKIE); ok && want == "" {
				n := len(c.Cookie) / 2
				bad = n != 8 && (n < 16 || n > 40)
				want = c.Cookie
				break
			}
		}
		if bad != (rcode == dns.RcodeFormatError) {
			t.Fatalf("code %d, cookie %q", rcode, want)
		}
		if bad {
			return
		}
		if next != end || r.size != opt.UDPSize() || r.do != opt.Do() || r.version != opt.Version() || hex.EncodeToString(r.cookie.data[:r.cookie.size]) != want {
			t.Fatalf("%+v to %d, want %v to %d", r, next, opt, end)
		}
		if want == "" {
			return
		}
		var c cookies
		c.secrets.Store(&secrets{})
		if reply := c.appendReply(nil, netip.IPv6Loopback(), &r.cookie, time.Unix(int64(binary.BigEndian.Uint16(record)), 0)); len(reply) != 24 {
			t.Fatalf("reply %x", reply)
		}
	})
}
