package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The changes that tests write by hand.

func putNode(name string) Change {
	return Change{Type: RecordNode, Name: name, Node: &Node{Name: name, Owner: Owner{Kind: OwnerSession, TTL: Duration(time.Minute)}}}
}

func session(name, id string) Change { return Change{Type: RecordSession, Name: name, Session: id} }

func put(node, id, service string, edit ...func(*Instance)) Change {
	i := &Instance{ID: id, Node: node, Service: service, Owner: Owner{Kind: OwnerSession}, Addresses: []Address{{IP: netip.MustParseAddr("10.0.0.9")}}}
	for _, e := range edit {
		e(i)
	}
	return Change{Type: RecordInstance, Name: node, ID: id, Instance: i}
}

func remove(node, id string) Change { return Change{Type: RecordInstance, Name: node, ID: id} }

func check(node, id, instance string, status Status) Change {
	return Change{Type: RecordCheck, Name: node, ID: id, Check: &Check{ID: id, Node: node, Instance: instance, Status: status}}
}

// loaded returns a View of one living node "n1" and more records.
func loaded(more ...Change) *View {
	v := NewView()
	v.Load(10, append([]Change{putNode("n1"), session("n1", "s1")}, more...))
	return v
}

func names(endpoints []*Endpoint) (list []string) {
	for _, e := range endpoints {
		list = append(list, e.Instance.Node+"/"+e.ID)
	}
	return list
}

func want(t *testing.T, v *View, q Query, want ...string) {
	t.Helper()
	result, err := v.Lookup(q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, names(result.Endpoints)); diff != "" {
		t.Errorf("lookup %+v:\n%s", q, diff)
	}
}

func TestNotReadyNeverLooksEmpty(t *testing.T) {
	v := NewView()
	release := v.Hold("docker")
	if _, err := v.Lookup(Query{Service: "web"}); KindOf(err) != KindNotReady || !strings.Contains(err.Error(), "first load") {
		t.Errorf("before the load: %v, want not ready", err)
	}
	v.Load(5, nil)
	_, err := v.Lookup(Query{Service: "web"})
	if KindOf(err) != KindNotReady || !strings.Contains(err.Error(), "docker") {
		t.Errorf("while held: %v, want not ready because of docker", err)
	}
	release()
	release() // the second time does nothing
	result, err := v.Lookup(Query{Service: "web"})
	if err != nil || result.Known || len(result.Endpoints) != 0 || result.Index != 5 {
		t.Errorf("ready: %+v, %v; want nothing known at index 5", result, err)
	}
}

func TestLookup(t *testing.T) {
	blue := func(i *Instance) { i.Tags, i.Meta = []string{"blue"}, map[string]string{"v": "1"} }
	v := loaded(
		put("n1", "a", "Web", blue), put("n1", "b", "web"), put("n1", "c", "web", blue), put("n1", "d", "web"),
		check("n1", "kc", "c", Warning), check("n1", "kd", "d", Critical),
		put("n1", "e", "web", func(i *Instance) { i.Drain = "paused" }),
	)
	want(t, v, Query{Service: "WEB"}, "n1/a", "n1/b", "n1/c")
	want(t, v, Query{Service: "web", Health: OnlyPassing}, "n1/a", "n1/b")
	want(t, v, Query{Service: "web", Health: AnyHealth}, "n1/a", "n1/b", "n1/c", "n1/d", "n1/e")
	want(t, v, Query{Service: "web", Tags: []string{"blue"}}, "n1/a", "n1/c")
	want(t, v, Query{Service: "web", Tags: []string{"blue", "green"}})
	want(t, v, Query{Service: "web", Meta: map[string]string{"v": "1"}}, "n1/a", "n1/c")
	want(t, v, Query{Service: "web", Meta: map[string]string{"v": "2"}})
	want(t, v, Query{Service: "nothing"})
}

