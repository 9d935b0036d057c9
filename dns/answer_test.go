package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// lines returns records without their TTL, in a fixed order.
func lines(records []dns.RR) []string {
	var list []string
	for _, rr := range records {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		data := strings.TrimPrefix(rr.String(), rr.Header().String())
		list = append(list, fmt.Sprintf("%s %s %s", rr.Header().Name, dns.TypeToString[rr.Header().Rrtype], data))
	}
	slices.Sort(list)
	return list
}

const (
	ok       = dns.RcodeSuccess
	nxdomain = dns.RcodeNameError
	refused  = dns.RcodeRefused
)

func TestAnswers(t *testing.T) {
	const soa = "SOA"
	tests := []struct {
		name   string
		qtype  uint16
		rcode  int
		answer []string // without owner; none means that the SOA must be present
		extra  []string
	}{
		// Services.
		{"web.service.koine.", dns.TypeA, ok, []string{"A 10.1.0.1", "A 10.1.0.2"}, nil},
		{"web.service.koine.", dns.TypeAAAA, ok, []string{"AAAA fd01::1"}, nil},
		{"web.service.koine.", dns.TypeSRV, ok,
			[]string{"SRV 1 1 80 0a010001.addr.dc1.koine.", "SRV 1 3 80 0a010002.addr.dc1.koine."},
			[]string{"0a010001.addr.dc1.koine. A 10.1.0.1", "0a010002.addr.dc1.koine. A 10.1.0.2"}},
		{"web.service.koine.", dns.TypeTXT, ok, []string{`TXT "colour=blue"`, `TXT "colour=green"`}, nil},
		{"web.service.koine.", dns.TypeANY, ok, []string{"A 10.1.0.1", "A 10.1.0.2"}, nil},
		{"web.service.koine.", dns.TypeMX, ok, nil, nil},
		{"web.service.koine.", dns.TypeNS, ok, nil, nil},
		{"web.service.koine.", dns.TypeCNAME, ok, nil, nil},
		{"web.service.consul.", dns.TypeSRV, ok,
			[]string{"SRV 1 1 80 0a010001.addr.dc1.consul.", "SRV 1 3 80 0a010002.addr.dc1.consul."},
			[]string{"0a010001.addr.dc1.consul. A 10.1.0.1", "0a010002.addr.dc1.consul. A 10.1.0.2"}},
		{"web.service.dc1.koine.", dns.TypeAAAA, ok, []string{"AAAA fd01::1"}, nil},
		{"web.service.dc1.dc.koine.", dns.TypeAAAA, ok, []string{"AAAA fd01::1"}, nil},
		{"web.service.dc2.koine.", dns.TypeA, nxdomain, nil, nil},
		{"web.koine.", dns.TypeA, nxdomain, nil, nil},
		{"nosuch.service.koine.", dns.TypeA, nxdomain, nil, nil},
		// Tags.
		{"blue.web.service.koine.", dns.TypeA, ok, []string{"A 10.1.0.1"}, nil},
		{"v1.2.web.service.koine.", dns.TypeA, ok, []string{"A 10.1.0.1"}, nil},
		{"ill.web.service.koine.", dns.TypeA, ok, nil, nil},
		{"red.web.service.koine.", dns.TypeA, nxdomain, nil, nil},
		{"_web._blue.service.koine.", dns.TypeA, ok, []string{"A 10.1.0.1"}, nil},
		{"_web._red.service.koine.", dns.TypeSRV, nxdomain, nil, nil},
		// RFC 2782.
		{"_web._tcp.service.koine.", dns.TypeA, ok, []string{"A 10.1.0.1", "A 10.1.0.2"}, nil},
		{"_web._tcp.koine.", dns.TypeA, ok, []string{"A 10.1.0.1", "A 10.1.0.2"}, nil},
		{"_web._udp.dc1.koine.", dns.TypeSRV, ok, []string{"SRV 1 1 53 0a010001.addr.dc1.koine."},
			[]string{"0a010001.addr.dc1.koine. A 10.1.0.1"}},
		{"_six._tcp.service.koine.", dns.TypeSRV, nxdomain, nil, nil},
		{"_nosuch._tcp.service.koine.", dns.TypeSRV, nxdomain, nil, nil},
		// Ports.
		{"_admin._tcp.web.service.koine.", dns.TypeSRV, ok, []string{"SRV 1 1 81 0a010001.addr.dc1.koine."},
			[]string{"0a010001.addr.dc1.koine. A 10.1.0.1"}},
		{"_53._udp.web.service.koine.", dns.TypeSRV, ok, []string{"SRV 1 1 53 0a010001.addr.dc1.koine."},
			[]string{"0a010001.addr.dc1.koine. A 10.1.0.1"}},
		{"_53._tcp.web.service.koine.", dns.TypeSRV, nxdomain, nil, nil},
		{"_http._tcp.down.service.koine.", dns.TypeSRV, ok, nil, nil},
		{"_tcp.web.service.koine.", dns.TypeSRV, ok, nil, nil},
		{"_tcp.nosuch.service.koine.", dns.TypeSRV, nxdomain, nil, nil},
		// Health.
		{"down.service.koine.", dns.TypeA, ok, nil, nil},
		{"down.service.koine.", dns.TypeSRV, ok, nil, nil},
		{"blue.down.service.koine.", dns.TypeTXT, ok, nil, nil},
		{"drained.service.koine.", dns.TypeANY, ok, nil, nil},
		// Addresses.
		{"pub.service.koine.", dns.TypeSRV, ok, []string{"SRV 1 1 30080 0a000001.addr.dc1.koine."},
			[]string{"0a000001.addr.dc1.koine. A 10.0.0.1"}},
		{"nodeaddr.service.koine.", dns.TypeAAAA, ok, []string{"AAAA fd00::1"}, nil},
		{"six.service.koine.", dns.TypeA, ok, nil, nil},
		{"six.service.koine.", dns.TypeANY, ok, []string{"AAAA fd01::6"}, nil},
		{"six.service.koine.", dns.TypeSRV, ok, []string{"SRV 1 1 53 fd010000000000000000000000000006.addr.dc1.koine."},
			[]string{"fd010000000000000000000000000006.addr.dc1.koine. AAAA fd01::6"}},
		{"noport.service.koine.", dns.TypeSRV, ok, nil, nil},
		{"noport.service.koine.", dns.TypeA, ok, []string{"A 10.0.0.1"}, nil},
		{"nowhere.service.koine.", dns.TypeA, ok, nil, nil},
		{"nowhere.service.koine.", dns.TypeSRV, ok, nil, nil},
		{"ext.service.koine.", dns.TypeA, ok, []string{"CNAME db.example.com."}, nil},
		{"ext.service.koine.", dns.TypeCNAME, ok, []string{"CNAME db.example.com."}, nil},
		{"ext.service.koine.", dns.TypeANY, ok, []string{"CNAME db.example.com."}, nil},
		{"ext.service.koine.", dns.TypeSRV, ok, []string{"SRV 1 1 80 db.example.com."}, nil},
		{"0a010001.addr.dc1.koine.", dns.TypeA, ok, []string{"A 10.1.0.1"}, nil},
		{"0a010001.addr.koine.", dns.TypeA, ok, []string{"A 10.1.0.1"}, nil},
		{"0a010001.addr.koine.", dns.TypeAAAA, ok, nil, nil},
		{"fd010000000000000000000000000006.addr.dc1.consul.", dns.TypeAAAA, ok, []string{"AAAA fd01::6"}, nil},
		{"0a0100.addr.koine.", dns.TypeA, nxdomain, nil, nil},
		{"xx010001.addr.koine.", dns.TypeA, nxdomain, nil, nil},
		{"a.0a010001.addr.koine.", dns.TypeA, nxdomain, nil, nil},
		// Nodes.
		{"n1.node.koine.", dns.TypeA, ok, []string{"A 10.0.0.1"}, nil},
		{"n1.node.dc1.consul.", dns.TypeAAAA, ok, []string{"AAAA fd00::1"}, nil},
		{"n1.node.koine.", dns.TypeTXT, ok, []string{"TXT \"a`=b=c`d\"", `TXT "plain"`, `TXT "rack=7"`}, nil},
		{"n1.node.koine.", dns.TypeSRV, ok, nil, nil},
		{"named.node.koine.", dns.TypeCNAME, ok, []string{"CNAME host.example.com."}, nil},
		{"bare.node.koine.", dns.TypeA, ok, nil, nil},
		{"nosuch.node.koine.", dns.TypeA, nxdomain, nil, nil},
		{"a.n1.node.koine.", dns.TypeA, nxdomain, nil, nil},
		// The domain and the names above others.
		{"koine.", dns.TypeSOA, ok, []string{"SOA ns.koine. postmaster.koine. 42 3600 600 86400 5"}, nil},
		{"koine.", dns.TypeANY, ok, []string{"SOA ns.koine. postmaster.koine. 42 3600 600 86400 5"}, nil},
		{"consul.", dns.TypeNS, ok, []string{"NS ns.consul."}, []string{"ns.consul. A 10.0.0.1", "ns.consul. AAAA fd00::1"}},
		{"koine.", dns.TypeA, ok, nil, nil},
		{"ns.koine.", dns.TypeA, ok, []string{"A 10.0.0.1"}, nil},
		{"ns.koine.", dns.TypeTXT, ok, nil, nil},
		{"service.koine.", dns.TypeA, ok, nil, nil},
		{"node.koine.", dns.TypeANY, ok, nil, nil},
		{"addr.dc1.koine.", dns.TypeA, ok, nil, nil},
		{"dc1.koine.", dns.TypeA, ok, nil, nil},
		{"dc.koine.", dns.TypeA, ok, nil, nil},
		{"_tcp.koine.", dns.TypeA, ok, nil, nil},
		{"_tcp.service.koine.", dns.TypeA, ok, nil, nil},
		{"x.dc.koine.", dns.TypeA, nxdomain, nil, nil},
	}
	w := seeded(newTestServer(t, Config{}, estate()), 1)
	for _, test := range tests {
		t.Run(test.name+dns.TypeToString[test.qtype], func(t *testing.T) {
			m := ask(t, w, query(test.name, test.qtype), false)
			if m.Rcode != test.rcode || !m.Authoritative || m.Truncated || m.RecursionAvailable || !m.RecursionDesired {
				t.Errorf("header %s, want rcode %s", m.MsgHdr.String(), dns.RcodeToString[test.rcode])
			}
			var want []string
			for _, line := range test.answer {
				want = append(want, test.name+" "+line)
			}
			if diff := cmp.Diff(want, lines(m.Answer)); diff != "" {
				t.Errorf("answer: %s", diff)
			}
			if diff := cmp.Diff(test.extra, lines(m.Extra)); diff != "" {
				t.Errorf("additional: %s", diff)
			}
			apex := test.name[strings.LastIndex(strings.TrimSuffix(test.name, "."), ".")+1:]
			var authority []string
			if test.answer == nil {
				authority = []string{fmt.Sprintf("%s %s ns.%s postmaster.%s 42 3600 600 86400 5", apex, soa, apex, apex)}
			}
			if diff := cmp.Diff(authority, lines(m.Ns)); diff != "" {
				t.Errorf("authority: %s", diff)
			}
			for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
				if rr.Header().Ttl != 5 {
					t.Errorf("ttl %d of %s", rr.Header().Ttl, rr)
				}
			}
		})
	}
}

