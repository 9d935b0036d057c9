package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// limited is a fleet of n instances, of which some have the limits; the others have none.
func limited(n int, limits ...int16) []catalog.Change {
	return fleet(n, func(i int, one *catalog.Instance) {
		one.Tags = []string{"all"}
		if i < len(limits) {
			one.DNSLimit = limits[i]
		}
	})
}

// TestLimit holds that an answer has no more records than the service or the name allows, and is not taken for a cut one.
func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		limits  []int16
		name    string
		records int
	}{
		{nil, "fleet.service.koine.", 12},
		{[]int16{0, 3}, "fleet.service.koine.", 3}, // one instance is enough
		{[]int16{0, 5, 2, 7}, "fleet.service.koine.", 2},
		{[]int16{20}, "fleet.service.koine.", 12},
		{[]int16{3}, "fleet.service.dc1.koine.", 3}, {[]int16{3}, "FLEET.near.koine.", 3},
		{[]int16{3}, "all.fleet.service.koine.", 3}, {[]int16{3}, "_fleet._tcp.service.koine.", 3},
		{[]int16{3}, "_http._tcp.fleet.service.koine.", 3},
		{nil, "one.fleet.service.koine.", 1}, {nil, "ONE.fleet.service.koine.", 1}, {nil, "1-of.fleet.service.koine.", 1},
		{nil, "4-OF.fleet.near.dc1.dc.koine.", 4}, {nil, "4096-of.fleet.service.koine.", 12},
		{nil, "all.one.fleet.service.koine.", 1}, {nil, "_http._tcp.2-of.fleet.service.koine.", 2}, {nil, "_80._tcp.one.fleet.near.koine.", 1},
		{[]int16{3}, "one.fleet.service.koine.", 1}, {[]int16{3}, "5-of.fleet.service.koine.", 3}, // the smaller one
	} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
			w := seeded(newTestServer(t, Config{}, limited(12, tt.limits...)), 5)
			for _, tcp := range []bool{false, true} {
				m := ask(t, w, withEDNS(query(tt.name, qtype)), tcp)
				if len(m.Answer) != tt.records || m.Truncated || qtype == dns.TypeSRV && glueOf(m) != tt.records {
					t.Errorf("limits %v, %s %s: %d records, TC %v, want %d: %v", tt.limits, dns.TypeToString[qtype], tt.name, len(m.Answer),
						m.Truncated, tt.records, m)
				}
				checkDistinct(t, m)
			}
		}
	}
}

