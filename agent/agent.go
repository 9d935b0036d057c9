package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/meter"
	"github.com/koine-sd/koine/internal/pause"
	"github.com/koine-sd/koine/internal/pulse"
)

// Registry takes the agent's declarations. SyncNode brings the catalog to the declared state and opens or renews
// the node's session; RenewNode only renews it, and returns an error of catalog.KindNotFound when there is none.
type Registry interface {
	SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error)
	RenewNode(ctx context.Context, node string) error
}

// Actor is a Registry that takes duties, which one process has for all (purging, say), and must know for which node.
type Actor interface {
	ActFor(node catalog.Node)
}

// Checks runs checks. Set hands over every check to run; checks that run already are not disturbed.
type Checks interface {
	Set(checks []*catalog.Check)
}

// Config configures an Agent.
type Config struct {
	// Node is the host, owned by a session.
	Node catalog.Node
	// Registry receives the node's declaration.
	Registry Registry
	// View shows the node as the catalog has it, and the checks to run.
	View *catalog.View
	// Checks runs the host's checks; nil runs none.
	Checks Checks
	// Sources are the names of the sources that will call Declare, in order of precedence.
	Sources []string
	// Optional are those of the Sources that may not exist on this host: one is waited for only if the catalog holds something of it.
	Optional []string
	// Ended reports whether a session of the node's identity, under whatever name, is known to be that of a process that has ended:
	// the node of that name is then renamed at once. With nil it is renamed once its session has ended.
	Ended func(session string) bool
	// Opened receives the id of each session that the agent opens; it may be nil.
	Opened func(session string)
	// Grace bounds the wait of the first sync for a source that has not declared anything; 0 means 2 seconds. After it,
	// the source's instances in the catalog are kept but drained, because they may no longer exist.
	Grace time.Duration
	// Orphans makes the agent take its share of the checks of nodes that have no agent of their own, and of the other
	// duties that one process has for all.
	Orphans bool
	// Clock is that of the process: time in which it stood still is no time in which a source could report. With nil, it never
	// stands still.
	Clock *pulse.Clock
	// Logger receives what was left out and what failed; nil discards it.
	Logger *slog.Logger
	// Metrics registers the agent's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Agent looks after one host.
type Agent struct {
	cfg Config
	// release ends the hold of the View; ready is set once that was done. Only the goroutine that declares the node
	// touches them, rivalry and twin.
	release func()
	ready   bool
	rivalry rivalry
	twin    twin
	// opened is the last session that was handed to Opened.
	opened string
	// synced is the stage from a declaration to its hand-over to the registry.
	synced prometheus.Histogram

	mu       sync.Mutex
	declared map[string]declaration
	// gone has, by source, the reasons why instances are no longer declared.
	gone    map[string]map[string]string
	news    news
	changed chan struct{} // holds one token after a change
}

const (
	defaultGrace = 2 * time.Second
	// driftPause spaces the comparisons that changes of the node in the catalog cause: the first is made at once, so that
	// drift is corrected, and a storm of outcomes of checks costs a few comparisons of all that the node has.
	driftPause = 500 * time.Millisecond
	// retryMin and retryMax bound the pause after a sync that failed.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// New returns an agent. From then on until its first sync its View is held, so that no protocol answers with records that
// the host's sources have not confirmed.
func New(cfg Config) (*Agent, error) {
	if cfg.Registry == nil || cfg.View == nil {
		return nil, errors.New("agent needs a registry and a view")
	}
	if err := cfg.Node.Validate(); err != nil {
		return nil, err
	}
	if cfg.Node.Owner.Kind != catalog.OwnerSession {
		return nil, catalog.Errorf(catalog.KindInvalid, "node %s has an agent but no session", cfg.Node.Name)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	cfg.Node.RunsChecks = cfg.Orphans
	if actor, ok := cfg.Registry.(Actor); ok {
		actor.ActFor(cfg.Node)
	}
	return &Agent{
		cfg:      cfg,
		synced:   meter.Stage(cfg.Metrics, "sync"),
		release:  cfg.View.Hold(cfg.firstLook()),
		declared: make(map[string]declaration),
		gone:     make(map[string]map[string]string),
		changed:  make(chan struct{}, 1),
	}, nil
}

// firstLook names what the View waits for until the first sync.
func (c *Config) firstLook() string {
	return "the first look at this host (" + strings.Join(c.Sources, ", ") + ")"
}

// Declare replaces what a source has found. It never blocks.
func (a *Agent) Declare(source string, registrations []catalog.Registration) {
	a.DeclareSince(source, time.Time{}, registrations)
}

// DeclareSince is Declare for a source that knows the time of the oldest change that it declares for the first time; the
// zero time means now.
func (a *Agent) DeclareSince(source string, since time.Time, registrations []catalog.Registration) {
	a.declare(source, since, func(d *declaration) {
		d.registrations, d.reported = registrations, true
		d.note(registrations)
	})
}

// DeclareNodeChecks replaces the checks of the node itself that a source has found. A source calls it before it first declares
// registrations: from then on it has reported, and what it has not declared is removed. It never blocks.
func (a *Agent) DeclareNodeChecks(source string, checks []catalog.Check) {
	a.declare(source, time.Time{}, func(d *declaration) { d.nodeChecks = checks })
}

// KeepHeld gives the reason why a source does not know all that it declared before the agent started; "" once it does. Until then,
// instances that the catalog holds of the source stay as they are, with their checks, unless the source has declared them
// since, and no check of the node is removed. A source must call it before it first declares registrations, and takes it back
// after it has declared what it knows now. It never blocks.
func (a *Agent) KeepHeld(source, why string) {
	a.declare(source, time.Time{}, func(d *declaration) {
		d.unsure = why
		d.note(d.registrations)
	})
}

// DeclareGone replaces a source's reasons, by instance ID, why it no longer declares instances. A source must call it before
// it declares what is left: the reasons go to the registry with that declaration. It never blocks.
func (a *Agent) DeclareGone(source string, reasons map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone[source] = reasons
}

func (a *Agent) declare(source string, since time.Time, change func(*declaration)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.news.add(since, time.Now())
	d := a.declared[source]
	change(&d)
	a.declared[source] = d
	a.wake()
}

func (a *Agent) wake() {
	select {
	case a.changed <- struct{}{}:
	default: // a token is waiting already
	}
}

// Held returns what the catalog holds of a source on this node: where the source continues after a restart.
func (a *Agent) Held(source string) []catalog.Registration {
	var held []catalog.Registration
	taken := make(map[string]bool)
	for _, node := range a.ownNodes() {
		for e := range node.Endpoints.All() {
			if e.Source != source || !e.Owner.Declared() || taken[e.ID] {
				continue
			}
			taken[e.ID] = true
			r := catalog.Registration{Instance: *e.Instance}
			for _, c := range e.Checks {
				r.Checks = append(r.Checks, *c)
			}
			held = append(held, r)
		}
	}
	return held
}

// ownNodes returns the node as the catalog has it, and those of its former names.
func (a *Agent) ownNodes() (nodes []*catalog.NodeSnapshot) {
	if node := a.cfg.View.Node(a.cfg.Node.Name); node != nil {
		nodes = append(nodes, node)
	}
	return append(nodes, a.formerNodes(func(former *catalog.NodeSnapshot) bool { return former.Session == "" || a.ended(former.Session) })...)
}

// formerNodes returns some of the nodes of this node's identity under other names.
func (a *Agent) formerNodes(match func(*catalog.NodeSnapshot) bool) (nodes []*catalog.NodeSnapshot) {
	if a.cfg.Node.ID == "" {
		return nil
	}
	for former := range a.cfg.View.NodesByID(a.cfg.Node.ID) {
		if !strings.EqualFold(former.Name, a.cfg.Node.Name) && match(former) {
			nodes = append(nodes, former)
		}
	}
	return nodes
}

// ended reports whether a session is known to be that of a process that has ended.
func (a *Agent) ended(session string) bool { return a.cfg.Ended != nil && a.cfg.Ended(session) }

// Run looks after the host until the context ends. The node's session is left to run out: an agent that comes back soon
// finds everything in place. The error is of catalog.KindConflict if another host has the node's name, and is alive for
// longer than a former session of this host could be.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.cfg.View.WaitLoaded(ctx); err != nil {
		return nil // stopped before the View was loaded
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { a.followNode(ctx) })
	if a.cfg.Checks != nil {
		wg.Go(func() { a.feedChecks(ctx) })
	}
	wg.Go(func() { a.keepAlive(ctx) })
	a.awaitSources(ctx)
	err := a.keepSynced(ctx)
	cancel()
	wg.Wait()
	return err
}

// awaitSources waits until every source has reported, or the grace is over.
func (a *Agent) awaitSources(ctx context.Context) {
	begun := time.Now()
	grace := time.NewTimer(a.cfg.Grace)
	defer grace.Stop()
	for len(a.silent()) > 0 {
		select {
		case <-a.changed:
		case <-grace.C:
			if left := a.cfg.Grace - a.cfg.Clock.Since(begun); left > 0 {
				grace.Reset(left)
				continue
			}
			if drained := a.unheard(); len(drained) > 0 {
				a.cfg.Logger.Warn("sources have not reported: their instances stay registered, drained", "silent", drained)
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

// silent returns the sources that have not reported yet, except for optional ones of which the catalog holds nothing.
func (a *Agent) silent() []string {
	a.mu.Lock()
	silent := slices.DeleteFunc(slices.Clone(a.cfg.Sources), func(source string) bool { return a.declared[source].reported })
	a.mu.Unlock()
	return slices.DeleteFunc(silent, func(source string) bool {
		return slices.Contains(a.cfg.Optional, source) && len(a.Held(source)) == 0
	})
}

// unheard returns the silent sources that have not even said that they know less than before.
func (a *Agent) unheard() []string {
	silent := a.silent()
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(silent, func(source string) bool { return a.declared[source].unsure != "" })
}

// keepSynced declares the node at once, and after every change. It returns an error if another host has its name.
func (a *Agent) keepSynced(ctx context.Context) error {
	last := &syncReporter{logger: a.cfg.Logger}
	for ctx.Err() == nil {
		if err := a.syncUntilDone(ctx, last); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-a.changed:
		}
	}
	return nil
}

// keepAlive renews the node's session, however long the first reports of the sources and each sync take. A session that a former
// process has left is renewed at once: little of it may be left. Where renewing fails the node is declared, which opens a session
// if there is none.
func (a *Agent) keepAlive(ctx context.Context) {
	interval := time.Duration(a.cfg.Node.Owner.TTL) / 3
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	if node := a.cfg.View.Node(a.cfg.Node.Name); node != nil && node.Session != "" {
		a.renew(ctx, interval)
	}
	for _, former := range a.ownNodes() {
		if former.Session != "" && !strings.EqualFold(former.Name, a.cfg.Node.Name) {
			a.renewFormer(ctx, former.Name, interval)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.renew(ctx, interval)
		}
	}
}

// renew renews the node's session, or wakes what declares the node.
func (a *Agent) renew(ctx context.Context, within time.Duration) {
	if a.rivalIn(a.cfg.View.Node(a.cfg.Node.Name)) != nil { // the session under this name is another host's
		a.wake()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := a.cfg.Registry.RenewNode(ctx, a.cfg.Node.Name); err != nil {
		a.wake()
	}
}

// renewFormer renews the session that a former process has left under another name, so that what stands there is answered until it
// moves. Where that fails, it moves all the same.
func (a *Agent) renewFormer(ctx context.Context, name string, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := a.cfg.Registry.RenewNode(ctx, name); err != nil {
		a.cfg.Logger.Debug("renew the session under the former name", "node", name, "error", err)
	}
}

// noteRenames logs the former names of the node.
func (a *Agent) noteRenames(renames []catalog.Rename) {
	for _, r := range renames {
		a.cfg.Logger.Info("node renamed: what was registered under its former name has moved", "from", r.From, "to", a.cfg.Node.Name, "instances", r.Moved)
		for _, note := range r.Notes {
			a.cfg.Logger.Warn("node renamed: an id was taken", "reason", note)
		}
	}
}

// noteSession hands over the node's session if it is a new one.
func (a *Agent) noteSession() {
	node := a.cfg.View.Node(a.cfg.Node.Name)
	if a.cfg.Opened == nil || node == nil || node.Session == a.opened {
		return
	}
	a.opened = node.Session
	a.cfg.Opened(node.Session)
}

// syncUntilDone declares the node until the catalog has taken it. It returns an error if another host has its name.
func (a *Agent) syncUntilDone(ctx context.Context, last *syncReporter) error {
	var fresh news
	for delay := retryMin; ctx.Err() == nil; delay = min(2*delay, retryMax) {
		fresh.join(a.takeNews())
		state, stays, complaints := a.state()
		state.Since = fresh.since
		begun := time.Now()
		result, err := a.cfg.Registry.SyncNode(ctx, state)
		a.noteRenames(result.Renamed)
		last.report(append(complaints, result.Conflicts...), stays, err)
		if given := a.noteRival(err); given != nil {
			return given
		}
		if err == nil {
			a.noteSync(fresh.declared.IsZero() && result.Puts+result.Deletes > 0, time.Now())
			if !fresh.declared.IsZero() {
				a.synced.Observe(begun.Sub(fresh.declared).Seconds())
			}
			if a.cfg.View.WaitRevision(ctx, result.Revision) == nil {
				a.release()
				a.ready = true
				a.noteSession()
			}
			return nil
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-a.changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// state returns the node's present declared state, and what of it stays only because its source is unsure.
func (a *Agent) state() (state catalog.NodeState, stays, complaints []string) {
	silent := a.silent()
	a.mu.Lock()
	declared := maps.Clone(a.declared)
	for source, d := range declared {
		d.known = maps.Clone(d.known)
		declared[source] = d
	}
	for source, gone := range a.gone {
		d := declared[source]
		d.gone = gone
		declared[source] = d
	}
	a.mu.Unlock()
	keepChecks := false
	for _, source := range a.cfg.Sources {
		d := declared[source]
		if d.unsure == "" && (d.reported || !slices.Contains(silent, source)) {
			continue
		}
		keepChecks = true
		d.kept = a.Held(source)
		declared[source] = d
	}
	state, stays, complaints = merge(a.cfg.Node, a.cfg.Sources, declared)
	state.KeepChecks, state.Ended = keepChecks, a.cfg.Ended
	return state, stays, complaints
}

// followNode has the node compared again when anything of it changes in the catalog: another writer's change is
// corrected, and a change of our own costs a comparison that finds nothing.
func (a *Agent) followNode(ctx context.Context) {
	index := uint64(0)
	if node, absent := a.cfg.View.NodeIndex(a.cfg.Node.Name); node == nil {
		index = absent
	}
	for {
		reached, err := a.cfg.View.WaitNode(ctx, a.cfg.Node.Name, index)
		if err != nil {
			return
		}
		index = reached
		a.wake()
		pause.For(ctx, driftPause)
	}
}

// syncReporter logs the results of syncs, each message once for as long as it lasts.
type syncReporter struct {
	logger *slog.Logger
	told   []string
	stays  []string
	failed string
}

func (o *syncReporter) report(complaints, stays []string, err error) {
	for _, what := range stays {
		if !slices.Contains(o.stays, what) {
			o.logger.Warn("what was registered before the start stays as it is", "reason", what)
		}
	}
	o.stays = stays
	for _, complaint := range complaints {
		if !slices.Contains(o.told, complaint) {
			o.logger.Warn("left out", "reason", complaint)
		}
	}
	o.told = complaints
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now != o.failed && err != nil && !errors.Is(err, context.Canceled) {
		o.logger.Warn("node sync failed: trying again", "error", err)
	}
	if now == "" && o.failed != "" {
		o.logger.Info("node is in sync again")
	}
	o.failed = now
}
