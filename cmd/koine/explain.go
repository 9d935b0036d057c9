package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func explainCommand() *cobra.Command {
	var as string
	var dry dryRun
	cmd := &cobra.Command{
		Use:   "explain SERVICE|INSTANCE|CONTAINER",
		Short: "say of each instance where it comes from, how it is, who finds it, and if not, why not",
		Long: "Says of each instance where it comes from, how it is, who finds it, and if not, why not; and of a container that is\n" +
			"not registered, why not.\n\n" +
			"With --docker it asks no running Koine but the Docker engine, and says what would become of each container, or of\n" +
			"the one that is named.",
		Example: "  koine explain web\n" +
			"  koine explain web-1 --as api-1    would the container api-1 find it?\n" +
			"  koine explain --docker            what would be registered?",
		Args: dry.args,
	}
	cmd.Flags().StringVar(&as, "as", "", "who asks: an instance or an IP address (default this host)")
	dry.add(cmd)
	addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if dry.wanted {
			return dry.run(cmd, args)
		}
		c, err := newClient(cmd)
		if err != nil {
			return err
		}
		return explain(cmd, c, args[0], as)
	}
	return cmd
}

func explain(cmd *cobra.Command, c *client.Client, name, as string) error {
	list, err := c.Explain(cmd.Context(), name, as)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, list)
	}
	var texts []string
	for i := range list.Explanations {
		texts = append(texts, describe(&list.Explanations[i]))
	}
	for i := range list.LeftOut {
		texts = append(texts, describeLeftOut(&list.LeftOut[i]))
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), strings.Join(texts, "\n"))
	return err
}

// paragraph is a heading with lines of what and how below.
type paragraph struct{ strings.Builder }

func (b *paragraph) line(what, format string, args ...any) {
	fmt.Fprintf(b, "  %-10s %s\n", what, fmt.Sprintf(format, args...))
}

func (b *paragraph) addresses(list []catalog.Address) {
	for _, a := range list {
		b.line("address", "%s on %s", a, cmp.Or(a.Network, "no network in particular"))
	}
}

func (b *paragraph) ports(list []catalog.Port) {
	for _, p := range list {
		published := ""
		if p.Published != 0 {
			published = fmt.Sprintf(", on the host %d", p.Published)
		}
		b.line("port", "%s", strings.TrimSpace(fmt.Sprintf("%d/%s %s", p.Number, p.Transport(), p.Name))+published)
	}
}

// describeLeftOut writes for a person why something is not registered.
func describeLeftOut(l *catalog.LeftOut) string {
	var b paragraph
	fmt.Fprintf(&b, "%s, a container on node %s, is not registered: %s\n", l.Name, l.Node, l.Why)
	b.line("id", "%s", l.ID[:min(12, len(l.ID))])
	if l.Service != "" {
		b.line("service", "%s", l.Service)
		b.line("named by", "%s", l.NamedBy)
	}
	return b.String()
}

// describe writes an explanation for a person.
func describe(x *client.Explanation) string {
	b := new(paragraph)
	fmt.Fprintf(b, "%s, an instance of %s on node %s\n", x.ID, x.Service, x.Node)
	line := b.line
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
	b.addresses(x.Addresses)
	b.ports(x.Ports)
	if len(x.Ports) == 0 {
		line("port", "none")
	}
	for _, d := range x.Doors {
		seen := "visible"
		if !d.Visible {
			seen = "not " + seen
		}
		if d.Why != "" {
			seen += ": " + d.Why
		}
		if d.Visible && d.Without != "" {
			seen += ", without " + d.Without
		}
		line(d.Door, "%s: %s", strings.Join(d.Names, " "), seen)
	}
	return b.String()
}