// TestLimitsThatAreNone holds that a tag comes before a limit, and that labels which are neither are of no instance.
func TestLimitsThatAreNone(t *testing.T) {
	changes := append(fleet(12, func(i int, one *catalog.Instance) {
		if i < 4 {
			one.Tags = []string{"one", "3-of", "blue"}
		}
		if i == 11 {
			one.Tags = []string{"blue.one"}
		}
	}), fleetNamed("one", 5)...)
	w := seeded(newTestServer(t, Config{}, changes), 5)
	for name, want := range map[string]string{
		"one.fleet.service.koine.": "NOERROR 4", "3-of.fleet.service.koine.": "NOERROR 4", "One.fleet.near.koine.": "NOERROR 4",
		"blue.one.fleet.service.koine.": "NOERROR 1", "blue.2-of.fleet.service.koine.": "NOERROR 2",
		"one.service.koine.": "NOERROR 5", "one.one.service.koine.": "NOERROR 1", "_one._tcp.service.koine.": "NOERROR 5",
		"_tcp.2-of.fleet.service.koine.": "NOERROR 0",
	} {
		m := ask(t, w, query(name, dns.TypeA), true)
		if got := fmt.Sprint(dns.RcodeToString[m.Rcode], " ", len(m.Answer)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, label := range []string{
		"0-of", "-1-of", "+1-of", "01-of", "4097-of", "99999999999999999999-of", "1.5-of", "1e3-of", "0x1-of", "x-of", "-of", "of", "1", "2-of.2-of", "ones",
	} {
		if m := ask(t, w, query(label+".fleet.service.koine.", dns.TypeA), true); m.Rcode != dns.RcodeNameError {
			t.Errorf("%s: %v", label, m)
		}
	}
	for _, name := range []string{"one.nosuch.service.koine.", "nosuch.one.fleet.service.koine.", "one.n1.node.koine.", "one.0a000001.addr.koine.", "one.koine."} {
		if m := ask(t, w, query(name, dns.TypeA), true); m.Rcode != dns.RcodeNameError {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func fleetNamed(service string, n int) []catalog.Change {
	return fleet(n, func(i int, one *catalog.Instance) {
		one.ID, one.Service = fmt.Sprint(service, i), service
	})[1:]
}

// TestLimitedAnswersSpread has one client ask again and again: its load must reach all instances, by their weights.
func TestLimitedAnswersSpread(t *testing.T) {
	const trials = 20_000
	weights := []int32{0, 1, 1, 1, 1, 1, 1, 100}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
		for limit := int16(1); limit <= 2; limit++ {
			changes := fleet(len(weights), func(i int, one *catalog.Instance) { one.Weight, one.DNSLimit = weights[i], limit })
			w := seeded(newTestServer(t, Config{}, changes), 11)
			first := make(map[netip.Addr]int)
			for range trials {
				first[addressOf(t, ask(t, w, query("fleet.service.koine.", qtype), false).Answer[0])]++
			}
			for i := range weights {
				at := netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})
				near(t, fmt.Sprint(dns.TypeToString[qtype], " ", at), first[at], trials, float64(max(weights[i], 1))/107)
			}
		}
	}
}

// TestLimitedAnswersAreCut holds that what a limit allows, but a message does not hold, is cut as any other answer. Such a part is
// drawn each time, too.
func TestLimitedAnswersAreCut(t *testing.T) {
	w := seeded(newTestServer(t, Config{}, limited(300, 200)), 11)
	w.req.client.ip = netip.MustParseAddr(fromAfar)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
		m, again := ask(t, w, query("fleet.service.koine.", qtype), false), ask(t, w, query("fleet.service.koine.", qtype), false)
		if !m.Truncated || len(m.Answer) >= 200 {
			t.Errorf("%d records, TC %v", len(m.Answer), m.Truncated)
		}
		if fmt.Sprint(sampleOf(t, m)) == fmt.Sprint(sampleOf(t, again)) {
			t.Error("the same sample twice")
		}
		if m := ask(t, w, query("fleet.service.koine.", qtype), true); m.Truncated || len(m.Answer) != 200 {
			t.Errorf("%d records by TCP, TC %v", len(m.Answer), m.Truncated)
		}
	}
}

// TestLimitPrefersTheNearest holds that a limited answer about the nearest instances has none that is farther than one left out.
func TestLimitPrefersTheNearest(t *testing.T) {
	changes := zones()
	for _, c := range changes {
		if c.Instance != nil && c.Instance.Service == "web" {
			c.Instance.DNSLimit = 2
		}
	}
	view := catalog.NewView()
	view.SetNetworks(bridges())
	s := newTestServer(t, Config{View: view}, changes)
	const want = "NOERROR 0 1 80 0a01000b.addr.dc1.koine. 1 1 80 0a090002.addr.dc1.koine."
	for range 20 {
		if got := askAs(t, s, fromHost, "web.near.koine.", dns.TypeSRV); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

// TestLimitOfOtherTypes holds that limits leave out instances, not what is known of them.
func TestLimitOfOtherTypes(t *testing.T) {
	changes := fleet(12, func(i int, one *catalog.Instance) {
		one.DNSLimit, one.Meta = 2, map[string]string{"n": fmt.Sprint(i)}
	})
	w := seeded(newTestServer(t, Config{}, changes), 5)
	for qtype, want := range map[uint16]int{dns.TypeTXT: 12, dns.TypeANY: 2, dns.TypeMX: 0} {
		if m := ask(t, w, query("fleet.service.koine.", qtype), true); len(m.Answer) != want {
			t.Errorf("%s: %d records, want %d", dns.TypeToString[qtype], len(m.Answer), want)
		}
	}
}

// TestLimitOfBareNames holds that the limit of a service is also that of the containers' bare names. A limit in front of a bare
// name is none.
func TestLimitOfBareNames(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	var changes []catalog.Change
	for i := range 6 {
		changes = append(changes, instance(catalog.Instance{ID: fmt.Sprint("app-", i), Node: "n1", Service: "shop", Ports: []catalog.Port{http80},
			DNSLimit: int16(i / 5 * 2), Addresses: []catalog.Address{named(fmt.Sprint("10.1.0.1", i), "Front", "app")}}))
	}
	s := newTestServer(t, Config{View: view}, append(neighbourhood(), changes...))
	for name, want := range map[string]int{"app.": 2, "app.Front.": 2, "shop.": 2, "_http._tcp.app.": 2, "one.shop.": 0} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
			if qtype == dns.TypeSRV && strings.HasPrefix(name, "app") {
				continue // a container's name has no SRV record
			}
			got := strings.Fields(askAs(t, s, fromFront, name, qtype))
			if qtype == dns.TypeSRV {
				want *= 4 // words of a record
			}
			if len(got)-1 != want {
				t.Errorf("%s %s: %v, want %d", dns.TypeToString[qtype], name, got, want)
			}
		}
	}
}

// TestLimitOfHostNames holds that the addresses of host names are drawn among those of the other instances.
func TestLimitOfHostNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{start: time.Now(), counts: make(map[string]int)}
		w.servers = map[string]func(int, *dns.Msg, string) (*dns.Msg, error){"192.0.2.53": func(_ int, q *dns.Msg, _ string) (*dns.Msg, error) {
			name := q.Question[0].Name
			return reply(q, name+" 60 IN A 192.0.2.100", name+" 60 IN A 192.0.2.101"), nil
		}}
		s := hostServer(t, w, Config{})
		for _, name := range []string{"one.both.service.koine.", "one.alias.service.koine."} {
			worker, seen := seeded(s, 1), make(map[string]bool)
			for range 100 {
				m := ask(t, worker, query(name, dns.TypeA), false)
				last := m.Answer[len(m.Answer)-1]
				if a, isA := last.(*dns.A); isA {
					seen[a.A.String()] = true
				}
				if addresses := len(m.Answer); strings.HasPrefix(name, "one.both") && addresses != 1 {
					t.Fatalf("%v", m)
				}
			}
			if len(seen) != 3 {
				t.Errorf("%s: %v", name, seen)
			}
		}
		s.running.Wait()
		w.serving.Wait()
	})
}
