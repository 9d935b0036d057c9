package dns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

func TestUDPAndTCP(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := newTestServer(t, Config{Metrics: registry}, append(estate(), fleet(300, nil)...))
	addr := start(t, s, "127.0.0.1:0")
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, Timeout: eventually.Patience}
		m, _, err := client.Exchange(query("web.service.koine.", dns.TypeA), addr.String())
		if err != nil || len(m.Answer) != 2 {
			t.Errorf("%s: %v %v", network, m, err)
		}
		m, _, err = client.Exchange(query("fleet.service.koine.", dns.TypeSRV), addr.String())
		if err != nil || m.Truncated != (network == "udp") || (len(m.Answer) == 300) != (network == "tcp") {
			t.Errorf("%s: %v %v", network, m, err)
		}
	}
	want := map[string]float64{"koine_dns_truncated_total": 1, "koine_dns_replies_total A noerror": 2, "koine_dns_replies_total SRV noerror": 2}
	if diff := cmp.Diff(want, gather(t, registry)); diff != "" {
		t.Error(diff)
	}
	if _, err := New(Config{View: catalog.NewView(), NoForward: true, Metrics: registry}); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

// gather returns the counters that are not 0.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counters := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			key := family.GetName()
			for _, label := range []string{"type", "rcode"} {
				for _, pair := range metric.GetLabel() {
					if pair.GetName() == label {
						key += " " + pair.GetValue()
					}
				}
			}
			if value := metric.GetCounter().GetValue(); value != 0 {
				counters[key] = value
			}
		}
	}
	return counters
}

// TestReplyComesFromTheAddressAsked asks a server that is bound to all addresses at one that routing would not choose.
func TestReplyComesFromTheAddressAsked(t *testing.T) {
	for _, bind := range []string{"0.0.0.0:0", ":0"} {
		s := newTestServer(t, Config{}, estate())
		port := start(t, s, bind).Port()
		addr := netip.AddrPortFrom(netip.MustParseAddr("127.9.9.9"), port).String()
		m, _, err := (&dns.Client{Timeout: eventually.Patience}).Exchange(query("web.service.koine.", dns.TypeA), addr)
		if err != nil || len(m.Answer) != 2 {
			t.Errorf("%s: %v %v", bind, m, err)
		}
	}
}

func TestIPv6(t *testing.T) {
	needs.IPv6(t)
	for _, bind := range []string{"[::1]:0", "[::]:0"} {
		s := newTestServer(t, Config{}, estate())
		addr := netip.AddrPortFrom(netip.IPv6Loopback(), start(t, s, bind).Port())
		m, _, err := (&dns.Client{Timeout: eventually.Patience}).Exchange(query("web.service.koine.", dns.TypeAAAA), addr.String())
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v %v", bind, m, err)
		}
	}
}

func TestTakenPort(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		var addr string
		if network == "tcp" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addr = l.Addr().String()
		} else {
			addr = silent(t)
		}
		err := newTestServer(t, Config{}, estate()).Listen(addr)
		if err == nil || !strings.Contains(err.Error(), "listen for dns on "+addr) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", network, err)
		}
	}
	if err := newTestServer(t, Config{}, estate()).Listen("127.0.0.1:port"); err == nil {
		t.Error("a port that is none was bound")
	}
}

func TestRunTellsWhySocketsFail(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.udp[0].Close()
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "read udp") {
		t.Errorf("Run: %v", err)
	}
}

// TestConnection sends several messages over one connection, and then one that ends it.
func TestConnection(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	addr := start(t, s, "127.0.0.1:0").String()
	tooLong := binary.BigEndian.AppendUint16(nil, maxRequest+1)
	aReply := append([]byte{0, 12}, 0x12, 0x34, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, last := range [][]byte{tooLong, aReply, {0, 3, 1, 2, 3}} {
		raw, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn := &dns.Conn{Conn: raw}
		for _, name := range []string{"web.service.koine.", "n1.node.koine.", "nosuch.koine."} {
			if err := conn.WriteMsg(query(name, dns.TypeA)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int{2, 1, 0} {
			if m, err := conn.ReadMsg(); err != nil || len(m.Answer) != want {
				t.Errorf("want %d answers: %v %v", want, m, err)
			}
		}
		raw.Write(last)
		if rest, err := io.ReadAll(raw); len(rest) > 0 {
			t.Errorf("after the end: %x %v", rest, err)
		}
		raw.Close()
	}
}

func TestDig(t *testing.T) {
	dig := needs.Tool(t, "dig")
	s := newTestServer(t, Config{}, append(estate(), fleet(300, nil)...))
	addr := start(t, s, "127.0.0.1:0")
	run := func(args ...string) string {
		args = append([]string{"@127.0.0.1", "-p", strings.Split(addr.String(), ":")[1], "+tries=1", "+time=300"}, args...)
		out, err := exec.CommandContext(t.Context(), dig, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	tests := []struct {
		args string
		want []string
	}{
		{"+short six.service.koine AAAA", []string{"fd01::6\n"}},
		{"+short pub.service.consul SRV", []string{"1 1 30080 0a000001.addr.dc1.consul.\n"}},
		{"+short -x 10.0.0.1", []string{"n1.node.dc1.koine.\n"}},
		{"nosuch.service.koine", []string{"status: NXDOMAIN", "SOA\tns.koine. postmaster.koine."}},
		{"six.service.koine A", []string{"status: NOERROR", "ANSWER: 0", "AUTHORITY: 1"}},
		{"koine AXFR", []string{"Transfer failed"}},
		{"+ednsopt=65001:00 +qr SIX.service.KOINE AAAA", []string{";SIX.service.KOINE.", "fd01::6"}},
		{"+edns=1 +noednsnegotiation web.service.koine", []string{"status: BADVERS"}},
		{"+noedns +ignore fleet.service.koine", []string{"flags: qr aa tc rd", "MSG SIZE  rcvd: 501"}},
		{"+bufsize=4096 fleet.service.koine SRV", []string{"ANSWER: 300", "(TCP)"}},
		{"+bufsize=4096 +ignore +nocookie fleet.service.koine", []string{"flags: qr aa tc rd", "udp: 1232", "MSG SIZE  rcvd: 4096"}},
		{"-c CH version.bind TXT", []string{"status: REFUSED"}},
		{"www.example.com", []string{"status: REFUSED"}},
	}
	for _, test := range tests {
		out := run(strings.Fields(test.args)...)
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("dig %s: no %q in\n%s", test.args, want, out)
			}
		}
	}
}
