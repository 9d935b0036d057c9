//go:build unix

package health

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

func sh(command string) catalog.Definition {
	return catalog.Definition{Type: catalog.CheckScript, Args: []string{"/bin/sh", "-c", command}}
}

func TestScriptExitCodes(t *testing.T) {
	expect(t, probe(t, sh("echo fine; echo too >&2")), catalog.Passing, "fine\n", "too\n")
	expect(t, probe(t, sh("echo so-so; exit 1")), catalog.Warning, "so-so")
	expect(t, probe(t, sh("echo bad; exit 2")), catalog.Critical, "bad")
	expect(t, probe(t, sh("exit 3")), catalog.Critical, "exit status 3")
	expect(t, probe(t, sh("kill -9 $$")), catalog.Critical, "signal: killed")
	expect(t, probe(t, catalog.Definition{Type: catalog.CheckScript, Args: []string{"/no/such"}}),
		catalog.Critical, "start script", "no such file")
}

func TestScriptOutputIsCut(t *testing.T) {
	got := probe(t, sh("echo head; yes | head -c 1000000"))
	expect(t, got, catalog.Passing, "head\ny\n")
	if len(got.Output) > headSize {
		t.Errorf("%d bytes were kept", len(got.Output))
	}
}

func TestScriptsNeedTheFlag(t *testing.T) {
	def := sh("true")
	got := (&probers{}).probe(t.Context(), &def)
	expect(t, got, catalog.Critical, "--enable-script-checks")
}

// fifo makes a named pipe, and a reader that is open once ready is closed and ended when every writer is gone.
func fifo(t *testing.T) (path string, lines <-chan string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 16)
	go func() {
		defer close(out)
		file, err := os.Open(path)
		if err != nil {
			return
		}
		defer func() { _ = file.Close() }()
		for scanner := bufio.NewScanner(file); scanner.Scan(); {
			out <- scanner.Text()
		}
	}()
	return path, out
}

// drainAll returns all lines once every process that holds the pipe is gone.
func drainAll(t *testing.T, lines <-chan string) []string {
	t.Helper()
	var all []string
	deadline := time.After(eventually.Patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return all
			}
			all = append(all, line)
		case <-deadline:
			t.Fatal("a process of the script lives on")
		}
	}
}

func TestScriptGrandchildrenDieOnTimeout(t *testing.T) {
	path, lines := fifo(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	def := sh(fmt.Sprintf("exec 3>%s; (sh -c 'trap \"\" TERM; echo up >&3; sleep 1000'; echo late >&3) & wait", path))
	done := make(chan Result)
	go func() { done <- (&probers{scripts: true}).probe(ctx, &def) }()
	if line := <-lines; line != "up" {
		t.Fatalf("grandchild said %q", line)
	}
	cancel()
	if rest := drainAll(t, lines); len(rest) > 0 {
		t.Errorf("grandchildren went on: %q", rest)
	}
	expect(t, <-done, catalog.Critical)
}

func TestScriptTimeoutSaysSo(t *testing.T) {
	got := within(t, 50*time.Millisecond, sh("sleep 1000"))
	expect(t, got, catalog.Critical, "timed out after 50ms")
}

func TestScriptLeavesNothingBehind(t *testing.T) {
	path, lines := fifo(t)
	got := probe(t, sh(fmt.Sprintf("exec 3>%s; sleep 1000 & echo started", path)))
	expect(t, got, catalog.Passing, "started")
	if rest := drainAll(t, lines); len(rest) > 0 {
		t.Errorf("unexpected lines %q", rest)
	}
}

func TestScriptWhoseChildLeavesTheGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	// The child has a session of its own and holds the output open for longer than any test waits.
	got := probe(t, sh(fmt.Sprintf(
		"setsid sh -c 'echo $$ >%[1]s; exec sleep 1000' & while [ ! -s %[1]s ]; do sleep 0.01; done; echo hello", path)))
	expect(t, got, catalog.Passing, "hello")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("the child that left was killed with the group: %v", err)
	}
}
