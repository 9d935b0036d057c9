package health

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

// world is a View with a few nodes, whose records a test changes.
type world struct {
	*catalog.View
	revision uint64
}

func newWorld() *world {
	w := &world{View: catalog.NewView()}
	w.Load(1, nil)
	return w
}

func (w *world) apply(changes ...catalog.Change) {
	w.revision = max(w.revision, 1) + 1
	w.Apply(w.revision, changes)
}

func node(name string) catalog.Change {
	return catalog.Change{Type: catalog.RecordNode, Name: name,
		Node: &catalog.Node{Name: name, Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}}
}

func instance(node, id, service string, owner catalog.Owner) catalog.Change {
	return catalog.Change{Type: catalog.RecordInstance, Name: node, ID: id,
		Instance: &catalog.Instance{ID: id, Node: node, Service: service, Owner: owner}}
}

func outcome1(node, id, instance string, kind catalog.CheckType, status catalog.Status) catalog.Change {
	return catalog.Change{Type: catalog.RecordCheck, Name: node, ID: id, Check: &catalog.Check{
		ID: id, Node: node, Instance: instance, Definition: catalog.Definition{Type: kind}, Status: status,
	}}
}

var permanent = catalog.Owner{Kind: catalog.OwnerPermanent}

func TestAliasOf(t *testing.T) {
	w := newWorld()
	drained := instance("n2", "db-4", "store", permanent)
	drained.Instance.Drain = "moving"
	w.apply(node("n1"), node("n2"), node("n3"), instance("n1", "web-1", "web", permanent),
		instance("n1", "db-1", "db", permanent), outcome1("n1", "db-1:c", "db-1", catalog.CheckTCP, catalog.Critical),
		instance("n2", "db-2", "db", permanent), outcome1("n2", "db-2:c", "db-2", catalog.CheckTCP, catalog.Warning),
		instance("n2", "db-3", "db", permanent), drained,
		instance("n3", "queue-1", "queue", permanent), outcome1("n3", "disk", "", catalog.CheckScript, catalog.Warning),
		outcome1("n3", "queue-1:a", "queue-1", catalog.CheckAlias, catalog.Critical),
		instance("n4", "lost-1", "lost", permanent),
	)
	tests := []struct {
		name, service, node string
		want                catalog.Status
		output              string
	}{
		{"instance of the same node", "db-1", "", catalog.Critical, "instance db-1 on n1 is critical: check db-1:c"},
		{"instance of another node", "db-2", "N2", catalog.Warning, "instance db-2 on N2 is warning: check db-2:c"},
		{"itself", "web-1", "", catalog.Passing, "instance web-1"},
		{"service anywhere is as good as its best", "db", "", catalog.Passing, "service db is passing"},
		{"service on a node is as bad as its worst", "db", "n2", catalog.Warning, "service db is warning: check db-2:c"},
		{"service of itself alone", "web", "", catalog.Critical, "no instance or service web"},
		{"drained", "store", "", catalog.Critical, "draining: moving"},
		{"other aliases do not count, node's checks do", "queue", "", catalog.Warning, "check disk"},
		{"unknown service", "cache", "", catalog.Critical, "no instance or service cache"},
		{"service that is elsewhere", "queue", "n2", catalog.Critical, "no instance or service queue"},
		{"dead node's service", "lost", "", catalog.Critical, "its node is not alive"},
		{"node", "", "n3", catalog.Warning, "node n3 is warning: check disk"},
		{"node without checks", "", "n2", catalog.Passing, "node n2 is passing"},
		{"unknown node", "", "n9", catalog.Critical, "there is no node n9"},
		{"node known by its instances only", "", "n4", catalog.Critical, "there is no node n4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := aliasOf(w, &catalog.Check{Node: "n1", Instance: "web-1", Definition: catalog.Definition{
				Type: catalog.CheckAlias, AliasService: tt.service, AliasNode: tt.node,
			}})
			if got.Status != tt.want || !strings.Contains(got.Output, tt.output) {
				t.Errorf("got %s %q, want %s %q", got.Status, got.Output, tt.want, tt.output)
			}
		})
	}
}

func TestAliasFollowsTheView(t *testing.T) {
	w := &world{}
	cfg := Config{View: lateView{&w.View}}
	bubble(t, cfg, func(t *testing.T, h *harness) {
		alias := &catalog.Check{ID: "needs-db", Node: "n1", Instance: "web-1",
			Definition: catalog.Definition{Type: catalog.CheckAlias, AliasService: "db", FailuresBeforeCritical: 3}}
		h.Set([]*catalog.Check{alias})
		h.expect(t, time.Second, "n1/needs-db critical there is no instance or service db")
		w.apply(node("n2"), instance("n2", "db-1", "db", permanent))
		h.expect(t, time.Second, "n1/needs-db passing service db is passing")
		w.apply(outcome1("n2", "c", "db-1", catalog.CheckTCP, catalog.Critical))
		h.expect(t, time.Second, "n1/needs-db critical service db is critical: check c")
		w.apply(node("n3")) // of no interest
		h.expect(t, time.Second)
		h.Set(nil)
		w.apply(outcome1("n2", "c", "db-1", catalog.CheckTCP, catalog.Passing))
		h.expect(t, time.Second)
	}, func() { *w = *newWorld() })
}

