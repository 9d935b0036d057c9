package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

// asKoine makes the test's binary act as koine.
const asKoine = "KOINE_TEST_IS_KOINE"

func TestMain(m *testing.M) {
	if os.Getenv(asKoine) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// shell is an interactive bash on a terminal, and the server that koine registers with there.
type shell struct {
	t        *testing.T
	dir      string
	terminal *os.File
	// hangUp does what the kernel does when a terminal goes: the shell passes it on to its jobs.
	hangUp func()
	server *registrations

	mu     sync.Mutex
	output bytes.Buffer // not matched yet
	wake   chan struct{}
}

// newShell starts a bash in which koine is a function, in a directory of its own.
func newShell(t *testing.T) *shell {
	t.Helper()
	bash := needs.Tool(t, "bash")
	server := newRegistrations(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bash, "--norc", "--noprofile", "-i")
	cmd.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(cmd.Dir, "traps"), []byte(traps), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), asKoine+"=1", "KOINE_HTTP="+server.URL, "TERM=dumb", "PS1=$ ", "HISTFILE=")
	terminal, err := pty.Start(cmd)
	if err != nil {
		needs.Missing(t, "no terminal can be opened: %v", err)
	}
	s := &shell{t: t, dir: cmd.Dir, terminal: terminal, server: server, wake: make(chan struct{}, 1)}
	s.hangUp = func() { _ = cmd.Process.Signal(syscall.SIGHUP) }
	ended := make(chan struct{})
	go func() { defer close(ended); s.read(); _ = cmd.Wait() }()
	t.Cleanup(func() {
		s.end(ended, cmd.Process)
		terminal.Close()
	})
	s.send("stty -echo; koine() { '" + self + "' \"$@\"; }\n")
	s.send("echo be''gin\n")
	s.expect("begin")
	return s
}

// end hangs up until the shell has ended, and with it every process on its terminal: a bash that is about to read may
// miss a signal.
func (s *shell) end(ended <-chan struct{}, bash *os.Process) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	timer := time.NewTimer(eventually.Patience)
	defer timer.Stop()
	for {
		s.hangUp()
		select {
		case <-ended:
			return
		case <-ticker.C:
		case <-timer.C:
			s.t.Error("bash does not end")
			_ = bash.Kill()
			return
		}
	}
}

