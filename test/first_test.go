package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

// firstProcess starts a command line of koine as the first process of a namespace. It returns the id of that process outside.
func firstProcess(t *testing.T, args ...string) (cmd *exec.Cmd, first int) {
	t.Helper()
	needs.Root(t, "make a namespace of process ids")
	unshare := needs.Tool(t, "unshare")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(unshare, append([]string{"--pid", "--fork", "--mount-proc", "--kill-child", path}, args...)...)
	output := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it the namespace
		if t.Failed() {
			t.Logf("it said:\n%s", output.String())
		}
	})
	eventually.True(t, "the namespace has a first process", func() bool {
		children := childrenOf(t, cmd.Process.Pid)
		if len(children) == 1 {
			first = children[0]
		}
		return len(children) == 1 || !running(cmd)
	})
	return cmd, first
}

func running(cmd *exec.Cmd) bool { return syscall.Kill(cmd.Process.Pid, 0) == nil }

// childrenOf returns the children of a process.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	for _, entry := range status(t) {
		if entry["PPid"] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(entry["Pid"])
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}

// zombiesOf counts the children of a process that have ended, and for which it has not waited.
func zombiesOf(t *testing.T, pid int) (n int) {
	for _, entry := range status(t) {
		if entry["PPid"] == strconv.Itoa(pid) && strings.HasPrefix(entry["State"], "Z") {
			n++
		}
	}
	return n
}

// status returns the fields of all processes.
func status(t *testing.T) (list []map[string]string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := make(map[string]string)
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimSpace(value)
		}
		list = append(list, fields)
	}
	return list
}

// TestFirstProcessLeavesNoZombies has checks leave processes behind, as the first process of a container.
func TestFirstProcessLeavesNoZombies(t *testing.T) {
	files, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	definition := fmt.Sprintf(`{"service": {"name": "web", "port": 80, "checks": [
		{"id": "leaves", "args": ["sh", "-c", "echo x >> %s; (setsid sleep 0.1 &); (sleep 0.1 &); exit 0"], "interval": "1s"},
		{"id": "hangs", "args": ["sh", "-c", "sleep 30 & sleep 30"], "interval": "1s", "timeout": "1s"}]}}`, ran)
	if err := os.WriteFile(filepath.Join(files, "web.json"), []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, first := firstProcess(t, "dev", "--docker", "off", "--http", "off", "--dns", "off", "--enable-script-checks", "--config-dir", files,
		"--data-dir", t.TempDir())
	eventually.True(t, "ten runs", func() bool {
		text, _ := os.ReadFile(ran)
		return len(text) >= 20
	})
	eventually.True(t, "no zombie remains", func() bool { return zombiesOf(t, first) == 0 })
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM it ended with %v", err)
	}
}

// TestFirstProcessOfACommand has koine register as the entry point of a container.
func TestFirstProcessOfACommand(t *testing.T) {
	k := newKoine(t, "--docker", "off").start()
	for script, want := range map[string]int{
		"exit 0": 0, "exit 7": 7, "kill -9 $$": 128 + 9, "(setsid sleep 0.01 &); sleep 0.1; exit 3": 3,
	} {
		cmd, _ := firstProcess(t, "register", "job", "--http", k.http, "--", "sh", "-c", script)
		if got := exitCodeOf(cmd.Wait()); got != want {
			t.Errorf("%s: exit code %d, want %d", script, got, want)
		}
	}
	// A signal reaches the command, after its instance has left the answers.
	cmd, first := firstProcess(t, "register", "web", "--http", k.http, "--port", "80", "--", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done")
	registered := func() bool {
		list, err := k.client.Instances(t.Context(), instancesOf("web"))
		return err == nil && len(list.Instances) == 1
	}
	k.await("registered", registered)
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := exitCodeOf(cmd.Wait()); got != 5 {
		t.Errorf("after SIGTERM: exit code %d, want that of the trap, 5", got)
	}
	if registered() {
		t.Error("it is still registered")
	}
	// A mistake on the command line is one process's as before.
	cmd, _ = firstProcess(t, "register")
	if got := exitCodeOf(cmd.Wait()); got != 2 {
		t.Errorf("a mistake: exit code %d, want 2", got)
	}
}

func exitCodeOf(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
