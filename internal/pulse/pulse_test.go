package pulse_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/internal/pulse"
)

// TestRunning has a clock that runs, one that stood still, and one that nobody runs.
func TestRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := pulse.New(slog.New(slog.NewTextHandler(&log, nil)), nil)
		time.Sleep(time.Hour) // nobody looks: that is no standstill
		if got := c.Running(); got != time.Hour {
			t.Errorf("it ran for %v, want the hour", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Hour)
		begun := time.Now()
		if got := c.Running(); got != 2*time.Hour || c.Stood() != 0 {
			t.Errorf("it ran for %v and stood for %v, want two hours and nothing", got, c.Stood())
		}
		time.Sleep(10 * time.Second)
		c.Note(4 * time.Second)
		time.Sleep(time.Second)
		if got := c.Since(begun); got != 7*time.Second || c.StoodSince(begun) != 4*time.Second || c.StoodSince(time.Now()) != 0 {
			t.Errorf("it ran for %v and stood for %v since, %v since now", got, c.StoodSince(begun), c.StoodSince(time.Now()))
		}
		if got := c.StoodSince(begun.Add(8 * time.Second)); got != 2*time.Second {
			t.Errorf("it stood for %v since the middle of the standstill, want 2s", got)
		}
		cancel()
		if err := <-done; err != nil || strings.Count(log.String(), "for=4s") != 1 {
			t.Errorf("%v; it logs %q, want one line", err, log.String())
		}
		var none *pulse.Clock
		none.Note(time.Second)
		if err := none.Run(ctx); err != nil {
			t.Error(err)
		}
		if none.Stood() != 0 || none.StoodSince(begun) != 0 || none.Since(begun) != 11*time.Second {
			t.Error("a clock that never stands still stood still")
		}
	})
}

// TestStandstillsAreSummed has one standstill after another: the log has the first, and then one line for several.
func TestStandstillsAreSummed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := pulse.New(slog.New(slog.NewTextHandler(&log, nil)), nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for range 12 {
			time.Sleep(10 * time.Second)
			c.Note(2 * time.Second)
		}
		time.Sleep(time.Minute)
		cancel()
		<-done
		if got := log.String(); strings.Count(got, "for=2s") != 1 || strings.Count(got, "for=6s") != 3 || strings.Count(got, "for=4s") != 1 || strings.Count(got, "for=") != 5 {
			t.Errorf("it logs:\n%s", got)
		}
	})
}

// TestMany has more standstills than are remembered one by one: none is forgotten, and the last are exact.
func TestMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pulse.New(nil, nil)
		begun := time.Now()
		for range 1000 {
			time.Sleep(10 * time.Second)
			c.Note(2 * time.Second)
		}
		if got := c.StoodSince(begun); got != 2000*time.Second {
			t.Errorf("it stood for %v in all", got)
		}
		if got := c.StoodSince(time.Now().Add(-95 * time.Second)); got != 20*time.Second {
			t.Errorf("it stood for %v in the last 95 seconds", got)
		}
	})
}
