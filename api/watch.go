package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// watchParams are those of a watch.
type watchParams struct {
	selection
	// Services are the names of those wanted; none means all.
	Services []string
	// Revision is the one to go on from; 0 begins with all that there is.
	Revision catalog.Position
}

func (p *watchParams) fields() []field {
	return append([]field{texts("service", &p.Services), position("revision", &p.Revision)}, p.selection.fields()...)
}

// watch answers GET /watch.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, p watchParams) error {
	revision, err := resumed(r, p.Revision)
	if err != nil {
		return err
	}
	scope, err := s.scopeOf(r, p.Network)
	if err != nil {
		return err
	}
	near, err := s.placeOf(r, p.Near)
	if err != nil {
		return err
	}
	out := newStream(w, wantsSSE(r), s.cfg.WriteTimeout)
	if r.Method == http.MethodHead {
		s.hurried(w)
		return nil
	}
	watch := &watch{server: s, view: s.view, query: p.Query, names: namesOf(p.Services), out: out, scope: scope, near: near}
	watch.rescope = func() (*catalog.Scope, error) { return s.scopeOf(r, p.Network) }
	watch.begin(revision)
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	ctx, release := s.waiting(r)
	defer release()
	watch.run(ctx)
	return out.cut(ctx)
}

// namesOf returns the names as the catalog compares them, each once.
func namesOf(list []string) []string {
	names := make([]string, len(list))
	for i, name := range list {
		names[i] = strings.ToLower(name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// watch is one open watch. It holds no events: whenever something changed, it looks at the state there is.
type watch struct {
	server *Server
	view   *catalog.View
	query  catalog.Query
	// names are the services wanted; none means all.
	names []string
	out   *stream
	// scope is what the client can reach. Each look determines it again, because the host's networks come and go.
	scope   *catalog.Scope
	rescope func() (*catalog.Scope, error)
	// near is the place to order the instances by; nil means none.
	near *catalog.Locality

	// position is the revision up to which nothing is missing, with the mark of its history; 0 if nothing has been sent.
	position catalog.Position
	// lost is set if the client goes on from what is not known here: all that it knows may be untrue.
	lost bool
	// sent has the hash of what was sent last about each service. Of all services, only of those that have instances.
	sent map[string]uint64
	// blind is set while the client may know of services that are not in sent, from before it resumed.
	blind bool
	// owed is set if the last event said that more of its revision follows.
	owed bool
}

// begin sets the revision that the client has seen. One of another history says nothing about this one, and one that the View
// has not reached comes from a server that is ahead.
func (w *watch) begin(seen catalog.Position) {
	w.sent = make(map[string]uint64)
	w.blind = seen.Revision > 0
	w.lost = !w.view.InHistory(seen) || seen.Revision > w.view.Revision()
	if !w.lost {
		w.position = seen
	}
}

// run writes events until the context ends or the client takes nothing any more.
func (w *watch) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	wake := make(chan struct{}, 1) // full means that the state will be looked at anyway
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel()
	w.follow(ctx, &followers, wake)

	defer context.AfterFunc(ctx, w.out.hurry)()
	heartbeat := time.NewTicker(w.server.cfg.Heartbeat)
	defer heartbeat.Stop()
	err := w.catchUp(ctx)
	if err == nil && w.quiet() {
		err = w.sendProgress()
	}
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			err = w.catchUp(ctx)
		case <-heartbeat.C:
			// Changes outside the watch move the position, too.
			if err = w.catchUp(ctx); err == nil {
				err = w.sendProgress()
			}
		}
	}
}

// follow starts what wakes the watch: a follower of each service, so that others do not wake it, or one of everything.
func (w *watch) follow(ctx context.Context, followers *sync.WaitGroup, wake chan<- struct{}) {
	for _, name := range w.names {
		followers.Go(func() {
			notify(wake, func(index uint64) (uint64, error) { return w.view.WaitService(ctx, name, index) })
		})
	}
	if len(w.names) == 0 {
		followers.Go(func() {
			notify(wake, func(revision uint64) (uint64, error) { return w.view.WaitList(ctx, w.view.Revision, revision) })
		})
	}
}

