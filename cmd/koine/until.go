package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// condition is the condition of koine watch --until: every term must hold.
type condition []term

// term is a statement about the instances of a service: the number of a kind, or the state of one of them.
type term struct {
	subject     string
	least, most int    // of a count
	id          string // of a statement about one instance
	text        string
}

// The subjects of terms. A count is a number of instances in some state; the others are the state of one instance.
var (
	counts = map[string]func(client.Instance) bool{
		"healthy":   func(i client.Instance) bool { return i.Healthy },
		"passing":   func(i client.Instance) bool { return i.Healthy && i.Status == catalog.Passing },
		"instances": func(client.Instance) bool { return true },
	}
	statements = map[string]func(found []client.Instance) bool{
		"in":      anyHealthy,
		"out":     func(found []client.Instance) bool { return !anyHealthy(found) },
		"present": func(found []client.Instance) bool { return len(found) > 0 },
		"gone":    func(found []client.Instance) bool { return len(found) == 0 },
	}
)

// anyHealthy reports whether one of the instances with an id is healthy.
func anyHealthy(found []client.Instance) bool {
	return slices.ContainsFunc(found, func(i client.Instance) bool { return i.Healthy })
}

// untilFlags are the condition to wait for, and the timeout.
type untilFlags struct {
	condition string
	timeout   time.Duration
}

func (f *untilFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.condition, "until", "", "wait for a state that meets this `condition`, report it and end")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "give up --until after this time, with exit code 3 (default: never)")
	must(cmd.RegisterFlagCompletionFunc("until", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"healthy=", "passing=", "instances=", "in=", "out=", "present=", "gone="},
			cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}))
}

// check refuses flags that do not go together.
func (f *untilFlags) check(cmd *cobra.Command, services int) error {
	if !cmd.Flags().Changed("until") {
		return errors.New("--timeout goes with --until only")
	}
	for _, other := range []string{"once", "near"} {
		if cmd.Flags().Changed(other) {
			return fmt.Errorf("--until and --%s exclude each other", other)
		}
	}
	if services > 1 {
		return errors.New("--until is about one service: leave the others out")
	}
	if cmd.Flags().Changed("timeout") && f.timeout <= 0 {
		return fmt.Errorf("--timeout %v is not above zero", f.timeout)
	}
	return nil
}

// await waits for a state that meets the condition and reports it. The exit code is exitUnmet if the timeout passes
// before, or it is interrupted.
func (w *watcher) await(ctx context.Context, c *client.Client, q catalog.Query, flags *untilFlags) (err error) {
	if err := flags.check(w.cmd, len(w.services)); err != nil {
		return err
	}
	if w.until, err = parseCondition(flags.condition); err != nil {
		return err
	}
	w.once, w.health, w.unmet = true, q.Health, "its state is not known"
	q.Health = catalog.AnyHealth
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	if flags.timeout > 0 { // it bounds the wait, not the command that is then run
		w.inTime = time.AfterFunc(flags.timeout, cancel).Stop
	}
	err = w.watch(limited, c, q, "")
	if limited.Err() == nil || w.reported {
		return err
	}
	if ctx.Err() == nil {
		report(w.cmd, nil, catalog.Errorf(catalog.KindNotReady, "%s has not come to %s within %v: %s", q.Service, flags.condition,
			flags.timeout, w.unmet))
		printWhyNot(w.cmd.ErrOrStderr(), w.unhealthy)
	}
	return exitCode(exitUnmet)
}

// meets reports whether a state is to be reported. From a state that meets the condition it keeps the wanted instances.
func (w *watcher) meets(event *client.Event) bool {
	switch {
	case w.until == nil:
		return true
	case !w.until.met(event.Instances):
		w.unmet = w.until.missing(event.Instances)
		w.unhealthy = slices.DeleteFunc(event.Instances, func(i client.Instance) bool { return i.Healthy })
		return false
	case w.inTime != nil && !w.inTime():
		return false
	default:
		event.Instances = ofHealth(event.Instances, w.health)
		w.reported = true
		return true
	}
}

