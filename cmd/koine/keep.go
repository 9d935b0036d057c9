package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// registerWhile keeps an instance registered while a command runs. It takes the instance out of the answers before the
// command is told to stop, and ends with the command's exit code.
func registerWhile(cmd *cobra.Command, c *client.Client, r catalog.Registration, command []string) error {
	if err := valid(r); err != nil { // else the command would run and never be found
		return err
	}
	signals, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := exec.Command(command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := run.Start(); err != nil {
		return commandEnd(cmd, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	keep, release := context.WithCancel(context.WithoutCancel(cmd.Context()))
	k := &keeper{cmd: cmd, client: c, registration: r, done: make(chan struct{})}
	go k.keep(keep)
	released := func() { release(); <-k.done }
	select {
	case err := <-ended:
		released()
		return commandEnd(cmd, err)
	case <-signals.Done():
		released()
		if err := run.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", command[0], err)
		}
		return commandEnd(cmd, <-ended)
	}
}

// valid tells what a server would refuse.
func valid(r catalog.Registration) error {
	if r.Instance.Node == "" { // the server's own, which is not known here
		r.Instance.Node = "node"
	}
	return r.Validate()
}

// Exit codes of shells, for commands that could not be started or did not end by themselves.
const (
	exitNotFound      = 127
	exitNotExecutable = 126
	exitSignalled     = 128 // plus the signal's number
)

// commandEnd turns how a command ended into koine's own end.
func commandEnd(cmd *cobra.Command, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return exitCode(exitSignalled + int(status.Signal()))
		}
		return exitCode(max(exit.ExitCode(), 1))
	}
	var code exitCode
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		code = exitNotFound
	case errors.Is(err, os.ErrPermission):
		code = exitNotExecutable
	default:
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "koine: %v\n", err)
	return code
}

// keeper keeps an instance registered.
type keeper struct {
	cmd          *cobra.Command
	client       *client.Client
	registration catalog.Registration
	done         chan struct{}
	// told is what was last said to be wrong; it is not repeated.
	told string
}

// writeTimeout bounds one write, and so how long a server that hangs delays the command's end.
const writeTimeout = 2 * time.Second

// keep registers an instance, again and again before its TTL ends, and deregisters it when the context ends.
func (k *keeper) keep(ctx context.Context) {
	defer close(k.done)
	ttl := time.Duration(k.registration.Instance.Owner.TTL)
	ticker := time.NewTicker(ttl / 3)
	defer ticker.Stop()
	for {
		k.write(ctx, "register", func(ctx context.Context) error {
			_, err := k.client.Register(ctx, k.registration)
			return err
		})
		select {
		case <-ctx.Done():
			k.write(ctx, "deregister", func(ctx context.Context) error {
				_, err := k.client.Deregister(ctx, k.registration.Instance.Node, k.registration.Instance.ID)
				return err
			})
			return
		case <-ticker.C:
		}
	}
}

// write makes one call, and tells once what is wrong with it. A call that has begun goes on when the context ends:
// a registration that was given up could reach the server after the deregistration.
func (k *keeper) write(ctx context.Context, operation string, call func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	text := ""
	if err := call(ctx); err != nil {
		text = fmt.Sprintf("koine: %s %s: %v", operation, k.registration.Instance.ID, err)
	}
	if text != "" && text != k.told {
		fmt.Fprintln(k.cmd.ErrOrStderr(), text)
	}
	k.told = text
}
