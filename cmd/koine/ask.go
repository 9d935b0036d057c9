package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// asking makes a command that talks to a running server.
func asking(cmd *cobra.Command, ask func(cmd *cobra.Command, c *client.Client, args []string) error) *cobra.Command {
	addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(cmd)
		if err != nil {
			return err
		}
		return ask(cmd, c, args)
	}
	return cmd
}

// newClient returns a client of the server that --http names.
func newClient(cmd *cobra.Command) (*client.Client, error) {
	address, err := cmd.Flags().GetString("http")
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Address: address})
}

// outputFormat is the value of -o.
type outputFormat string

func (f *outputFormat) String() string { return string(*f) }
func (f *outputFormat) Type() string   { return "format" }

func (f *outputFormat) Set(text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("%q is not text or json", text)
	}
	*f = outputFormat(text)
	return nil
}

func addOutput(cmd *cobra.Command) {
	format := outputFormat("text")
	cmd.Flags().VarP(&format, "output", "o", "text or json")
}

func wantsJSON(cmd *cobra.Command) bool {
	flag := cmd.Flags().Lookup("output")
	return flag != nil && flag.Value.String() == "json"
}

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table prints rows under a heading, in columns. Where there are none it says so on standard error, so that nobody takes
// a heading alone for a fault.
func table(cmd *cobra.Command, heading string, rows [][]string, empty string) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(heading, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if len(rows) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "koine: %s\n", empty)
	}
	return w.Flush()
}

// joined returns a list for a table's cell.
func joined(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

// endpoint returns where to dial an instance: address:port, or only the address if it has no port.
func endpoint(i client.Instance) string {
	if i.Port == 0 {
		return i.Address
	}
	return net.JoinHostPort(i.Address, strconv.Itoa(int(i.Port)))
}

// lines returns one line for each instance that can be dialled.
func lines(instances []client.Instance) string {
	var b strings.Builder
	for _, i := range instances {
		if i.Address != "" {
			b.WriteString(endpoint(i) + "\n")
		}
	}
	return b.String()
}

func servicesCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use: "services", Short: "list the services", Args: noArgs, SuggestFor: []string{"list", "ls", "ps"},
	}, func(cmd *cobra.Command, c *client.Client, _ []string) error {
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
			"nothing is registered yet: start a container, or see koine register --help")
	})
}

func nodesCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use: "nodes", Short: "list the nodes", Args: noArgs, SuggestFor: []string{"members", "hosts"},
	}, func(cmd *cobra.Command, c *client.Client, _ []string) error {
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

// zone returns a place as --near takes it.
func zone(at catalog.Locality) string {
	if at.Region == "" {
		return cmp.Or(at.Zone, "-")
	}
	return at.Region + "/" + at.Zone
}
