package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// watched splits the arguments of koine watch: services, and after "--" a command.
func watched(cmd *cobra.Command, args []string) (services, command []string) {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		return args[:dash], args[dash:]
	}
	return args, nil
}

// watchArgs requires services; after "--" a command may follow.
func watchArgs(cmd *cobra.Command, args []string) error {
	services, command := watched(cmd, args)
	if err := named(cmd, "service", services); err != nil {
		return err
	}
	for _, service := range services {
		if err := catalog.ValidateName("service", service); err != nil {
			return err
		}
	}
	if cmd.ArgsLenAtDash() >= 0 && len(command) == 0 {
		return mistake("no command after --").WithHint("see %s --help", cmd.CommandPath())
	}
	return nil
}

// completeServices completes any number of services.
func completeServices(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return completeArgs(serviceNames)(cmd, nil, typed)
}

// firstOfAll reports whether, with this one, the first state of every service has been reported.
func (w *watcher) firstOfAll(event client.Event) bool {
	if w.seen == nil {
		w.seen = make(map[string]bool)
	}
	w.seen[event.Service] = true
	wanted := make(map[string]bool)
	for _, service := range w.services {
		wanted[strings.ToLower(service)] = true
	}
	return len(w.seen) >= len(wanted)
}

// signalled is the cause of the end of a context by a signal.
type signalled syscall.Signal

func (s signalled) Error() string { return syscall.Signal(s).String() }

// untilSignal returns a context that ends with the first of some signals.
func untilSignal(ctx context.Context, signals ...os.Signal) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	first, done := listenFor(signals...), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case sig := <-first:
			cancel(signalled(sig.(syscall.Signal)))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-done; signal.Stop(first) }
}

// endedBy returns the signal that ended a context of untilSignal, or one derived from it; SIGTERM if there was none.
func endedBy(ctx context.Context) syscall.Signal {
	if sig, ok := errors.AsType[signalled](context.Cause(ctx)); ok {
		return syscall.Signal(sig)
	}
	return syscall.SIGTERM
}
