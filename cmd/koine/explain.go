package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func explainCommand() *cobra.Command {
	var as string
	var dry dryRun
	cmd := &cobra.Command{
		Use: "explain SERVICE|INSTANCE|CONTAINER", GroupID: groupExplain,
		Short: "show where each instance comes from, its health, and who can find it",
		Long: "Show where each instance comes from, what keeps it registered, its checks, and for each protocol whether it is\n" +
			"found, and if not, why not. Of a container that is not registered, show why not.\n\n" +
			"With --docker, ask the Docker engine instead of a running Koine, and show what would become of each container, or\n" +
			"of the one that is named.",
		Example: "  koine explain web\n" +
			"  koine explain web-1 --as api-1    would the container api-1 find it?\n" +
			"  koine explain --docker            what would be registered?",
		Args: dry.args, ValidArgsFunction: completeArgs(anyOf(serviceNames, instanceIDs)),
	}
	cmd.Flags().StringVar(&as, "as", "", "the client: an instance or an IP address (default this host)")
	completeFlag(cmd, "as", instanceIDs)
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
		texts = append(texts, describe(&list.Explanations[i], as))
	}
	for i := range list.LeftOut {
		texts = append(texts, describeLeftOut(&list.LeftOut[i]))
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), strings.Join(texts, "\n"))
	return err
}

// paragraph is a heading with lines below it, each of which begins with a keyword.
type paragraph struct{ strings.Builder }

func (b *paragraph) heading(format string, args ...any) {
	b.WriteString(oneLine(fmt.Sprintf(format, args...)) + "\n")
}

func (b *paragraph) line(about, format string, args ...any) {
	text := fmt.Sprintf("  %-10s %s", oneLine(about), oneLine(fmt.Sprintf(format, args...)))
	b.WriteString(strings.TrimRight(text, " ") + "\n")
}

func (b *paragraph) addresses(list []catalog.Address) {
	for _, a := range list {
		on := ", no network named"
		if a.Network != "" {
			on = " on " + a.Network
		}
		b.line("address", "%s%s", a, on)
	}
}

// reach writes the address of an instance. One without an address of its own has its node's.
func (b *paragraph) reach(x *client.Explanation) {
	switch {
	case len(x.Addresses) > 0:
		b.addresses(x.Addresses)
	case x.Address != "":
		b.line("address", "%s, which is that of node %s", x.Address, x.Node)
	default:
		b.line("address", "none")
	}
}

// ports writes the ports of an instance, and which is the main one where the source has chosen it.
func (b *paragraph) ports(source string, ports []catalog.Port) {
	for i, p := range ports {
		text := strings.TrimSpace(fmt.Sprintf("%d/%s %s", p.Number, p.Transport(), p.Name)) + published(p)
		if i == 0 && len(ports) > 1 && source == "docker" {
			text += fmt.Sprintf(", the first of %d: koine.ports chooses", len(ports))
		}
		b.line("port", "%s", text)
	}
}

// published describes where a port is reached on the host.
func published(p catalog.Port) string {
	var at []string
	for _, pair := range p.Bindings {
		at = append(at, pair.String())
	}
	if p.Published != 0 {
		at = append(at, strconv.Itoa(int(p.Published)))
	}
	if len(at) == 0 {
		return ""
	}
	return ", on the host " + strings.Join(at, " and ")
}

// describeLeftOut writes, for people, the reason why something is not registered.
func describeLeftOut(l *catalog.LeftOut) string {
	var b paragraph
	switch l.Source {
	case "store":
		b.heading("%s on node %s has a record that is left out: %s", l.Name, l.Node, l.Why)
		b.line("key", "%s", l.ID)
	case catalog.SourceNetwork:
		b.heading("%s, a network of the engine on node %s, is left out: %s", l.Name, l.Node, l.Why)
	case "file":
		b.heading("%s, a definition file on node %s, is in error: %s", l.Name, l.Node, l.Why)
	default:
		b.heading("%s, a container on node %s, is not registered: %s", l.Name, l.Node, l.Why)
		b.line("id", "%s", l.ID[:min(12, len(l.ID))])
	}
	if l.Service != "" {
		b.line("service", "%s", l.Service)
	}
	if l.NamedBy != "" {
		b.line("named by", "%s", l.NamedBy)
	}
	return b.String()
}

// describe writes an explanation for people.
func describe(x *client.Explanation, as string) string {
	b := new(paragraph)
	b.heading("%s, an instance of %s on node %s", x.ID, x.Service, x.Node)
	line := b.line
	line("from", "%s", x.Source)
	if x.NamedBy != "" {
		line("named by", "%s", x.NamedBy)
	}
	for _, warning := range x.Warnings {
		line("warning", "%s", warning)
	}
	for _, hint := range x.Hints {
		line("hint", "%s", hint)
	}
	if by := x.Origin.String(); by != "" {
		line("registered", "%s", by)
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
	b.reach(x)
	b.ports(x.Source, x.Ports)
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
		if d.Visible && d.Limit > 0 {
			seen += fmt.Sprintf(", at most %d of the service in one answer", d.Limit)
		}
		if d.Visible && d.Without != "" {
			seen += ", without " + d.Without
		}
		line(d.Door, "%s: %s", strings.Join(d.Names, " "), seen)
	}
	if as != "" && x.Address != "" {
		line("answer", "%s for %s", endpoint(x.Instance), as)
	}
	return b.String()
}
