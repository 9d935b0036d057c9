package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// queryFlags select instances of a service.
type queryFlags struct {
	tags, meta []string
	health     *choice
}

func (f *queryFlags) add(cmd *cobra.Command) {
	f.health = newChoice("healthy", "passing", "any")
	cmd.Flags().StringArrayVar(&f.tags, "tag", nil, "only instances with this `tag`; may be repeated")
	cmd.Flags().StringArrayVar(&f.meta, "meta", nil, "only instances with this meta, `key=value`; may be repeated")
	addChoice(cmd, f.health, "health", "", "healthy, passing or any")
	completeFlag(cmd, "tag", tagNames)
}

func (f *queryFlags) query(service string) (catalog.Query, error) {
	q := catalog.Query{Service: service, Tags: f.tags}
	if err := catalog.ValidateName("service", service); err != nil {
		return q, err
	}
	switch f.health.value {
	case "passing":
		q.Health = catalog.OnlyPassing
	case "any":
		q.Health = catalog.AnyHealth
	}
	meta, err := pairs("--meta", f.meta)
	q.Meta = meta
	return q, err
}

func lookupCommand() *cobra.Command {
	var flags queryFlags
	var near string
	cmd := &cobra.Command{
		Use: "lookup SERVICE", GroupID: groupLook,
		Short: "print address:port of each instance of a service; exit code 1 if there is none",
		Long: "Print address:port of each instance of a service, one on a line, and only the address of an instance without a\n" +
			"port. Where there is none, nothing is printed, or with -o json an empty list; standard error says why, and the exit\n" +
			"code is 1.",
		Example: "  koine lookup web\n" +
			"  koine lookup web --tag blue --health passing\n" +
			"  koine lookup web --near _self            only those in this host's zone, or others if these do not suffice\n" +
			"  curl http://$(koine lookup web | shuf -n 1)/",
		Args: oneArg("service"), SuggestFor: []string{"find", "get", "resolve", "query"},
		ValidArgsFunction: completeArgs(serviceNames),
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
	completeFlag(cmd, "near", nearNames)
}

// find returns the instances that a query selects or, if a place is named, the nearest of them; for JSON, all of them in
// order.
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

// lookup prints the instances that a query selects. If there are none, it prints the reason on standard error. In JSON it
// always prints a service with its instances, even with none.
func lookup(cmd *cobra.Command, c *client.Client, q catalog.Query, near string) error {
	service, err := find(cmd, c, q, near)
	unknown := catalog.KindOf(err) == catalog.KindNotFound
	if err != nil && (!unknown || near != "" && service.Index.Revision == 0) {
		return err
	}
	if unknown {
		service.Service, service.Instances = strings.ToLower(q.Service), []client.Instance{}
	}
	text := lines(service.Instances)
	if err := printInstances(cmd, &service, text); err != nil {
		return err
	}
	switch {
	case unknown:
		say(cmd, "no service %s: koine services lists all services, koine explain %s shows what is known of the name", q.Service, q.Service)
		return exitCode(exitNone)
	case len(service.Instances) == 0:
		return noneFound(cmd, c, q)
	case text == "":
		say(cmd, "%s", unreached(q.Service, service.Instances))
		return exitCode(exitNone)
	}
	return nil
}

func printInstances(cmd *cobra.Command, service *client.Service, text string) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, service)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// endpoint returns the address to dial for an instance: address:port, or only the address if it has no port.
func endpoint(i client.Instance) string {
	if i.Port == 0 || i.Address == "" {
		return i.Address
	}
	return net.JoinHostPort(i.Address, strconv.Itoa(int(i.Port)))
}

// lines returns one line for each instance that can be dialled.
func lines(instances []client.Instance) string {
	var b strings.Builder
	for _, i := range instances {
		if i.Address != "" {
			b.WriteString(oneLine(endpoint(i)) + "\n")
		}
	}
	return b.String()
}

// unreached explains why none of a service's instances can be dialled.
func unreached(service string, instances []client.Instance) string {
	if slices.ContainsFunc(instances, func(i client.Instance) bool { return len(i.Addresses) > 0 }) {
		return "no instance of " + service + " can be reached from here: koine explain " + service + " shows its addresses"
	}
	return "no instance of " + service + " has an address"
}

// noneFound explains why a query found no instance of a service that exists.
func noneFound(cmd *cobra.Command, c *client.Client, q catalog.Query) error {
	unhealthy := q
	unhealthy.Health = catalog.AnyHealth
	service, err := c.Lookup(cmd.Context(), unhealthy)
	if err != nil && catalog.KindOf(err) != catalog.KindNotFound {
		return err
	}
	if len(service.Instances) == 0 {
		say(cmd, "no instance of %s%s%s", q.Service, wanted(q), tagHint(q))
		return exitCode(exitNone)
	}
	say(cmd, "no instance of %s%s is %s:", q.Service, wanted(q),
		map[bool]string{true: "passing", false: "healthy"}[q.Health == catalog.OnlyPassing])
	printWhyNot(cmd.ErrOrStderr(), service.Instances)
	return exitCode(exitNone)
}

// tagHint is for a list of tags in one --tag: a tag may hold a comma, so it is one tag.
func tagHint(q catalog.Query) string {
	if slices.ContainsFunc(q.Tags, func(tag string) bool { return strings.Contains(tag, ",") }) {
		return ": for several tags repeat --tag"
	}
	return ""
}

// wanted describes a query's filters in words.
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

// maxReasons bounds the instances for which a reason is printed; the others are counted.
const maxReasons = 10

func printWhyNot(w io.Writer, instances []client.Instance) {
	for n, i := range instances {
		if n == maxReasons {
			fmt.Fprintf(w, "  and %d more: see --health any -o json\n", len(instances)-n)
			return
		}
		why := cmp.Or(i.WhyNot, string(i.Status))
		fmt.Fprintf(w, "  %s\n", oneLine(fmt.Sprintf("%s on %s: %s", i.ID, i.Node, why)))
	}
}