func TestReverse(t *testing.T) {
	tests := []struct {
		name   string
		qtype  uint16
		rcode  int
		answer []string
	}{
		{"10.1.0.1", dns.TypePTR, ok, []string{"PTR web.service.dc1.koine."}},
		{"fd01::6", dns.TypePTR, ok, []string{"PTR six.service.dc1.koine."}},
		{"10.0.0.1", dns.TypeANY, ok, []string{"PTR n1.node.dc1.koine."}},
		{"10.1.0.9", dns.TypePTR, ok, []string{"PTR down.service.dc1.koine."}},
		{"10.1.0.1", dns.TypeTXT, ok, nil},
		{"10.77.0.1", dns.TypePTR, nxdomain, nil},
		{"fd01::77", dns.TypePTR, nxdomain, nil},
		{"8.8.8.8", dns.TypePTR, refused, nil},
	}
	w := seeded(newTestServer(t, Config{}, estate()), 1)
	for _, test := range tests {
		t.Run(test.name+dns.TypeToString[test.qtype], func(t *testing.T) {
			name, err := dns.ReverseAddr(test.name)
			if err != nil {
				t.Fatal(err)
			}
			m := ask(t, w, query(strings.ToUpper(name), test.qtype), false)
			var want []string
			for _, line := range test.answer {
				want = append(want, strings.ToUpper(name)+" "+line)
			}
			if diff := cmp.Diff(want, lines(m.Answer)); m.Rcode != test.rcode || diff != "" {
				t.Errorf("rcode %d, answer: %s", m.Rcode, diff)
			}
		})
	}
	for _, name := range []string{"in-addr.arpa.", "1.0.1.10.in-addr.arpa.x.", "1.0.8.in-addr.arpa.", "a.0.1.8.in-addr.arpa.",
		strings.Repeat("0.", 31) + "g.ip6.arpa.", strings.Repeat("00.", 32) + "ip6.arpa.", "arpa.", "."} {
		if m := ask(t, w, query(name, dns.TypePTR), false); m.Rcode != refused {
			t.Errorf("%s: rcode %d", name, m.Rcode)
		}
	}
}

