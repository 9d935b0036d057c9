//go:build unix

package pulse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/koine-sd/koine/internal/pulse"
)

// stopped is set in the environment of the process that TestStopped stops.
const stopped = "KOINE_TEST_STOPPED"

// TestStopped stops a process by a signal. All of its goroutines read the clock all the time: none of them, whichever goes on
// first, may see the time of the standstill pass.
func TestStopped(t *testing.T) {
	if os.Getenv(stopped) != "" {
		readClock()
		return
	}
	child := exec.Command(os.Args[0], "-test.run=TestStopped$")
	child.Env = append(os.Environ(), stopped+"=1")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	life, err := child.StdinPipe() // it ends with this process
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(life.Close(), child.Process.Kill()); _ = child.Wait() }()
	lines := bufio.NewScanner(output)
	next := func() string {
		for lines.Scan() {
			if said, ok := strings.CutPrefix(lines.Text(), "clock: "); ok {
				return said
			}
		}
		return ""
	}
	for _, want := range []string{"runs", "stood still", "stood still"} {
		if said := next(); said != want {
			t.Fatalf("it says %q, want %q", said, want)
		}
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * pulse.Standstill) // how long it stands still is the subject
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// readClock reads a clock in many goroutines, and reports each standstill, and a step that has one in it.
func readClock() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	c := pulse.New(nil, nil)
	go func() { _ = c.Run(context.Background()) }()
	time.Sleep(pulse.Standstill / 2) // until it runs: before that, it notices nothing
	step := make(chan time.Duration)
	for range 8 {
		go func() {
			for last := c.Running(); ; {
				now := c.Running()
				if now-last > 3*pulse.Standstill || now < last {
					step <- now - last
				}
				last = now
				time.Sleep(100 * time.Microsecond)
			}
		}()
	}
	stood := c.Stood() // before the line, after which the process is stopped
	fmt.Println("clock: runs")
	for {
		select {
		case by := <-step:
			fmt.Println("clock: a step of", by)
		case <-time.After(50 * time.Millisecond):
		}
		if now := c.Stood(); now != stood {
			stood = now
			fmt.Println("clock: stood still")
		}
	}
}
