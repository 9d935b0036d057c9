package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// statuses are the statuses that a check can have.
var statuses = []string{string(catalog.Passing), string(catalog.Warning), string(catalog.Critical)}

func checksCommand() *cobra.Command {
	var filter client.CheckFilter
	status := &choice{allowed: statuses}
	cmd := &cobra.Command{
		Use: "checks [SERVICE]", GroupID: groupLook,
		Short: "list checks with their last outcome",
		Long: "List checks with their last outcome: of all nodes and instances, or of one service. Only the first line of a check's\n" +
			"output is shown; koine explain and -o json have the rest.",
		Example: "  koine checks --status critical\n  koine checks web\n  koine checks --node here -o json",
		Args:    optionalArg, SuggestFor: []string{"check"},
		ValidArgsFunction: completeArgs(serviceNames),
	}
	addChoice(cmd, status, "status", "", "only checks with this status: passing, warning or critical")
	cmd.Flags().StringVar(&filter.Node, "node", "", "only checks on this node")
	completeFlag(cmd, "node", nodeNames)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		filter.Status = catalog.Status(status.value)
		if len(args) > 0 {
			filter.Service = args[0]
		}
		list, err := c.Checks(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, list)
		}
		rows := make([][]string, len(list.Checks))
		for i := range list.Checks {
			rows[i] = checkRow(&list.Checks[i])
		}
		return table(cmd, "CHECK TYPE STATUS SINCE INSTANCE NODE OUTPUT", rows, "no check"+checksOf(filter))
	})
}

func checkRow(c *client.CheckStatus) []string {
	since := "-"
	if !c.Since.IsZero() {
		since = localTime(c.Since)
	}
	return []string{c.ID, string(c.Type), string(c.Status), since, cmp.Or(c.Instance, "-"), c.Node, cmp.Or(firstLine(c.Output), "-")}
}

// checksOf describes a filter in words.
func checksOf(f client.CheckFilter) string {
	text := ""
	if f.Service != "" {
		text += " of " + f.Service
	}
	if f.Node != "" {
		text += " on " + f.Node
	}
	if f.Status != "" {
		text += " is " + string(f.Status)
	}
	return text
}
