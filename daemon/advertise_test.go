package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestGivenLoopback(t *testing.T) {
	at := netip.MustParseAddrPort
	loopback := openings{http: at("127.0.0.1:8500"), dns: []netip.AddrPort{at("[::1]:8600")}}
	open := openings{http: at("127.0.0.1:8500"), dns: []netip.AddrPort{at("127.0.0.1:8600"), at("[::]:8600")}}
	for _, tt := range []struct {
		name, advertise, engine string
		openings                openings
		want                    string
	}{
		{"all on loopback", "127.0.0.1", "", loopback, ""},
		{"no listener", "::1", "embedded", openings{}, ""},
		{"DNS is open", "127.0.0.1", "", open, "clients of [::]:8600"},
		{"HTTP is open, loopback is written as IPv6", "::ffff:127.0.0.1", "", openings{http: at("10.0.0.1:80")}, "clients of 10.0.0.1:80"},
		{"an address is named", "10.0.1.7", "etcd://10.0.0.1:2379", open, ""},
		{"a shared store", "127.0.0.1", "etcd://10.0.0.1:2379", loopback, "hosts that share the store"},
		{"a store on several hosts, one of them this", "127.0.0.1", "etcd://127.0.0.1:2379, etcd-2:2379", loopback, "hosts that share the store"},
		{"a store on this host", "127.0.0.1", "etcd://localhost:2379,127.0.0.1:2479,[::1]:2579", loopback, ""},
	} {
		cfg := Config{Advertise: netip.MustParseAddr(tt.advertise), Engine: tt.engine}
		if got := givenLoopback(cfg, tt.openings); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAdvertiseIsWarnedOfAtTheStart(t *testing.T) {
	for advertise, want := range map[string]int{"": 1, "192.0.2.7": 0} {
		var log bytes.Buffer
		cfg := Config{Node: "n1", HTTP: "0.0.0.0:0", DNS: Off, Docker: Off, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if advertise != "" {
			cfg.Advertise = netip.MustParseAddr(advertise)
		}
		d, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.closeListeners(); err != nil {
			t.Error(err)
		}
		if got := strings.Count(log.String(), "--advertise"); got != want {
			t.Errorf("advertise %q: %d warnings, want %d: %s", advertise, got, want, &log)
		}
	}
}
