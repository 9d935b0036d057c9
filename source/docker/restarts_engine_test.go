package docker

import (
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/internal/eventually"
)

// TestEngineRestartByPolicy: a real engine counts its own restarts, so that the container is explained before it is registered.
func TestEngineRestartByPolicy(t *testing.T) {
	e := startEngine(t)
	sink := newSink()
	s, err := New(Config{Host: e.Host(), Sink: sink, Node: "n1", Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s)
	c := demo("web")
	c.Host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyAlways}
	id := e.Run(c)
	sink.wait(t, "web", has("web"))
	if err := syscall.Kill(e.Inspect(id).State.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the wait is explained", func() bool {
		_, left, err := s.Explain(t.Context(), "web")
		return err == nil && len(left) == 1 && strings.Contains(left[0].Why, "the engine has restarted it once")
	})
	sink.wait(t, "web again", has("web"))
}