// TestReverseOfASharedAddress holds that an address that the containers of all hosts have is that of this host's
// container, if one has it, and that an answer does not grow with the number of hosts.
func TestReverseOfASharedAddress(t *testing.T) {
	var others []catalog.Change
	host := func(name string) []catalog.Change {
		return []catalog.Change{node(name, ip("127.0.0.1", catalog.NetworkHost)), instance(catalog.Instance{
			ID: "db", Node: name, Service: "db-" + name, Ports: []catalog.Port{http80}, Addresses: []catalog.Address{ip("172.17.0.2", "bridge")},
		})}
	}
	for n := range 2 * maxPointers {
		others = append(others, host(fmt.Sprint("host-", n))...)
	}
	pointers := func(records []catalog.Change, name string) (list []string) {
		w := seeded(newTestServer(t, Config{}, records), 1)
		for _, line := range lines(ask(t, w, query(name, dns.TypePTR), true).Answer) {
			list = append(list, strings.TrimPrefix(line, name+" PTR "))
		}
		return list
	}
	const container, loopback = "2.0.17.172.in-addr.arpa.", "1.0.0.127.in-addr.arpa."
	if list := pointers(others, container); len(list) != maxPointers {
		t.Errorf("without a container here: %d names, want %d", len(list), maxPointers)
	}
	if diff := cmp.Diff([]string{"localhost."}, pointers(others, loopback)); diff != "" {
		t.Errorf("loopback without a node here: %s", diff)
	}
	all := slices.Concat(others, host("n1"))
	if diff := cmp.Diff([]string{"db-n1.service.dc1.koine."}, pointers(all, container)); diff != "" {
		t.Errorf("with a container here: %s", diff)
	}
	if diff := cmp.Diff([]string{"n1.node.dc1.koine."}, pointers(all, loopback)); diff != "" {
		t.Errorf("loopback: %s", diff)
	}
}

