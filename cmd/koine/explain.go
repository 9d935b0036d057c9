package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/client"
)

func explainCommand() *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "explain SERVICE|INSTANCE",
		Short: "say of each instance where it comes from, how it is, who finds it, and if not, why not",
		Example: "  koine explain web\n" +
			"  koine explain web-1 --as api-1    would the container api-1 find it?",
		Args: oneArg("service or an instance"),
	}
	cmd.Flags().StringVar(&as, "as", "", "who asks: an instance or an IP address (default this host)")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		list, err := c.Explain(cmd.Context(), args[0], as)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, client.ExplanationList{Explanations: list})
		}
		var b strings.Builder
		for i := range list {
			if i > 0 {
				b.WriteByte('\n')
			}
			describe(&b, &list[i])
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), b.String())
		return err
	})
}

// describe writes an explanation for a person.
func describe(b *strings.Builder, x *client.Explanation) {
	fmt.Fprintf(b, "%s, an instance of %s on node %s\n", x.ID, x.Service, x.Node)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(b, "  %-10s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("from", "%s", x.Source)
	if x.NamedBy != "" {
		line("named by", "%s", x.NamedBy)
	}
	line("kept by", "%s", x.KeptBy)
	line("written", "first at revision %d%s, last at %d", x.CreateRevision, atTime(x.RegisteredAt), x.ModRevision)
	line("status", "%s", x.Status)
	if x.Drained != "" {
		line("drained", "%s", x.Drained)
	}
	for i := range x.Checks {
		describeCheck(line, &x.Checks[i])
	}
	for _, a := range x.Addresses {
		network := a.Network
		if network == "" {
			network = "no network in particular"
		}
		line("address", "%s on %s", a, network)
	}
	for _, p := range x.Ports {
		published := ""
		if p.Published != 0 {
			published = fmt.Sprintf(", on the host %d", p.Published)
		}
		line("port", "%s", strings.TrimSpace(fmt.Sprintf("%d/%s %s", p.Number, p.Transport(), p.Name))+published)
	}
	for _, d := range x.Doors {
		seen := "visible"
		if !d.Visible {
			seen = "not " + seen
		}
		if d.Why != "" {
			seen += ": " + d.Why
		}
		line(d.Door, "%s: %s", strings.Join(d.Names, " "), seen)
	}
}
