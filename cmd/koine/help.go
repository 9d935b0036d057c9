package main

import "github.com/spf13/cobra"

// The groups in which koine --help lists the commands.
const (
	groupRun     = "run"
	groupChange  = "change"
	groupLook    = "look"
	groupExplain = "explain"
	groupOther   = "other"
)

func addGroups(root *cobra.Command) {
	for _, g := range []cobra.Group{
		{ID: groupRun, Title: "Run Koine:"},
		{ID: groupChange, Title: "Register and change:"},
		{ID: groupLook, Title: "Look up:"},
		{ID: groupExplain, Title: "Ask what happened, and why:"},
		{ID: groupOther, Title: "Other commands:"},
	} {
		root.AddGroup(&g)
	}
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", GroupID: groupOther,
		Short:   "help about any command",
		Example: "  koine help lookup\n  koine lookup --help",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := commandOf(cmd.Root(), args)
			if err != nil {
				return err
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return subcommands(cmd.Root(), args), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// commandOf returns the command that words name, such as nodes remove.
func commandOf(root *cobra.Command, words []string) (*cobra.Command, error) {
	target, rest, err := root.Find(words)
	if err != nil {
		return nil, err
	}
	return target, knownCommand(target, rest)
}

func subcommands(root *cobra.Command, words []string) (list []cobra.Completion) {
	target, err := commandOf(root, words)
	if err != nil {
		return nil
	}
	for _, cmd := range target.Commands() {
		if cmd.IsAvailableCommand() {
			list = append(list, cobra.CompletionWithDesc(cmd.Name(), cmd.Short))
		}
	}
	return list
}

// refuseHelpOfNothing makes --help of a command that does not exist fail: cobra would show the help of the parent
// command. The returned function returns the error of the last run.
func refuseHelpOfNothing(root *cobra.Command) (refused func() error) {
	var unknown error
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd.HasAvailableSubCommands() {
			unknown = knownCommand(cmd, cmd.Flags().Args())
		}
		if unknown == nil {
			help(cmd, args)
		}
	})
	return func() error { return unknown }
}
