package main

import (
	"context"
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
	cmd.Flags().StringP("output", "o", "", "json, or empty for text")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Context() == nil {
			cmd.SetContext(context.Background())
		}
		if format, _ := cmd.Flags().GetString("output"); format != "" && format != "json" {
			return fmt.Errorf("-o %q is not json", format)
		}
		address, err := cmd.Flags().GetString("http")
		if err != nil {
			return err
		}
		c, err := client.New(client.Config{Address: address})
		if err != nil {
			return err
		}
		return ask(cmd, c, args)
	}
	return cmd
}

func wantsJSON(cmd *cobra.Command) bool {
	format, _ := cmd.Flags().GetString("output")
	return format == "json"
}

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table prints rows under a heading, in columns.
func table(cmd *cobra.Command, heading string, rows [][]string) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(heading, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
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

func servicesCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use: "services", Short: "list the services", Args: cobra.NoArgs,
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
		return table(cmd, "SERVICE INSTANCES HEALTHY TAGS", rows)
	})
}

func nodesCommand() *cobra.Command {
	return asking(&cobra.Command{
		Use: "nodes", Short: "list the nodes", Args: cobra.NoArgs,
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
			var addresses []string
			for _, a := range n.Addresses {
				addresses = append(addresses, a.String())
			}
			rows[i] = []string{n.Name, map[bool]string{true: "yes", false: "no"}[n.Alive], string(n.Status),
				strconv.Itoa(n.InstanceCount), joined(addresses)}
		}
		return table(cmd, "NODE ALIVE STATUS INSTANCES ADDRESSES", rows)
	})
}

// queryFlags say which instances of a service are wanted.
type queryFlags struct {
	tags, meta []string
	health     string
}

func (f *queryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.tags, "tag", nil, "only instances with this tag; may be repeated")
	cmd.Flags().StringSliceVar(&f.meta, "meta", nil, "only instances with this meta, key=value; may be repeated")
	cmd.Flags().StringVar(&f.health, "health", "healthy", "healthy, passing or any")
}

func (f *queryFlags) query(service string) (catalog.Query, error) {
	q := catalog.Query{Service: service, Tags: f.tags}
	switch f.health {
	case "healthy":
	case "passing":
		q.Health = catalog.OnlyPassing
	case "any":
		q.Health = catalog.AnyHealth
	default:
		return q, fmt.Errorf("--health %q is not healthy, passing or any", f.health)
	}
	meta, err := pairs("--meta", f.meta)
	q.Meta = meta
	return q, err
}

// pairs splits key=value texts.
func pairs(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(list))
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%s %q is not key=value", flag, text)
		}
		m[key] = value
	}
	return m, nil
}

func lookupCommand() *cobra.Command {
	var flags queryFlags
	cmd := &cobra.Command{
		Use:   "lookup SERVICE",
		Short: "print address:port of each instance of a service; exit code 1 if there is none",
		Args:  cobra.ExactArgs(1),
	}
	flags.add(cmd)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		q, err := flags.query(args[0])
		if err != nil {
			return err
		}
		service, err := c.Lookup(cmd.Context(), q)
		if catalog.KindOf(err) == catalog.KindNotFound {
			fmt.Fprintf(cmd.ErrOrStderr(), "koine: no service %s\n", args[0])
			return exitError(1)
		}
		if err != nil {
			return err
		}
		if err := printInstances(cmd, service); err != nil {
			return err
		}
		if len(service.Instances) == 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "koine: service %s has no such instance: try --health any\n", args[0])
			return exitError(1)
		}
		return nil
	})
}

func printInstances(cmd *cobra.Command, service client.Service) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, service)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), lines(service.Instances))
	return err
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
