package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestDrainLabel(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"10s": 10 * time.Second, " 1m30s ": 90 * time.Second, "0": 0, "1h": time.Hour, "": 0,
		"61m": -1, "-1s": -1, "10": -1, "soon": -1,
	} {
		d, err := describe(inspected(labels("koine.drain", value)), testOptions())
		bad := len(d.warnings) > 0
		if err != nil || d.drain != max(0, want) || bad != (want < 0) && value != "" {
			t.Errorf("%q: %v, %v, %v; want %v", value, d.drain, d.warnings, err, want)
		}
	}
}

// lastedWith stops a container a second after its start, and returns the report of its end at some time later.
func lastedWith(t *testing.T, sent []int, after time.Duration, exitCode int, edits ...edit) *lasted {
	t.Helper()
	started, _ := time.Parse(time.RFC3339Nano, testStart)
	signalled := started.Add(time.Second)
	tracker := newTracker(testOptions())
	tracker.update(inspected(edits...), nil)
	for n, signal := range sent {
		tracker.kill(testID, kills{signals: signalBit(signal), at: signalled.Add(time.Duration(n) * time.Second)})
		if told := tracker.update(inspected(edits...), nil); told.lasted != nil {
			t.Errorf("it still runs, and %v was reported", told.lasted)
		}
	}
	end := func(c *container.InspectResponse) {
		c.State.Running, c.State.ExitCode = false, exitCode
		c.State.FinishedAt = signalled.Add(after).Format(time.RFC3339Nano)
	}
	return tracker.update(inspected(append(edits, end)...), nil).lasted
}

func TestHowLongAContainerLasted(t *testing.T) {
	asks := labels("koine.drain", "10s")
	for _, test := range []struct {
		name     string
		sent     []int
		after    time.Duration
		exitCode int
		edits    []edit
		want     string
		short    bool
		hint     string
	}{
		{"long enough", []int{sigTerm}, 12 * time.Second, 0, []edit{asks}, "lived 12s after SIGTERM, koine.drain asks for 10s", false, ""},
		{"by itself", []int{sigTerm}, 3210 * time.Millisecond, 0, []edit{asks}, "lived 3.2s after SIGTERM, koine.drain asks for 10s", true, "has to go on serving for 10s after SIGTERM"},
		{"killed after the timeout", []int{sigTerm, sigKill}, time.Second, 137, []edit{asks}, "lived 1s after SIGTERM", true, "docker stop -t"},
		{"killed at once", []int{sigKill}, 0, 137, []edit{asks}, "lived 0s after SIGKILL", true, "it was killed"},
		{"its own stop signal", []int{3}, time.Second, 0, []edit{asks, func(c *container.InspectResponse) { c.Config.StopSignal = "QUIT" }}, "after SIGQUIT", true, "after SIGQUIT"},
		{"no label", []int{sigTerm}, time.Second, 0, nil, "asks for 0s", false, ""},
		{"clocks apart", []int{sigTerm}, -time.Second, 0, []edit{asks}, "lived 0s", true, ""},
	} {
		got := lastedWith(t, test.sent, test.after, test.exitCode, test.edits...)
		if got == nil || !strings.Contains(got.String(), test.want) || got.short() != test.short || !strings.Contains(got.hint(), test.hint) {
			t.Errorf("%s: %v, want %q, short %v, hint %q", test.name, got, test.want, test.short, test.hint)
		}
	}
	if got := lastedWith(t, nil, time.Second, 1, asks); got != nil {
		t.Errorf("without a stop signal: %v", got)
	}
	if got := lastedWith(t, []int{sigTerm}, time.Second, 0, asks, labels("koine.ignore", "1")); got != nil {
		t.Errorf("not registered: %v", got)
	}
}

func TestLastedOverARestartAndARemoval(t *testing.T) {
	started, _ := time.Parse(time.RFC3339Nano, testStart)
	signalled := started.Add(time.Second)
	told := func(then func(*tracker) report) *lasted {
		tracker := newTracker(testOptions())
		tracker.update(inspected(labels("koine.drain", "10s")), nil)
		tracker.kill(testID, kills{signals: signalBit(sigTerm), at: signalled})
		return then(tracker).lasted
	}
	restarted := told(func(tracker *tracker) report {
		return tracker.update(inspected(labels("koine.drain", "10s"), func(c *container.InspectResponse) {
			c.State.FinishedAt = signalled.Add(2 * time.Second).Format(time.RFC3339Nano)
			c.State.StartedAt = signalled.Add(3 * time.Second).Format(time.RFC3339Nano)
		}), nil)
	})
	if restarted == nil || restarted.lived != 2*time.Second {
		t.Errorf("restarted: %v", restarted)
	}
	seen := told(func(tracker *tracker) report {
		tracker.exited(testID, testStart, signalled.Add(4*time.Second))
		return tracker.removed(testID, signalled.Add(9*time.Second))
	})
	if seen == nil || seen.lived != 4*time.Second {
		t.Errorf("its process was seen to end, and it was removed: %v", seen)
	}
}

// TestDrainHintNamesTheSetting: a container that wants more time than its engine grants gets a hint at the setting of the tool that
// started it.
func TestDrainHintNamesTheSetting(t *testing.T) {
	seconds := func(n int) edit { return func(c *container.InspectResponse) { c.Config.StopTimeout = &n } }
	for name, test := range map[string]struct {
		edits []edit
		want  string
	}{
		"docker run":     {nil, "--stop-timeout above 15s"},
		"compose":        {[]edit{labels(composeProject, "shop", composeService, "web", composeNumber, "1")}, "stop_grace_period above 15s"},
		"swarm":          {[]edit{labels(swarmService, "shop_web")}, "--stop-grace-period above 15s"},
		"not enough":     {[]edit{seconds(15)}, "--stop-timeout above 15s"},
		"enough":         {[]edit{seconds(16)}, ""},
		"never killed":   {[]edit{seconds(-1)}, ""},
		"an image's own": {[]edit{labels(composeProject, "shop", composeService, "web")}, "--stop-timeout above 15s"},
	} {
		d, err := describe(inspected(append(test.edits, labels("koine.drain", "15s"))...), testOptions())
		if got := strings.Join(d.hints, "\n"); err != nil || !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: hints %q, %v; want %q", name, got, err, test.want)
		}
	}
	lost := lasted{killed: true, wanted: 15 * time.Second, setting: "stop_grace_period"}
	if got := lost.hint(); !strings.Contains(got, "stop_grace_period") {
		t.Error(got)
	}
}