func TestWhyNot(t *testing.T) {
	v := loaded(
		put("n1", "ok", "web"), put("n1", "drained", "web", func(i *Instance) { i.Drain = "stop signal SIGTERM" }),
		put("n1", "sick", "web"), check("n1", "k", "sick", Critical),
		put("n2", "lost", "web"), putNode("n2"),
		putNode("n3"), session("n3", "s"), put("n3", "disk", "web"), check("n3", "df", "", Critical),
	)
	for id, want := range map[string]string{
		"n1/ok": "", "n1/drained": "draining: stop signal SIGTERM", "n1/sick": "check k is critical",
		"n2/lost": "node n2 is not alive", "n3/disk": "check df of node n3 is critical",
	} {
		node, id, _ := strings.Cut(id, "/")
		e := v.Instance(node, id)
		if got := e.WhyNot(); got != want || (want == "") != e.Healthy() {
			t.Errorf("%s: %q, healthy %v; want %q", id, got, e.Healthy(), want)
		}
	}
}

func TestEndOfSessionIsOneChangeForAll(t *testing.T) {
	v := loaded(put("n1", "a", "web"), put("n1", "b", "db"), putNode("n2"), session("n2", "s2"), put("n2", "c", "web"))
	v.Apply(11, []Change{session("n1", "")})
	want(t, v, Query{Service: "web"}, "n2/c")
	want(t, v, Query{Service: "db"})
	if web, db := v.Service("web"), v.Service("db"); web.Index != 11 || db.Index != 11 {
		t.Errorf("indices %d and %d, want 11", web.Index, db.Index)
	}
	v.Apply(12, []Change{session("n1", "s3")})
	want(t, v, Query{Service: "web"}, "n1/a", "n2/c")
}

func TestIndexMovesOnlyForWhatWatchersAreTold(t *testing.T) {
	v := loaded(put("n1", "a", "web"), check("n1", "k", "a", Passing), put("n1", "b", "other"))
	output := check("n1", "k", "a", Passing)
	output.Check.Output, output.Check.Since = "200 OK", time.Now()
	tests := []struct {
		name   string
		change Change
		moves  bool
	}{
		{"the same record", put("n1", "a", "web"), false},
		{"output and time of a check", output, false},
		{"the same node", putNode("n1"), false},
		{"another service", put("n1", "b", "other", func(i *Instance) { i.Weight = 2 }), false},
		{"a renewed session", session("n1", "s1"), false},
		{"a tag", put("n1", "a", "web", func(i *Instance) { i.Tags = []string{"x"} }), true},
		{"a warning", check("n1", "k", "a", Warning), true},
		{"a removed check", Change{Type: RecordCheck, Name: "n1", ID: "k"}, true},
		{"a check of the node", check("n1", "df", "", Warning), true},
		{"meta of the node", Change{Type: RecordNode, Name: "n1", Node: &Node{Name: "n1", Meta: map[string]string{"a": "b"}}}, true},
		{"a new instance", put("n1", "c", "web"), true},
		{"a removed instance", remove("n1", "c"), true},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			revision := uint64(20 + i)
			before := v.Service("web").Index
			v.Apply(revision, []Change{tt.change})
			want := before
			if tt.moves {
				want = revision
			}
			if got := v.Service("web").Index; got != want {
				t.Errorf("index %d, want %d", got, want)
			}
			if changed, ok := v.ChangedSince(revision - 1); !ok || slices.Contains(changed, "web") != tt.moves {
				t.Errorf("changed since: %v, %v", changed, ok)
			}
			if v.Revision() != revision {
				t.Errorf("view at %d, want %d", v.Revision(), revision)
			}
		})
	}
	if got := v.Node("n1").Check("k"); got != nil {
		t.Errorf("check %+v is left", got)
	}
}

func TestMoveBetweenServices(t *testing.T) {
	v := loaded(put("n1", "a", "web"))
	v.Apply(11, []Change{put("n1", "a", "api")})
	want(t, v, Query{Service: "web"})
	want(t, v, Query{Service: "api"}, "n1/a")
	if result, _ := v.Lookup(Query{Service: "web"}); result.Known || result.Index != 11 {
		t.Errorf("the service left behind is %+v, want it gone at 11", result)
	}
	if list := v.Services(); len(list) != 1 || list[0].Name != "api" || v.ListIndex() != 11 {
		t.Errorf("services %v at %d", list, v.ListIndex())
	}
}