// conditionHelp is the grammar, as koine watch --help shows it.
const conditionHelp = `A CONDITION is one or more of these, with commas between them; all must hold at one revision:
  healthy=N     N instances are healthy: neither critical nor drained
  passing=N     N instances are healthy and have no warning
  instances=N   N instances are registered, whatever their health
  in=ID         instance ID is healthy
  out=ID        instance ID is not: it is critical, drained or not registered
  present=ID    instance ID is registered, whatever its health
  gone=ID       instance ID is not registered
N is a number, or a range whose ends may be left out: 3, 3.., ..2, 2..4. --tag and --meta choose what counts.`

// parseCondition reads the value of --until.
func parseCondition(text string) (condition, error) {
	var c condition
	for part := range strings.SplitSeq(text, ",") {
		t, err := parseTerm(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("--until %q: %w", text, err)
		}
		c = append(c, t)
	}
	return c, nil
}

func parseTerm(text string) (term, error) {
	subject, value, ok := strings.Cut(text, "=")
	t := term{subject: subject, text: text}
	switch {
	case !ok || value == "":
		return t, fmt.Errorf("%q is not NAME=VALUE: write it as healthy=3 or gone=web-1", text)
	case counts[subject] != nil:
		var err error
		t.least, t.most, err = parseRange(value)
		return t, err
	case statements[subject] != nil:
		t.id = value
		return t, nil
	default:
		return t, fmt.Errorf("%q is not healthy, passing, instances, in, out, present or gone", subject)
	}
}

// parseRange reads a number, or a range whose ends may be left out.
func parseRange(text string) (least, most int, err error) {
	low, high, isRange := strings.Cut(text, "..")
	least, most = 0, math.MaxInt
	if low != "" {
		least, err = number(low)
	}
	switch {
	case !isRange:
		most = least
	case high != "":
		var wrong error
		most, wrong = number(high)
		err = errors.Join(err, wrong)
	}
	if err != nil || isRange && low == "" && high == "" {
		return 0, 0, fmt.Errorf("%q is not a number of instances: write it as 3, 3.. for at least three, ..3 for at most, or 2..4", text)
	}
	if least > most {
		return 0, 0, fmt.Errorf("%q holds no number: %d is above %d", text, least, most)
	}
	return least, most, nil
}

// number reads a count of instances.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}

// met reports whether every term holds for the instances of a service, whatever their health.
func (c condition) met(instances []client.Instance) bool {
	return !slices.ContainsFunc(c, func(t term) bool { return !t.met(instances) })
}

func (t term) met(instances []client.Instance) bool {
	if holds := statements[t.subject]; holds != nil {
		return holds(t.of(instances))
	}
	n := t.count(instances)
	return t.least <= n && n <= t.most
}

// of returns the instances with the term's id; several nodes may have one each.
func (t term) of(instances []client.Instance) (found []client.Instance) {
	for _, i := range instances {
		if i.ID == t.id {
			found = append(found, i)
		}
	}
	return found
}

func (t term) count(instances []client.Instance) (n int) {
	for _, i := range instances {
		if counts[t.subject](i) {
			n++
		}
	}
	return n
}

// state describes the state of a term's instance.
func (t term) state(instances []client.Instance) string {
	if counts[t.subject] != nil {
		return fmt.Sprintf("%s=%d", t.subject, t.count(instances))
	}
	found := t.of(instances)
	switch {
	case len(found) == 0:
		return t.id + " is not registered"
	case anyHealthy(found):
		return t.id + " is healthy"
	default:
		return t.id + " is registered and not healthy"
	}
}

// missing describes, for each term that does not hold, the state instead.
func (c condition) missing(instances []client.Instance) string {
	var list []string
	for _, t := range c {
		if !t.met(instances) {
			list = append(list, fmt.Sprintf("%s where %s is wanted", t.state(instances), t.text))
		}
	}
	return strings.Join(list, "; ")
}

// ofHealth returns the instances with a given health.
func ofHealth(instances []client.Instance, health catalog.Health) []client.Instance {
	return slices.DeleteFunc(slices.Clone(instances), func(i client.Instance) bool {
		switch health {
		case catalog.AnyHealth:
			return false
		case catalog.OnlyPassing:
			return !counts["passing"](i)
		default:
			return !i.Healthy
		}
	})
}
