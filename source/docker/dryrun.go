package docker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
)

// Plan is the result that a Source would come to for a container.
type Plan struct {
	Container   string `json:"container"`
	ContainerID string `json:"container_id"`
	Image       string `json:"image,omitempty"`
	// Service is the name of its service, NamedBy the rule that gives it.
	Service string `json:"service,omitempty"`
	NamedBy string `json:"named_by,omitempty"`
	// Registrations are the instances that would be registered; none if nothing would, for the reason in WhyNot.
	Registrations []PlannedRegistration `json:"registrations,omitempty"`
	WhyNot        string                `json:"why_not,omitempty"`
	// Drain is the time for which it means to go on serving after its stop signal.
	Drain catalog.Duration `json:"drain,omitzero"`
	// Hints are further changes that are advisable.
	Hints []string `json:"hints,omitempty"`
	// Warnings are the parts of its settings that are left out.
	Warnings []Warning `json:"warnings,omitempty"`
}

// PlannedRegistration is one instance that would be registered.
type PlannedRegistration struct {
	catalog.Registration
	// NamedBy is the rule that gives its service the name.
	NamedBy string `json:"named_by"`
	// RenamedFrom is the instance ID that it would have if an older container had not taken it.
	RenamedFrom string `json:"renamed_from,omitempty"`
}

// discard is the sink of a dry run.
type discard struct{}

func (discard) Declare(string, []catalog.Registration) {}

// DryRun looks once at all containers of an engine, those that do not run included, and returns a Source's plans for them,
// by name. It registers nothing, and ignores Sink, Networks, Residents, Adopt and Metrics of cfg. The error is of catalog.KindInvalid,
// or KindUnavailable if the engine does not answer.
func DryRun(ctx context.Context, cfg Config) ([]Plan, error) {
	cfg.Sink, cfg.Networks, cfg.Residents, cfg.Adopt, cfg.Metrics = discard{}, nil, nil, nil, nil
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ids, err := s.list(ctx, true)
	if err != nil {
		if why := denied(s.engine.DaemonHost()); why != nil {
			return nil, why
		}
		return nil, catalog.Errorf(catalog.KindUnavailable, "docker engine %s: %v", s.engine.DaemonHost(), err).
			WithHint("name another engine with --docker=unix:///path or DOCKER_HOST")
	}
	return plansOf(newTracker(s.options()), s.lookAt(ctx, ids)), nil
}

// lookAt looks at containers, some at once, and returns the looks in the order of the ids.
func (s *Source) lookAt(ctx context.Context, ids []string) []look {
	looks := make([]look, len(ids))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(maxInspects, len(ids)) {
		workers.Go(func() {
			for i := range next {
				looks[i] = s.look(ctx, ids[i])
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	workers.Wait()
	return looks
}

// plansOf returns a tracker's plans for some looks.
func plansOf(t *tracker, looks []look) (plans []Plan) {
	for _, l := range looks {
		switch {
		case cerrdefs.IsNotFound(l.err): // gone since the list was made
		case l.err != nil:
			plans = append(plans, Plan{ContainerID: l.id, WhyNot: fmt.Sprintf("the engine does not say what it is: %v", l.err)})
		case !running(l.c):
			d, err := describe(l.c, t.options)
			plans = append(plans, Plan{
				Container: containerName(l.c), ContainerID: l.id, Image: l.c.Config.Image, Service: d.service, NamedBy: d.rule,
				WhyNot: cmp.Or(d.skip, fmt.Sprint(err)),
			})
		default:
			t.update(l.c, l.peer, l.faults...)
		}
	}
	verdicts := t.verdicts()
	shared := t.shared(verdicts)
	for _, o := range verdicts {
		plans = append(plans, o.plan(shared))
	}
	slices.SortFunc(plans, func(a, b Plan) int {
		return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.ContainerID, b.ContainerID))
	})
	return plans
}

// plan returns the plan for a container, given the warnings about names that several services share.
func (o verdict) plan(shared map[string]string) Plan {
	p := Plan{
		Container: o.name, ContainerID: o.id, Image: o.image, Service: o.service, NamedBy: o.rule, WhyNot: o.why,
		Hints: o.hints, Warnings: o.warnings,
	}
	if o.why == "" {
		p.Drain = catalog.Duration(o.drain)
	}
	for i, m := range o.instances {
		r := PlannedRegistration{Registration: m.Registration, NamedBy: m.rule}
		if was := o.members[i].Instance.ID; was != m.Instance.ID {
			r.RenamedFrom = was
		}
		p.Registrations = append(p.Registrations, r)
		if warning, ok := shared[strings.ToLower(m.service)]; ok && !slices.Contains(p.Hints, warning) {
			p.Hints = append(slices.Clone(p.Hints), warning)
		}
	}
	return p
}

// list returns the ids of the running containers, or of all.
func (s *Source) list(ctx context.Context, all bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	items, err := listLeniently(ctx, func(ctx context.Context) ([]container.Summary, error) {
		result, err := s.engine.ContainerList(ctx, client.ContainerListOptions{All: all})
		return result.Items, err
	})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(items))
	unknown := 0
	for _, item := range items {
		if item.value.ID != "" {
			ids = append(ids, item.value.ID)
			continue
		}
		if unknown++; s.unnamed.Load() == 0 {
			s.log.Warn("the engine lists a container without a readable id: it is left out",
				"names", item.value.Names, "reason", faultsText(item.faults))
		}
	}
	s.unnamed.Store(int32(unknown))
	return ids, nil
}

// nameless returns the number of containers in the engine's last list whose ids could not be read.
func (s *Source) nameless() int { return int(s.unnamed.Load()) }
