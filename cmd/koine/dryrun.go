package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/daemon"
	source "github.com/koine-sd/koine/source/docker"
)

// dryRun is koine explain --docker: it shows how a process would register the containers.
type dryRun struct {
	wanted    bool
	cfg       daemon.Config
	advertise string
}

func (d *dryRun) add(cmd *cobra.Command) {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError) // those of koine dev that count here
	flags.StringVar(&d.cfg.Docker, "docker", daemon.Auto, "ask a Docker engine instead of Koine: --docker, or --docker=unix:///path")
	flags.Lookup("docker").NoOptDefVal = daemon.Auto
	flags.StringVar(&d.advertise, "advertise", "127.0.0.1", "with --docker: IP address at which others reach this host")
	flags.BoolVar(&d.cfg.EnableScriptChecks, "enable-script-checks", false, "with --docker: checks may run commands on this host")
	addContainers(flags, &d.cfg, "with --docker: ")
	markSettings(flags)
	cmd.Flags().AddFlagSet(flags)
	completeFlag(cmd, "docker", words(daemon.Auto, "unix:///var/run/docker.sock"))
	completeContainers(cmd)
}

// args requires a name, which may be left out with --docker. It is called before the settings are applied: these may name the
// engine, but must not turn --docker on.
func (d *dryRun) args(cmd *cobra.Command, args []string) error {
	flag := cmd.Flags().Lookup("docker")
	if d.wanted = flag.Changed; !d.wanted {
		return oneArg("service, an instance or a container")(cmd, args)
	}
	if d.cfg.Docker == daemon.Auto {
		flag.Changed = false
	}
	return noArgs(cmd, args[min(1, len(args)):])
}

func (d *dryRun) run(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("as") {
		return mistake("--as goes with a running Koine, not with --docker")
	}
	plans, err := d.plans(cmd)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		plans = slices.DeleteFunc(plans, func(p source.Plan) bool { return !meant(&p, args[0]) })
		if len(plans) == 0 {
			return catalog.Errorf(catalog.KindNotFound, "no container %s, and none of a service %s", args[0], args[0])
		}
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, map[string]any{"containers": append([]source.Plan{}, plans...)})
	}
	if len(plans) == 0 {
		say(cmd, "the engine has no containers")
	}
	var texts []string
	for i := range plans {
		texts = append(texts, describePlan(&plans[i]))
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), strings.Join(texts, "\n"))
	return err
}

func (d *dryRun) plans(cmd *cobra.Command) (plans []source.Plan, err error) {
	if d.cfg.Advertise, err = netip.ParseAddr(d.advertise); err != nil {
		return nil, mistake("--advertise %q is not an IP address", d.advertise)
	}
	if d.cfg.Logger, err = newLogger(cmd.ErrOrStderr(), "warn", "text"); err != nil {
		return nil, err
	}
	return daemon.PlanDocker(cmd.Context(), d.cfg)
}

// meant reports whether a plan is for a container or a service of that name.
func meant(p *source.Plan, name string) bool {
	return p.Container == name || len(name) >= 12 && strings.HasPrefix(p.ContainerID, name) ||
		strings.EqualFold(p.Service, name) || slices.ContainsFunc(p.Registrations, func(r source.PlannedRegistration) bool {
		return r.Instance.ID == name || strings.EqualFold(r.Instance.Service, name)
	})
}

// describePlan writes, for people, how a container would be registered.
func describePlan(p *source.Plan) string {
	var b paragraph
	name := cmp.Or(p.Container, p.ContainerID)
	if len(p.Registrations) == 0 {
		b.heading("%s would not be registered: %s", name, p.WhyNot)
	} else {
		first := &p.Registrations[0].Instance
		b.heading("%s would be %s, an instance of %s", name, first.ID, first.Service)
	}
	b.line("container", "%s of image %s", p.ContainerID[:min(12, len(p.ContainerID))], cmp.Or(p.Image, "unknown"))
	if len(p.Registrations) == 0 && p.Service != "" {
		b.line("service", "%s", p.Service)
		b.line("named by", "%s", p.NamedBy)
	}
	for i := range p.Registrations {
		if i > 0 {
			b.line("and", "%s, an instance of %s", p.Registrations[i].Instance.ID, p.Registrations[i].Instance.Service)
		}
		b.registration(&p.Registrations[i])
	}
	if p.Drain != 0 {
		b.line("drain", "%s after its stop signal", p.Drain)
	}
	for _, hint := range p.Hints {
		b.line("hint", "%s", hint)
	}
	for _, w := range p.Warnings {
		what := "left out"
		if w.Counts {
			what = "warning"
		}
		b.line(what, "%s", w)
	}
	return b.String()
}

func (b *paragraph) registration(r *source.PlannedRegistration) {
	i := &r.Instance
	b.line("named by", "%s", r.NamedBy)
	if r.RenamedFrom != "" {
		b.line("renamed", "an elder container has the id %s", r.RenamedFrom)
	}
	if len(i.Tags) > 0 {
		b.line("tags", "%s", strings.Join(i.Tags, ","))
	}
	for _, c := range r.Checks {
		b.line("check", "%s", checkText(&c))
	}
	b.addresses(i.Addresses)
	b.ports(i.Source, i.Ports)
	if len(i.Ports) == 0 {
		b.line("port", "none: it is found by A and AAAA, not by SRV")
	}
	if i.Drain != "" {
		b.line("drained", "%s", i.Drain)
	}
}

// checkText returns a check's target and interval.
func checkText(c *catalog.Check) string {
	target := cmp.Or(c.HTTP, c.TCP, c.UDP, c.GRPC, c.H2Ping, strings.Join(c.Args, " "), c.AliasService, c.AliasNode)
	text := strings.TrimSpace(fmt.Sprintf("%s: %s %s", c.ID, c.Type, target))
	switch {
	case c.Type == catalog.CheckDocker:
		return text + ", which says " + string(c.Status)
	case c.Type == catalog.CheckTTL:
		return text + " " + c.TTL.String()
	case c.Interval > 0:
		return text + " every " + c.Interval.String()
	}
	return text
}
