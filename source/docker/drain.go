package docker

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

const (
	// maxDrain is the longest that a container can ask to be left running after its stop signal.
	maxDrain = time.Hour
	// engineStopTimeout is an engine's default wait after the stop signal.
	engineStopTimeout = 10 * time.Second
)

// drain returns the time for which a container means to go on serving after its stop signal; 0 if it has no such label.
func (s *settings) drain() time.Duration {
	v, ok := s.koine["drain"]
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(strings.TrimSpace(v.value))
	if err != nil || d < 0 || d > maxDrain {
		s.warn(v.label, "%q is not a duration of 0 to %v: write it as 10s or 1m30s", v.value, maxDrain)
		return 0
	}
	return d
}

// stopTimeout returns the time from a container's stop signal until the engine kills it, unless the stop gives another;
// negative means for ever.
func stopTimeout(c *container.InspectResponse) time.Duration {
	if c.Config.StopTimeout == nil && c.Config.Labels[serviceLabel] != "" {
		return -1 // the service has it, and the container does not show it: as long as it takes
	}
	if c.Config.StopTimeout == nil {
		return engineStopTimeout
	}
	return time.Duration(*c.Config.StopTimeout) * time.Second
}

// lasted is the life of a container after its stop signal.
type lasted struct {
	signal string
	lived  time.Duration
	// wanted is the time that its label asks for; 0 if it has none.
	wanted time.Duration
	// killed is set if it did not end by itself.
	killed bool
	// setting is the name of the setting that grants more time.
	setting string
}

// short reports whether a container ended before clients that still held its address had time to finish.
func (d *lasted) short() bool { return d.lived < d.wanted }

func (d *lasted) String() string {
	lived := d.lived.Round(100 * time.Millisecond)
	return fmt.Sprintf("lived %v after %s, koine.drain asks for %v", lived, d.signal, d.wanted)
}

// hint returns the change to make for a container that ended too early.
func (d *lasted) hint() string {
	if d.killed {
		return fmt.Sprintf("it was killed: docker stop -t, or %s, has to be longer than %v", d.setting, d.wanted)
	}
	return fmt.Sprintf("its process ended by itself: it has to go on serving for %v after %s", d.wanted, d.signal)
}

// lastedUntil returns the life of a registered container after its stop signal, given the time of its end; nil if no
// signal is known for its last known start.
func (t *tracker) lastedUntil(id string, end time.Time, exitCode int) *lasted {
	c, m := t.containers[id], t.drains[id]
	if c == nil || c.skip != "" || m.at.IsZero() || m.startedAt != c.startedAt {
		return nil
	}
	return &lasted{
		signal: m.signal, lived: max(0, end.Sub(m.at)), wanted: c.drain, setting: c.stopSetting,
		killed: exitCode == 128+sigKill || m.reason == drainPrefix+signalName(sigKill),
	}
}

// lasted returns the same for a container that does not run any more, or runs again.
func (t *tracker) lasted(c *container.InspectResponse) *lasted {
	if m := t.drains[c.ID]; running(c) && c.State.StartedAt == m.startedAt {
		return nil
	}
	end, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt)
	if err != nil || end.Year() == 1 {
		return nil
	}
	return t.lastedUntil(c.ID, end, c.State.ExitCode)
}

// logLasted logs the time that a container lived after its stop signal, and warns if its label asks for more.
func (s *Source) logLasted(name string, d *lasted) {
	s.metrics.drains.Observe(d.lived.Seconds())
	message := "container stopped: " + d.String()
	switch {
	case d.wanted == 0:
		s.log.Debug("container stopped", "container", name, "signal", d.signal, "lived", d.lived)
	case d.short():
		s.metrics.shortDrains.Inc()
		s.log.Warn(message, "container", name, "hint", d.hint())
	default:
		s.log.Info(message, "container", name)
	}
}

// hintDrain hints at a time that a container asks for after its stop signal, and that the engine does not grant.
func (s *settings) hintDrain(c *container.InspectResponse, wanted time.Duration) {
	if timeout := stopTimeout(c); wanted > 0 && timeout >= 0 && timeout <= wanted {
		s.hint("docker stop kills it after %v unless -t says more: run it with a %s above %v", timeout, stopSetting(c), wanted)
	}
}

// stopSetting returns the name of the setting for the time from a container's stop signal to its end.
func stopSetting(c *container.InspectResponse) string {
	switch {
	case composeLabel(c, composeService) != "":
		return "stop_grace_period"
	case c.Config.Labels[swarmService] != "":
		return "--stop-grace-period"
	default:
		return "--stop-timeout"
	}
}