func TestReverseFollowsNodes(t *testing.T) {
	view := catalog.NewView()
	w := seeded(newTestServer(t, Config{View: view}, []catalog.Change{node("n1", ip("10.0.0.1", ""))}), 1)
	ptr := query("2.0.0.10.in-addr.arpa.", dns.TypePTR)
	if m := ask(t, w, ptr, false); m.Rcode != nxdomain {
		t.Fatalf("before: %v", m)
	}
	view.Apply(43, []catalog.Change{node("n2", ip("10.0.0.2", ""))})
	if m := ask(t, w, ptr, false); len(m.Answer) != 1 {
		t.Fatalf("after: %v", m)
	}
}

func TestAnswersFollowTheView(t *testing.T) {
	view := catalog.NewView()
	w := seeded(newTestServer(t, Config{View: view}, estate()), 1)
	a := query("web.service.koine.", dns.TypeA)
	if m := ask(t, w, a, false); len(m.Answer) != 2 {
		t.Fatalf("before: %v", m)
	}
	view.Apply(43, []catalog.Change{critical("n1", "w1"), critical("n1", "w2")})
	if m := ask(t, w, a, false); m.Rcode != ok || len(m.Answer) != 0 || len(m.Ns) != 1 {
		t.Fatalf("unhealthy: %v", m)
	}
	gone := func(id string) catalog.Change {
		return catalog.Change{Type: catalog.RecordInstance, Name: "n1", ID: id}
	}
	view.Apply(44, []catalog.Change{gone("w1"), gone("w2"), gone("w3")})
	if m := ask(t, w, a, false); m.Rcode != nxdomain {
		t.Fatalf("gone: %v", m)
	}
}