func TestByIP(t *testing.T) {
	ip, other := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	at := func(ip netip.Addr) func(*Instance) {
		return func(i *Instance) { i.Addresses = []Address{{IP: ip}} }
	}
	v := loaded(put("n1", "a", "web", at(ip)), put("n1", "b", "web", at(ip)))
	if got := names(slices.Collect(v.ByIP(netip.AddrFrom16(ip.As16())))); len(got) != 2 {
		t.Errorf("%s has %v, want both", ip, got)
	}
	v.Apply(11, []Change{put("n1", "a", "web", at(other)), remove("n1", "b")})
	if a, b := names(slices.Collect(v.ByIP(ip))), names(slices.Collect(v.ByIP(other))); len(a) != 0 || len(b) != 1 {
		t.Errorf("after the move: %v and %v", a, b)
	}
}

func TestPermanentNodeIsAliveAndReachFallsBackToIt(t *testing.T) {
	n := &Node{Name: "rds", Owner: Owner{Kind: OwnerPermanent}, Addresses: []Address{{Host: "db.example.com"}}}
	v := NewView()
	v.Load(3, []Change{
		{Type: RecordNode, Name: "rds", Node: n, CreateRevision: 2, ModRevision: 3},
		put("rds", "db", "db", func(i *Instance) { i.Addresses = nil }),
	})
	want(t, v, Query{Service: "db"}, "rds/db")
	if got := v.Instance("rds", "db").Reach(); len(got) != 1 || got[0].String() != "db.example.com" {
		t.Errorf("reached at %v, want the node's address", got)
	}
	v.Apply(4, []Change{{Type: RecordNode, Name: "rds"}, remove("rds", "db")})
	if v.Node("rds") != nil || len(v.Nodes()) != 0 || v.NodesIndex() != 4 {
		t.Errorf("node is left: %v at %d", v.Nodes(), v.NodesIndex())
	}
}

func TestReloadRemovesWhatIsGone(t *testing.T) {
	v := loaded(put("n1", "a", "web"), put("n1", "b", "web"), check("n1", "k", "a", Critical), putNode("n2"))
	v.Load(50, []Change{putNode("n1"), session("n1", "s1"), put("n1", "a", "web")})
	want(t, v, Query{Service: "web", Health: AnyHealth}, "n1/a")
	want(t, v, Query{Service: "web"}, "n1/a")
	if v.Node("n2") != nil {
		t.Error("node n2 is left")
	}
	if _, ok := v.ChangedSince(49); ok {
		t.Error("the view claims to know what changed before it was loaded again")
	}
}

func TestWaitWakesForItsOwnServiceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := loaded(put("n1", "a", "web"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		woken := make(chan uint64, 3)
		wait := func(name string) {
			index, err := v.WaitService(ctx, name, v.ServiceIndex(name))
			if err != nil {
				t.Errorf("wait for %s: %v", name, err)
			}
			woken <- index
		}
		go wait("Web")
		go wait("not-there-yet")
		synctest.Wait()
		v.Apply(11, []Change{put("n1", "z", "other")})
		synctest.Wait()
		if len(woken) != 0 {
			t.Fatalf("woken at %d by another service", <-woken)
		}
		v.Apply(12, []Change{put("n1", "b", "web")})
		if got := <-woken; got != 12 {
			t.Errorf("woken at %d, want 12", got)
		}
		v.Apply(13, []Change{put("n1", "c", "not-there-yet")})
		if got := <-woken; got != 13 {
			t.Errorf("woken at %d, want 13", got)
		}
		if len(v.wake.byName) != 0 {
			t.Errorf("%d waiters are left behind", len(v.wake.byName))
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := loaded()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if index, err := v.WaitService(ctx, "web", 10); !errors.Is(err, context.DeadlineExceeded) || index != 10 {
			t.Errorf("waited to %d, %v", index, err)
		}
		if _, err := v.WaitNode(ctx, "n9", 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited: %v", err)
		}
		if err := v.WaitRevision(ctx, 99); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited: %v", err)
		}
		if err := NewView().WaitReady(ctx); KindOf(err) != KindNotReady {
			t.Errorf("waited: %v", err)
		}
		if err := NewView().WaitLoaded(ctx); KindOf(err) != KindNotReady {
			t.Errorf("waited: %v", err)
		}
		if len(v.wake.byName) != 0 {
			t.Errorf("%d waiters are left behind", len(v.wake.byName))
		}
	})
}

func TestWaitersForLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := NewView()
		ready := make(chan error, 3)
		go func() { ready <- v.WaitReady(t.Context()) }()
		go func() { ready <- v.WaitLoaded(t.Context()) }()
		go func() { ready <- v.WaitRevision(t.Context(), 7) }()
		synctest.Wait()
		v.Load(7, nil)
		for range 3 {
			if err := <-ready; err != nil {
				t.Error(err)
			}
		}
		nodes := make(chan uint64, 1)
		go func() {
			index, err := v.WaitList(t.Context(), v.NodesIndex, 7)
			if err != nil {
				t.Error(err)
			}
			nodes <- index
		}()
		synctest.Wait()
		v.Apply(8, nil)
		synctest.Wait()
		v.Apply(9, []Change{putNode("n1")})
		if got := <-nodes; got != 9 {
			t.Errorf("woken at %d, want 9", got)
		}
	})
}

// TestStoreThatWentBack loads what a store holds that was restored to an older state: all indices go back with it, and
// a reader that waits above them is woken.
func TestStoreThatWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := loaded(put("n1", "a", "web"))
		v.Apply(50, []Change{put("n1", "b", "web"), put("n1", "x", "other")})
		type woken struct {
			who   string
			index uint64
		}
		told := make(chan woken, 3)
		wait := func(who string, wait func() (uint64, error)) {
			go func() {
				index, err := wait()
				if err != nil {
					t.Errorf("%s: %v", who, err)
				}
				told <- woken{who, index}
			}()
		}
		wait("service", func() (uint64, error) { return v.WaitService(t.Context(), "web", 50) })
		wait("node", func() (uint64, error) { return v.WaitNode(t.Context(), "n1", 50) })
		wait("list", func() (uint64, error) { return v.WaitList(t.Context(), v.ListIndex, 50) })
		synctest.Wait()
		v.Load(20, []Change{putNode("n1"), session("n1", "s1"), put("n1", "b", "web")})
		for range 3 {
			if got := <-told; got.index != 20 {
				t.Errorf("the reader that waited for the %s got %d, want 20", got.who, got.index)
			}
		}
		want(t, v, Query{Service: "web"}, "n1/b")
		for what, index := range map[string]uint64{
			"view": v.Revision(), "web": v.ServiceIndex("web"), "other": v.ServiceIndex("other"), "none": v.ServiceIndex("none"),
			"n1": v.Node("n1").Index, "list": v.ListIndex(), "nodes": v.NodesIndex(),
		} {
			if index > 20 {
				t.Errorf("index of %s is %d, beyond the store's revision", what, index)
			}
		}
		// A reader with an index of the store as it was is answered, not kept waiting.
		if index, err := v.WaitService(t.Context(), "web", 50); err != nil || index != 20 {
			t.Errorf("waited above what there is: %d, %v", index, err)
		}
		v.Apply(21, []Change{put("n1", "c", "web")})
		if got := v.ServiceIndex("web"); got != 21 {
			t.Errorf("index %d after the next change, want 21", got)
		}
	})
}

func TestWaitersAreToldThatANodeWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := loaded()
		gone := make(chan uint64, 1)
		go func() {
			index, err := v.WaitNode(t.Context(), "n1", v.Node("n1").Index)
			if err != nil {
				t.Error(err)
			}
			gone <- index
		}()
		synctest.Wait()
		v.Apply(11, []Change{{Type: RecordNode, Name: "n1"}, session("n1", "")})
		if got := <-gone; got != 11 {
			t.Errorf("index %d, want 11, at which the node went", got)
		}
	})
}