func (s *shell) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.terminal.Read(buffer)
		s.mu.Lock()
		s.output.Write(buffer[:n])
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *shell) send(text string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// expect waits until the terminal shows a pattern, and forgets the output before it.
func (s *shell) expect(pattern string) {
	s.t.Helper()
	timer := time.NewTimer(eventually.Patience)
	defer timer.Stop()
	for !s.shows(regexp.MustCompile(pattern)) {
		select {
		case <-s.wake:
		case <-timer.C:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("no %q on the terminal, which shows\n%s\nThe server got %v.", pattern, &s.output, s.server.requests())
		}
	}
}

func (s *shell) shows(pattern *regexp.Regexp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := pattern.FindIndex(s.output.Bytes())
	if found != nil {
		s.output.Next(found[1])
	}
	return found != nil
}

// registrations is a server that accepts every registration.
type registrations struct {
	*httptest.Server
	// premature is a file that must not exist yet when an instance is taken out; nil if there is none.
	premature atomic.Pointer[string]

	mu   sync.Mutex
	got  []string // PUT and DELETE
	wake chan struct{}
}

func newRegistrations(t *testing.T) *registrations {
	s := &registrations{wake: make(chan struct{}, 1)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if file := s.premature.Load(); method == http.MethodDelete && file != nil && appears(*file) {
			method = "late DELETE"
		}
		s.mu.Lock()
		s.got = append(s.got, method)
		s.mu.Unlock()
		w.Header().Set(client.HeaderRevision, "7")
		fmt.Fprint(w, `{"revision": 7}`)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// appears gives a file some time to appear. A later appearance goes unnoticed.
func appears(path string) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range 20 {
		if _, err := os.Stat(path); err == nil {
			return true
		}
		<-ticker.C
	}
	return false
}

func (s *registrations) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// awaits waits until the server has got requests; a mere renewal of a registration counts once.
func (s *registrations) awaits(t *testing.T, want ...string) {
	t.Helper()
	timer := time.NewTimer(eventually.Patience)
	defer timer.Stop()
	for !slices.Equal(slices.Compact(s.requests()), want) {
		select {
		case <-s.wake:
		case <-timer.C:
			t.Fatalf("the server got %v, want %v", s.requests(), want)
		}
	}
}

// traps is a command that prints the signals it gets, and runs until SIGTERM.
const traps = `
trap 'echo got INT; : >int' INT
trap 'echo got HUP; exit 3' HUP
trap 'echo got QUIT' QUIT
trap 'echo got CONT' CONT
trap 'echo got TERM; exit 4' TERM
echo ready
while :; do sleep 0.05; done
`

// TestCtrlC holds that Ctrl-C takes the instance out before the command gets it, and that a second one kills.
func TestCtrlC(t *testing.T) {
	s := newShell(t)
	s.server.premature.Store(new(filepath.Join(s.dir, "int")))
	s.send("koine register web --port 80 -- sh traps; echo ended with $?\n")
	s.expect("ready")
	s.server.awaits(t, "PUT")
	s.send("\x03")
	s.expect("got INT")
	s.server.awaits(t, "PUT", "DELETE")
	s.expect("koine: waiting for sh to end: Ctrl-C again kills it")
	s.send("\x03")
	s.expect("koine: killed sh")
	s.expect("ended with 137")
}

// TestOtherSignals holds that each signal reaches the command unchanged.
func TestOtherSignals(t *testing.T) {
	s := newShell(t)
	s.send("koine register web --port 80 -- sh traps; echo ended with $?\n")
	s.expect("ready")
	s.server.awaits(t, "PUT")
	s.send("\x1c") // Ctrl-\
	s.expect("got QUIT")
	s.server.awaits(t, "PUT", "DELETE")
	s.send("\x03")
	s.expect("got INT")
	s.server.awaits(t, "PUT", "DELETE")
}

// TestHangup holds that the loss of the terminal takes the instance out, and ends the command.
func TestHangup(t *testing.T) {
	s := newShell(t)
	s.send("koine register web --port 80 -- sh traps\n")
	s.expect("ready")
	s.server.awaits(t, "PUT")
	s.hangUp()
	s.server.awaits(t, "PUT", "DELETE")
	s.expect("got HUP")
}

// TestCtrlZ holds that a job can be stopped and continued: the instance is out meanwhile.
func TestCtrlZ(t *testing.T) {
	s := newShell(t)
	s.send("koine register web --port 80 -- sh traps; echo ended with $?\n")
	s.expect("ready")
	s.server.awaits(t, "PUT")
	s.send("\x1a")
	s.expect(`Stopped`)
	s.server.awaits(t, "PUT", "DELETE")
	s.send("fg\n")
	s.expect("got CONT")
	s.server.awaits(t, "PUT", "DELETE", "PUT")
	s.send("\x1a")
	s.expect(`Stopped`)
	s.send("bg\n")
	s.expect("got CONT")
	s.server.awaits(t, "PUT", "DELETE", "PUT", "DELETE", "PUT")
	s.send("kill %1; wait %1; echo ended with $?\n")
	s.expect("got TERM")
	s.expect("ended with 4")
	s.server.awaits(t, "PUT", "DELETE", "PUT", "DELETE", "PUT", "DELETE")
}

// TestReadsTerminal holds that a command that reads gets the keys, and the shell gets them back.
func TestReadsTerminal(t *testing.T) {
	s := newShell(t)
	s.send("koine register web --port 80 -- cat; echo ended with $?\n")
	s.server.awaits(t, "PUT")
	s.send("hello\n")
	s.expect("hello")
	s.send("\x1a") // which only the command gets now
	s.expect("Stopped")
	s.server.awaits(t, "PUT", "DELETE")
	s.send("fg\n")
	s.server.awaits(t, "PUT", "DELETE", "PUT")
	s.send("again\n")
	s.expect("again")
	s.send("\x04")
	s.server.awaits(t, "PUT", "DELETE", "PUT", "DELETE")
	s.send("echo sh''ell\n")
	s.expect("shell")
	s.send("koine register web --port 80 -- sh -c 'read x; exit 5'; echo ended with $?\n")
	s.send("x\n")
	s.expect("ended with 5")
}

// TestGroupSignal holds that a signal for koine's process group reaches the command through koine alone, and once.
func TestGroupSignal(t *testing.T) {
	server := newRegistrations(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "register", "web", "--port", "80", "--", "sh", "-c", traps)
	cmd.Dir = t.TempDir()
	server.premature.Store(new(filepath.Join(cmd.Dir, "int")))
	cmd.Env = append(os.Environ(), asKoine+"=1", "KOINE_HTTP="+server.URL)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var output bytes.Buffer
	ready := make(chan struct{})
	var once sync.Once
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("ready")) {
			once.Do(func() { close(ready) })
		}
		return output.Write(p)
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-ready
	server.awaits(t, "PUT")
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	server.awaits(t, "PUT", "DELETE")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 4 {
		t.Errorf("ended with %v", err)
	}
	if got := bytes.Count(output.Bytes(), []byte("got INT")); got != 1 {
		t.Errorf("the command got SIGINT %d times:\n%s", got, &output)
	}
}
