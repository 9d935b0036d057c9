package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/koine-sd/koine/internal/eventually"
)

// TestCommandEndsWithItsChildren ends koine, which runs a command that has started another: neither is left.
func TestCommandEndsWithItsChildren(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	watched, registrations := watchedServer(t, 1), newRegistrations(t)
	const waits = "sleep 3600 & echo $!; wait; echo ended"
	for _, test := range []struct{ name, server, command, script string }{
		{"watch", watched.URL, "watch web", waits},
		{"watch, of a command that ignores the signal", watched.URL, "watch web", "trap '' TERM; " + waits},
		{"watch, of a command that leaves its child behind", watched.URL, "watch web", "(trap '' TERM; exec sleep 3600) & echo $!; wait"},
		{"register", registrations.URL, "register web --port 80", waits},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(self, append(strings.Fields(test.command), "--", "sh", "-c", test.script)...)
			cmd.Env = append(os.Environ(), asKoine+"=1", "KOINE_HTTP="+test.server)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var child int
			lines := bufio.NewReader(out)
			if _, err := fmt.Fscanln(lines, &child); err != nil || child <= 1 {
				t.Fatalf("child %d: %v", child, err)
			}
			defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // with the code of the command
			eventually.True(t, "the command's child has ended", func() bool { return !alive(child) })
		})
	}
}

// alive reports whether a process runs; one that has ended, and for which nobody has waited yet, does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