func TestNodeWithoutRecordCountsInTheListOfNodes(t *testing.T) {
	v := loaded(put("n2", "a", "web"))
	v.Apply(11, []Change{remove("n2", "a")})
	if v.Node("n2") != nil || v.NodesIndex() != 11 {
		t.Errorf("node %v went, and the list is of %d; want 11", v.Node("n2"), v.NodesIndex())
	}
}

func TestNodeIsShownAsItSpellsItself(t *testing.T) {
	v := NewView()
	v.Load(1, []Change{session("web1", "s"), {Type: RecordNode, Name: "web1", Node: &Node{Name: "Web1"}}})
	if got := v.Node("WEB1"); got == nil || got.Name != "Web1" || !got.Alive {
		t.Errorf("node is %+v, want Web1 alive", got)
	}
}

func TestDerivedValuesDieWithTheirSnapshot(t *testing.T) {
	v := loaded(put("n1", "a", "web"))
	slot, other := v.Slot(), v.Slot()
	made := 0
	derive := func(s *Service) any {
		made++
		return fmt.Sprint(s.Index, len(s.Endpoints))
	}
	for range 3 {
		if got := v.Service("web").Derived(slot, derive); got != "10 1" {
			t.Errorf("derived %v", got)
		}
	}
	v.Service("web").Derived(other, derive)
	if made != 2 {
		t.Errorf("derived %d times for two slots, want 2", made)
	}
	v.Apply(11, []Change{put("n1", "b", "web")})
	if got := v.Service("web").Derived(slot, derive); got != "11 2" || made != 3 {
		t.Errorf("derived %v after the change, %d times", got, made)
	}
}

func TestSlotsAreLimited(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("more slots were handed out than a snapshot has")
		}
	}()
	v := NewView()
	for range slots + 1 {
		v.Slot()
	}
}

func TestGoneServicesAreForgottenInTheEnd(t *testing.T) {
	v := loaded()
	revision := uint64(10)
	for i := range maxGone + 5 {
		name := fmt.Sprint("s", i)
		revision++
		v.Apply(revision, []Change{put("n1", "a", name)})
		revision++
		v.Apply(revision, []Change{remove("n1", "a")})
	}
	if v.Service("s0") != nil || v.Service(fmt.Sprint("s", maxGone+4)) == nil {
		t.Error("the oldest is not forgotten, or the newest is")
	}
	if got := v.ServiceIndex("s0"); got < 12 {
		t.Errorf("a forgotten service has index %d: a reader that waits for it would miss that it went at 12", got)
	}
	if v.services.len() > maxGone+1 || len(v.Services()) != 0 {
		t.Errorf("%d services are remembered", v.services.len())
	}
}

func TestChangeLogForgets(t *testing.T) {
	v := loaded()
	const n = changeLogSize + 10
	for i := range n {
		v.log.add(uint64(20+i), []string{fmt.Sprint("s", i%7)})
		v.revision.Store(uint64(20 + i))
	}
	if _, ok := v.ChangedSince(20); ok {
		t.Error("claims to remember the first entries")
	}
	if names, ok := v.ChangedSince(uint64(20 + n - 3)); !ok || len(names) != 2 {
		t.Errorf("changed in the last two revisions: %v, %v", names, ok)
	}
	if names, ok := v.ChangedSince(uint64(20 + 100)); !ok || len(names) != 7 {
		t.Errorf("changed since 120: %v, %v", names, ok)
	}
}

// TestAgainstSlowModel applies random batches to a View and to a plain list of records, and compares what both say.
func TestAgainstSlowModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			v, m := NewView(), newModel()
			v.Load(1, nil)
			for revision := uint64(2); revision < 150; revision++ {
				var batch []Change
				for range 1 + rnd.IntN(30) {
					batch = append(batch, randomChange(rnd))
				}
				for i := range batch {
					m.apply(batch[i])
				}
				if rnd.IntN(20) == 0 {
					v.Load(revision, m.records())
				} else {
					v.Apply(revision, batch)
				}
				if diff := cmp.Diff(m.answers(), viewAnswers(v)); diff != "" {
					t.Fatalf("revision %d: model and view differ:\n%s", revision, diff)
				}
			}
		})
	}
}

