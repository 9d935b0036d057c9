package main

import (
	"os"
	"os/signal"
	"syscall"
)

// The first process of a container gets every process that loses its parent, and must wait for it when it ends, or a zombie stays. A
// process that starts others with os/exec cannot do that: it would take the ends of its own children from those that wait for
// them. So koine as the first process does nothing but that: it starts itself again, passes on signals, and ends as the other does.

// asFirst runs this command line in another process if this one is the first. It returns false if it is not, or the other one cannot
// be started.
func asFirst() (code int, ran bool) {
	if os.Getpid() != 1 {
		return 0, false
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	child, err := startAgain()
	if err != nil {
		signal.Reset()
		return 0, false
	}
	go passOn(signals, child)
	return reapUntil(child), true
}

// startAgain starts this command line in another process. With a terminal, the other process is in its foreground, so that keys reach
// it once, and it may do what a shell's job does.
func startAgain() (pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	tty := openTerminal()
	defer tty.close()
	attr := os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: tty.has(syscall.Getpgrp())},
	}
	process, err := os.StartProcess(self, os.Args, &attr)
	if err != nil { // the input is not this session's terminal
		attr.Sys = &syscall.SysProcAttr{Setpgid: true}
		process, err = os.StartProcess(self, os.Args, &attr)
	}
	if err != nil {
		return 0, err
	}
	pid = process.Pid
	_ = process.Release() // reapUntil waits for it
	return pid, nil
}

// passOn passes signals on to a process. Those that the runtime or the reaping causes are no message of anybody.
func passOn(signals <-chan os.Signal, pid int) {
	for sig := range signals {
		switch sig {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU:
		default:
			_ = syscall.Kill(pid, sig.(syscall.Signal)) // it may have ended
		}
	}
}

// reapUntil waits for every process that ends, until a process has, and returns the exit code that stands for how that ended.
func reapUntil(pid int) (code int) {
	for {
		var state syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &state, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil: // it has no children any more
			return exitError
		case ended == pid && state.Signaled():
			return exitSignalled + int(state.Signal())
		case ended == pid && state.Exited():
			return state.ExitStatus()
		}
	}
}
