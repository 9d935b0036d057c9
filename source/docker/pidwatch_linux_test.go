package docker

import (
	"context"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/leak"
	"github.com/koine-sd/koine/internal/needs"
)

// anyGroup is in every process's cgroup file, as a container's id is in those of its own.
const anyGroup = ":"

// sleeper starts a process and returns its id and a function that kills it.
func sleeper(t *testing.T) (pid int, kill func()) {
	t.Helper()
	command := exec.Command("sleep", "300")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	t.Cleanup(kill)
	return command.Process.Pid, kill
}

func TestPidWatch(t *testing.T) {
	defer leak.None(t, goleak.IgnoreCurrent())
	w, err := newPidWatch(1024)
	if err != nil {
		needs.Kernel(t, "processes cannot be watched: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.run(ctx); close(done) }()
	defer func() { cancel(); <-done }()

	pid, kill := sleeper(t)
	w.add("no such container", "s1", pid)
	if len(w.watched) != 0 {
		t.Error("a process of another container is watched")
	}
	w.add(anyGroup, "s1", pid)
	w.add(anyGroup, "s1", pid)
	fd := int32(w.watched[anyGroup].fd)
	if got := w.ended([]int32{fd, fd + 1000}); len(got) != 0 {
		t.Errorf("ended %v while the process runs", got)
	}
	kill()
	if e := eventually.Receive(t, "the end of the process", w.exits); e != (exit{anyGroup, "s1"}) {
		t.Errorf("told of %v", e)
	}
	// The dead process is not looked for again, the next start is.
	w.add(anyGroup, "s1", pid)
	if w.watched[anyGroup].fd != -1 {
		t.Error("a dead process is watched again")
	}
	next, _ := sleeper(t)
	w.add(anyGroup, "s2", next)
	if w.watched[anyGroup].fd < 0 {
		t.Error("the next process is not watched")
	}
	w.remove(anyGroup)
	w.add("gone", "s1", 1<<22+1)
	if len(w.watched)+len(w.byFD) != 0 {
		t.Errorf("%d processes are watched at the end", len(w.watched))
	}
}

func TestPidWatchUnwanted(t *testing.T) {
	w, err := newPidWatch(0)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := sleeper(t)
	w.add(anyGroup, "s1", pid)
	if len(w.watched) != 0 {
		t.Error("a disabled watch watches a process")
	}
	w.run(context.Background())
}
