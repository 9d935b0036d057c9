package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/client"
)

func servicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "services", GroupID: groupLook,
		Short: "list the services",
		Example: "  koine services\n" +
			"  koine services -o json | jq -r '.services[] | select(.healthy == 0).name'    those without a healthy instance",
		Args: noArgs, SuggestFor: []string{"list", "ls", "ps", "service"},
	}
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		list, err := c.Services(cmd.Context())
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, list)
		}
		rows := make([][]string, len(list.Services))
		for i, s := range list.Services {
			rows[i] = []string{s.Name, strconv.Itoa(s.Instances), strconv.Itoa(s.Healthy), joined(s.Tags)}
		}
		return table(cmd, "SERVICE INSTANCES HEALTHY TAGS", rows,
			"nothing is registered: start a container, or see koine register --help; koine events shows what was")
	})
}
