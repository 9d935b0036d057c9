package docker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestEngineExec runs commands in a container.
func TestEngineExec(t *testing.T) {
	e := startEngine(t)
	e.Run(demo("web"))
	c, err := NewContainers(e.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	eventually.True(t, "the command says that the container is healthy", func() bool {
		code, _, err := c.Exec(t.Context(), "web", []string{"/program", "-healthcheck"})
		return err == nil && code == 0
	})
	code, output, err := c.Exec(t.Context(), "web", []string{"/program", "-no-such-flag"})
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
	t.Run("no end", func(t *testing.T) {
		testStuck(t, c, e.Inspect("web").NetworkSettings.Networks["bridge"].IPAddress.String())
	})
}

// testStuck runs a command that does not end: one that serves on a port of its own in the container at an address.
func testStuck(t *testing.T, c *Containers, ip string) {
	serve := []string{"/program", "-ports", "8099"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, _, err := c.Exec(ctx, "web", serve)
		ended <- err
	}()
	eventually.True(t, "the command serves", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(ip, "8099"))
		return err == nil && conn.Close() == nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("a command that does not end: %v", err)
	}
	if _, _, err := c.Exec(t.Context(), "web", serve); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("the same command again: %v", err)
	}
	if code, _, err := c.Exec(t.Context(), "web", []string{"/program", "-healthcheck"}); code != 0 || err != nil {
		t.Errorf("another command: exit code %d, %v", code, err)
	}
}
