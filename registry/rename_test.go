package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// hostNode is the declaration of a host under a name.
func hostNode(name string, registrations ...catalog.Registration) catalog.NodeState {
	return catalog.NodeState{
		Node:          catalog.Node{Name: name, ID: "host-1", Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Minute)}},
		Registrations: registrations,
	}
}

// restarted is the declaration of a process that knows that the former one has ended.
func restarted(state catalog.NodeState) catalog.NodeState {
	state.Ended = func(string) bool { return true }
	return state
}

func owned(kind catalog.OwnerKind, node, id, service string, checks ...catalog.Check) catalog.Registration {
	owner := catalog.Owner{Kind: kind}
	if kind == catalog.OwnerLease {
		owner.TTL = catalog.Duration(time.Hour)
	}
	return catalog.Registration{
		Instance: catalog.Instance{ID: id, Node: node, Service: service, Source: "test", Owner: owner, Ports: []catalog.Port{{Number: 80}}},
		Checks:   checks,
	}
}

func ttl(id string) catalog.Check {
	return catalog.Check{ID: id, Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: catalog.Duration(time.Hour)}}
}

// synced declares a node, and returns the result.
func synced(t *testing.T, r *Registry, state catalog.NodeState) catalog.SyncResult {
	t.Helper()
	result, err := r.SyncNode(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.View().WaitRevision(t.Context(), result.Revision); err != nil {
		t.Fatal(err)
	}
	return result
}

func registered(ctx context.Context, t *testing.T, r *Registry, registration catalog.Registration) {
	t.Helper()
	if _, err := r.Register(ctx, registration); err != nil {
		t.Fatal(err)
	}
}

// places returns all instances as "node/id status", and all checks as "node/id instance status".
func places(r *Registry) (list []string) {
	for _, n := range r.View().Nodes() {
		for e := range n.Endpoints.All() {
			list = append(list, fmt.Sprintf("%s/%s %s", e.Instance.Node, e.ID, e.Status))
		}
		for c := range n.AllChecks() {
			list = append(list, fmt.Sprintf("check %s/%s of %s %s", c.Node, c.ID, c.Instance, c.Status))
		}
	}
	slices.Sort(list)
	return list
}

func wantPlaces(t *testing.T, r *Registry, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, places(r)); diff != "" {
		t.Errorf("catalog (-want +got):\n%s", diff)
	}
}

// keysOf returns the keys of the store that name a node.
func keysOf(t *testing.T, r *Registry, node string) (keys []string) {
	t.Helper()
	for kv := range allKeys(t, r) {
		if strings.Contains(kv+"/", "/"+node+"/") {
			keys = append(keys, kv)
		}
	}
	return keys
}

