package docker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// TestEngineExec runs commands in a container.
func TestEngineExec(t *testing.T) {
	e := startEngine(t)
	e.Run(demo("web"))
	c, err := NewContainers(e.Host())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	code, output, err := c.Exec(t.Context(), "web", []string{"/program", "-healthcheck"})
	if err != nil || code != 0 {
		t.Errorf("healthy: exit code %d, output %q, %v", code, output, err)
	}
	code, output, err = c.Exec(t.Context(), "web", []string{"/program", "-no-such-flag"})
	if err != nil || code == 0 || !strings.Contains(string(output), "no-such-flag") {
		t.Errorf("a command that fails: exit code %d, output %q, %v", code, output, err)
	}
	code, output, err = c.Exec(t.Context(), "web", []string{"/no/such/program"})
	if err == nil && code != 127 && code != 126 {
		t.Errorf("no such program: exit code %d, output %q", code, output)
	}
	if _, _, err = c.Exec(t.Context(), "nowhere", []string{"/program"}); err == nil || !strings.Contains(err.Error(), "create command") {
		t.Errorf("no such container: %v", err)
	}
	t.Run("no end", func(t *testing.T) { testStuck(t, c) })
}

// testStuck runs a command that goes on: one that serves on a port of its own.
func testStuck(t *testing.T, c *Containers) {
	serve := []string{"/program", "-ports", "8099"}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, err := c.Exec(ctx, "web", serve); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a command that does not end: %v", err)
	}
	if _, _, err := c.Exec(t.Context(), "web", serve); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("the same command again: %v", err)
	}
	if code, _, err := c.Exec(t.Context(), "web", []string{"/program", "-healthcheck"}); code != 0 || err != nil {
		t.Errorf("another command: exit code %d, %v", code, err)
	}
}
