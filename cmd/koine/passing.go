package main

import (
	"slices"
	"syscall"
	"time"
)

// passedSignals are the signals that koine takes on behalf of a command that it runs.
var passedSignals = []syscall.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTSTP,
	syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// doubledWithin is the time within which a repeated signal counts as the same one: timeout(1) sends each signal to its
// command and to the process group of both, which reaches the same process twice.
const doubledWithin = time.Second

// passing decides what to do with the signals that koine gets while it runs a command.
type passing struct {
	// hangups is set on a terminal, where SIGHUP means that the terminal is gone. Elsewhere SIGHUP makes a server read
	// its configuration again.
	hangups bool
	// last is when each signal that stops the command was last passed on.
	last map[syscall.Signal]time.Time
}

// step is the response to one signal.
type step struct {
	// suspend stops the command and then koine, in response to Ctrl-Z.
	suspend bool
	// takeOut takes the instance out of the answers before send.
	takeOut bool
	// send is the signal for the command; 0 for none.
	send syscall.Signal
}

// on returns the step for a signal that came at a time.
func (p *passing) on(sig syscall.Signal, at time.Time) step {
	stops := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT}
	if p.hangups {
		stops = append(stops, syscall.SIGHUP)
	}
	before, again := p.last[sig]
	switch {
	case sig == syscall.SIGTSTP:
		return step{suspend: true}
	case !slices.Contains(stops, sig):
		return step{send: sig}
	case again && at.Sub(before) < doubledWithin:
		return step{}
	case again && sig == syscall.SIGINT:
		return step{send: syscall.SIGKILL}
	}
	if p.last == nil {
		p.last = make(map[syscall.Signal]time.Time)
	}
	p.last[sig] = at
	return step{takeOut: true, send: sig}
}
