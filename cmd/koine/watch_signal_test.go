package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/koine-sd/koine/internal/eventually"
)

// endsByINT is a command that prints the signals it gets, and ends once it has had time for another.
const endsByINT = `
trap 'echo got INT; left=6' INT
trap 'echo got TERM; left=6' TERM
left=-1
echo ready
while test $left -ne 0; do sleep 0.05; left=$((left - 1)); done
exit 0
`

// TestWatchPassesOneSignal holds that the command of a watch gets the signal that koine gets, and no other, whether koine
// alone or its whole process group was sent it.
func TestWatchPassesOneSignal(t *testing.T) {
	server := watchedServer(t, 1)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		group bool
		sig   syscall.Signal
		want  string
	}{
		"SIGINT for the group": {true, syscall.SIGINT, "ready\ngot INT\n"},
		"SIGINT for koine":     {false, syscall.SIGINT, "ready\ngot INT\n"},
		"SIGTERM for koine":    {false, syscall.SIGTERM, "ready\ngot TERM\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var out bytes.Buffer
			output := func() string { mu.Lock(); defer mu.Unlock(); return out.String() }
			cmd := exec.Command(self, "watch", "web", "--", "sh", "-c", endsByINT)
			cmd.Env = append(os.Environ(), asKoine+"=1", "KOINE_HTTP="+server.URL)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			cmd.Stdout = writerFunc(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return out.Write(p) })
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "the command runs", func() bool { return strings.Contains(output(), "ready") })
			target := cmd.Process.Pid
			if test.group {
				target = -target
			}
			if err := syscall.Kill(target, test.sig); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil || output() != test.want {
				t.Errorf("%v, output %q, want %q", err, output(), test.want)
			}
		})
	}
}

// TestWatchOnTerminal holds that Ctrl-C reaches the command of a watch once, and that it can read from the terminal.
func TestWatchOnTerminal(t *testing.T) {
	s := newShell(t)
	server := watchedServer(t, 1)
	if err := os.WriteFile(filepath.Join(s.dir, "ends"), []byte(endsByINT), 0o600); err != nil {
		t.Fatal(err)
	}
	s.send("koine watch web --http " + server.URL + " -- sh -c 'read x </dev/tty; echo read $x; . ./ends'; echo ended with $?\n")
	s.send("secret\n")
	s.expect("read secret")
	s.expect("ready")
	s.send("\x03")
	s.expect(`(?s)got INT\s+ended with 0`)
}