// notify signals each change until waiting for it ends with the context.
func notify(wake chan<- struct{}, wait func(uint64) (uint64, error)) {
	var index uint64
	for {
		var err error
		if index, err = wait(index); err != nil {
			return
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// quiet reports whether the first look found nothing to send. The client then gets a progress line at once.
func (w *watch) quiet() bool { return len(w.sent) == 0 }

// sendProgress sends the revision up to which nothing is missing.
func (w *watch) sendProgress() error {
	if err := w.out.progress(w.position); err != nil {
		return err
	}
	w.owed = false
	return w.out.flush()
}

// catchUp writes the state of every service that changed since position. It goes round again while the View is in the
// middle of applying a change of which a part has been seen already.
func (w *watch) catchUp(ctx context.Context) error {
	if !w.view.Ready() {
		if err := w.view.WaitReady(ctx); err != nil {
			return err
		}
	}
	for {
		ahead, err := w.round()
		if err != nil {
			return err
		}
		if ahead == 0 {
			break
		}
		if err := w.view.WaitRevision(ctx, ahead); err != nil {
			return err
		}
	}
	if w.owed {
		return w.sendProgress()
	}
	return w.out.flush()
}

// pending is an event that waits for the next to be known: only the last of a round has no more after it.
type pending struct {
	index uint64
	body  body
}

// round writes one event for each service that changed since position, and moves position to the View's revision as it
// was before. It returns the revision of a change that it saw a part of, 0 if there was none.
func (w *watch) round() (ahead uint64, err error) {
	at := w.view.Marks()
	revision := w.view.Revision()
	if revision < w.position.Revision || !at.Holds(w.position) { // the store was restored: anything may have changed
		w.position = catalog.Position{}
	}
	names, err := w.changed(at.Position(revision))
	if err != nil {
		return 0, err
	}
	var last *pending
	for _, name := range names {
		next := w.look(name, at)
		if next == nil {
			continue
		}
		ahead = max(ahead, next.index)
		if last != nil {
			if err := w.send(last, at, revision, true); err != nil {
				return 0, err
			}
		}
		last = next
	}
	if ahead <= revision {
		ahead = 0
	}
	w.position = at.Position(revision)
	if last == nil {
		return ahead, nil
	}
	w.owed = ahead > 0
	return ahead, w.send(last, at, revision, w.owed)
}

func (w *watch) send(p *pending, at *catalog.Marks, revision uint64, more bool) error {
	return w.out.event(at.Position(max(revision, p.index)), more, p.body.bytes[p.body.tail:])
}

// changed returns the services that may have changed since position.
func (w *watch) changed(now catalog.Position) ([]string, error) {
	if len(w.names) > 0 {
		if err := w.begun(w.lost, now); err != nil {
			return nil, err
		}
		return slices.DeleteFunc(slices.Clone(w.names), func(name string) bool {
			return w.view.ServiceIndex(name) <= w.position.Revision
		}), nil
	}
	if w.position.Revision > 0 {
		if names, ok := w.view.ChangedSince(w.position.Revision); ok {
			slices.Sort(names)
			return names, nil
		}
	}
	return w.everything(now)
}

// begun writes a reset if the client may know what is not true, so that it forgets all that does not follow.
func (w *watch) begun(lost bool, now catalog.Position) error {
	if !lost {
		return nil
	}
	w.lost, w.blind = false, false
	clear(w.sent)
	return w.out.reset(now)
}

// everything returns all services, and those that the client has been sent and that may have gone. A client that may know
// others gets a reset first.
func (w *watch) everything(now catalog.Position) ([]string, error) {
	if err := w.begun(w.blind, now); err != nil {
		return nil, err
	}
	var names []string
	for _, service := range w.view.Services() {
		names = append(names, service.Name)
	}
	for name := range w.sent {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// look returns the event for a service; nil if the client has its present state already.
func (w *watch) look(name string, at *catalog.Marks) *pending {
	if scope, err := w.rescope(); err == nil { // a network that has gone leaves what was reached on it
		w.scope = scope
	}
	p := &pending{index: w.view.ServiceIndex(name)}
	service := w.view.Service(name)
	gone := service == nil || len(service.Endpoints) == 0
	if service == nil {
		p.body = w.server.emptyBody(name, at.Position(p.index))
	} else {
		p.index, p.body = service.Index, w.server.selectBody(service, at, &w.query, w.scope, w.near)
	}
	before, known := w.sent[name]
	if known && before == p.body.sum {
		return nil
	}
	if len(w.names) == 0 && (gone || w.filtered(&p.body)) {
		delete(w.sent, name)
		if !known && !w.blind {
			return nil
		}
		return p
	}
	w.sent[name] = p.body.sum
	return p
}

// filtered reports whether the query's tags and meta, rather than health, may be why a body has no instance. A watch of all
// services does not mention such a service.
func (w *watch) filtered(b *body) bool {
	return len(w.query.Tags)+len(w.query.Meta) > 0 && bytes.HasSuffix(b.bytes, []byte("[]}\n"))
}
