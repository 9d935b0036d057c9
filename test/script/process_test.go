package script

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/logtail"
)

// scriptKey is the key of a script's own state.
type scriptKey struct{}

// script is the set of programs that a script has started.
type script struct {
	work      string
	processes map[string]*process
	started   []*process // in order
	servers   map[string]*server
}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// close ends the running programs. It shows how the processes of a failed script ended, and fails the script if there
// was a data race in one of them.
func (s *script) close(t testscript.T) {
	for _, server := range s.servers {
		server.shut()
	}
	raced := false
	for _, p := range slices.Backward(s.started) {
		p.signal(syscall.SIGTERM)
		if !p.ends() {
			p.signal(syscall.SIGKILL)
			<-p.ended
		}
		report := dataRace.FindString(p.stderr.String())
		raced = raced || report != ""
		if report != "" || failed(t) {
			t.Log(fmt.Sprintf("%s: %v\n%s%s", strings.Join(p.cmd.Args, " "), p.cmd.ProcessState, report,
				logtail.Of(filepath.Base(p.cmd.Path), p.stderr.String())))
		}
	}
	if raced {
		t.FailNow()
	}
}

// dataRace is the first report of the race detector in a log.
var dataRace = regexp.MustCompile(`(?s)WARNING: DATA RACE\n.*?={18}\n`)

func failed(t testscript.T) bool {
	f, ok := t.(interface{ Failed() bool })
	return !ok || f.Failed()
}

// process is a program that runs beside the script.
type process struct {
	cmd    *exec.Cmd
	stderr *watched
	ended  chan struct{}
}

func (p *process) signal(signal os.Signal) { _ = p.cmd.Process.Signal(signal) } // it may have ended

func (p *process) runs() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) ends() bool {
	timer := time.NewTimer(eventually.Patience)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
		return false
	}
}

// watched keeps its input, and reports when a pattern has been written.
type watched struct {
	pattern *regexp.Regexp
	seen    chan struct{}

	mu   sync.Mutex
	file *os.File
	text bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.pattern != nil && w.pattern.Match(w.text.Bytes()) {
		w.pattern = nil
		close(w.seen)
	}
	return w.file.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// run starts a program under a name. Its standard error is watched for a pattern.
func run(ts *testscript.TestScript, name string, pattern *regexp.Regexp, args []string) *process {
	s := of(ts)
	if p := s.processes[name]; p != nil && p.runs() {
		ts.Fatalf("%s runs already", name)
	}
	stdout, err := os.Create(filepath.Join(s.work, name+".out"))
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(s.work, name+".log"))
	ts.Check(err)
	path, err := exec.LookPath(args[0])
	if args[0] == "koine" { // the script's PATH finds it, not ours
		path, err = lookIn(ts.Getenv("PATH"), args[0])
	}
	ts.Check(err)
	p := &process{
		cmd:    &exec.Cmd{Path: path, Args: args, Dir: ts.MkAbs("."), Env: environment(ts), Stdout: stdout},
		stderr: &watched{pattern: pattern, seen: make(chan struct{}), file: stderr},
		ended:  make(chan struct{}),
	}
	p.cmd.Stderr, p.cmd.WaitDelay = p.stderr, time.Second // a grandchild that holds on to it is not waited for
	ts.Check(p.cmd.Start())
	ts.Setenv(name+"_PID", strconv.Itoa(p.cmd.Process.Pid))
	s.processes[name] = p
	s.started = append(s.started, p)
	go func() {
		defer close(p.ended)
		defer stderr.Close()
		_ = p.cmd.Wait() // its exit code shows in its state
	}()
	return p
}

func lookIn(path, program string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if full, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return full, nil
		}
	}
	return "", fmt.Errorf("no %s in %s", program, path)
}

// environment returns the script's variables, which testscript passes to programs only.
func environment(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env"))
	return strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
}

// ready matches the line that shows a daemon's listeners, as text and as JSON.
var (
	ready       = regexp.MustCompile(`koine is ready.*\n`)
	readyAt     = `koine is ready.*\b%s"?[=:]"?(\[[0-9a-f:]+\]:[0-9]+|[0-9.:]+)`
	httpAddress = regexp.MustCompile(fmt.Sprintf(readyAt, "http"))
	dnsAddress  = regexp.MustCompile(fmt.Sprintf(readyAt, "dns"))
)

func startDaemon(ts *testscript.TestScript, neg bool, args []string) {
	name := "koine"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if neg {
		ts.Fatalf("a daemon that does not start is for exits")
	}
	args = append([]string{"koine", "dev", "--docker", "off", "--http", "127.0.0.1:0", "--dns", "127.0.0.1:0"}, args...)
	p := run(ts, name, ready, args)
	timer := time.NewTimer(eventually.Patience)
	defer timer.Stop()
	select {
	case <-p.stderr.seen:
	case <-p.ended:
		ts.Fatalf("daemon %s ended: %v", name, p.cmd.ProcessState)
	case <-timer.C:
		ts.Fatalf("daemon %s is not ready within %v", name, eventually.Patience)
	}
	for variable, address := range map[string]*regexp.Regexp{"KOINE_HTTP": httpAddress, "DNS": dnsAddress} {
		if found := address.FindStringSubmatch(p.stderr.String()); found != nil {
			ts.Setenv(variable, found[1])
		}
	}
}

func startProgram(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM [ARG...]")
	}
	run(ts, args[0], nil, args[1:])
}

func term(ts *testscript.TestScript, neg bool, args []string) {
	p, code := known(ts, "term", neg, args)
	p.signal(syscall.SIGTERM)
	expect(ts, p, args[0], code)
}

func end(ts *testscript.TestScript, neg bool, args []string) {
	p, code := known(ts, "end", neg, args)
	expect(ts, p, args[0], code)
}

func hup(ts *testscript.TestScript, neg bool, args []string) {
	p, _ := known(ts, "hup", neg, args)
	p.signal(syscall.SIGHUP)
}

func kill9(ts *testscript.TestScript, neg bool, args []string) {
	p, _ := known(ts, "kill9", neg, args)
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// known returns the process that a command names, and the exit code that is expected.
func known(ts *testscript.TestScript, command string, neg bool, args []string) (*process, int) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: %s NAME [CODE]", command)
	}
	p := of(ts).processes[args[0]]
	if p == nil {
		ts.Fatalf("no process %s", args[0])
	}
	code := 0
	if len(args) == 2 {
		var err error
		code, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	return p, code
}

func expect(ts *testscript.TestScript, p *process, name string, code int) {
	if !p.ends() {
		ts.Fatalf("%s does not end within %v", name, eventually.Patience)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		ts.Fatalf("%s ended with exit code %d, want %d", name, got, code)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
