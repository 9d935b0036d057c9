package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// registerWhile keeps an instance registered while a command runs. It takes the instance out of the answers before a
// signal stops the command, and ends with the command's exit code.
func registerWhile(cmd *cobra.Command, c *client.Client, r catalog.Registration, command []string) error {
	if err := valid(r); err != nil { // else the command would run and never be found
		return err
	}
	runtime.LockOSThread() // the kernel takes the end of the thread that started a command for the end of koine
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 16)
	notify(signals)
	defer signal.Stop(signals)
	broken := listenFor(syscall.SIGPIPE) // nobody reads the error output any more, which is no reason to end
	defer signal.Stop(broken)
	child, err := startChild(cmd, command)
	if err != nil {
		return commandEnd(cmd, err)
	}
	terminal := openTerminal()
	defer terminal.close()
	signal.Ignore(syscall.SIGTTOU) // koine writes and changes the foreground from the background too
	w := &while{
		cmd: cmd, name: command[0], child: child, terminal: terminal, signals: signals,
		keeper: &keeper{cmd: cmd, client: c, registration: r, registrant: newRegistrant()}, passing: passing{hangups: terminal != nil},
	}
	return w.run(cmd.Context())
}

// notify has signals sent to a channel, except those that koine was started to ignore, as by nohup.
func notify(signals chan<- os.Signal) {
	for _, sig := range passedSignals {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
}

// valid returns the error with which a server would refuse a registration.
func valid(r catalog.Registration) error {
	if r.Instance.Node == "" { // the server's own, which is unknown here
		r.Instance.Node = "node"
	}
	return r.Validate()
}

// while is a running command and its registered instance.
type while struct {
	cmd      *cobra.Command
	name     string // of the command
	child    *child
	keeper   *keeper
	terminal *terminal
	signals  chan os.Signal
	passing  passing

	// stopping is set from the first signal that stops the command: the instance is not registered again.
	stopping bool
	// out is closed once the instance is out of the answers; nil until its removal is requested, and afterwards.
	out <-chan struct{}
	// pending are the signals to send to the command then.
	pending []syscall.Signal
	// slow is when the person at the terminal is shown how to kill the command.
	slow <-chan time.Time
	// given is set once the command is in the foreground, and has Ctrl-C and Ctrl-Z to itself.
	given bool
}

func (w *while) run(ctx context.Context) error {
	w.keeper.start(ctx)
	for {
		select {
		case sig := <-w.signals:
			w.take(ctx, w.passing.on(sig.(syscall.Signal), time.Now()))
		case <-w.out:
			w.out = nil
			for _, sig := range w.pending {
				w.send(sig)
			}
		case <-w.slow:
			say(w.cmd, "waiting for %s to end: Ctrl-C again kills it", w.name)
		case state := <-w.child.states:
			if state.Stopped() {
				w.stopped(ctx, state.StopSignal())
				continue
			}
			return w.ended(state)
		}
	}
}

func (w *while) take(ctx context.Context, s step) {
	switch {
	case s.suspend:
		w.child.signal(syscall.SIGTSTP)
		w.suspend(ctx)
	case s.takeOut && !w.stopping:
		w.stopping, w.out, w.pending = true, w.keeper.stop(), []syscall.Signal{s.send}
	case s.takeOut && w.out != nil:
		w.pending = append(w.pending, s.send)
	case s.send != 0:
		w.send(s.send)
	}
}

func (w *while) send(sig syscall.Signal) {
	switch sig {
	case syscall.SIGKILL:
		say(w.cmd, "killed %s", w.name)
	case syscall.SIGINT:
		w.slow = time.After(doubledWithin)
	}
	w.child.signal(sig)
}

// stopped responds to a stop of the command. If the command wanted the terminal, it gets it, provided that koine has
// it. In the foreground the cause was Ctrl-Z, which stops koine too. Any other stop does not concern koine.
func (w *while) stopped(ctx context.Context, by syscall.Signal) {
	wants := by == syscall.SIGTTIN || by == syscall.SIGTTOU
	switch {
	case wants && w.terminal.has(syscall.Getpgrp()):
		w.given = true
		w.terminal.give(w.child.group)
		w.child.signal(syscall.SIGCONT)
	case wants, w.given && by == syscall.SIGTSTP:
		w.suspend(ctx)
	}
}

// suspend stops koine's process group, so that the shell takes the job for stopped, until the shell continues it. The
// instance is out of the answers meanwhile.
func (w *while) suspend(ctx context.Context) {
	if !w.stopping {
		<-w.keeper.stop()
	}
	stopGroup()
	if w.given && w.terminal.has(syscall.Getpgrp()) {
		w.terminal.give(w.child.group)
	}
	w.child.signal(syscall.SIGCONT)
	if !w.stopping {
		w.keeper.start(ctx)
	}
}

// stopGroup stops this process and those of its job, and returns once it is continued. Without a shell that could
// continue it, the kernel does not stop it. SIGTSTP would be the natural signal, but the runtime never restores the
// default effect of a signal that was listened for; SIGTTIN has the same effect, and a shell continues it in the same
// way.
func stopGroup() {
	continued := listenFor(syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(0, syscall.SIGTTIN)
	select {
	case <-continued:
	case <-time.After(time.Second):
	}
}

// ended takes back the command's terminal and instance.
func (w *while) ended(state syscall.WaitStatus) error {
	if w.terminal.has(w.child.group) {
		w.terminal.give(syscall.Getpgrp())
	}
	<-w.keeper.stop()
	w.child.wait()
	return stateEnd(state)
}
