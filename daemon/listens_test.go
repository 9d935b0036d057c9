package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// TestListens holds that a port is Koine's only where Koine listens.
func TestListens(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	d := startDaemon(t, Config{Node: "n0", HTTP: "127.0.0.1:0", DNS: fmt.Sprint("127.0.0.1:", port), Docker: Off, DataDir: t.TempDir()})
	http := d.HTTPAddr().(*net.TCPAddr).AddrPort().Port()
	for _, test := range []struct {
		network, address string
		port             uint16
		want             string
	}{
		{"tcp", "127.0.0.1", http, "--http"}, {"tcp", "0.0.0.0", http, "--http"}, {"tcp", "", http, "--http"}, {"tcp", "10.0.0.1", http, ""},
		{"udp", "127.0.0.1", http, ""}, {"tcp", "127.0.0.1", 1, ""},
		{"udp", "127.0.0.1", d.DNSAddr().Port(), "--dns"}, {"tcp", "::ffff:127.0.0.1", d.DNSAddr().Port(), "--dns"},
		{"udp", "10.0.0.1", d.DNSAddr().Port(), ""},
	} {
		address, _ := netip.ParseAddr(test.address)
		if got := d.listens(test.network, netip.AddrPortFrom(address, test.port)); got != test.want {
			t.Errorf("%s %s %d: %q, want %q", test.network, test.address, test.port, got, test.want)
		}
	}
}
