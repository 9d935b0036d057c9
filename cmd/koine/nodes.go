package main

import (
	"cmp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func nodesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "nodes", GroupID: groupLook,
		Short:   "list the nodes, or remove one",
		Example: "  koine nodes\n  koine nodes remove old-host",
		Args:    knownCommand, SuggestFor: []string{"members", "hosts", "node"},
	}
	asking(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		list, err := c.Nodes(cmd.Context())
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, list)
		}
		rows := make([][]string, len(list.Nodes))
		for i, n := range list.Nodes {
			rows[i] = nodeRow(n)
		}
		return table(cmd, "NODE ALIVE STATUS ZONE INSTANCES ADDRESSES", rows, "no node is known")
	})
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(removeNodeCommand())
	return cmd
}

func removeNodeCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use:   "remove NODE",
		Short: "remove a node that is not alive, and everything on it",
		Long: "Remove a node whose session has ended, or that has none, and everything on it, without waiting until it is purged.\n" +
			"A node whose agent keeps its session alive is refused: stop Koine there first.",
		Example: "  koine nodes remove old-host",
		Args:    oneArg("node"), SuggestFor: []string{"rm", "delete", "deregister"},
		ValidArgsFunction: completeArgs(nodeNames),
	}, func(cmd *cobra.Command, c *client.Client, args []string) error {
		revision, err := c.RemoveNode(cmd.Context(), args[0])
		return printWritten(cmd, revision, err)
	})
}

func nodeRow(n client.NodeSummary) []string {
	var addresses []string
	for _, a := range n.Addresses {
		addresses = append(addresses, a.String())
	}
	alive := "no"
	if n.Alive {
		alive = "yes"
	}
	return []string{n.Name, alive, string(n.Status), zone(n.Locality), strconv.Itoa(n.InstanceCount), joined(addresses)}
}

// zone returns a locality in the form that --near takes.
func zone(at catalog.Locality) string {
	if at.Region == "" {
		return cmp.Or(at.Zone, "-")
	}
	return at.Region + "/" + at.Zone
}