func TestRename(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		r, _ := start(t, open(t))
		as := catalog.WithCaller(t.Context(), catalog.Caller{Registrant: "worker-7", Listener: "http :8500"})
		file, container := owned(catalog.OwnerSession, "old", "file", "web", ttl("file:1")), owned(catalog.OwnerContainer, "old", "gone", "web", ttl("gone:1"))
		state := hostNode("old", file, container)
		state.Checks = []catalog.Check{ttl("disk")}
		synced(t, r, state)
		registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "old", "db", "db", ttl("db:1")))
		registered(as, t, r, owned(catalog.OwnerLease, "old", "app", "app"))
		for _, check := range []string{"file:1", "db:1", "disk"} {
			if err := r.SetCheck(t.Context(), r.View().Node("old").Check(check), catalog.Passing, "fine"); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range []catalog.Drain{{Node: "old", Instance: "db", Reason: "new disk"}, {Node: "old", Instance: "file"}} {
			if _, err := r.Drain(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		since := r.View().Instance("old", "db").CreateRevision
		position := r.View().EventPosition()

		file.Instance.Node = "new"
		state = hostNode("new", file)
		state.Checks = []catalog.Check{ttl("disk")}
		result := synced(t, r, restarted(state))
		if want := []catalog.Rename{{From: "old", Moved: 3}}; cmp.Diff(want, result.Renamed) != "" {
			t.Errorf("renamed %+v, want %+v", result.Renamed, want)
		}
		wantPlaces(t, r, "new/app passing", "new/db passing", "new/file passing", "check new/db:1 of db passing",
			"check new/file:1 of file passing", "check new/disk of  passing")
		if keys := keysOf(t, r, "old"); len(keys) > 0 {
			t.Errorf("%v are left of the former node", keys)
		}
		db := r.View().Instance("new", "db")
		if db.CreateRevision != since || db.Drained != "drained: new disk" || db.ModRevision == since {
			t.Errorf("db is of revision %d, drained %q; want %d and the order of before", db.CreateRevision, db.Drained, since)
		}
		if e := r.View().Instance("new", "file"); e.Drained == "" {
			t.Error("the declared instance is not drained any more")
		}
		if app := r.View().Instance("new", "app"); app.Registrant() != "worker-7" {
			t.Errorf("app is %q's, want worker-7's", app.Registrant())
		}

		// One revision at which all of it happened, and its words.
		revisions := make(map[uint64]bool)
		var words []string
		events, _ := r.View().Events(position)
		for e := range events {
			revisions[e.Revision] = true
			words = append(words, fmt.Sprintf("%s %s/%s: %s", e.Type, e.Node, e.Instance, e.Reason))
		}
		slices.Sort(words)
		want := []string{
			"deregistered old/app: node old was renamed new", "deregistered old/db: node old was renamed new",
			"deregistered old/file: node old was renamed new", "deregistered old/gone: node new was declared without it",
			"node_down old/: node old was renamed new", "node_up new/: node old was renamed new",
			"registered new/app: by worker-7 over HTTP; node old was renamed new",
			"registered new/db: draining: drained: new disk; node old was renamed new", "registered new/file: draining: drained",
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, words); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if len(revisions) != 1 {
			t.Errorf("the move took the revisions %v, want one", revisions)
		}

		// The same again writes nothing; the owners under the former name find theirs.
		if again := synced(t, r, state); again.Puts+again.Deletes+len(again.Renamed) != 0 {
			t.Errorf("the same again: %+v", again)
		}
		if err := r.Renew(as, "old", "app"); err != nil {
			t.Errorf("renewal under the former name: %v", err)
		}
		registered(as, t, r, owned(catalog.OwnerLease, "old", "app", "app"))
		if _, err := r.Drain(t.Context(), catalog.Drain{Node: "old"}); catalog.KindOf(err) != catalog.KindNotFound ||
			!strings.Contains(err.Error(), "it is new now") {
			t.Errorf("drain of the former name: %v", err)
		}
		if _, err := r.Deregister(as, "old", "app"); err != nil {
			t.Errorf("removal under the former name: %v", err)
		}

		// And back again.
		file.Instance.Node = "old"
		state = hostNode("old", file)
		synced(t, r, restarted(state))
		wantPlaces(t, r, "old/db passing", "old/file passing", "check old/db:1 of db passing", "check old/file:1 of file passing")
		if e := r.View().Instance("old", "db"); e.CreateRevision != since || e.Drained == "" {
			t.Errorf("back again: %+v", e)
		}
		if former := r.View().Node("old").Node.Former; !slices.Equal(former, []string{"new"}) {
			t.Errorf("former names %v, want new", former)
		}
		history, err := r.History(t.Context(), "db", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		moves := 0
		for _, e := range history.Events {
			if strings.Contains(e.Reason, "was renamed") {
				moves++
			}
		}
		if moves != 4 { // it left and came, twice
			t.Errorf("history shows %d of 4 moves: %+v", moves, history.Events)
		}
	})
}

// A node whose session lives may be that of another host: of a cloned machine, or with a copy of the data directory.
func TestNoRenameOfALivingNode(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	synced(t, r, hostNode("one", owned(catalog.OwnerSession, "one", "web", "web")))
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "one", "db", "db"))
	clone := hostNode("two", owned(catalog.OwnerSession, "two", "web", "web"))
	_, err := r.SyncNode(t.Context(), clone)
	if catalog.KindOf(err) != catalog.KindConflict || !strings.Contains(err.Error(), "node one is alive under the id of node two") {
		t.Errorf("a clone was taken in: %v", err)
	}
	wantPlaces(t, r, "one/web passing", "one/db passing")

	// Its session ends, and the other takes its place; when the first comes back it is the one that is refused.
	r.killSession(t, "one")
	synced(t, r, clone)
	wantPlaces(t, r, "two/web passing", "two/db passing")
	if _, err := r.SyncNode(t.Context(), hostNode("one")); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("they take the place of each other by turns: %v", err)
	}
	synced(t, r, clone)
	wantPlaces(t, r, "two/web passing", "two/db passing")

	// Permanent nodes are records of clients, who may give several the same id; and a node without an id is itself only.
	for _, name := range []string{"p1", "p2"} {
		p := permanentNode(name)
		p.Node.ID = "host-1"
		synced(t, r, p)
		bare := hostNode("bare-" + name)
		bare.Node.ID = ""
		synced(t, r, bare)
	}
	if n := len(r.View().Nodes()); n != 5 {
		t.Errorf("%d nodes, want 5", n)
	}
}

