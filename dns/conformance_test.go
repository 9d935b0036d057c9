package dns

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// TestConformance holds every cell of the table in docs/dns.md, over both transports, with EDNS and without.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile("../docs/dns.md")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		m := reply(q)
		m.Rcode = dns.RcodeNotAuth // a code that this server itself never gives
		return one(m)
	})
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view, Upstreams: []string{elsewhere.addr}}, neighbourhood())
	s.AllowNetworks(bridges())
	var types []string
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		switch {
		case len(cells) < 10 || strings.HasPrefix(cells[0], "-"): // the tables before it are narrower
		case types == nil:
			types = cells[2:]
		default:
			rows++
			for i, want := range cells[2:] {
				conform(t, s, cells[0], cells[1], types[i], want)
			}
		}
	}
	if rows < 35 || len(types) != 8 {
		t.Errorf("%d rows of types %q", rows, types)
	}
}

// conform asks one question in four ways.
func conform(t *testing.T, s *Server, client, name, qtype, want string) {
	t.Helper()
	from := map[string]string{"container": fromFront, "host": fromHost, "elsewhere": fromAfar}[client]
	for way := range 4 {
		w := seeded(s, 1)
		w.req.client = s.clientAt(netip.MustParseAddr(from))
		q := query(name, dns.StringToType[qtype])
		if way&1 != 0 {
			q.SetEdns0(1232, false)
		}
		if got := outcome(ask(t, w, q, way&2 != 0)); got != want {
			t.Errorf("%s asks %s %s, edns %v, tcp %v: %s, want %s", client, name, qtype, way&1 != 0, way&2 != 0, got, want)
		}
	}
}

// outcome is a reply in the words of the table.
func outcome(m *dns.Msg) string {
	switch {
	case m.Rcode == dns.RcodeNotAuth:
		return "passed on"
	case m.Rcode == dns.RcodeSuccess && len(m.Answer) > 0:
		return "ok"
	case m.Rcode == dns.RcodeSuccess && len(m.Ns) == 1:
		return "empty"
	case m.Rcode == dns.RcodeNameError && len(m.Ns) == 1:
		return "NXDOMAIN"
	case m.Rcode == dns.RcodeRefused:
		return "REFUSED"
	default:
		return fmt.Sprint(m)
	}
}
