package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// measureHTTP has wrk look a service up, of 5 and of 100 instances, among a thousand others.
func measureHTTP(ctx context.Context, cfg *config, t *table) error {
	for _, instances := range []int{5, 100} {
		if err := measureLookup(ctx, cfg, t, instances); err != nil {
			return err
		}
	}
	return nil
}

func measureLookup(ctx context.Context, cfg *config, t *table, instances int) error {
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer k.stop()
	if err := k.load(ctx, estate{services: 1000, instances: instances}); err != nil {
		return err
	}
	path := "/api/v1/services/" + serviceName(7)
	constant, addr, size, err := startConstant(ctx, cfg, k, path)
	if err != nil {
		return err
	}
	defer constant.stop()
	candidates := []candidate{
		{"koine", k.process, wrk(cfg, k.http, path, 32)},
		{"constant body", constant, wrk(cfg, addr, path, 32)},
	}
	what := fmt.Sprintf("HTTP lookup of %d", instances)
	samples, err := contest(ctx, cfg, what, candidates)
	if err != nil {
		return err
	}
	what += fmt.Sprintf(", %.1f KB", float64(size)/1000)
	report(t, what, candidates, samples, map[string]float64{"constant body": 0.70})
	return nil
}

// startConstant starts the constant-body server with Koine's own answer.
func startConstant(ctx context.Context, cfg *config, k *koine, path string) (p *process, addr netip.AddrPort, size int, err error) {
	body, err := get(ctx, k.http, path)
	if err != nil {
		return nil, addr, 0, err
	}
	file := filepath.Join(cfg.scratch, "body")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, addr, 0, err
	}
	if addr, err = freePort(); err != nil {
		return nil, addr, 0, err
	}
	if p, err = launchSelf("peer-http", addr.String(), file); err != nil {
		return nil, addr, 0, err
	}
	return p, addr, len(body), p.await(ctx, "wait for the constant server", func() bool {
		_, err := get(ctx, addr, path)
		return err == nil
	})
}

func get(ctx context.Context, addr netip.AddrPort, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

var (
	wrkDone = regexp.MustCompile(`(\d+) requests in`)
	wrkRate = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkBad  = regexp.MustCompile(`(?m)^\s+(Non-2xx.*|Socket errors.*)$`)
)

// wrk returns a load of as many requests as a server answers on so many connections.
func wrk(cfg *config, addr netip.AddrPort, path string, connections int, more ...string) func(context.Context) (int, time.Duration, error) {
	return func(ctx context.Context) (int, time.Duration, error) {
		args := append([]string{"-t", "2", "-c", fmt.Sprint(connections), "-d", cfg.seconds() + "s"}, more...)
		out, err := exec.CommandContext(ctx, "wrk", append(args, "http://"+addr.String()+path)...).Output()
		if err != nil {
			return 0, 0, fmt.Errorf("wrk: %w", err)
		}
		if bad := wrkBad.Find(out); bad != nil {
			return 0, 0, fmt.Errorf("wrk: %s", bad)
		}
		count, err := figure(wrkDone, out)
		if err != nil {
			return 0, 0, err
		}
		rate, err := figure(wrkRate, out)
		return int(count), time.Duration(count / rate * float64(time.Second)), err
	}
}
