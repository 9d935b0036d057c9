package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func pushCommand() *cobra.Command {
	var node, message string
	cmd := &cobra.Command{
		Use: "push CHECK passing|warning|critical", GroupID: groupChange,
		Short: "report the outcome of a TTL check",
		Long: "Report the outcome of a TTL check, which also renews it: a check of type ttl turns critical without a report\n" +
			"within its TTL. koine checks lists the ids of checks.",
		Example: "  koine push beat passing\n" +
			"  koine push disk warning --message '91 % full' --node db-host",
		Args: outcomeArgs, SuggestFor: []string{"report", "pass", "fail", "ttl"},
		ValidArgsFunction: completeArgs(checkIDs, words(statuses...)),
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "output of the check, for people")
	cmd.Flags().StringVar(&node, "node", "", "node of the check (default the server's own)")
	completeFlag(cmd, "node", nodeNames)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		push := client.CheckPush{Status: catalog.Status(strings.ToLower(args[1])), Output: message}
		if err := c.PushCheck(cmd.Context(), node, args[0], push.Status, push.Output); err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, push)
		}
		return nil
	})
}

// outcomeArgs requires a check and a status.
func outcomeArgs(cmd *cobra.Command, args []string) error {
	if err := named(cmd, "check", args); err != nil {
		return err
	}
	if len(args) < 2 {
		return mistake("name the outcome").WithHint("%s", usage(cmd))
	}
	if !slices.Contains(statuses, strings.ToLower(args[1])) {
		return mistake("outcome %q is not %s", args[1], alternatives(statuses)).WithHint("see %s --help", cmd.CommandPath())
	}
	return noArgs(cmd, args[2:])
}
