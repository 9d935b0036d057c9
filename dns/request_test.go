package dns

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

func TestBadMessages(t *testing.T) {
	const question = "037765620773657276696365056b6f696e6500" + "0001" + "0001"
	const opt = "00" + "0029" + "1000" + "00000000" + "0000"
	header := func(flags, counts string) string { return "1234" + flags + counts }
	tests := []struct {
		name, message string
		rcode         int // -1 for no reply
	}{
		{"empty", "", -1},
		{"short", "12340100", -1},
		{"a reply", header("8100", "0001000000000000") + question, -1},
		{"no question", header("0100", "0000000000000000"), dns.RcodeFormatError},
		{"two questions", header("0100", "0002000000000000") + question + question, dns.RcodeFormatError},
		{"an answer", header("0100", "0001000100000000") + question, dns.RcodeFormatError},
		{"cut in the name", header("0100", "0001000000000000") + "0377", dns.RcodeFormatError},
		{"cut before the root", header("0100", "0001000000000000") + "0377656207736572766963", dns.RcodeFormatError},
		{"cut in the type", header("0100", "0001000000000000") + question[:len(question)-2], dns.RcodeFormatError},
		{"compressed question", header("0100", "0001000000000000") + "c00c00010001", dns.RcodeFormatError},
		{"name too long", header("0100", "0001000000000000") + strings.Repeat("3f"+strings.Repeat("61", 63), 4) + "0000010001", dns.RcodeFormatError},
		{"missing record", header("0100", "0001000000000001") + question, dns.RcodeFormatError},
		{"too many records", header("0100", "0001000000000100") + question, dns.RcodeFormatError},
		{"two OPT", header("0100", "0001000000000002") + question + opt + opt, dns.RcodeFormatError},
		{"OPT in authority", header("0100", "0001000000010000") + question + opt, dns.RcodeFormatError},
		{"OPT with a name", header("0100", "0001000000000001") + question + "0161" + opt, dns.RcodeFormatError},
		{"OPT with a bad option", header("0100", "0001000000000001") + question + opt[:len(opt)-4] + "0004000800ff", dns.RcodeFormatError},
		{"type OPT", header("0100", "0001000000000000") + question[:len(question)-8] + "00290001", dns.RcodeFormatError},
		{"notify", header("2100", "0001000000000000") + question, dns.RcodeNotImplemented},
		{"update", header("2800", "0001000000000000") + question, dns.RcodeNotImplemented},
		{"class CH", header("0100", "0001000000000000") + question[:len(question)-4] + "0003", refused},
		{"class ANY", header("0100", "0001000000000000") + question[:len(question)-4] + "00ff", refused},
		{"AXFR", header("0100", "0001000000000000") + question[:len(question)-8] + "00fc0001", refused},
		{"IXFR", header("0100", "0001000000000000") + question[:len(question)-8] + "00fb0001", refused},
		{"EDNS 1", header("0100", "0001000000000001") + question + "00" + "0029" + "1000" + "00010000" + "0000", dns.RcodeBadVers},
		{"fine", header("0100", "0001000000000001") + question + opt, ok},
	}
	w := seeded(newTestServer(t, Config{}, estate()), 1)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			message, err := hex.DecodeString(test.message)
			if err != nil {
				t.Fatal(err)
			}
			reply, out := w.answer(message, false)
			if out != nil || (reply == nil) != (test.rcode < 0) {
				t.Fatalf("reply %x, outbound %v", reply, out)
			}
			if reply == nil {
				return
			}
			m := parse(t, reply)
			if m.Id != 0x1234 || !m.Response || m.Rcode != test.rcode || len(m.Answer) > 0 != (test.rcode == ok) {
				t.Errorf("reply %v", m)
			}
			if opcode := int(message[2]>>3) & 0xf; m.Opcode != opcode {
				t.Errorf("opcode %d came back as %d", opcode, m.Opcode)
			}
		})
	}
}

func FuzzMessage(f *testing.F) {
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeTXT, dns.TypeANY, dns.TypeSOA, dns.TypeNS, dns.TypePTR} {
		for _, name := range []string{".", "koine.", "Blue.web.service.koine.", "_http._tcp.web.service.dc1.consul.",
			"ext.service.koine.", "loop.service.koine.", "1.0.1.10.in-addr.arpa.", "a.b.localhost.", "7.0.d.f.ip6.arpa.", "fleet.service.koine.", "n1.node.koine."} {
			q := query(name, qtype)
			if qtype != dns.TypeA {
				q.SetEdns0(1232, true)
			}
			if qtype == dns.TypeTXT || qtype == dns.TypeSRV {
				q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}}
			}
			packed, err := q.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed, qtype == dns.TypeTXT)
		}
	}
	s := newTestServer(f, Config{}, append(fleet(300, nil), estate()...))
	f.Fuzz(func(t *testing.T, message []byte, tcp bool) {
		checkReply(t, seeded(s, 1), message, tcp)
	})
}

// checkReply holds what is true of the reply to any message.
func checkReply(t *testing.T, w *worker, message []byte, tcp bool) {
	t.Helper()
	reply, out := w.answer(message, tcp)
	if out != nil {
		reply = w.server.finish(t.Context(), out)
	}
	if reply == nil {
		if len(message) >= headerSize && message[2]&0x80 == 0 {
			t.Fatal("a query without a reply")
		}
		return
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%v: %x", err, reply)
	}
	limit := minUDP
	if tcp {
		limit = maxTCP
	} else if w.req.edns {
		limit = maxUDP
		if w.req.local {
			limit = max(minUDP, int(w.req.size))
		}
	}
	if len(reply) > limit {
		t.Fatalf("%d bytes, %d are allowed", len(reply), limit)
	}
	if m.Id != uint16(message[0])<<8|uint16(message[1]) || !m.Response {
		t.Fatalf("reply %v", m)
	}
	if m.Truncated && glueOf(&m) > 0 {
		t.Fatal("a cut answer with additional records")
	}
	if len(m.Question) == 1 && string(reply[headerSize:headerSize+len(w.req.qname)]) != string(w.req.qname) {
		t.Fatal("the question did not come back as it was")
	}
}

func glueOf(m *dns.Msg) int {
	n := len(m.Extra)
	if m.IsEdns0() != nil {
		n--
	}
	return n
}

func TestConfigErrors(t *testing.T) {
	view := catalog.NewView()
	tests := []struct {
		name, want string
		cfg        Config
	}{
		{"no view", "no view", Config{}},
		{"no domain", "no domain", Config{View: view, Domains: []string{}}},
		{"the root", `domain "." is not a name`, Config{View: view, Domains: []string{"."}}},
		{"bad domain", "is not a name", Config{View: view, Domains: []string{"a..b"}}},
		{"datacenter with a meaning", "is reserved in DNS", Config{View: view, Datacenter: "Node"}},
		{"datacenter with a dot", "datacenter name", Config{View: view, Datacenter: "a.b"}},
		{"negative ttl", "TTL of -1s", Config{View: view, TTL: -1e9}},
		{"half a second", "TTL of 500ms", Config{View: view, TTL: 5e8}},
		{"a second and a half", "TTL of 1.5s", Config{View: view, TTL: 15e8}},
		{"two days", "TTL of 48h0m0s", Config{View: view, TTL: 48 * 3600e9}},
		{"bad upstream", "192.0.2.1:53", Config{View: view, Upstreams: []string{"dns.example.com"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}
