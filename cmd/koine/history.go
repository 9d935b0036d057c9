package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func historyCommand() *cobra.Command {
	var since time.Duration
	cmd := &cobra.Command{
		Use: "history SERVICE|INSTANCE", GroupID: groupExplain,
		Short: "show past changes of a service or an instance",
		Long: "Show what happened in a service, or to an instance: which instances came and went, were critical or drained, when\n" +
			"and why. It is read from the store itself, so it is known after a restart too, as far back as the store keeps its\n" +
			"history: an hour, unless it is an etcd that you run.",
		Example: "  koine history web\n  koine history web-1 --since 10m",
		Args:    oneArg("service or an instance"), ValidArgsFunction: completeArgs(anyOf(serviceNames, instanceIDs)),
	}
	cmd.Flags().DurationVar(&since, "since", catalog.DefaultHistory, "how far back")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if since <= 0 || since > catalog.MaxHistory {
			return mistake("--since %v is not above zero and up to %v", since, catalog.MaxHistory)
		}
		history, err := c.History(cmd.Context(), args[0], since)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, history)
		}
		return printHistory(cmd, &history)
	})
}

func printHistory(cmd *cobra.Command, h *catalog.History) error {
	heading := fmt.Sprintf("# %s since %s, revision %d", h.Name, stamp(h.Since), h.Revision)
	if !h.Whole {
		heading += ", as far back as the store remembers"
	}
	if h.Left > 0 {
		heading += "; without " + counted(h.Left, "older event")
	}
	fmt.Fprintln(cmd.OutOrStdout(), oneLine(heading))
	rows := make([][]string, len(h.Events))
	for i, e := range h.Events {
		rows[i] = []string{stamp(e.Time), string(e.Type), e.Instance, e.Node, cmp.Or(e.Reason, "-")}
	}
	return table(cmd, "TIME WHAT INSTANCE NODE WHY", rows, "nothing happened, and there was no instance")
}

// maxLast bounds the events that a server gives at once.
const maxLast = 10_000

func eventsCommand() *cobra.Command {
	var follow bool
	var last int
	cmd := &cobra.Command{
		Use: "events [SERVICE|INSTANCE|NODE]", GroupID: groupExplain,
		Short: "print recent events; -f follows",
		Long: "Print the last events that the server remembers since its start, and with -f follow new ones. For earlier\n" +
			"events see koine history. Events that the server has forgotten are shown as a gap.",
		Example: "  koine events -f\n  koine events web -n 20\n  koine events -f -o json | jq -c 'select(.type == \"critical\")'",
		Args:    optionalArg, ValidArgsFunction: completeArgs(anyOf(serviceNames, instanceIDs, nodeNames)),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow new events")
	cmd.Flags().IntVarP(&last, "last", "n", 100, "how many of the last events come first; none with -f unless it is given")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if last < 0 || last > maxLast {
			return mistake("--last %d is not from 0 to %d", last, maxLast)
		}
		options := client.EventOptions{Last: last}
		if len(args) > 0 {
			options.Name = args[0]
		}
		if !follow {
			return printEvents(cmd, c, options)
		}
		if !cmd.Flags().Changed("last") {
			options.Last = 0
		}
		return followEvents(cmd, c, options)
	})
}

func printEvents(cmd *cobra.Command, c *client.Client, o client.EventOptions) error {
	list, err := c.Events(cmd.Context(), o)
	for i := 0; i < len(list) && err == nil; i++ {
		err = printEvent(cmd, &list[i])
	}
	if err == nil && len(list) == 0 {
		say(cmd, "%s", noEvents(o))
	}
	return err
}

func noEvents(o client.EventOptions) string {
	switch {
	case o.Last == 0:
		return "no events: --last is 0"
	case o.Name == "":
		return "nothing has happened since the server started"
	default:
		return fmt.Sprintf("nothing has happened to %s since the server started: see koine history %s for what was before", o.Name, o.Name)
	}
}

func followEvents(cmd *cobra.Command, c *client.Client, o client.EventOptions) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := c.Health(ctx); err != nil { // a wrong address is an error; a server that is away is waited for
		return err
	}
	w := &watcher{cmd: cmd}
	for event, err := range c.FollowEvents(ctx, o) {
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			w.away = false
			err = printEvent(cmd, &event)
		} else {
			err = w.endure(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printEvent prints one line.
func printEvent(cmd *cobra.Command, e *catalog.Event) error {
	if wantsJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(e)
	}
	subject := "node " + e.Node
	switch {
	case e.Type == catalog.EventGap && e.Missing > 0:
		subject = counted(int(e.Missing), "change") + " not remembered"
	case e.Type == catalog.EventGap:
		subject = "events are missing"
	case e.Instance != "":
		subject = fmt.Sprintf("%s of %s on %s", e.Instance, e.Service, e.Node)
	}
	if e.Reason != "" {
		subject += ": " + e.Reason
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %-12s  %s\n", stamp(e.Time), oneLine(string(e.Type)), oneLine(subject))
	return err
}
