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

// drainFlags are the options of a drain.
type drainFlags struct {
	reason, node string
	kind         *choice
	undo, stop   bool
	wait         time.Duration
}

// kinds are the kinds of things that can be drained.
var kinds = []string{"service", "instance", "node"}

func (f *drainFlags) add(cmd *cobra.Command) {
	f.kind = &choice{allowed: kinds}
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "why, for people")
	addChoice(cmd, f.kind, "as", "", "service, instance or node, if the name is more than one of them")
	flags.StringVar(&f.node, "node", "", "node of the instance, if several have one of that id")
	flags.BoolVar(&f.undo, "undo", false, "put it back into the answers")
	flags.DurationVar(&f.wait, "wait", 0, "then wait this long for the requests under way")
	flags.BoolVar(&f.stop, "stop", false, "then stop the containers, through the Docker engine of this host")
	completeFlag(cmd, "node", nodeNames)
}

func drainCommand() *cobra.Command {
	var flags drainFlags
	cmd := &cobra.Command{
		Use: "drain [SERVICE|INSTANCE|NODE]", GroupID: groupChange,
		Short: "take a service, an instance or a node out of the answers, or list what is out",
		Long: "Take a service, an instance or a node out of the answers, by every protocol at one revision. It stays out, over\n" +
			"restarts of the instances, of their node and of Koine, until --undo. Without a name, list what is out.\n\n" +
			"A container that survives its stop signal is answered again after ten minutes, or by --undo at once.",
		Example: "  koine drain web-1 --reason 'new disk' --wait 30s --stop\n  koine drain node7\n  koine drain --undo node7",
		Args:    optionalArg,
	}
	flags.add(cmd)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := anyOf(serviceNames, instanceIDs, nodeNames)
		if flags.undo {
			names = drainedNames
		}
		return completeArgs(names)(cmd, args, typed)
	}
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		switch {
		case len(args) == 0 && flags.undo:
			return mistake("--undo names nothing").WithHint("koine drain lists what is drained")
		case len(args) == 0:
			return listDrains(cmd, c)
		case flags.undo:
			return undrain(cmd, c, args[0], &flags)
		default:
			return drain(cmd, c, args[0], &flags)
		}
	})
}

func listDrains(cmd *cobra.Command, c *client.Client) error {
	list, err := c.Drains(cmd.Context())
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, list)
	}
	var rows [][]string
	for _, d := range slices.Concat(list.Drains, list.Instances) {
		kind, name := targetOf(d)
		rows = append(rows, []string{kind, name, localTime(d.Since), d.Reason})
	}
	return table(cmd, "WHAT NAME SINCE REASON", rows, "nothing is drained")
}

// targetOf describes the target of an order in words.
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