func randomChange(rnd *rand.Rand) Change {
	// Nodes are the same in any letter case.
	node := []string{"n", "N"}[rnd.IntN(2)] + fmt.Sprint(rnd.IntN(4))
	id := fmt.Sprint("i", rnd.IntN(8))
	gone := rnd.IntN(4) == 0
	switch rnd.IntN(6) {
	case 0:
		if gone {
			return Change{Type: RecordNode, Name: node}
		}
		return putNode(node)
	case 5:
		c := randomDrain(rnd, node, id)
		if rnd.IntN(2) == 0 {
			c.Drain = nil
		}
		return c
	case 1:
		return session(node, map[bool]string{true: "", false: "s"}[gone])
	case 2:
		c := check(node, fmt.Sprint("k", rnd.IntN(8)), id, []Status{Passing, Warning, Critical}[rnd.IntN(3)])
		if rnd.IntN(5) == 0 {
			c.Check.Instance = ""
		}
		if gone {
			c.Check = nil
		}
		return c
	default:
		if gone {
			return remove(node, id)
		}
		return put(node, id, fmt.Sprint("svc", rnd.IntN(3)), func(i *Instance) {
			i.Addresses = []Address{{IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(3))})}}
			if rnd.IntN(6) == 0 {
				i.Drain = "drained"
			}
		})
	}
}

func randomDrain(rnd *rand.Rand, node, id string) Change {
	switch rnd.IntN(3) {
	case 0:
		service := fmt.Sprint("svc", rnd.IntN(3))
		return Change{Type: RecordDrain, ID: service, Drain: &Drain{Service: service}}
	case 1:
		return Change{Type: RecordDrain, Name: node, Drain: &Drain{Node: node}}
	default:
		return Change{Type: RecordDrain, Name: node, ID: id, Drain: &Drain{Node: node, Instance: id}}
	}
}

// model is the slow and obvious View.
type model struct{ all map[string]Change }

func newModel() *model { return &model{all: make(map[string]Change)} }

func (m *model) apply(c Change) {
	c.Name = fold(c.Name)
	key := fmt.Sprint(c.Type, c.Name, "/", c.ID)
	if c.Node == nil && c.Session == "" && c.Instance == nil && c.Check == nil && c.Drain == nil {
		delete(m.all, key)
		return
	}
	m.all[key] = c
}

func (m *model) records() (list []Change) {
	for _, c := range m.all {
		list = append(list, c)
	}
	return list
}

// answers are lines "service node/id status healthy" and "ip node/id".
func (m *model) answers() []string {
	var lines []string
	for _, c := range m.all {
		if c.Instance == nil {
			continue
		}
		status := Critical
		if _, alive := m.all[fmt.Sprint(RecordSession, c.Name, "/")]; alive {
			status = Passing
		}
		for _, k := range m.all {
			if k.Check != nil && k.Name == c.Name && (k.Check.Instance == "" || k.Check.Instance == c.ID) {
				status = status.Worse(k.Check.Status)
			}
		}
		drained := c.Instance.Drain != ""
		for _, d := range m.all {
			drained = drained || d.Drain != nil && (d.Drain.Service == c.Instance.Service ||
				strings.EqualFold(d.Drain.Node, c.Name) && (d.Drain.Instance == "" || d.Drain.Instance == c.ID))
		}
		healthy := status != Critical && !drained
		lines = append(lines, fmt.Sprint(c.Instance.Service, " ", c.Name, "/", c.ID, " ", status, " ", healthy),
			fmt.Sprint(c.Instance.Addresses[0].IP, " ", c.Name, "/", c.ID), fmt.Sprint(c.Name, " has ", c.ID))
	}
	slices.Sort(lines)
	return lines
}

