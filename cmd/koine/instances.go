package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/client"
)

func instancesCommand() *cobra.Command {
	var filter client.InstanceFilter
	cmd := &cobra.Command{
		Use: "instances [SERVICE]", GroupID: groupLook,
		Short: "list instances of any health",
		Long: "List instances of any health, of all services or of one: their ids, for koine deregister, drain and explain, where\n" +
			"they come from, and of those that are not given to clients why not.",
		Example: "  koine instances web\n  koine instances --node here --source docker",
		Args:    optionalArg, SuggestFor: []string{"instance"},
		ValidArgsFunction: completeArgs(serviceNames),
	}
	cmd.Flags().StringVar(&filter.Node, "node", "", "only instances on this node")
	cmd.Flags().StringVar(&filter.Source, "source", "", "only instances of this source, such as docker, file or http")
	completeFlag(cmd, "node", nodeNames)
	completeFlag(cmd, "source", sourceNames)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if len(args) > 0 {
			filter.Service = args[0]
		}
		list, err := c.Instances(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, list)
		}
		rows := make([][]string, len(list.Instances))
		for i := range list.Instances {
			rows[i] = instanceRow(&list.Instances[i])
		}
		return table(cmd, "INSTANCE SERVICE NODE ADDRESS STATUS SOURCE TAGS WHY-NOT", rows, "no instance"+instancesOf(filter))
	})
}

func instanceRow(i *client.Instance) []string {
	return []string{
		i.ID, i.Service, i.Node, cmp.Or(endpoint(*i), "-"), string(i.Status), cmp.Or(i.Source, "-"), joined(i.Tags),
		cmp.Or(firstLine(i.WhyNot), "-"),
	}
}

// instancesOf describes a filter in words.
func instancesOf(f client.InstanceFilter) string {
	text := ""
	if f.Service != "" {
		text += " of " + f.Service
	}
	if f.Node != "" {
		text += " on " + f.Node
	}
	if f.Source != "" {
		text += " from " + f.Source
	}
	return text
}
