package docker

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/moby/moby/client"
)

// countingEngine counts the lists that are asked for.
type countingEngine struct {
	*fakeEngine
	lists int
}

func (e *countingEngine) ContainerList(ctx context.Context, o client.ContainerListOptions) (client.ContainerListResult, error) {
	e.lists++
	return e.fakeEngine.ContainerList(ctx, o)
}

// TestPodmanListsWhatSignalsMiss: while the kernel does not report the stop signals of all containers, Podman is asked each second.
func TestPodmanListsWhatSignalsMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &countingEngine{fakeEngine: newFake()}
		s, err := New(Config{Client: e, Node: "n1", Sink: newSink()})
		if err != nil {
			t.Fatal(err)
		}
		s.podman.Store(true)
		s.signals = &signalWatch{watched: map[string]process{}, byPID: map[uint32]string{}, missed: map[string]bool{}}
		s.signals.kernel.opened.Store(true)
		lists := func() int {
			e.lists = 0
			if err := s.watchList(t.Context(), s.inbox); err != nil {
				t.Fatal(err)
			}
			return e.lists
		}
		if n := lists(); n != 0 {
			t.Errorf("%d lists in a minute though all signals are seen", n)
		}
		s.signals.miss("web")
		if n := lists(); n < 50 {
			t.Errorf("%d lists in a minute though a container's signals are not seen", n)
		}
		s.signals.remove("web")
		if n := lists(); n != 0 {
			t.Errorf("%d lists in a minute once it is gone", n)
		}
	})
}
