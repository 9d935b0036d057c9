package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func watchCommand() *cobra.Command {
	var flags queryFlags
	var once bool
	var near string
	var until untilFlags
	cmd := &cobra.Command{
		Use: "watch SERVICE... [-- COMMAND [ARG...]]", GroupID: groupLook,
		Short: "print a service's instances on each change, or run a command with them on its standard input",
		Long: "Print the instances of services now, and those of a service on each change of it, or run a command each time with\n" +
			"them on its standard input, one address:port on each line. It also has KOINE_SERVICE and KOINE_REVISION in its\n" +
			"environment. Of the changes that come while the command runs, it gets the last one after it has ended.\n\n" +
			"With --until, wait for a state of a service that meets a condition, report that one only, and end.\n" + conditionHelp,
		Example: "  koine watch web\n" +
			"  koine watch web api\n" +
			"  koine watch web -- sh -c 'cat > /etc/backends; systemctl reload haproxy'\n" +
			"  koine watch web --until healthy=3.. --timeout 2m    exit code 3 if there are not three in time\n" +
			"  koine watch web --until healthy=2,gone=web-1",
		Args:              watchArgs,
		ValidArgsFunction: completeServices,
	}
	flags.add(cmd)
	addNear(cmd, &near)
	cmd.Flags().BoolVar(&once, "once", false, "end after the first state, with several services after that of each")
	until.add(cmd)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		services, command := watched(cmd, args)
		q, err := flags.query(services[0])
		if err != nil {
			return err
		}
		ctx, stop := untilSignal(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if len(command) > 0 { // then koine itself writes errors only; that nobody reads them is no reason to end
			defer signal.Stop(listenFor(syscall.SIGPIPE))
		}
		w := &watcher{cmd: cmd, services: services, command: command, once: once}
		if cmd.Flags().Changed("until") || cmd.Flags().Changed("timeout") {
			return w.await(ctx, c, q, &until)
		}
		err = w.watch(ctx, c, q, near)
		if ctx.Err() != nil { // it was interrupted
			return nil
		}
		return err
	})
}

// watcher reports the states of services.
type watcher struct {
	cmd      *cobra.Command
	services []string
	command  []string
	once     bool
	// seen are the services with a reported state.
	seen map[string]bool
	// until, if set, is the condition for the only state to report; health then selects the reported instances.
	until  condition
	health catalog.Health
	// unmet describes why the last state did not meet the condition; unhealthy are the unhealthy instances of that state.
	unmet     string
	unhealthy []client.Instance
	// inTime ends the timeout, and reports whether it had not passed; nil without a timeout.
	inTime func() bool
	// reported is set once a state has met the condition.
	reported bool
	// away is set while the server does not answer.
	away bool
}

// watch reports each state of the services until the context ends. If a place is named it reports only the nearest instances,
// in JSON all of them in order.
func (w *watcher) watch(ctx context.Context, c *client.Client, q catalog.Query, near string) error {
	// A wrong address is an error at once; a server that is away is waited for.
	if _, err := c.Health(ctx); err != nil && (w.until == nil || catalog.KindOf(err) != catalog.KindNotReady) {
		return err
	}
	options := client.WatchOptions{Services: w.services, Tags: q.Tags, Meta: q.Meta, Health: q.Health, Near: near}
	watch := func(ctx context.Context) iter.Seq2[client.Event, error] { return c.Watch(ctx, options) }
	events := watch(ctx)
	if len(w.command) > 0 && w.until == nil {
		events = newest(ctx, watch)
	}
	for event, err := range events {
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			w.away = false
			if !w.meets(&event) {
				continue
			}
			if near != "" && !wantsJSON(w.cmd) {
				event.Instances = event.Instances[:min(event.Nearest, len(event.Instances))]
			}
			err = w.report(ctx, event)
		} else {
			err = w.endure(err)
		}
		if err != nil || w.once && !w.away && w.firstOfAll(event) {
			return err
		}
	}
	return nil
}

// endure returns a permanent error. It prints a temporary one once: the watch then continues by itself.
func (w *watcher) endure(err error) error {
	switch catalog.KindOf(err) {
	case catalog.KindInvalid, catalog.KindDenied, catalog.KindNotFound:
		return err
	default:
	}
	if !w.away {
		say(w.cmd, "%v (trying again until it answers)", err)
	}
	w.away = true
	return nil
}

func (w *watcher) report(ctx context.Context, event client.Event) error {
	text, err := w.text(event)
	if err != nil {
		return err
	}
	if len(w.command) > 0 {
		return w.run(ctx, event, text)
	}
	if !wantsJSON(w.cmd) {
		text = fmt.Sprintf("# %s at revision %d: %s\n%s", oneLine(event.Service), event.Revision,
			counted(len(event.Instances), "instance"), text)
	}
	_, err = fmt.Fprint(w.cmd.OutOrStdout(), text)
	return err
}

func (w *watcher) text(event client.Event) (string, error) {
	if !wantsJSON(w.cmd) {
		return lines(event.Instances), nil
	}
	raw, err := json.Marshal(event)
	return string(raw) + "\n", err
}

// run runs the command with a state on its standard input. Its failure is printed, and the next change runs it again. A
// signal that ends the watch is passed on to it, once.
func (w *watcher) run(ctx context.Context, event client.Event, text string) error {
	runtime.LockOSThread() // as for registerWhile
	defer runtime.UnlockOSThread()
	run := exec.CommandContext(ctx, w.command[0], w.command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = strings.NewReader(text), beneath(w.cmd.OutOrStdout()), beneath(w.cmd.ErrOrStderr())
	run.Env = append(os.Environ(), "KOINE_SERVICE="+event.Service, fmt.Sprintf("KOINE_REVISION=%d", event.Revision))
	terminal := openTerminal()
	defer terminal.close()
	shares := terminal.has(syscall.Getpgrp()) // it gets Ctrl-C from there itself, and may ask for a password
	if !shares {
		run.SysProcAttr = childAttributes()
	}
	var killAt time.Time
	run.Cancel = func() error {
		killAt = time.Now().Add(stopWithin)
		return passEnd(run.Process.Pid, endedBy(ctx), shares)
	}
	run.WaitDelay = stopWithin
	err := run.Run()
	if ctx.Err() != nil { // it was interrupted with the watch
		if !shares && !killAt.IsZero() {
			endGroup(run.Process.Pid, killAt)
		}
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && !w.once {
		say(w.cmd, "%s: %v", w.command[0], err)
		return nil
	}
	return commandEnd(w.cmd, err)
}

// passEnd passes the signal that ended the watch on to its command: to all of its process group, or, if it shares koine's
// and its terminal, to it alone, and none that the terminal has sent to both.
func passEnd(pid int, sig syscall.Signal, shares bool) error {
	switch {
	case !shares:
		return syscall.Kill(-pid, sig)
	case sig == syscall.SIGINT:
		return nil
	default:
		return syscall.Kill(pid, sig)
	}
}

// endGroup waits until nothing is left of a process group that was sent a signal, and kills what is left at a given time.
func endGroup(group int, killAt time.Time) {
	for syscall.Kill(-group, 0) == nil {
		if !time.Now().Before(killAt) {
			_ = syscall.Kill(-group, syscall.SIGKILL)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
