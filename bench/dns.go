package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// measureDNS has dnsperf ask for 1,000 services of 5 instances.
func measureDNS(ctx context.Context, cfg *config, t *table) error {
	e := estate{services: 1000, instances: 5}
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer k.stop()
	if err := k.load(ctx, e); err != nil {
		return err
	}
	var peer *coredns
	if cfg.peers != "" {
		if peer, err = startCoreDNS(ctx, cfg, e); err != nil {
			return err
		}
		defer peer.stop()
	}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
		if err := measureType(ctx, cfg, t, k, peer, e, qtype); err != nil {
			return err
		}
	}
	return nil
}

func measureType(ctx context.Context, cfg *config, t *table, k *koine, peer *coredns, e estate, qtype uint16) error {
	queries, err := writeQueries(cfg, e, qtype)
	if err != nil {
		return err
	}
	responder, addr, err := startResponder(ctx, cfg, k, qtype)
	if err != nil {
		return err
	}
	defer responder.stop()
	candidates := []candidate{
		{"koine", k.process, dnsperf(cfg, k.dns, queries)},
		{"responder", responder, dnsperf(cfg, addr, queries)},
	}
	if peer != nil {
		candidates = append(candidates, candidate{"CoreDNS", peer.process, dnsperf(cfg, peer.addr, queries)})
	}
	what := "DNS " + dns.TypeToString[qtype]
	samples, err := contest(ctx, cfg, what, candidates)
	if err != nil {
		return err
	}
	report(t, what+", 1,000 × 5", candidates, samples, map[string]float64{"responder": 0.85, "CoreDNS": 1.5})
	return nil
}

// startResponder starts the minimal responder with Koine's own answer as its constant one, so that both write the same
// amount.
func startResponder(ctx context.Context, cfg *config, k *koine, qtype uint16) (*process, netip.AddrPort, error) {
	addr, err := freePort()
	if err != nil {
		return nil, addr, err
	}
	answer, err := askRaw(k.dns, serviceName(0), qtype)
	if err != nil {
		return nil, addr, fmt.Errorf("capture an answer: %w", err)
	}
	file := filepath.Join(cfg.scratch, "answer")
	if err := os.WriteFile(file, answer, 0o600); err != nil {
		return nil, addr, err
	}
	p, err := launchSelf("peer-dns", addr.String(), file)
	if err != nil {
		return nil, addr, err
	}
	return p, addr, p.await(ctx, "wait for the responder", func() bool {
		_, err := askRaw(addr, serviceName(0), qtype)
		return err == nil
	})
}

// writeQueries writes the queries that dnsperf repeats.
func writeQueries(cfg *config, e estate, qtype uint16) (file string, err error) {
	var text bytes.Buffer
	for i := range e.services {
		fmt.Fprintf(&text, "%s.service.koine %s\n", serviceName(i), dns.TypeToString[qtype])
	}
	file = filepath.Join(cfg.scratch, "queries")
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

var (
	dnsCompleted = regexp.MustCompile(`Queries completed:\s+(\d+)`)
	dnsGood      = regexp.MustCompile(`Response codes:\s+NOERROR (\d+) `)
	dnsTime      = regexp.MustCompile(`Run time \(s\):\s+([\d.]+)`)
)

// dnsperf returns a load of as many queries as a name server answers, from 20 sockets with 200 queries in flight.
func dnsperf(cfg *config, addr netip.AddrPort, queries string) func(context.Context) (int, time.Duration, error) {
	return func(ctx context.Context) (int, time.Duration, error) {
		cmd := exec.CommandContext(ctx, "dnsperf", "-s", addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port())),
			"-d", queries, "-c", "20", "-T", "1", "-q", "200", "-l", cfg.seconds())
		out, err := cmd.Output()
		if err != nil {
			return 0, 0, fmt.Errorf("dnsperf: %w", err)
		}
		completed, err := figure(dnsCompleted, out)
		if err != nil {
			return 0, 0, err
		}
		good, err := figure(dnsGood, out)
		if err != nil {
			return 0, 0, err
		}
		if good < completed {
			return 0, 0, fmt.Errorf("dnsperf: %.0f of %.0f answers are errors", completed-good, completed)
		}
		seconds, err := figure(dnsTime, out)
		return int(good), time.Duration(seconds * float64(time.Second)), err
	}
}

// figure finds a number in a tool's output.
func figure(pattern *regexp.Regexp, out []byte) (float64, error) {
	found := pattern.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("no %q in: %s", pattern, out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
