// Report runs go test and prints its output for people: each package as it ends, the output of failures, and at the end
// every skip with its reason, and the slowest packages.
//
//	report [-summary FILE] -- [ARGUMENT OF go test]...
//
// It ends with go test's exit code. With KOINE_REQUIRE_ALL=1, it is also an error if a test was skipped for another
// reason than the kernel's. The summary is appended to FILE as well.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/koine-sd/koine/internal/needs"
)

func main() {
	file := flag.String("summary", "", "`file` that the summary is appended to")
	flag.Parse()
	code, err := report(*file, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// report runs the tests and returns the exit code of the whole.
func report(file string, args []string) (code int, err error) {
	r := newRun(os.Stdout)
	if code, err = goTest(r, args); err != nil {
		return code, err
	}
	if needs.All() && len(r.avoidable()) > 0 {
		code = max(code, 1)
	}
	text := r.summary(needs.All())
	fmt.Print("\n", text)
	return code, appendTo(file, text)
}

// goTest runs go test and passes its output to r. The exit code is go test's. An interrupt is for go test, which gets
// it as well; its output after that is still read.
func goTest(r *run, args []string) (int, error) {
	signal.Ignore(os.Interrupt)
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer passOn(syscall.SIGTERM, cmd.Process)()
	err = errors.Join(r.read(output), cmd.Wait())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// passOn passes a signal on to a process until the returned function is called.
func passOn(s os.Signal, process *os.Process) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, s)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case got := <-signals:
			_ = process.Signal(got) // it may have ended
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-ended
	}
}

// maxLine bounds a line of go test's output: a longer one is an error.
const maxLine = 16 << 20

// read takes events until the end.
func (r *run) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		r.take(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, from) // so that go test can end
		return fmt.Errorf("read the output of go test: %w", err)
	}
	return nil
}

func appendTo(path, text string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
