package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/koine-sd/koine/internal/needs"
)

// TestHolder has this process hold ports, at one address and at all of them, over TCP and UDP, IPv4 and IPv6.
func TestHolder(t *testing.T) {
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		needs.Missing(t, "/proc/net")
	}
	for _, listen := range []struct{ network, address, at string }{
		{"tcp", "127.0.0.1:0", "127.0.0.1"},
		{"tcp", "0.0.0.0:0", "127.0.0.7"},
		{"tcp", "[::]:0", "127.0.0.7"}, // of both families
		{"tcp", "[::1]:0", "::1"},
		{"udp", "127.0.0.1:0", "127.0.0.1"},
		{"udp", "0.0.0.0:0", "172.17.0.1"},
		{"udp", "[::]:0", "fd00::1"},
	} {
		var local net.Addr
		if listen.network == "tcp" {
			l, err := net.Listen("tcp", listen.address)
			if err != nil {
				t.Logf("%s: %v", listen.address, err)
				continue
			}
			defer l.Close()
			local = l.Addr()
		} else {
			l, err := net.ListenPacket("udp", listen.address)
			if err != nil {
				t.Logf("%s: %v", listen.address, err)
				continue
			}
			defer l.Close()
			local = l.LocalAddr()
		}
		port := netip.MustParseAddrPort(local.String()).Port()
		at := netip.AddrPortFrom(netip.MustParseAddr(listen.at), port)
		if got := Holder(listen.network, at); !strings.HasSuffix(got, fmt.Sprintf("(process %d)", os.Getpid())) {
			t.Errorf("%s on %s: %q has %s, want this process", listen.network, listen.address, got, at)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	for _, network := range []string{"tcp", "udp"} {
		if got := Holder(network, at); got != "" {
			t.Errorf("%q has a free port of %s", got, network)
		}
	}
}

func TestParseLocal(t *testing.T) {
	for _, text := range []string{"", ":", "0100007F", "0100007F:", "0100007F:x", "01:0035", "zz00007F:0035", "0100007F0100007F:0035"} {
		if got, ok := parseLocal(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}
