package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/client"
)

func statusCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use: "status", GroupID: groupLook,
		Short: "show whether the server is ready; exit code 1 if it is not",
		Long: "Show the state of the server itself: whether it is ready or what it waits for, the revision that its answers have\n" +
			"reached, and for how long it has not heard of its store. The exit code is 0 if the server is ready, 1 if it is\n" +
			"not, and 2 if no server answers.",
		Example: "  koine status\n  until koine status; do sleep 1; done",
		Args:    noArgs, SuggestFor: []string{"health", "info", "ready"},
	}, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		state, err := c.State(cmd.Context())
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			err = printJSON(cmd, state)
		} else {
			_, err = fmt.Fprint(cmd.OutOrStdout(), describeState(&state))
		}
		if err == nil && !state.Ready {
			return exitCode(exitNone)
		}
		return err
	})
}

func describeState(s *client.Health) string {
	var b paragraph
	ready := "yes"
	if !s.Ready {
		ready = "no, waiting for " + strings.Join(s.WaitingFor, " and ")
	}
	store := "in touch"
	if s.Age > 0 {
		store = "not heard of for " + s.Age.String() + ": answers are the last that was known"
	}
	b.line("node", "%s", s.Node)
	b.line("ready", "%s", ready)
	b.line("revision", "%d", s.Revision)
	b.line("store", "%s", store)
	if len(s.Upstreams) > 0 {
		b.line("upstreams", "%s", strings.Join(s.Upstreams, ", "))
	}
	for _, problem := range s.Problems {
		b.line("problem", "%s", problem)
	}
	b.line("version", "%s", s.Version)
	return b.String()
}
