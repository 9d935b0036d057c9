package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	moby "github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/pause"
)

// drainFlags say how to drain.
type drainFlags struct {
	reason, kind, node string
	undo, stop         bool
	wait               time.Duration
}

func drainCommand() *cobra.Command {
	var flags drainFlags
	cmd := &cobra.Command{
		Use:   "drain [SERVICE|INSTANCE|NODE]",
		Short: "take a service, an instance or a node out of the answers, or list what is out",
		Long: "Takes a service, an instance or a node out of the answers of every door at one revision. It stays out, over\n" +
			"restarts of the instances, of their node and of Koine, until --undo. Without a name it lists what is out.",
		Example: "  koine drain web-1 --reason 'new disk' --wait 30s --stop\n  koine drain node7\n  koine drain --undo node7",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVar(&flags.reason, "reason", "", "why, for those who look")
	cmd.Flags().StringVar(&flags.kind, "as", "", "service, instance or node, where the name is more than one of them")
	cmd.Flags().StringVar(&flags.node, "node", "", "node of the instance, where several have one of that id")
	cmd.Flags().BoolVar(&flags.undo, "undo", false, "put it back into the answers")
	cmd.Flags().DurationVar(&flags.wait, "wait", 0, "then wait for so long, for the requests that are under way")
	cmd.Flags().BoolVar(&flags.stop, "stop", false, "then stop the containers, through the Docker engine of this host")
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		if len(args) == 0 {
			return listDrains(cmd, c)
		}
		if flags.undo {
			return undrain(cmd, c, args[0], &flags)
		}
		return drain(cmd, c, args[0], &flags)
	})
}

func listDrains(cmd *cobra.Command, c *client.Client) error {
	drains, err := c.Drains(cmd.Context())
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, client.DrainList{Drains: drains})
	}
	rows := make([][]string, len(drains))
	for i, d := range drains {
		kind, name := targetOf(d)
		rows[i] = []string{kind, name, d.Since.Local().Format(time.DateTime), d.Reason}
	}
	return table(cmd, "WHAT NAME SINCE REASON", rows, "nothing is drained")
}

// targetOf returns what an order is for, in words.
func targetOf(d catalog.Drain) (kind, name string) {
	switch {
	case d.Service != "":
		return "service", d.Service
	case d.Instance != "":
		return "instance", d.Instance
	default:
		return "node", d.Node
	}
}

// drain orders a drain and does what is to follow it.
func drain(cmd *cobra.Command, c *client.Client, name string, flags *drainFlags) error {
	candidates, err := drainable(cmd.Context(), c, name)
	if err != nil {
		return err
	}
	order, err := choose(name, candidates, flags)
	if err != nil {
		return err
	}
	touched, err := touchedBy(cmd.Context(), c, order)
	if err != nil {
		return err
	}
	order.Reason = flags.reason
	revision, err := c.Drain(cmd.Context(), order)
	if err != nil {
		return err
	}
	kind, _ := targetOf(order)
	if err := printWritten(cmd, revision, nil); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s is out of the answers, with %d instances: koine drain --undo %s puts it back\n",
		kind, name, len(touched), name)
	if flags.wait > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "waiting %v for requests under way\n", flags.wait)
		pause.For(cmd.Context(), flags.wait)
	}
	if flags.stop {
		return stopContainers(cmd, touched)
	}
	return nil
}

// drainable returns everything that a name can mean.
func drainable(ctx context.Context, c *client.Client, name string) ([]catalog.Drain, error) {
	var found []catalog.Drain
	services, err := c.Services(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(services.Services, func(s client.ServiceSummary) bool { return strings.EqualFold(s.Name, name) }) {
		found = append(found, catalog.Drain{Service: strings.ToLower(name)})
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes.Nodes {
		if strings.EqualFold(n.Name, name) {
			found = append(found, catalog.Drain{Node: n.Name})
		}
		if _, err := c.Instance(ctx, n.Name, name); err == nil {
			found = append(found, catalog.Drain{Node: n.Name, Instance: name})
		} else if catalog.KindOf(err) != catalog.KindNotFound {
			return nil, err
		}
	}
	return found, nil
}

// choose picks the one thing that is meant.
func choose(name string, candidates []catalog.Drain, flags *drainFlags) (catalog.Drain, error) {
	candidates = slices.DeleteFunc(candidates, func(d catalog.Drain) bool {
		kind, _ := targetOf(d)
		return flags.kind != "" && kind != flags.kind ||
			flags.node != "" && (d.Instance == "" || !strings.EqualFold(d.Node, flags.node))
	})
	switch len(candidates) {
	case 1:
		return candidates[0], nil
	case 0:
		return catalog.Drain{}, fmt.Errorf("no service, instance or node %s", name)
	default:
		var meanings []string
		for _, d := range candidates {
			kind, _ := targetOf(d)
			if d.Instance != "" {
				kind += " on " + d.Node
			}
			meanings = append(meanings, kind)
		}
		return catalog.Drain{}, fmt.Errorf("%s is more than one thing: %s: say which with --as, or --node",
			name, strings.Join(meanings, ", "))
	}
}

// touchedBy returns the instances that an order takes out.
func touchedBy(ctx context.Context, c *client.Client, d catalog.Drain) ([]client.Instance, error) {
	if d.Instance != "" {
		i, err := c.Instance(ctx, d.Node, d.Instance)
		return []client.Instance{i}, err
	}
	list, err := c.Instances(ctx, client.InstanceFilter{Service: d.Service, Node: d.Node})
	return list.Instances, err
}

// undrain takes back the order for a name.
func undrain(cmd *cobra.Command, c *client.Client, name string, flags *drainFlags) error {
	if flags.wait != 0 || flags.stop {
		return errors.New("--undo goes with neither --wait nor --stop")
	}
	drains, err := c.Drains(cmd.Context())
	if err != nil {
		return err
	}
	drains = slices.DeleteFunc(drains, func(d catalog.Drain) bool {
		_, of := targetOf(d)
		return !strings.EqualFold(of, name)
	})
	if len(drains) == 0 {
		return fmt.Errorf("%s is not drained: koine drain lists what is", name)
	}
	order, err := choose(name, drains, flags)
	if err != nil {
		return err
	}
	revision, err := c.Undrain(cmd.Context(), order)
	return printWritten(cmd, revision, err)
}

// stopContainers stops the containers of instances; the others are named.
func stopContainers(cmd *cobra.Command, instances []client.Instance) error {
	docker, err := moby.New(moby.FromEnv)
	if err != nil {
		return fmt.Errorf("docker engine: %w", err)
	}
	defer docker.Close()
	var failed []error
	for _, i := range instances {
		if i.Owner.Kind != catalog.OwnerContainer {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is no container: stop it by hand\n", i.ID)
			continue
		}
		if _, err := docker.ContainerStop(cmd.Context(), i.Owner.ID, moby.ContainerStopOptions{}); err != nil {
			failed = append(failed, fmt.Errorf("stop %s: %w", i.ID, err))
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is stopped\n", i.ID)
	}
	return errors.Join(failed...)
}
