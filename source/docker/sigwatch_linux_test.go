package docker

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/leak"
	"github.com/koine-sd/koine/internal/needs"
)

// TestSignalWatch sends signals to processes of which one is watched.
func TestSignalWatch(t *testing.T) {
	defer leak.None(t, goleak.IgnoreCurrent())
	w, err := newSignalWatch()
	if err != nil {
		needs.Kernel(t, "signals cannot be watched: %v", err)
	}
	in := newInbox()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.run(ctx, in); close(done) }()
	defer func() { cancel(); <-done }()

	// A shell ignores the signals, so that it lives on.
	start := func() int {
		command := exec.Command("sh", "-c", "trap '' TERM QUIT USR1; echo; while :; do sleep 300; done")
		out, err := command.StdoutPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
		_, _ = out.Read(make([]byte, 1))
		return command.Process.Pid
	}
	send := func(pid int, signals ...syscall.Signal) {
		for _, s := range signals {
			if err := syscall.Kill(pid, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	other, one := start(), start()
	w.set("one", one, int(syscall.SIGQUIT))
	send(other, syscall.SIGTERM, syscall.SIGQUIT)
	send(one, syscall.SIGUSR1, syscall.SIGWINCH)
	began := time.Now()
	send(one, syscall.SIGQUIT)
	seen := uint64(0)
	eventually.True(t, "the stop signal is seen", func() bool {
		changed, _ := in.take()
		if len(changed) > 1 || len(changed) == 1 && changed["one"].signals == 0 || changed["one"].look {
			t.Fatalf("seen %+v", changed)
		}
		seen |= changed["one"].signals
		return seen != 0
	})
	t.Logf("seen after %v", time.Since(began))
	if seen != signalBit(int(syscall.SIGQUIT)) {
		t.Errorf("signals %b are seen, want SIGQUIT alone", seen)
	}

	// A process of another container that has the number of one before.
	w.set("two", one, 0)
	w.remove("one")
	send(one, syscall.SIGTERM)
	eventually.True(t, "SIGTERM is seen", func() bool {
		changed, _ := in.take()
		return changed["two"].signals != 0
	})
	w.remove("two")
	send(one, syscall.SIGTERM)
	w.set("other", other, 0)
	send(other, syscall.SIGTERM)
	eventually.True(t, "SIGTERM to the other is seen", func() bool {
		changed, _ := in.take()
		if changed["two"].signals != 0 {
			t.Fatal("a container that is no longer watched has a signal")
		}
		return changed["other"].signals != 0
	})
}

// TestSignalWatchNil has a source that could not make a watch.
func TestSignalWatchNil(t *testing.T) {
	var w *signalWatch
	w.set("one", 1, 0)
	w.remove("one")
	w.run(t.Context(), newInbox())
}
