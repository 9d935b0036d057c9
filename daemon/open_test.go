package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestOpenings(t *testing.T) {
	at := netip.MustParseAddrPort
	loopback := []netip.AddrPort{at("127.0.0.1:8600"), at("[::1]:8600"), at("[::ffff:127.0.0.1]:53")}
	const all = "read, register and deregister everything"
	for _, test := range []struct {
		name string
		o    openings
		want []string // key and value by turns
	}{
		{"nothing listens", openings{}, nil},
		{"loopback", openings{http: at("127.0.0.1:8500"), dns: loopback, scripts: true, profile: true, passes: "all clients"}, nil},
		{"HTTP", openings{http: at("0.0.0.0:8500"), dns: loopback}, []string{"http", "0.0.0.0:8500", "http_clients_may", all}},
		{"HTTP, with scripts and profiles", openings{http: at("[::]:8500"), scripts: true, profile: true},
			[]string{"http", "[::]:8500", "http_clients_may", all + ", run commands on this host, read profiles of the process"}},
		{"DNS, at one of two addresses", openings{http: at("[::1]:8500"), dns: append(loopback, at("10.0.0.1:53"))},
			[]string{"dns", "10.0.0.1:53", "dns_clients_may", "resolve the names of the catalog"}},
		{"both", openings{http: at("10.0.0.1:8500"), dns: []netip.AddrPort{at("10.0.0.1:53"), at("[fe80::1]:53")}, passes: "loopback"},
			[]string{"http", "10.0.0.1:8500", "http_clients_may", all, "dns", "10.0.0.1:53,[fe80::1]:53",
				"dns_clients_may", "resolve the names of the catalog; other names are resolved for loopback"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := fmt.Sprint(test.o.attrs()...); got != fmt.Sprint(anys(test.want)...) {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

func anys(list []string) (all []any) {
	for _, one := range list {
		all = append(all, one)
	}
	return all
}

// TestOpenListenersAreWarnedOf binds real ones.
func TestOpenListenersAreWarnedOf(t *testing.T) {
	for address, want := range map[string]int{"127.0.0.1:0": 0, "localhost:0": 0, "0.0.0.0:0": 1} {
		var log bytes.Buffer
		d, err := New(Config{
			Node: "n1", HTTP: address, DNS: address, Docker: Off, Advertise: netip.MustParseAddr("192.0.2.7"),
			EnableScriptChecks: true, Upstreams: []string{"192.0.2.1"}, DNSAllow: []string{"10.0.0.0/8"}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		d.dns.Close()
		if err := d.closeListeners(); err != nil {
			t.Error(err)
		}
		if got := strings.Count(log.String(), "level=WARN"); got != want {
			t.Errorf("%s: %d warnings, want %d: %s", address, got, want, &log)
		}
		for _, part := range []string{"http=", "run commands on this host", "dns=", "10.0.0.0/8"} {
			if strings.Contains(log.String(), part) != (want > 0) {
				t.Errorf("%s: the warning has %s or lacks it: %s", address, part, &log)
			}
		}
	}
}
