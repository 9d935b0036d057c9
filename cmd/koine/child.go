package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// child is a command that koine runs, in a process group of its own: a signal for koine's group, such as that of Ctrl-C,
// reaches it only through koine.
type child struct {
	run *exec.Cmd
	// group is its process group, which its first process leads; always above 1.
	group int
	// states are its ends and stops, the end last.
	states chan syscall.WaitStatus
}

// startChild starts a command with koine's input and output. The calling goroutine must be locked to its thread until
// the command has ended.
func startChild(cmd *cobra.Command, command []string) (*child, error) {
	run := exec.Command(command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), beneath(cmd.OutOrStdout()), beneath(cmd.ErrOrStderr())
	run.SysProcAttr = childAttributes()
	if err := run.Start(); err != nil {
		return nil, err
	}
	c := &child{run: run, group: run.Process.Pid, states: make(chan syscall.WaitStatus)}
	go c.follow()
	return c, nil
}

// follow reports each stop of the command, and its end.
func (c *child) follow() {
	for {
		var state syscall.WaitStatus
		_, err := syscall.Wait4(c.group, &state, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		c.states <- state
		if err != nil || !state.Stopped() {
			return
		}
	}
}

func (c *child) signal(sig syscall.Signal) {
	_ = syscall.Kill(-c.group, sig) // it may have ended
}

// wait waits until its output is copied, unless that is a file of its own. It must have ended.
func (c *child) wait() {
	_ = c.run.Wait() // follow has its state
}

// Exit codes of shells, for commands that could not be started or were ended by a signal.
const (
	exitNotFound      = 127
	exitNotExecutable = 126
	exitSignalled     = 128 // plus the signal's number
)

// stateEnd turns the state in which a command ended into koine's own exit.
func stateEnd(state syscall.WaitStatus) error {
	switch {
	case state.Signaled():
		return exitCode(exitSignalled + int(state.Signal()))
	case state.ExitStatus() != 0:
		return exitCode(state.ExitStatus())
	default:
		return nil
	}
}

// commandEnd turns the result of a command, or the reason why it did not start, into koine's own exit.
func commandEnd(cmd *cobra.Command, err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if state, ok := exit.Sys().(syscall.WaitStatus); ok {
			return stateEnd(state)
		}
		return exitCode(max(exit.ExitCode(), 1))
	}
	var code exitCode
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		code = exitNotFound
	case isNotExecutable(err):
		code = exitNotExecutable
	default:
		return err
	}
	say(cmd, "%v", err)
	return code
}

// isNotExecutable reports whether a command is there and cannot be run: without the permission, of a format that the
// kernel does not know, a directory, or below a file that is none.
func isNotExecutable(err error) bool {
	return slices.ContainsFunc([]error{
		os.ErrPermission, syscall.ENOEXEC, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.E2BIG, syscall.ETXTBSY,
	}, func(reason error) bool { return errors.Is(err, reason) })
}