func TestCaseIsPreserved(t *testing.T) {
	w := seeded(newTestServer(t, Config{}, estate()), 1)
	for _, name := range []string{"WeB.sErViCe.KOINE.", "BLUE.wEb.Service.dC1.Koine.", "NoSuch.SERVICE.koine."} {
		m := ask(t, w, query(name, dns.TypeA), false)
		if m.Question[0].Name != name {
			t.Errorf("question %s came back as %s", name, m.Question[0].Name)
		}
		for _, rr := range m.Answer {
			if rr.Header().Name != name {
				t.Errorf("owner %s for question %s", rr.Header().Name, name)
			}
		}
		for _, rr := range m.Ns {
			if !strings.HasSuffix(name, rr.Header().Name) {
				t.Errorf("owner %s for question %s", rr.Header().Name, name)
			}
		}
	}
}

func TestSameAddressStandsOnce(t *testing.T) {
	changes := fleet(3, func(i int, one *catalog.Instance) {
		one.Addresses = []catalog.Address{ip("10.9.0.1", catalog.NetworkHost)}
		one.Ports = []catalog.Port{{Number: 80, Published: uint16(30000 + i/2)}}
		one.Weight = 40000
	})
	w := seeded(newTestServer(t, Config{}, changes), 1)
	if m := ask(t, w, query("fleet.service.koine.", dns.TypeA), false); len(m.Answer) != 1 {
		t.Errorf("addresses: %v", m.Answer)
	}
	m := ask(t, w, query("fleet.service.koine.", dns.TypeSRV), false)
	want := []string{
		"fleet.service.koine. SRV 1 40000 30001 0a090001.addr.dc1.koine.",
		"fleet.service.koine. SRV 1 65535 30000 0a090001.addr.dc1.koine.",
	}
	if diff := cmp.Diff(want, lines(m.Answer)); diff != "" || len(m.Extra) != 1 {
		t.Errorf("srv: %s, additional %v", diff, m.Extra)
	}
}

// TestPortsAtTheirAddresses holds that SRV never names a port beside an address at which it is not bound, and that A and AAAA
// below a port's name give an address at which that port answers.
func TestPortsAtTheirAddresses(t *testing.T) {
	host := func(text string) catalog.Address { return ip(text, catalog.NetworkHost) }
	bound := func(number uint16, proto string, texts ...string) catalog.Port {
		p := catalog.Port{Number: number, Protocol: proto}
		for _, text := range texts {
			p.Bindings = append(p.Bindings, netip.MustParseAddrPort(text))
		}
		return p
	}
	of := func(name string, addresses []catalog.Address, ports ...catalog.Port) catalog.Change {
		return instance(catalog.Instance{ID: name, Node: "n1", Service: name, Ports: ports, Addresses: addresses})
	}
	both := []catalog.Address{ip("10.1.0.9", "net"), host("192.0.2.20"), host("192.0.2.10")}
	dual := []catalog.Address{host("192.0.2.20"), host("2001:db8::20")}
	s := newTestServer(t, Config{}, []catalog.Change{
		node("n1", host("192.0.2.20")),
		of("two", both, bound(80, "tcp", "192.0.2.10:8081", "192.0.2.20:8082")),
		of("families", dual, bound(80, "tcp", "0.0.0.0:8092", "[::]:8091")),
		of("six", dual, bound(80, "tcp", "[::]:8091")),
		of("split", both, bound(80, "tcp", "192.0.2.10:8443"), bound(9090, "tcp", "192.0.2.20:9100")),
		of("names", both, bound(53, "tcp", "192.0.2.10:53"), bound(53, "udp", "192.0.2.20:5353")),
		of("other", nil, bound(80, "tcp", "192.0.2.10:8443")),
		of("jvb", both[:2], bound(8080, "tcp", "127.0.0.1:8080"), catalog.Port{Number: 10000, Protocol: "udp", Published: 10000}),
		of("local", both[:1], bound(80, "tcp", "127.0.0.1:8888")),
	})
	s.view.SetNetworks([]catalog.Network{{ID: "net", Name: "net", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}})
	w := seeded(s, 1)
	w.req.client = s.clientAt(netip.MustParseAddr("203.0.113.9"))
	for question, want := range map[string]string{
		"two. SRV": "8082 192.0.2.20", "two. A": "192.0.2.20",
		"families. SRV": "8092 192.0.2.20", "families. A": "192.0.2.20", "families. AAAA": "2001:db8::20",
		"six. SRV": "8091 2001:db8::20", "six. A": "", "six. AAAA": "2001:db8::20",
		"split. SRV": "8443 192.0.2.10", "split. A": "192.0.2.10",
		"_80._tcp.split. SRV": "8443 192.0.2.10", "_9090._tcp.split. SRV": "9100 192.0.2.20", "_9090._tcp.split. A": "192.0.2.20",
		"_53._tcp.names. SRV": "53 192.0.2.10", "_53._udp.names. SRV": "5353 192.0.2.20", "_53._udp.names. A": "192.0.2.20",
		"other. SRV": "8443 192.0.2.10", "other. A": "192.0.2.10",
		"jvb. SRV": "10000 192.0.2.20", "jvb. A": "192.0.2.20", "_8080._tcp.jvb. SRV": "", "_8080._tcp.jvb. A": "",
		"local. SRV": "", "local. A": "",
	} {
		name, qtype, _ := strings.Cut(question, " ")
		domain := "service.koine."
		m := ask(t, w, query(name+domain, dns.StringToType[qtype]), false)
		var got []string
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.SRV:
				for _, glue := range m.Extra {
					if glue.Header().Name == rr.Target {
						got = append(got, fmt.Sprint(rr.Port, " ", addressOfRR(glue)))
					}
				}
			default:
				got = append(got, addressOfRR(rr))
			}
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s: %q, want %q", question, text, want)
		}
	}
}