// drain orders a drain and carries out the steps after it.
func drain(cmd *cobra.Command, c *client.Client, name string, flags *drainFlags) error {
	candidates, former, err := drainable(cmd.Context(), c, name)
	if err != nil {
		return err
	}
	if len(candidates) == 0 && former != "" {
		return catalog.Errorf(catalog.KindNotFound, "no service, instance or node %s", name).
			WithHint("node %s was renamed: it is %s now", name, former)
	}
	if candidates, err = withoutSame(cmd.Context(), c, name, candidates, flags); err != nil {
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
	say(cmd, "drained %s %s (%s); undo: koine drain --undo %s", kind, name, counted(len(touched), "instance"), name)
	if flags.wait > 0 {
		say(cmd, "waiting %v for requests under way", flags.wait)
		pause.For(cmd.Context(), flags.wait)
	}
	if flags.stop {
		return stopContainers(cmd, touched)
	}
	return nil
}

// drainable returns all things of a name that can be drained, and the node that had the name before.
func drainable(ctx context.Context, c *client.Client, name string) (found []catalog.Drain, now string, err error) {
	services, err := c.Services(ctx)
	if err != nil {
		return nil, "", err
	}
	if slices.ContainsFunc(services.Services, func(s client.ServiceSummary) bool { return strings.EqualFold(s.Name, name) }) {
		found = append(found, catalog.Drain{Service: strings.ToLower(name)})
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, n := range nodes.Nodes {
		if slices.ContainsFunc(n.Former, func(former string) bool { return strings.EqualFold(former, name) }) {
			now = n.Name
		}
		if strings.EqualFold(n.Name, name) {
			found = append(found, catalog.Drain{Node: n.Name})
		}
		if _, err := c.Instance(ctx, n.Name, name); err == nil {
			found = append(found, catalog.Drain{Node: n.Name, Instance: name})
		} else if catalog.KindOf(err) != catalog.KindNotFound {
			return nil, "", err
		}
	}
	return found, now, nil
}

// withoutSame leaves out the instances of a name if they are all those of the service of that name: draining the service drains
// the same. Both have one name wherever the instance was given no id of its own.
func withoutSame(ctx context.Context, c *client.Client, name string, candidates []catalog.Drain, flags *drainFlags) ([]catalog.Drain, error) {
	named := make(map[string]bool)
	service := ""
	for _, d := range candidates {
		switch {
		case d.Instance != "":
			named[strings.ToLower(d.Node)] = true
		case d.Service != "":
			service = d.Service
		}
	}
	if service == "" || len(named) == 0 || flags.kind.value != "" || flags.node != "" {
		return candidates, nil
	}
	list, err := c.Instances(ctx, client.InstanceFilter{Service: service})
	if err != nil {
		return nil, err
	}
	for _, i := range list.Instances {
		if i.ID != name || !named[strings.ToLower(i.Node)] {
			return candidates, nil
		}
	}
	if len(list.Instances) != len(named) { // one of that id is of another service
		return candidates, nil
	}
	return slices.DeleteFunc(candidates, func(d catalog.Drain) bool { return d.Instance != "" }), nil
}

// choose returns the one thing that the name and the flags mean.
func choose(name string, candidates []catalog.Drain, flags *drainFlags) (catalog.Drain, error) {
	candidates = slices.DeleteFunc(candidates, func(d catalog.Drain) bool {
		kind, _ := targetOf(d)
		return flags.kind.value != "" && kind != flags.kind.value ||
			flags.node != "" && (d.Instance == "" || !strings.EqualFold(d.Node, flags.node))
	})
	switch len(candidates) {
	case 1:
		return candidates[0], nil
	case 0:
		return catalog.Drain{}, catalog.Errorf(catalog.KindNotFound, "no service, instance or node %s", name)
	default:
		var meanings []string
		for _, d := range candidates {
			kind, _ := targetOf(d)
			if d.Instance != "" {
				kind += " on " + d.Node
			}
			meanings = append(meanings, kind)
		}
		return catalog.Drain{}, mistake("%s is more than one thing: %s", name, strings.Join(meanings, ", ")).
			WithHint("choose one with --as or --node")
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

// undrain cancels the order for a name or, if there is none, ends the drain of an instance by its owner.
func undrain(cmd *cobra.Command, c *client.Client, name string, flags *drainFlags) error {
	if flags.wait != 0 || flags.stop {
		return mistake("--undo goes with neither --wait nor --stop")
	}
	list, err := c.Drains(cmd.Context())
	if err != nil {
		return err
	}
	other := func(d catalog.Drain) bool {
		_, of := targetOf(d)
		return !strings.EqualFold(of, name)
	}
	drains := slices.DeleteFunc(list.Drains, other)
	if len(drains) == 0 {
		drains = slices.DeleteFunc(list.Instances, other)
	}
	if len(drains) == 0 {
		return catalog.Errorf(catalog.KindNotFound, "%s is not drained", name).WithHint("koine drain lists what is")
	}
	order, err := choose(name, drains, flags)
	if err != nil {
		return err
	}
	revision, err := c.Undrain(cmd.Context(), order)
	return printWritten(cmd, revision, err)
}

// stopContainers stops the containers of instances; it names the others.
func stopContainers(cmd *cobra.Command, instances []client.Instance) error {
	docker, err := moby.New(moby.FromEnv)
	if err != nil {
		return fmt.Errorf("docker engine: %w", err)
	}
	defer docker.Close()
	var failed []error
	for _, i := range instances {
		if i.Owner.Kind != catalog.OwnerContainer {
			say(cmd, "%s is not a container: stop it by hand", i.ID)
			continue
		}
		if _, err := docker.ContainerStop(cmd.Context(), i.Owner.ID, moby.ContainerStopOptions{}); err != nil {
			failed = append(failed, fmt.Errorf("stop %s: %w", i.ID, err))
			continue
		}
		say(cmd, "%s is stopped", i.ID)
	}
	return errors.Join(failed...)
}
