package test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/logtail"
	"github.com/koine-sd/koine/internal/needs"
)

// TestDocs runs the console blocks of the README and the guides, each document in one shell, as a reader who types them
// in a checkout would, and compares the output. A block of sh under <!-- docs: start --> is a program that runs beside
// them; other blocks of sh are not run. See markdown_test.go for the form.
func TestDocs(t *testing.T) {
	engine := dockertest.Start(t, dockertest.Config{})
	for _, tool := range []string{"bash", "dig", "curl", "jq", "docker"} {
		needs.Tool(t, tool)
	}
	root := checkout(t)
	for _, path := range executed(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			d := &document{t: t, dir: root, env: append(os.Environ(), "DOCKER_HOST="+engine.Host())}
			d.run(path)
		})
	}
}

// executed returns the documents whose commands are run.
func executed(t *testing.T) []string {
	t.Helper()
	guides, err := filepath.Glob("../docs/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	return append([]string{"../README.md"}, guides...)
}

// checkout makes a directory that looks like a built checkout, in which documents may leave files.
func checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"scripts", "dist"} {
		if err := os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join("..", name))); err != nil {
			t.Fatal(err)
		}
	}
	koine, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	demo := dockertest.Build(t, "github.com/koine-sd/koine/test/demo")
	err = errors.Join(os.Mkdir(filepath.Join(root, "bin"), 0o755),
		os.Link(koine, filepath.Join(root, "bin/koine")), os.Link(demo, filepath.Join(root, "bin/demo")))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// document is a document while it is run.
type document struct {
	t   *testing.T
	dir string
	env []string

	shell   *shell
	program *program
}

func (d *document) run(path string) {
	d.shell = newShell(d.t, d.dir, d.env)
	defer d.stop()
	for _, b := range readBlocks(d.t, path) {
		switch {
		case b.language == "sh" && b.directive == "start":
			d.start(b)
		case b.language == "console":
			for _, s := range b.steps() {
				d.step(path, s)
			}
		}
		if d.t.Failed() {
			return
		}
	}
}

// start starts the program of a block, in place of the running one. Of make run, which brings an engine and builds,
// only the demo is left to run.
func (d *document) start(b block) {
	command := strings.Join(b.lines, "\n")
	says := ""
	if command == "make run" {
		command, says = "scripts/demo", "Koine is up."
	}
	d.stop()
	d.program = startProgram(d.t, d.dir, d.env, command)
	await(d.t, command+" is ready", func() bool {
		d.program.mustRun(d.t)
		return answers(d.t) && strings.Contains(d.program.output.String(), says)
	})
}

// answers reports whether a server is ready at the usual address.
func answers(t *testing.T) bool {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8500/api/v1/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (d *document) stop() {
	if d.program != nil {
		d.program.stop(d.t)
		d.program = nil
	}
}

// pasted are the documents whose commands must work when they are pasted one after the other, without a pause. In the
// others a question is asked again until its answer is the expected one, as people do.
var pasted = []string{"README.md"}

// askAgain is the pause before a question is asked again.
const askAgain = 100 * time.Millisecond

// step runs a command and compares.
func (d *document) step(path string, s step) {
	d.t.Helper()
	again := s.question() && !slices.Contains(pasted, filepath.Base(path))
	for deadline := time.Now().Add(patience); ; {
		output, code := d.shell.do(d.t, s.command)
		right := s.matches(output) && (code == 0 || s.mayFail)
		if right {
			return
		}
		if !again || time.Now().After(deadline) {
			d.t.Fatalf("%s:%d: $ %s\nexit code %d\n--- printed:\n%s\n--- expected:\n%s%s", path, s.line, s.command, code, output,
				strings.Join(s.expected, "\n"), d.programLog())
		}
		<-time.After(askAgain)
	}
}

func (d *document) programLog() string {
	if d.program == nil {
		return ""
	}
	return "\n--- the program beside it:\n" + logtail.Of(d.t.Name(), d.program.output.String())
}

// shell is one bash that runs the commands of a document.
type shell struct {
	script string
	input  *os.File
	lines  chan string
	mark   string
}

func newShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	reader, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{
		script: filepath.Join(t.TempDir(), "step"), input: input, lines: make(chan string, 1024), mark: "=== the end of a step ",
	}
	bash := exec.Command("bash", "--noprofile", "--norc")
	bash.Dir, bash.Env, bash.Stdin = dir, env, reader
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output := &lineWriter{lines: s.lines}
	bash.Stdout, bash.Stderr = output, output
	bash.WaitDelay = time.Second // for processes that a document leaves running
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Bash ends with its input, unless a command hangs; its background processes end with its group.
		_ = errors.Join(input.Close(), reader.Close(), syscall.Kill(-bash.Process.Pid, syscall.SIGKILL))
		_ = bash.Wait()
	})
	return s
}

// do runs one command and returns its output and its exit code.
func (s *shell) do(t *testing.T, command string) (output string, code int) {
	t.Helper()
	if err := os.WriteFile(s.script, []byte(command+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// $? stands for the exit code of the step before; standard input is empty, because bash's own is the script.
	fmt.Fprintf(s.input, "(exit $docs_code); . %s </dev/null; docs_code=$?; printf '\\n%s%%d\\n' $docs_code\n", s.script, s.mark)
	var printed strings.Builder
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case line := <-s.lines:
			if text, ok := strings.CutPrefix(line, s.mark); ok {
				_, err := fmt.Sscan(text, &code)
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimRight(printed.String(), "\n"), code
			}
			printed.WriteString(line + "\n")
		case <-timeout.C:
			t.Fatalf("$ %s\ndoes not end within %v; it printed\n%s", command, patience, printed.String())
		}
	}
}

// lineWriter passes on its input line by line.
type lineWriter struct {
	rest  []byte
	lines chan<- string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.lines <- string(line)
		w.rest = rest
	}
}

// program is the program that runs beside a document's commands.
type program struct {
	command *exec.Cmd
	output  syncBuffer
	ended   chan error
}

func startProgram(t *testing.T, dir string, env []string, command string) *program {
	t.Helper()
	p := &program{command: exec.Command("bash", "-c", "exec "+command), ended: make(chan error, 1)}
	p.command.Dir, p.command.Env = dir, env
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.command.WaitDelay = time.Second
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.command.Wait() }()
	return p
}

// mustRun fails the test if the program has ended by itself.
func (p *program) mustRun(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		t.Fatalf("%v ended: %v\n%s", p.command.Args, err, logtail.Of(t.Name(), p.output.String()))
	default:
	}
}

// stop ends the program as Ctrl-C would.
func (p *program) stop(t *testing.T) {
	t.Helper()
	_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("%v does not end within %v:\n%s", p.command.Args, patience, logtail.Of(t.Name(), p.output.String()))
	}
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
}

// matches compares an output with the expected lines, in which "..." stands for any text within a line and, alone, for
// any lines.
func (s step) matches(output string) bool {
	var pattern strings.Builder
	for _, line := range s.expected {
		if line == "..." {
			pattern.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		parts := strings.Split(line, "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern.WriteString(strings.Join(parts, `[^\n]*`) + `\n`)
	}
	if output != "" {
		output += "\n"
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(output)
}