// addressIn returns the address of an A or AAAA record.
func addressOfRR(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.A:
		return rr.A.String()
	case *dns.AAAA:
		return rr.AAAA.String()
	default:
		return rr.String()
	}
}

func TestNotReady(t *testing.T) {
	w := seeded(newTestServer(t, Config{}, nil), 1)
	for _, name := range []string{"web.service.koine.", "koine.", "1.0.0.10.in-addr.arpa."} {
		q := query(name, dns.TypePTR)
		if m := ask(t, w, q, false); m.Rcode != dns.RcodeServerFailure || m.Authoritative || len(m.Extra) != 0 {
			t.Errorf("%s without EDNS: %v", name, m)
		}
		q.SetEdns0(1232, true)
		m := ask(t, w, q, false)
		opt := m.IsEdns0()
		if m.Rcode != dns.RcodeServerFailure || opt == nil || !opt.Do() || len(opt.Option) != 1 {
			t.Fatalf("%s with EDNS: %v", name, m)
		}
		if ede, isEDE := opt.Option[0].(*dns.EDNS0_EDE); !isEDE || ede.InfoCode != dns.ExtendedErrorCodeNotReady || ede.ExtraText == "" {
			t.Errorf("%s: extended error %v", name, opt.Option[0])
		}
	}
	if m := ask(t, w, query("example.com.", dns.TypeA), false); m.Rcode != refused {
		t.Errorf("other names do not need the View: %v", m)
	}
}

func TestOwnAddressesOverride(t *testing.T) {
	cfg := Config{NodeAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")}, Domains: []string{"a.b", "b"}, Datacenter: "EU-1"}
	w := seeded(newTestServer(t, cfg, estate()), 1)
	if m := ask(t, w, query("ns.a.b.", dns.TypeA), false); len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.7" {
		t.Errorf("ns: %v", m)
	}
	if m := ask(t, w, query("ns.a.b.", dns.TypeMX), false); len(m.Ns) != 1 || m.Ns[0].Header().Name != "a.b." {
		t.Errorf("the innermost domain counts: %v", m)
	}
	m := ask(t, w, query("web.service.eu-1.b.", dns.TypeSRV), false)
	if len(m.Answer) != 2 || !strings.HasSuffix(m.Answer[0].(*dns.SRV).Target, ".addr.eu-1.b.") {
		t.Errorf("srv: %v", m)
	}
}

func TestLongMeta(t *testing.T) {
	long := strings.Repeat("x", 600)
	changes := fleet(1, func(_ int, one *catalog.Instance) { one.Meta = map[string]string{"k": long, "e": ""} })
	w := seeded(newTestServer(t, Config{}, changes), 1)
	m := ask(t, w, query("fleet.service.koine.", dns.TypeTXT), true)
	var texts []string
	for _, rr := range m.Answer {
		texts = append(texts, strings.Join(rr.(*dns.TXT).Txt, ""))
	}
	slices.Sort(texts)
	if diff := cmp.Diff([]string{"e=", "k=" + long}, texts); diff != "" {
		t.Error(diff)
	}
	if m := ask(t, w, query("fleet.service.koine.", dns.TypeTXT), false); !m.Truncated || len(m.Answer) > 1 {
		t.Errorf("udp: %v", m)
	}
}
