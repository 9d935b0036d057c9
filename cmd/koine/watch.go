package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func watchCommand() *cobra.Command {
	var flags queryFlags
	var once bool
	cmd := &cobra.Command{
		Use:   "watch SERVICE [-- COMMAND [ARG...]]",
		Short: "print a service's instances on each change, or run a command with them on its standard input",
		Example: "  koine watch web\n" +
			"  koine watch web -- sh -c 'cat > /etc/backends; systemctl reload haproxy'",
		Args: cobra.MinimumNArgs(1),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&once, "once", false, "end after the first state")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
			return fmt.Errorf("unexpected argument %q: put the command after --", args[1])
		}
		q, err := flags.query(args[0])
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return watch(ctx, cmd, c, q, args[1:], once)
	})
}

// watch reports each state of a service until the context ends.
func watch(ctx context.Context, cmd *cobra.Command, c *client.Client, q catalog.Query, command []string, once bool) error {
	if _, err := c.Health(ctx); err != nil { // a wrong address is told at once; a server that goes away is waited for
		return err
	}
	options := client.WatchOptions{Services: []string{q.Service}, Tags: q.Tags, Meta: q.Meta, Health: q.Health}
	for event, err := range c.Watch(ctx, options) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := report(ctx, cmd, event, command); err != nil {
			return err
		}
		if once {
			return nil
		}
	}
	return nil
}

func report(ctx context.Context, cmd *cobra.Command, event client.Event, command []string) error {
	text, err := eventText(cmd, event)
	if err != nil {
		return err
	}
	if len(command) == 0 {
		if !wantsJSON(cmd) {
			text = fmt.Sprintf("# %s at revision %d: %d\n%s", event.Service, event.Revision, len(event.Instances), text)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	run := exec.CommandContext(ctx, command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = strings.NewReader(text), cmd.OutOrStdout(), cmd.ErrOrStderr()
	run.Env = append(os.Environ(), "KOINE_SERVICE="+event.Service, fmt.Sprintf("KOINE_REVISION=%d", event.Revision))
	err = run.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil { // the next change is another chance
		fmt.Fprintf(cmd.ErrOrStderr(), "koine: %s: %v\n", command[0], err)
		return nil
	}
	return err
}

func eventText(cmd *cobra.Command, event client.Event) (string, error) {
	if !wantsJSON(cmd) {
		return lines(event.Instances), nil
	}
	raw, err := json.Marshal(event)
	return string(raw) + "\n", err
}
