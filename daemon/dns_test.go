package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

func TestGateways(t *testing.T) {
	addr := netip.MustParseAddr
	list := []catalog.Network{
		{ID: "A", Name: "bridge", Gateways: []netip.Addr{addr("172.17.0.1")}},
		{ID: "B", Name: "Front", Gateways: []netip.Addr{addr("10.1.0.1"), addr("fd01::1")}},
		{ID: "C", Name: "over"},
	}
	const bridge, front = "172.17.0.1:53", "10.1.0.1:53 [fd01::1]:53"
	for wanted, want := range map[string]string{
		"": bridge + " " + front, "bridge": bridge, "front": front, "B": front, "over": "", "nosuch": "", "A,front": bridge + " " + front,
	} {
		got := gateways(list, strings.Split(wanted, ","))
		if text := strings.Trim(fmt.Sprint(got), "[]"); strings.TrimPrefix(fmt.Sprint(got), "[") != want+"]" {
			t.Errorf("%q: %s, want %s", wanted, text, want)
		}
	}
}

func TestParseBridge(t *testing.T) {
	for place, want := range map[string]string{
		"bridge": "true ", "bridge:net": "true net", "bridge:": "false ", "bridges": "false bridges", "127.0.0.1:53": "false 127.0.0.1:53",
	} {
		network, ok := parseBridge(place)
		if got := fmt.Sprint(ok, " ", network); got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
}

func TestDNSNeedsAnAddressOfItsOwn(t *testing.T) {
	_, err := New(Config{Node: "n1", HTTP: Off, DNS: Bridge, Docker: Off})
	if err == nil || catalog.KindOf(err) != catalog.KindInvalid {
		t.Errorf("%v, want a mistake of the user", err)
	}
}

// TestSeveralDNSAddresses holds that the error for a second address that cannot be bound names that address.
func TestSeveralDNSAddresses(t *testing.T) {
	d := runDaemon(t, Config{Node: "n1", HTTP: Off, DNS: "127.0.0.1:0,127.0.0.2:0,bridge", Docker: "unix:///nosuch.sock"})
	if len(d.bridges) != 1 || !d.DNSAddr().IsValid() {
		t.Errorf("bridges %q, address %v", d.bridges, d.DNSAddr())
	}
	_, err := New(Config{Node: "n2", HTTP: Off, DNS: "127.0.0.1:0," + d.DNSAddr().String(), Docker: Off})
	if err == nil || !strings.Contains(err.Error(), "cannot listen on "+d.DNSAddr().String()) {
		t.Errorf("%v, want the address that is taken", err)
	}
}

// TestBridgesNeedDocker holds that --dns bridge without Docker is an error.
func TestBridgesNeedDocker(t *testing.T) {
	_, err := New(Config{Node: "n1", HTTP: Off, DNS: "127.0.0.1:0,bridge", Docker: Off, Upstreams: []string{Off}})
	if catalog.KindOf(err) != catalog.KindInvalid || !strings.Contains(err.Error(), "--dns bridge") || !strings.Contains(err.Error(), "--docker off") {
		t.Errorf("with --docker off: %v", err)
	}
	var log strings.Builder
	d := &Daemon{cfg: Config{Docker: Auto, Logger: slog.New(slog.NewTextHandler(&log, nil))}, bridges: []string{""}}
	if err := d.needBridges(false); err != nil || !strings.Contains(log.String(), "no Docker engine is found") {
		t.Errorf("without an engine: %v, logged %s", err, log.String())
	}
}

// countingLog counts the records of a message.
type countingLog struct {
	slog.Handler
	message string
	n       *atomic.Int64
}

func (l countingLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.message) {
		l.n.Add(1)
	}
	return nil
}

func (l countingLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// TestReloadWithoutFiles holds that a reload reads the host's resolvers, although no definition files are followed.
func TestReloadWithoutFiles(t *testing.T) {
	log := countingLog{slog.NewTextHandler(io.Discard, nil), "upstream resolvers", new(atomic.Int64)}
	d := runDaemon(t, Config{Node: "n1", HTTP: Off, DNS: "127.0.0.1:0", Docker: Off, Logger: slog.New(log)})
	before := log.n.Load()
	d.Reload()
	eventually.True(t, "the outcome is logged", func() bool { return log.n.Load() > before })
}