func viewAnswers(v *View) []string {
	var lines []string
	for _, s := range v.Services() {
		for _, e := range s.Endpoints {
			healthy := slices.Contains(s.Healthy, e)
			lines = append(lines, fmt.Sprint(s.Name, " ", fold(e.Instance.Node), "/", e.ID, " ", e.Status, " ", healthy))
		}
	}
	for b := range byte(3) {
		ip := netip.AddrFrom4([4]byte{10, 0, 0, b})
		for e := range v.ByIP(ip) {
			lines = append(lines, fmt.Sprint(ip, " ", fold(e.Instance.Node), "/", e.ID))
		}
	}
	for _, n := range v.Nodes() {
		for e := range n.Endpoints.All() {
			if n.Endpoint(e.ID) != e {
				lines = append(lines, "node does not find its own "+e.ID)
			}
			lines = append(lines, fmt.Sprint(fold(n.Name), " has ", e.ID))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestReadersSeeWholeSnapshotsWhileWritten(t *testing.T) {
	v := loaded(put("n1", "a", "web"), put("n1", "b", "web"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			s := v.Service("web")
			if len(s.Endpoints)%2 != 0 { // both come and go in one batch
				t.Errorf("saw half a batch: %v", names(s.Endpoints))
				return
			}
			v.Services()
			v.Node("n1").Endpoint("a")
			v.ByIP(netip.MustParseAddr("10.0.0.9"))
		}
	}()
	for i := range uint64(2000) {
		if i%2 == 0 {
			v.Apply(11+i, []Change{remove("n1", "a"), remove("n1", "b")})
		} else {
			v.Apply(11+i, []Change{put("n1", "a", "web"), put("n1", "b", "web")})
		}
	}
	cancel()
	<-done
}

func TestAge(t *testing.T) {
	v := NewView()
	now := time.Unix(1000, 0)
	if got := v.Age(now); got != 0 {
		t.Errorf("age %v before any contact", got)
	}
	v.Touch(now)
	for after, want := range map[time.Duration]time.Duration{0: 0, MaxSilence - 1: 0, MaxSilence: MaxSilence, time.Hour: time.Hour} {
		if got := v.Age(now.Add(after)); got != want {
			t.Errorf("age %v after %v, want %v", got, after, want)
		}
	}
}

// TestNodesFormerly holds that nodes are found by each name that they have had, until they are removed, and not by one that another node has.
func TestNodesFormerly(t *testing.T) {
	record := func(name string, former ...string) Change {
		return Change{Type: RecordNode, Name: name, Node: &Node{Name: name, ID: "id-" + name, Former: former}}
	}
	v := NewView()
	v.Load(1, []Change{record("b", "Old", "older"), record("c", "old"), record("d", "b")})
	expect := func(want map[string]string) {
		t.Helper()
		for name, now := range want {
			if got := NodeNames(v.NodesFormerly(name)); got != now {
				t.Errorf("%s is %q now, want %q", name, got, now)
			}
		}
	}
	expect(map[string]string{"old": "b or c", "OLDER": "b", "b": "", "c": "", "nosuch": ""})
	v.Apply(2, []Change{{Type: RecordNode, Name: "b"}})
	expect(map[string]string{"old": "c", "older": "", "b": "d"})
	v.Apply(3, []Change{record("c", "older", "Oldest"), record("d")})
	expect(map[string]string{"old": "", "older": "c", "oldest": "c", "b": ""})
	v.Load(4, nil)
	expect(map[string]string{"older": "", "oldest": ""})
}

// BenchmarkNodesFormerly is a look for a name that no node has or has had, among many that were renamed.
func BenchmarkNodesFormerly(b *testing.B) {
	var list []Change
	for i := range 10_000 {
		name := fmt.Sprint("n", i)
		list = append(list, Change{Type: RecordNode, Name: name, Node: &Node{Name: name, ID: name, Former: []string{name + "a", name + "b"}}})
	}
	v := NewView()
	v.Load(1, list)
	for b.Loop() {
		v.NodesFormerly("unknown")
	}
}
