package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/client"
)

// knownCommand refuses what is no command, and says which one may have been meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("see %s --help", cmd.CommandPath())
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = fmt.Sprintf("did you mean %s?", strings.Join(like, " or "))
	}
	return fmt.Errorf("unknown command %q: %s", args[0], hint)
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q: see %s --help", args[0], cmd.CommandPath())
}

// oneArg wants one argument that names something.
func oneArg(noun string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := named(cmd, noun, args); err != nil {
			return err
		}
		return noArgs(cmd, args[1:])
	}
}

// thenCommand wants one argument that names something, and behind "--" a command may follow.
func thenCommand(noun string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		if dash == 0 {
			args = nil
		}
		if err := named(cmd, noun, args); err != nil {
			return err
		}
		switch {
		case dash < 0 && len(args) > 1, dash > 1:
			return fmt.Errorf("unexpected argument %q: put a command after --", args[1])
		case dash == 1 && len(args) == 1:
			return fmt.Errorf("no command after --: see %s --help", cmd.CommandPath())
		}
		return nil
	}
}

func named(cmd *cobra.Command, noun string, args []string) error {
	if len(args) == 0 || args[0] == "" {
		return fmt.Errorf("name the %s: %s", noun, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
	return nil
}

// addCompletion puts cobra's command in place, and has it refuse a shell that it does not know.
func addCompletion(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Short = "tell about a command"
		case "completion":
			cmd.Short = "print what lets a shell complete koine's commands"
			cmd.Args = knownCommand
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.DisableFlagsInUseLine, cmd.SuggestionsMinimumDistance = true, 2
		}
	}
}

// completionTimeout bounds how long a shell waits for names from the server.
const completionTimeout = time.Second

// completes completes a command's first argument with names that the server knows. A server that does not answer
// completes nothing.
func completes(names func(ctx context.Context, c *client.Client) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 || applySettings(cmd, nil) != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		c, err := newClient(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		return names(ctx, c), cobra.ShellCompDirectiveNoFileComp
	}
}

func serviceNames(ctx context.Context, c *client.Client) (names []string) {
	list, err := c.Services(ctx)
	if err != nil {
		return nil
	}
	for _, s := range list.Services {
		names = append(names, s.Name)
	}
	return names
}

func instanceIDs(ctx context.Context, c *client.Client) (ids []string) {
	list, err := c.Instances(ctx, client.InstanceFilter{})
	if err != nil {
		return nil
	}
	for _, i := range list.Instances {
		ids = append(ids, i.ID)
	}
	return ids
}