// IDs that exist under the new name already: nothing is lost, and nothing counts twice.
func TestRenameOntoANodeThatExists(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	synced(t, r, hostNode("old"))
	for _, id := range []string{"alike", "other", "declared"} {
		registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "old", id, "db", ttl(id+":1")))
	}
	stranger := hostNode("new", owned(catalog.OwnerSession, "new", "declared", "web", ttl("declared:1"), ttl("declared:2")),
		owned(catalog.OwnerSession, "new", "stale", "web"))
	stranger.Node.ID = "host-2"
	synced(t, r, stranger)
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "new", "alike", "db"))
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "new", "other", "cache", ttl("other:1")))
	r.killSession(t, "new")

	result := synced(t, r, restarted(hostNode("new", owned(catalog.OwnerSession, "new", "declared", "web"))))
	wantPlaces(t, r, "new/alike passing", "new/other critical", "new/other@old critical", "new/declared critical",
		"check new/other:1 of other critical", "check new/other:1@old of other@old critical", "check new/declared:1 of declared critical")
	if got := r.View().Instance("new", "declared"); got.Service != "db" || len(result.Conflicts) != 1 {
		t.Errorf("declared is of service %s, conflicts %v; want the permanent one, and word of the other", got.Service, result.Conflicts)
	}
	if len(result.Renamed) != 1 || len(result.Renamed[0].Notes) != 2 {
		t.Errorf("renamed %+v, want notes of alike and other", result.Renamed)
	}
}

// A host with more than one request carries moves in parts, in each of which what has moved is alive. A process that is killed between
// two of them leaves two nodes, and the next one goes on.
func TestRenameOfABigNode(t *testing.T) {
	for _, tt := range []struct {
		name             string
		maxOps, maxBytes int
	}{{"few operations", 40, 1 << 20}, {"small requests", 1 << 12, 8 << 10}} {
		t.Run(tt.name, func(t *testing.T) {
			e := enginetest.Open(t)
			limits := func(c *Config) { c.MaxOps, c.MaxBytes = tt.maxOps, tt.maxBytes }
			r, stop := start(t, e, limits)
			const n = 40
			var declared []catalog.Registration
			for i := range n {
				declared = append(declared, owned(catalog.OwnerSession, "old", fmt.Sprintf("d%02d", i), "web"))
			}
			synced(t, r, hostNode("old", declared...))
			for i := range n {
				registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "old", fmt.Sprintf("p%02d", i), "db"))
			}
			for i := range declared {
				declared[i].Instance.Node = "new"
			}
			state := restarted(hostNode("new", declared...))

			// One part, as of a process that is killed then.
			normal := normalize(state, nil)
			lease, err := r.session(t.Context(), &normal)
			if err != nil {
				t.Fatal(err)
			}
			revision := r.view.Revision()
			part := r.newMove("old", nil, &normal, lease, revision)
			if _, held, err := r.write(t.Context(), part.plan(), revision); err != nil || !held || !part.more {
				t.Fatalf("a part: %v, held %t, more %t", err, held, part.more)
			}
			stop()
			r, _ = start(t, e, limits)
			both := len(r.View().Service("db").Healthy)
			if both != n || r.View().Node("new").Endpoints.Len() == 0 {
				t.Errorf("%d of %d answered between two parts", both, n)
			}
			synced(t, r, state)
			if got := r.View().Node("new").Endpoints.Len(); got != 2*n || r.View().Node("old") != nil {
				t.Errorf("%d of %d instances have moved; the former node is %v", got, 2*n, r.View().Node("old"))
			}
			if db, web := len(r.View().Service("db").Healthy), len(r.View().Service("web").Healthy); db != n || web != n {
				t.Errorf("%d of db, %d of web are answered, want %d", db, web, n)
			}
		})
	}
}

