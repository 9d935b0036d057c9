package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

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
	if err := catalog.ValidateName("service", service); err != nil {
		return q, err
	}
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
	var near string
	cmd := &cobra.Command{
		Use:   "lookup SERVICE",
		Short: "print address:port of each instance of a service; exit code 1 if there is none",
		Example: "  koine lookup web\n" +
			"  koine lookup web --tag blue --health passing\n" +
			"  koine lookup web --near _self            only those in this host's zone, or where these do not do, others\n" +
			"  curl http://$(koine lookup web | shuf -n 1)/",
		Args: oneArg("service"), SuggestFor: []string{"find", "get", "resolve", "query"},
		ValidArgsFunction: completes(serviceNames),
	}
	flags.add(cmd)
	addNear(cmd, &near)
	return asking(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		q, err := flags.query(args[0])
		if err != nil {
			return err
		}
		return lookup(cmd, c, q, near)
	})
}

func addNear(cmd *cobra.Command, near *string) {
	cmd.Flags().StringVar(near, "near", "", "only the nearest to a zone, region/zone, node, instance or IP address, or to _self")
}

// find asks for what a query finds, or, if a place is named, for the nearest of it; in JSON, for all of it in order.
func find(cmd *cobra.Command, c *client.Client, q catalog.Query, near string) (service client.Service, err error) {
	if near == "" {
		return c.Lookup(cmd.Context(), q)
	}
	service, err = c.LookupNear(cmd.Context(), q, near)
	if !wantsJSON(cmd) {
		service.Instances = service.Instances[:min(service.Nearest, len(service.Instances))]
	}
	return service, err
}

// lookup prints what a query finds. Where that is nothing it says why on standard error.
func lookup(cmd *cobra.Command, c *client.Client, q catalog.Query, near string) error {
	service, err := find(cmd, c, q, near)
	switch {
	case catalog.KindOf(err) == catalog.KindNotFound && near != "" && service.Index == 0:
		return err
	case catalog.KindOf(err) == catalog.KindNotFound:
		fmt.Fprintf(cmd.ErrOrStderr(), "koine: no service %s: koine services lists those that there are\n", q.Service)
		return exitCode(exitNone)
	case err != nil:
		return err
	}
	text := lines(service.Instances)
	if wantsJSON(cmd) {
		err = printJSON(cmd, service)
	} else {
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	}
	switch {
	case err != nil:
		return err
	case len(service.Instances) == 0:
		return noneFound(cmd, c, q)
	case text == "":
		fmt.Fprintf(cmd.ErrOrStderr(), "koine: no instance of %s has an address\n", q.Service)
		return exitCode(exitNone)
	}
	return nil
}

// noneFound says why a query found no instance of a service that there is.
func noneFound(cmd *cobra.Command, c *client.Client, q catalog.Query) error {
	unhealthy := q
	unhealthy.Health = catalog.AnyHealth
	service, err := c.Lookup(cmd.Context(), unhealthy)
	if err != nil && catalog.KindOf(err) != catalog.KindNotFound {
		return err
	}
	if len(service.Instances) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "koine: no instance of %s%s\n", q.Service, wanted(q))
		return exitCode(exitNone)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "koine: no instance of %s%s is %s:\n", q.Service, wanted(q),
		map[bool]string{true: "passing", false: "healthy"}[q.Health == catalog.OnlyPassing])
	tellWhyNot(cmd.ErrOrStderr(), service.Instances)
	return exitCode(exitNone)
}

// wanted returns a query's filters in words.
func wanted(q catalog.Query) string {
	var with []string
	for _, tag := range q.Tags {
		with = append(with, "tag "+tag)
	}
	for key, value := range q.Meta {
		with = append(with, "meta "+key+"="+value)
	}
	if len(with) == 0 {
		return ""
	}
	slices.Sort(with)
	return " with " + strings.Join(with, " and ")
}

// maxReasons bounds how many instances' reasons are told; the rest is counted.
const maxReasons = 10

func tellWhyNot(w io.Writer, instances []client.Instance) {
	for n, i := range instances {
		if n == maxReasons {
			fmt.Fprintf(w, "  and %d more: see --health any -o json\n", len(instances)-n)
			return
		}
		why := i.WhyNot
		if why == "" {
			why = string(i.Status)
		}
		fmt.Fprintf(w, "  %s on %s: %s\n", i.ID, i.Node, why)
	}
}
