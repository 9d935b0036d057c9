package docker

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// TestHinderedByOwnPort has containers that could not be started: where Koine has the port, its setting is named, once in the log.
func TestHinderedByOwnPort(t *testing.T) {
	const failed = "driver failed programming external connectivity on endpoint hole: Error starting userland proxy: listen tcp4 0.0.0.0:53: bind: address already in use"
	for _, test := range []struct {
		name, failure, port string
		ended               bool
		want                string
		hindered            bool
	}{
		{"Koine's", failed, "53/tcp", false, "it could not be started: " + failed + ": Koine has tcp port 53 by --dns", true},
		{"Koine's, of one that ran before", failed, "53/tcp", true, "it could not be started again: " + failed + ": Koine has tcp port 53 by --dns; it ended at ", true},
		{"another program's", strings.ReplaceAll(failed, ":53:", ":80:"), "80/tcp", false, "address already in use", false},
		{"another failure", "no such file", "53/tcp", false, "it could not be started: no such file", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions()
			o.listens = func(_ string, at netip.AddrPort) string {
				if at.Port() == 53 {
					return "--dns"
				}
				return ""
			}
			tracker := newTracker(o)
			c := inspected(func(c *container.InspectResponse) {
				c.State = &container.State{Status: "created", Error: test.failure, ExitCode: 128, FinishedAt: "0001-01-01T00:00:00Z"}
				if test.ended {
					c.State.FinishedAt = "2026-01-01T00:00:00Z"
				}
				number, _, _ := strings.Cut(test.port, "/")
				c.HostConfig.PortBindings = network.PortMap{network.MustParsePort(test.port): {{HostPort: number}}}
			})
			told, again := tracker.update(c, nil), tracker.update(c, nil)
			if (told.hindered != "") != test.hindered || again.hindered != "" {
				t.Errorf("told %q, and again %q", told.hindered, again.hindered)
			}
			if left := tracker.find(containerName(c)).left; len(left) != 1 || !strings.Contains(left[0].Why, test.want) {
				t.Errorf("explained by %+v, want %q", left, test.want)
			}
		})
	}
}

// TestFirstProbe: a container that waits for the first run of its HEALTHCHECK says when that is due.
func TestFirstProbe(t *testing.T) {
	start, _ := time.Parse(time.RFC3339Nano, testStart)
	at := func(after time.Duration) string {
		return "starting: it is run first by " + start.Add(after).UTC().Format(time.RFC3339)
	}
	for _, test := range []struct {
		name  string
		check container.HealthConfig
		want  string
	}{
		{"Docker's interval", container.HealthConfig{}, at(30 * time.Second)},
		{"its own", container.HealthConfig{Interval: 5 * time.Minute}, at(5 * time.Minute)},
		{"a start period", container.HealthConfig{Interval: time.Minute, StartPeriod: time.Minute}, at(time.Minute)},
		{"a start interval", container.HealthConfig{Interval: time.Minute, StartPeriod: time.Minute, StartInterval: 2 * time.Second}, at(2 * time.Second)},
		{"a start interval without a period", container.HealthConfig{Interval: time.Minute, StartInterval: 2 * time.Second}, at(time.Minute)},
	} {
		c := inspected(func(c *container.InspectResponse) {
			c.State.Health, c.Config.Healthcheck = &container.Health{Status: container.Starting}, &test.check
		})
		if check, ok := healthcheck(c, false); !ok || check.Output != test.want {
			t.Errorf("%s: %q, want %q", test.name, check.Output, test.want)
		}
		if check, _ := healthcheck(c, true); check.Output != "starting" {
			t.Errorf("%s, with Podman: %q", test.name, check.Output)
		}
	}
}