// A record that this version cannot read keeps its place, and the rest moves.
func TestRenameLeavesWhatCannotBeRead(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	synced(t, r, hostNode("old", owned(catalog.OwnerSession, "old", "web", "web")))
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "old", "db", "db"))
	if _, err := r.client.Put(t.Context(), instanceKey("old", "later"), `{"v":2}`); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	synced(t, r, restarted(hostNode("new")))
	wantPlaces(t, r, "new/db passing")
	if keys := keysOf(t, r, "old"); !slices.Contains(keys, instanceKey("old", "later")) {
		t.Errorf("the record that cannot be read is lost: %v are left", keys)
	}
	revision := r.View().Revision()
	if result := synced(t, r, hostNode("new")); result.Puts+result.Deletes+len(result.Renamed) != 0 || r.View().Revision() != revision {
		t.Errorf("the same again: %+v at revision %d, want none after %d", result, r.View().Revision(), revision)
	}
}

// allKeys yields the keys of the store.
func allKeys(t *testing.T, r *Registry) func(yield func(string) bool) {
	t.Helper()
	resp, err := r.client.Get(t.Context(), Root, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		for _, kv := range resp.Kvs {
			if !yield(string(kv.Key)) {
				return
			}
		}
	}
}

// TestMovedChecksKeepTheirRegistration renames a host again and again: its checks are the ones that were registered, whatever their
// names, until they are registered again.
func TestMovedChecksKeepTheirRegistration(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	file := owned(catalog.OwnerSession, "h0", "file", "web", ttl("file:1"))
	state := hostNode("h0", file)
	state.Checks = []catalog.Check{ttl("disk")}
	synced(t, r, state)
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "h0", "db", "db", ttl("db:1")))
	registered(t.Context(), t, r, owned(catalog.OwnerLease, "h0", "app", "app", ttl("app:1")))
	// The name h1 has a record of another host, and a database of the same id.
	other := hostNode("h1")
	other.Node.ID, other.Node.Owner = "", catalog.Owner{Kind: catalog.OwnerPermanent}
	synced(t, r, other)
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "h1", "db", "other", ttl("db:1")))
	want := make(map[string]catalog.CheckOrigin)
	for c := range r.View().Node("h0").AllChecks() {
		want[c.ID] = catalog.CheckOrigin{Node: "h0", ID: c.ID, Revision: c.CreateRevision}
	}
	if len(want) != 4 {
		t.Fatalf("%d checks, want 4", len(want))
	}
	want["db:1@h0"] = want["db:1"]
	want["db:1"] = r.View().Node("h1").Check("db:1").Registered()
	for _, name := range []string{"h1", "h2", "h0", "h3"} {
		file.Instance.Node = name
		state := hostNode(name, file)
		state.Checks = []catalog.Check{ttl("disk")}
		synced(t, r, restarted(state))
		synced(t, r, restarted(state)) // a sync that finds it in place
		n := r.View().Node(name)
		if err := r.SetCheck(t.Context(), n.Check("file:1"), catalog.Warning, "as "+name); err != nil {
			t.Fatal(err)
		}
		registered(t.Context(), t, r, owned(catalog.OwnerLease, name, "app", "app", ttl("app:1")))
		got := make(map[string]catalog.CheckOrigin)
		for c := range r.View().Node(name).AllChecks() {
			got[c.ID] = c.Registered()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("registrations as %s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := r.Deregister(t.Context(), "h3", "app"); err != nil {
		t.Fatal(err)
	}
	registered(t.Context(), t, r, owned(catalog.OwnerLease, "h3", "app", "app", ttl("app:1")))
	if again := r.View().Node("h3").Check("app:1"); again.Registered() == want["app:1"] || again.Origin != nil {
		t.Errorf("a check that was registered again is still %+v", again.Registered())
	}
}

// TestFormerNameOfAnotherHost has a machine get the name that another host had before, and clients that register and remove what is
// on it before its node is declared.
func TestFormerNameOfAnotherHost(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	synced(t, r, hostNode("web-1"))
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "web-1", "moved", "db"))
	registered(t.Context(), t, r, owned(catalog.OwnerLease, "web-1", "lease", "db"))
	synced(t, r, restarted(hostNode("storage-7", owned(catalog.OwnerSession, "storage-7", "declared", "web"))))
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "storage-7", "since", "web"))
	registered(t.Context(), t, r, owned(catalog.OwnerLease, "storage-7", "since-lease", "web"))
	before := places(r)
	for what, try := range map[string]func(t *testing.T) error{
		"a new permanent one": func(t *testing.T) error {
			_, err := r.Register(t.Context(), owned(catalog.OwnerPermanent, "web-1", "nginx", "web"))
			return err
		},
		"a new leased one": func(t *testing.T) error {
			_, err := r.Register(t.Context(), owned(catalog.OwnerLease, "Web-1", "nginx", "web"))
			return err
		},
		"an id that the present name has": func(t *testing.T) error {
			_, err := r.Register(t.Context(), owned(catalog.OwnerPermanent, "web-1", "since", "other"))
			return err
		},
		"the removal of another's": func(t *testing.T) error { _, err := r.Deregister(t.Context(), "web-1", "since"); return err },
		"the removal of a declared one": func(t *testing.T) error {
			_, err := r.Deregister(t.Context(), "web-1", "declared")
			return err
		},
		"the renewal of another's": func(t *testing.T) error { return r.Renew(t.Context(), "web-1", "since-lease") },
		"a drain": func(t *testing.T) error {
			_, err := r.Drain(t.Context(), catalog.Drain{Node: "web-1", Instance: "since"})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			err := try(t)
			if catalog.KindOf(err) != catalog.KindNotFound || !strings.Contains(err.Error(), "it is storage-7 now") {
				t.Errorf("%v, want the node's present name", err)
			}
		})
	}
	wantPlaces(t, r, before...)
	registered(t.Context(), t, r, owned(catalog.OwnerPermanent, "web-1", "moved", "database"))
	if e := r.View().Instance("storage-7", "moved"); e == nil || e.Service != "database" {
		t.Errorf("what has moved is %+v, want it replaced by its owner", e)
	}
	if err := r.Renew(t.Context(), "web-1", "lease"); err != nil {
		t.Errorf("renewal of what has moved: %v", err)
	}
	if _, err := r.Deregister(t.Context(), "web-1", "moved"); err != nil {
		t.Errorf("removal of what has moved: %v", err)
	}
	// A name that nobody had has no other hint than before.
	_, err := r.Register(t.Context(), owned(catalog.OwnerPermanent, "web-9", "nginx", "web"))
	if catalog.KindOf(err) != catalog.KindNotFound || !strings.Contains(err.Error(), "declare the node first") {
		t.Errorf("on a node that never was: %v", err)
	}
}
