package registry

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// replay plays the store's revisions again, into a View of the records of one name: instances of the service or of the ID,
// their checks, and their nodes. Other records are dropped before they are decoded.
type replay struct {
	registry *Registry
	name     string
	view     *catalog.View
	// position is the position in the View's events up to which they were collected.
	position uint64
	// nodes are those that have, or had, an instance that counts; instances are these.
	nodes     map[string]bool
	instances map[placed]bool
	history   catalog.History
	// untimed is the index of the first event without a time. All events before it have one.
	untimed int
}

// placed is an instance; the node is in lower case.
type placed struct{ node, id string }

func newReplay(r *Registry, name string) *replay {
	return &replay{
		registry: r, name: name, view: catalog.NewView(), nodes: make(map[string]bool), instances: make(map[placed]bool),
		history: catalog.History{Name: name, Events: []catalog.Event{}},
	}
}

func (p *replay) run(ctx context.Context, since time.Time) error {
	s, err := p.registry.findSpan(ctx, since)
	if err != nil {
		return err
	}
	p.history.Revision, p.history.Until, p.history.Whole = uint64(s.base), uint64(s.end), s.whole
	p.history.Since = s.since
	if err := p.load(ctx, s.base); err != nil {
		return err
	}
	if s.base < s.end {
		if err := p.follow(ctx, s); err != nil {
			return err
		}
	}
	p.clock(time.Now().UTC()) // what is that new has no clock yet
	p.trim(historyEvents)
	if len(p.instances) == 0 {
		return catalog.Errorf(catalog.KindNotFound, "no service and no instance %.100s since %s", p.name,
			p.history.Since.Local().Format(time.DateTime)).
			WithHint("koine services lists those that there are; the store forgets the rest, by default after an hour")
	}
	return nil
}

// load loads the state at a revision, and begins the history with it.
func (p *replay) load(ctx context.Context, revision int64) error {
	var records []catalog.Change
	_, err := p.registry.scan(ctx, instancePrefix, revision, eachKey(func(kv *mvccpb.KeyValue) {
		if change, ok := p.instance(kv); ok {
			records = append(records, change)
		}
	}))
	if err != nil {
		return err
	}
	for _, change := range records {
		if node := strings.ToLower(change.Name); !p.nodes[node] {
			around, err := p.enter(ctx, node, revision)
			if err != nil {
				return err
			}
			records = append(records, around...)
		}
	}
	_, err = p.registry.scan(ctx, drainPrefix, revision, eachKey(func(kv *mvccpb.KeyValue) {
		if change, err := decode(string(kv.Key), kv.Value); err == nil {
			records = append(records, change)
		}
	}))
	if err != nil {
		return err
	}
	p.view.Load(uint64(revision), records)
	p.present(revision)
	return nil
}

// present begins the history with the instances that existed at a revision.
func (p *replay) present(revision int64) {
	for _, node := range p.view.Nodes() {
		for e := range node.Endpoints.All() {
			for _, event := range catalog.EndpointEvents(nil, e, "") {
				event.Type, event.Revision, event.Time = catalog.EventPresent, uint64(revision), p.history.Since
				p.add(event)
			}
		}
	}
	if !p.history.Since.IsZero() {
		p.untimed = len(p.history.Events)
	}
}

// enter returns the records that belong to a node which counts from now on: the node, its session, the checks.
func (p *replay) enter(ctx context.Context, node string, revision int64) (records []catalog.Change, err error) {
	p.nodes[node] = true
	take := func(kv *mvccpb.KeyValue) {
		if change, ok := p.related(kv); ok {
			records = append(records, change)
		}
	}
	for _, key := range []string{nodeKey(node), aliveKey(node)} {
		resp, err := p.registry.client.Get(ctx, key, clientv3.WithRev(revision))
		if err != nil {
			return nil, err
		}
		for _, kv := range resp.Kvs {
			take(kv)
		}
	}
	_, err = p.registry.scan(ctx, checksOf(node), revision, eachKey(take))
	return records, err
}

// instance decodes an instance's record, if it counts. One that has counted goes on to count.
func (p *replay) instance(kv *mvccpb.KeyValue) (catalog.Change, bool) {
	change, err := keyOf(string(kv.Key))
	if err != nil {
		return change, false
	}
	where := placed{strings.ToLower(change.Name), change.ID}
	if !p.instances[where] && change.ID != p.name && !mayNameService(kv.Value, p.name) {
		return change, false
	}
	if kv.ModRevision == 0 || kv.Version == 0 { // deleted
		return change, p.instances[where]
	}
	if change, err = decode(string(kv.Key), kv.Value); err != nil {
		return change, false
	}
	if !p.instances[where] && change.ID != p.name && !strings.EqualFold(change.Instance.Service, p.name) {
		return change, false
	}
	p.instances[where] = true
	change.CreateRevision, change.ModRevision = uint64(kv.CreateRevision), uint64(kv.ModRevision)
	return change, true
}

