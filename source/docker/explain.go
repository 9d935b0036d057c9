package docker

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/koine-sd/koine/catalog"
)

const (
	// maxGone bounds the containers remembered after their end; the oldest are forgotten.
	maxGone = 256
	// maxShown bounds those of them that are shown at once.
	maxShown = 8
	// explainTimeout bounds the wait of Explain for the engine.
	explainTimeout = 2 * time.Second
	// minPrefix is the shortest prefix of a container's id that names it: the length that Docker shows.
	minPrefix = 12
)

// question asks the loop about the containers of a name. The channel has room for the answer.
type question struct {
	name   string
	answer chan<- found
}

// found is the result for a name: the instances of containers, and the containers that are not registered.
type found struct {
	instances []string
	left      []catalog.LeftOut
}

// Explain returns the ids of the instances that a container is registered as, given its name or the first 12 or more
// digits of its id, and the containers of that name, id or service that are not registered, with the reasons; or the network of that
// name, if the engine's answer about it could not be read at all. The engine
// is asked about a container that the source has not seen running. It returns nothing if there is none, and an error of
// catalog.KindUnavailable if the engine does not answer.
func (s *Source) Explain(ctx context.Context, name string) (instances []string, left []catalog.LeftOut, err error) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	answer := make(chan found, 1)
	select {
	case s.questions <- question{name, answer}:
	case <-ctx.Done():
		return nil, nil, unanswered(ctx.Err())
	}
	known := <-answer
	if len(known.instances)+len(known.left) > 0 {
		return known.instances, known.left, nil
	}
	if left = s.nets.leftOut(s.cfg.Node, name); len(left) > 0 {
		return nil, left, nil
	}
	left, err = s.seek(ctx, name)
	return nil, left, err
}

func unanswered(err error) error {
	return catalog.Errorf(catalog.KindUnavailable, "docker engine: %v", err)
}

// nameForm matches the texts that Docker takes for a container's name or id.
var nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// seek asks the engine for a container that the loop does not know: it was stopped before the source came.
func (s *Source) seek(ctx context.Context, name string) ([]catalog.LeftOut, error) {
	if !nameForm.MatchString(name) {
		return nil, nil
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return nil, unanswered(ctx.Err())
	}
	c, faults, err := inspect(ctx, s.engine, name)
	switch {
	case cerrdefs.IsNotFound(err), err == nil && !called(name, containerName(c), c.ID):
		return nil, nil
	case err != nil:
		return nil, unanswered(err)
	}
	t := newTracker(s.options())
	if !running(c) {
		t.update(c, nil, faults...)
		return t.gone, nil
	}
	return []catalog.LeftOut{t.leftOut(c.ID, containerName(c), description{
		skip: "it has just been started, and has not been looked at",
	})}, nil
}

// called reports whether a name is that of a container.
func called(by, name, id string) bool {
	return by == name || len(by) >= minPrefix && strings.HasPrefix(id, by)
}

// find returns the instances and containers of a name.
func (t *tracker) find(name string) (f found) {
	there := false
	for _, o := range t.verdicts() {
		meant := called(name, o.name, o.id) || o.spelled(name)
		if !meant && !o.serves(name) {
			continue
		}
		there = true
		switch {
		case o.why != "":
			left := t.leftOut(o.id, o.name, o.description)
			left.Why = o.why
			f.left = append(f.left, left)
		case meant:
			for _, m := range o.instances {
				f.instances = append(f.instances, m.Instance.ID)
			}
		}
	}
	if !there { // a running container hides those that ended under its name
		f.left = t.findGone(name)
	}
	return f
}

// serves reports whether a container is, or would be, of a service.
func (o *verdict) serves(service string) bool {
	return strings.EqualFold(service, o.service) ||
		slices.ContainsFunc(o.instances, func(m member) bool { return strings.EqualFold(service, m.service) })
}

// spelled reports whether a name is that of the container's service before it was made fit for DNS, and differs from it.
func (o *verdict) spelled(name string) bool {
	spelled := func(n naming) bool { return n.text != n.service && strings.EqualFold(name, n.text) }
	return spelled(o.naming) || slices.ContainsFunc(o.instances, func(m member) bool { return spelled(m.naming) })
}

// findGone returns the last ended containers that a name matches, one for each of their names.
func (t *tracker) findGone(name string) (left []catalog.LeftOut) {
	for _, g := range slices.Backward(t.gone) {
		again := slices.ContainsFunc(left, func(l catalog.LeftOut) bool { return l.Name == g.Name })
		if len(left) < maxShown && !again && (called(name, g.Name, g.ID) || strings.EqualFold(name, g.Service)) {
			left = append(left, g)
		}
	}
	return left
}

func (t *tracker) leftOut(id, name string, d description) catalog.LeftOut {
	return catalog.LeftOut{
		Node: t.options.node, Source: sourceName, Name: name, ID: id, Service: d.service, NamedBy: d.rule, Why: d.skip,
	}
}

// rememberGone remembers a container that has ended, and forgets the oldest if there are too many.
func (t *tracker) rememberGone(l catalog.LeftOut) {
	t.forgetGone(l.ID)
	t.gone = append(t.gone, l)
	if len(t.gone) > maxGone {
		t.gone = slices.Delete(t.gone, 0, len(t.gone)-maxGone)
	}
}

// wasGone reports whether a container has been remembered for the same reason.
func (t *tracker) wasGone(id, why string) bool {
	return slices.ContainsFunc(t.gone, func(l catalog.LeftOut) bool { return l.ID == id && l.Why == why })
}

// forgetGone removes a container from those remembered.
func (t *tracker) forgetGone(id string) {
	t.gone = slices.DeleteFunc(t.gone, func(l catalog.LeftOut) bool { return l.ID == id })
}

// removed forgets a container that no longer exists, except that it existed.
func (t *tracker) removed(id string, now time.Time) (told report) {
	last := catalog.LeftOut{}
	if c, ok := t.containers[id]; ok {
		last = t.leftOut(id, c.name, c.description)
		told.container = c.name
		if dead, ok := t.dead[id]; ok {
			now = dead.at
		}
		told.lasted = t.lastedUntil(id, now, 0)
	}
	for _, g := range t.gone {
		if g.ID == id {
			last = g
		}
	}
	if last.ID != "" {
		t.end(id, t.removal(id))
	}
	t.remove(id)
	delete(t.lives, id)
	if last.ID != "" {
		last.Why = "it was removed"
		t.rememberGone(last)
	}
	return told
}