// lateView is a View that is made inside the test's bubble.
type lateView struct{ at **catalog.View }

func (v lateView) Node(name string) *catalog.NodeSnapshot     { return (*v.at).Node(name) }
func (v lateView) Service(name string) *catalog.Service       { return (*v.at).Service(name) }
func (v lateView) Instance(node, id string) *catalog.Endpoint { return (*v.at).Instance(node, id) }
func (v lateView) Push(node, check string) *catalog.Push      { return (*v.at).Push(node, check) }
func (v lateView) Revision() uint64                           { return (*v.at).Revision() }
func (v lateView) WaitList(ctx context.Context, current func() uint64, index uint64) (uint64, error) {
	return (*v.at).WaitList(ctx, current, index)
}

func TestExecIsAllowed(t *testing.T) {
	w := newWorld()
	w.apply(node("n1"), instance("n1", "web-1", "web", catalog.Owner{Kind: catalog.OwnerContainer, ID: "c1"}),
		instance("n1", "db-1", "db", catalog.Owner{Kind: catalog.OwnerLease, ID: "c1"}))
	tests := []struct {
		name, instance, container string
		scripts, blind, want      bool
	}{
		{"the container's own", "web-1", "c1", false, false, true},
		{"in another container", "web-1", "c2", false, false, false},
		{"of an instance that is no container", "db-1", "c1", false, false, false},
		{"of the node", "", "c1", false, false, false},
		{"of nothing known", "web-2", "c1", false, false, false},
		{"without a view", "web-1", "c1", false, true, false},
		{"in another container, scripts on", "web-1", "c2", true, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Reporter: &recorder{}, Execer: &execer{}, EnableScripts: tt.scripts, View: w}
			if tt.blind {
				cfg.View = nil
			}
			r, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := r.probeOnce(t.Context(), &catalog.Check{ID: "c", Node: "n1", Instance: tt.instance,
				Definition: catalog.Definition{Type: catalog.CheckExec, Container: tt.container, Args: []string{"x"}}})
			if (got.Status == catalog.Passing) != tt.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// remover is a Deregisterer that remembers its calls.
type remover struct {
	mu     sync.Mutex
	gone   []string
	calls  int
	refuse error
}

func (r *remover) DeregisterCritical(_ context.Context, node, id string, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.refuse != nil {
		return r.refuse
	}
	r.gone = append(r.gone, node+"/"+id)
	return nil
}

func (r *remover) expect(t *testing.T, calls int, gone string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.gone, " "); got != gone || calls >= 0 && r.calls != calls {
		t.Errorf("after %d calls, gone is %q; want %d, %q", r.calls, got, calls, gone)
	}
}

func deregistering(id, instance string) *catalog.Check {
	return &catalog.Check{ID: id, Node: "n1", Instance: instance, Definition: catalog.Definition{
		Type: catalog.CheckTCP, TCP: id, Interval: catalog.Duration(time.Second), DeregisterAfter: catalog.Duration(time.Minute),
	}}
}

func TestDeregister(t *testing.T) {
	w, rm := &world{}, &remover{}
	bubble(t, Config{View: lateView{&w.View}, Deregisterer: rm}, func(t *testing.T, h *harness) {
		w.apply(node("n1"), instance("n1", "web-1", "web", permanent), instance("n1", "ok-1", "ok", permanent),
			instance("n1", "box-1", "box", catalog.Owner{Kind: catalog.OwnerContainer, ID: "c1"}))
		h.prober.set("ok", catalog.Passing, "")
		h.Set([]*catalog.Check{deregistering("web", "web-1"), deregistering("ok", "ok-1"),
			deregistering("box", "box-1"), deregistering("node", ""), deregistering("gone", "gone-1")})
		h.after(55 * time.Second)
		rm.expect(t, 0, "")
		h.after(time.Hour)
		rm.expect(t, 1, "n1/web")
		h.prober.set("ok", catalog.Critical, "")
		h.after(50 * time.Second)
		h.prober.set("ok", catalog.Passing, "") // just in time
		h.after(50 * time.Second)
		h.prober.set("ok", catalog.Critical, "")
		h.after(50 * time.Second)
		rm.expect(t, 1, "n1/web")
		h.after(20 * time.Second)
		rm.expect(t, 2, "n1/web n1/ok")
	}, func() { *w = *newWorld() })
}

// TestDeregisterAfterAStandstill has the process stand still for ten minutes while the check is critical: everything that it knows of
// is ten minutes older then. Neither a probe nor an application could end that meanwhile.
func TestDeregisterAfterAStandstill(t *testing.T) {
	const still = 10 * time.Minute
	for _, def := range []catalog.Definition{
		{Type: catalog.CheckTCP, TCP: "web", Interval: catalog.Duration(time.Second)},
		{Type: catalog.CheckTTL, TTL: catalog.Duration(time.Second)},
	} {
		def.DeregisterAfter = catalog.Duration(5 * time.Minute)
		w, rm := &world{}, &remover{}
		bubble(t, Config{View: lateView{&w.View}, Deregisterer: rm}, func(t *testing.T, h *harness) {
			w.apply(node("n1"), instance("n1", "web-1", "web", permanent))
			h.Set([]*catalog.Check{{ID: "web", Node: "n1", Instance: "web-1", Definition: def}})
			h.after(time.Minute)
			h.mu.Lock()
			k := keyOf("n1", "web")
			s := &h.entries[k].state
			s.Since, s.Begun, s.Ran = s.Since.Add(-still), s.Begun.Add(-still), s.Ran.Add(-still)
			h.cfg.Clock.Note(still)
			h.removals.schedule(k, time.Now())
			h.mu.Unlock()
			h.after(3 * time.Minute)
			rm.expect(t, 0, "")
			h.after(3 * time.Minute)
			rm.expect(t, 1, "n1/web")
		}, func() { *w = *newWorld() })
	}
}

func TestDeregisterIsTriedAgain(t *testing.T) {
	w, rm := &world{}, &remover{refuse: errors.New("store is away")}
	registry := prometheus.NewRegistry()
	bubble(t, Config{View: lateView{&w.View}, Deregisterer: rm, Metrics: registry}, func(t *testing.T, h *harness) {
		w.apply(node("n1"), instance("n1", "web-1", "web", permanent), instance("n1", "db-1", "db", permanent))
		h.Set([]*catalog.Check{deregistering("web", "web-1")})
		h.after(70 * time.Second)
		rm.mu.Lock()
		if rm.calls < 3 || rm.calls > 20 {
			t.Errorf("%d calls", rm.calls)
		}
		rm.refuse = nil
		rm.mu.Unlock()
		h.after(20 * time.Second)
		rm.expect(t, -1, "n1/web")
		if got, _ := gathered(t, registry, "koine_health_deregistrations_total", "ok"); got != 1 {
			t.Errorf("%v deregistrations are counted", got)
		}
		for _, final := range []catalog.Kind{catalog.KindNotFound, catalog.KindConflict} {
			rm.mu.Lock()
			rm.refuse, rm.calls = catalog.Errorf(final, "no"), 0
			rm.mu.Unlock()
			h.Set(nil)
			h.Set([]*catalog.Check{deregistering("db", "db-1")})
			h.after(time.Hour)
			rm.expect(t, 1, "n1/web")
		}
	}, func() { *w = *newWorld() })
}

// gathered returns a metric's value; label is the value of one of its labels, or empty if it has none.
func gathered(t *testing.T, registry *prometheus.Registry, name, label string) (value float64, there bool) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labelled := label == ""
			for _, l := range m.GetLabel() {
				labelled = labelled || l.GetValue() == label
			}
			if family.GetName() == name && labelled {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestFlapIsSeen(t *testing.T) {
	registry := prometheus.NewRegistry()
	bubble(t, Config{Metrics: registry}, func(t *testing.T, h *harness) {
		check := &catalog.Check{ID: "c", Node: "n1", Definition: catalog.Definition{
			Type: catalog.CheckTTL, TTL: catalog.Duration(time.Hour), FlapThreshold: 20,
		}}
		h.Set([]*catalog.Check{check})
		push := func(status catalog.Status) {
			if err := h.Push(t.Context(), "n1", "c", status, "said "+string(status)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			push(catalog.Passing)
			push(catalog.Critical)
		}
		if run, ok := h.Check("n1", "c"); !ok || run.FlapScore < 10 || run.Damped || run.Output != "said critical" {
			t.Errorf("runs %+v", run)
		}
		h.after(time.Second)
		push(catalog.Passing)
		h.expect(t, time.Second, "n1/c critical flapping: score 23 %, held critical until it is below 10 %; last run:\nsaid passing")
		run, _ := h.Check("n1", "c")
		count, _ := gathered(t, registry, "koine_health_damped", "")
		if shown, _ := gathered(t, registry, "koine_health_flap_score", "c"); !run.Damped || count != 1 || shown != run.FlapScore {
			t.Errorf("runs %+v; metrics show %v, %v", run, shown, count)
		}
		h.Set(nil)
		count, _ = gathered(t, registry, "koine_health_damped", "")
		if _, there := gathered(t, registry, "koine_health_flap_score", "c"); there || count != 0 {
			t.Error("metrics tell of a check that is gone")
		}
		if run, ok := h.Check("n1", "c"); ok {
			t.Errorf("a check that is not there: runs %+v", run)
		}
	})
}