// mayNameService reports whether an instance's value may be one of a service, at a glance: as Koine writes it. Any other
// form has to be decoded.
func mayNameService(value []byte, service string) bool {
	_, rest, written := bytes.Cut(value, []byte(`"service":"`))
	if !written {
		return true
	}
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return len(name) == len(service) && strings.EqualFold(string(name), service)
}

// related decodes a record of a node that counts: of the node itself, or a check of it or of an instance that counts.
func (p *replay) related(kv *mvccpb.KeyValue) (catalog.Change, bool) {
	change, err := keyOf(string(kv.Key))
	if err != nil || change.Type != catalog.RecordDrain && !p.nodes[strings.ToLower(change.Name)] {
		return change, false
	}
	var value []byte
	if kv.Version > 0 {
		value = kv.Value
	}
	if change, err = decode(string(kv.Key), value); err != nil {
		return change, false
	}
	if c := change.Check; c != nil && c.Instance != "" && !p.instances[placed{strings.ToLower(change.Name), c.Instance}] {
		return change, false
	}
	change.CreateRevision, change.ModRevision = uint64(kv.CreateRevision), uint64(kv.ModRevision)
	return change, true
}

// follow plays the writes after the base of a span, up to its end.
func (p *replay) follow(ctx context.Context, s span) error {
	ctx, cancel := replayContext(ctx)
	defer cancel()
	watch := p.registry.client.Watch(ctx, Root, clientv3.WithPrefix(), clientv3.WithRev(s.base+1))
	ask := time.NewTicker(progressInterval)
	defer ask.Stop()
	for {
		select {
		case resp, ok := <-watch:
			if !ok {
				return errors.Join(ctx.Err(), errors.New("watch ended"))
			}
			if ended, err := p.playResponse(ctx, &resp, s.end); ended || err != nil {
				return err
			}
		case <-ask.C: // the last revisions may be none of the catalog's
			if err := p.registry.client.RequestProgress(ctx); err != nil {
				return err
			}
		}
	}
}

// playResponse plays one watch response. It returns true once the end is reached.
func (p *replay) playResponse(ctx context.Context, resp *clientv3.WatchResponse, end int64) (ended bool, err error) {
	if resp.CompactRevision != 0 {
		return false, errCompacted
	}
	if err := resp.Err(); err != nil {
		return false, err
	}
	for events := resp.Events; len(events) > 0; {
		revision, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		if revision > end {
			return true, nil
		}
		if err := p.apply(ctx, revision, events[:n]); err != nil {
			return false, err
		}
		if events = events[n:]; revision == end {
			return true, nil
		}
	}
	return resp.IsProgressNotify() && resp.Header.Revision >= end, nil
}

// apply plays one revision: instances first, because they decide which other records count.
func (p *replay) apply(ctx context.Context, revision int64, events []*clientv3.Event) error {
	var changes []catalog.Change
	for _, event := range events {
		if !bytes.HasPrefix(event.Kv.Key, []byte(instancePrefix)) {
			continue
		}
		change, ok := p.instance(event.Kv)
		if !ok {
			continue
		}
		changes = append(changes, change)
		if node := strings.ToLower(change.Name); !p.nodes[node] || event.Kv.Version > 1 && !p.shown(change) {
			around, err := p.enter(ctx, node, revision)
			if err != nil {
				return err
			}
			changes = append(changes, around...)
		}
	}
	for _, event := range events {
		switch key := event.Kv.Key; {
		case bytes.HasPrefix(key, []byte(instancePrefix)):
		case remarkable(key):
			if change, ok := p.related(event.Kv); ok {
				changes = append(changes, change)
			}
		}
	}
	explainGone(p.view, changes, events)
	if len(changes) > 0 {
		p.view.Apply(uint64(revision), changes)
		p.collect()
	}
	if clock := clockOf(events); clock != nil {
		p.clock(clock.Time)
	}
	return nil
}

// shown reports whether the View already has an instance.
func (p *replay) shown(change catalog.Change) bool {
	return p.view.Instance(change.Name, change.ID) != nil
}

// collect takes the View's new events.
func (p *replay) collect() {
	events, next := p.view.Events(p.position)
	p.position = next
	for e := range events {
		e.Time = time.Time{} // that of the replay
		p.add(e)
	}
}

func (p *replay) add(e catalog.Event) {
	if e.Type != catalog.EventGap && e.Instance != p.name && !strings.EqualFold(e.Service, p.name) {
		return
	}
	p.history.Events = append(p.history.Events, e)
	if len(p.history.Events) >= 2*historyEvents {
		p.trim(historyEvents)
	}
}

// trim leaves out the oldest events beyond a number.
func (p *replay) trim(most int) {
	if excess := len(p.history.Events) - most; excess > 0 {
		p.history.Events = append([]catalog.Event{}, p.history.Events[excess:]...)
		p.history.Left += excess
		p.untimed = max(p.untimed-excess, 0)
	}
}

// clock gives their time to the events that wait for one: the clock stands at their revision, or after it.
func (p *replay) clock(now time.Time) {
	if p.history.Since.IsZero() {
		p.history.Since = now
	}
	for i := p.untimed; i < len(p.history.Events); i++ {
		p.history.Events[i].Time = now
	}
	p.untimed = len(p.history.Events)
}
