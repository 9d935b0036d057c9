// Package registrytest holds the contract of all writers of the catalog: the registry itself, and the client of a
// server. Each implementer runs Conformance.
package registrytest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/pause"
)

// Registry is the contract.
type Registry interface {
	SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error)
	RenewNode(ctx context.Context, node string) error
	RemoveNode(ctx context.Context, node string) (uint64, error)
	Register(ctx context.Context, registration catalog.Registration) (uint64, error)
	Renew(ctx context.Context, node, id string) error
	Deregister(ctx context.Context, node, id string) (uint64, error)
}

// Conformance tests the contract. Each call of open returns an implementer on an empty catalog, and the View that shows
// its writes.
func Conformance(t *testing.T, open func(t *testing.T) (Registry, *catalog.View)) {
	tests := []struct {
		name string
		test func(t *testing.T, s *suite)
	}{
		{"a sync makes what is declared visible", syncShows},
		{"the same sync again writes nothing", syncTwiceWritesNothing},
		{"a sync writes only the difference", syncWritesDifference},
		{"a sync touches only what its owner owns", syncLeavesOthersAlone},
		{"a sync keeps the outcome of checks", syncKeepsOutcomes},
		{"a sync of a thousand instances is one revision", syncManyAtOnce},
		{"a node alive under another id is a conflict", syncOtherID},
		{"the end of a session is the end of its instances", sessionEnds},
		{"a permanent node needs no session", permanentNode},
		{"a registration is visible when it is acknowledged", registerShows},
		{"the same registration again writes nothing", registerTwiceWritesNothing},
		{"a registration ends with its lease", leaseEnds},
		{"a renewed registration stays and writes nothing", renewKeeps},
		{"a registration on no node is refused", registerWithoutNode},
		{"a registration in the place of a declared one is refused", registerOverDeclared},
		{"deregister removes, once", deregister},
		{"a later registration of an id replaces the earlier, whose owner loses it", replaceOwner},
		{"what a client declares with a node is that client's", declareAs},
		{"a caller without a name may renew and deregister every registration", nameless},
		{"a declared instance is not deregistered under its owner", deregisterDeclared},
		{"a living node is not removed, a dead one is", removeNode},
		{"the name of a node is the same in any letter case", letterCase},
		{"a state outside the limits is refused and changes nothing", refuseInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of the time goes into waits for leases to end
			r, view := open(t)
			tt.test(t, &suite{T: t, ctx: eventually.Context(t), Registry: r, view: view})
		})
	}
}

// suite is one test's registry with common operations of the tests.
type suite struct {
	*testing.T
	Registry
	ctx  context.Context
	view *catalog.View
}

// ttl is the shortest time to live. An owner that must stay alive lives for 60 times as long, and gets ttl when it is
// to end: on a busy machine a second passes between any two lines of a test.
const ttl = catalog.Duration(time.Second)

// Node returns a node that lives by a session.
func Node(name string, ttl catalog.Duration) catalog.Node {
	return catalog.Node{
		Name: name, ID: "id-of-" + name, Addresses: []catalog.Address{{IP: netip.MustParseAddr("10.0.0.1")}},
		Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: ttl},
	}
}

// Instance returns an instance with one port and one address.
func Instance(node, id, service string) catalog.Instance {
	return catalog.Instance{
		ID: id, Node: node, Service: service, Source: "test", Owner: catalog.Owner{Kind: catalog.OwnerSession},
		Ports:     []catalog.Port{{Name: "http", Number: 80}},
		Addresses: []catalog.Address{{Network: "bridge", IP: netip.MustParseAddr("172.17.0.2")}},
	}
}

func state(node string, registrations ...catalog.Registration) catalog.NodeState {
	return catalog.NodeState{Node: Node(node, 60*ttl), Registrations: registrations}
}

func plain(node, id, service string) catalog.Registration {
	return catalog.Registration{Instance: Instance(node, id, service)}
}

func leased(node, id, service string, ttl catalog.Duration) catalog.Registration {
	r := plain(node, id, service)
	r.Instance.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: ttl}
	return r
}

func ttlCheck(id string) catalog.Check {
	return catalog.Check{ID: id, Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: 60 * ttl}}
}

func (s *suite) sync(st catalog.NodeState) catalog.SyncResult {
	s.Helper()
	result, err := s.SyncNode(s.ctx, st)
	if err != nil {
		s.Fatalf("sync: %v", err)
	}
	if err := s.view.WaitRevision(s.ctx, result.Revision); err != nil {
		s.Fatalf("view at revision %d does not reach %d", s.view.Revision(), result.Revision)
	}
	return result
}

func (s *suite) register(r catalog.Registration) uint64 {
	s.Helper()
	revision, err := s.Register(s.ctx, r)
	if err != nil {
		s.Fatalf("register: %v", err)
	}
	if err := s.view.WaitRevision(s.ctx, revision); err != nil {
		s.Fatal(err)
	}
	return revision
}

// found returns "node/id" of the healthy instances of a service.
func (s *suite) found(service string) []string {
	var list []string
	if snapshot := s.view.Service(service); snapshot != nil {
		for _, e := range snapshot.Healthy {
			list = append(list, e.Instance.Node+"/"+e.ID)
		}
	}
	return list
}

func (s *suite) want(service string, want ...string) {
	s.Helper()
	if got := s.found(service); fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("service %s has %v, want %v", service, got, want)
	}
}

// await waits until a condition on the service's snapshot holds.
func (s *suite) await(service, what string, holds func() bool) {
	s.Helper()
	for index := uint64(0); !holds(); {
		reached, err := s.view.WaitService(s.ctx, service, index)
		if err != nil && !holds() {
			s.Fatalf("waiting for %s: %v; service %s has %v", what, err, service, s.found(service))
		}
		index = reached
	}
}

func (s *suite) wantKind(err error, want catalog.Kind) {
	s.Helper()
	if err == nil || catalog.KindOf(err) != want {
		s.Errorf("error %v of kind %v, want kind %v", err, catalog.KindOf(err), want)
	}
}

func syncShows(t *testing.T, s *suite) {
	s.sync(state("n1", plain("n1", "web-1", "web"), plain("n1", "db-1", "db")))
	s.want("web", "n1/web-1")
	s.want("db", "n1/db-1")
	if n := s.view.Node("n1"); n == nil || !n.Alive || n.Endpoints.Len() != 2 {
		t.Errorf("node is %+v, want it alive with 2 instances", n)
	}
}

func syncTwiceWritesNothing(t *testing.T, s *suite) {
	st := state("n1", catalog.Registration{Instance: Instance("n1", "web-1", "web"), Checks: []catalog.Check{ttlCheck("c")}})
	first := s.sync(st)
	if first.Puts != 4 { // node, session, instance, check
		t.Errorf("first sync wrote %+v, want 4 puts", first)
	}
	second := s.sync(st)
	if second.Puts != 0 || second.Deletes != 0 || second.Revision != first.Revision {
		t.Errorf("second sync wrote %+v, want nothing at revision %d", second, first.Revision)
	}
}

func syncWritesDifference(t *testing.T, s *suite) {
	s.sync(state("n1", plain("n1", "a", "web"), plain("n1", "b", "web"), plain("n1", "c", "web")))
	changed := plain("n1", "b", "web")
	changed.Instance.Tags = []string{"new"}
	result := s.sync(state("n1", plain("n1", "a", "web"), changed, plain("n1", "d", "web")))
	if result.Puts != 2 || result.Deletes != 1 {
		t.Errorf("sync wrote %+v, want 2 puts and 1 delete", result)
	}
	s.want("web", "n1/a", "n1/b", "n1/d")
}

func syncLeavesOthersAlone(t *testing.T, s *suite) {
	s.sync(state("n1"))
	permanent := plain("n1", "perm", "web")
	permanent.Instance.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	s.register(permanent)
	s.register(leased("n1", "lease", "web", 60*ttl))
	result := s.sync(state("n1", plain("n1", "own", "web"), plain("n1", "perm", "usurper")))
	s.want("web", "n1/lease", "n1/own", "n1/perm")
	s.want("usurper")
	if len(result.Conflicts) != 1 {
		t.Errorf("conflicts %q, want one that names perm", result.Conflicts)
	}
	s.sync(state("n1"))
	s.want("web", "n1/lease", "n1/perm")
}

func syncKeepsOutcomes(t *testing.T, s *suite) {
	r := plain("n1", "web-1", "web")
	c := ttlCheck("c")
	c.InitialStatus = catalog.Passing
	r.Checks = []catalog.Check{c}
	s.sync(state("n1", r))
	s.want("web", "n1/web-1")

	declared := plain("n1", "db-1", "db")
	declared.Checks = []catalog.Check{{ID: "d", Definition: catalog.Definition{Type: catalog.CheckDocker}, Status: catalog.Passing}}
	s.sync(state("n1", r, declared))
	s.want("db", "n1/db-1")
	declared.Checks[0].Status, declared.Checks[0].Output = catalog.Critical, catalog.OutputStarting
	s.sync(state("n1", r, declared))
	declared.Checks[0].Output = "refused"
	if result := s.sync(state("n1", r, declared)); result.Puts != 1 {
		t.Errorf("sync wrote %+v, want the one check", result)
	}
	s.want("db")
	if c := s.view.Node("n1").Check("d"); c == nil || c.Output != "refused" || c.Since.IsZero() {
		t.Errorf("check is %+v, want its output and time", c)
	}
	declared.Checks[0].Output = "refused again"
	if result := s.sync(state("n1", r, declared)); result.Puts != 0 {
		t.Errorf("sync wrote %+v for another output", result)
	}
	declared.Checks[0].Status, declared.Checks[0].Output = "", ""
	declared.Checks[0].Name = "renamed"
	s.sync(state("n1", r, declared))
	if c := s.view.Node("n1").Check("d"); c == nil || c.Status != catalog.Critical || c.Name != "renamed" {
		t.Errorf("check is %+v, want it renamed with its status kept", c)
	}
}

func syncManyAtOnce(t *testing.T, s *suite) {
	const n = 1000
	registrations := make([]catalog.Registration, n)
	for i := range registrations {
		registrations[i] = plain("n1", fmt.Sprintf("web-%04d", i), fmt.Sprintf("web-%d", i%10))
	}
	result := s.sync(state("n1", registrations...))
	if result.Puts != n+2 {
		t.Errorf("sync wrote %+v, want %d puts", result, n+2)
	}
	revisions := make(map[uint64]bool)
	for e := range s.view.Node("n1").Endpoints.All() {
		revisions[e.ModRevision] = true
	}
	if len(revisions) != 1 || !revisions[result.Revision] {
		t.Errorf("instances are of revisions %v, want %d only", revisions, result.Revision)
	}
}

func syncOtherID(_ *testing.T, s *suite) {
	s.sync(state("n1", plain("n1", "web-1", "web")))
	other := state("n1")
	other.Node.ID = "another"
	_, err := s.SyncNode(s.ctx, other)
	s.wantKind(err, catalog.KindConflict)
	s.want("web", "n1/web-1")
}

func sessionEnds(t *testing.T, s *suite) {
	st := state("n1", plain("n1", "a", "web"), plain("n1", "b", "web"), plain("n1", "c", "db"))
	s.sync(st)
	s.want("web", "n1/a", "n1/b")
	s.endSession(st)
	web, db := s.view.Service("web"), s.view.Service("db")
	if len(db.Healthy) != 0 || web.Index != db.Index {
		t.Errorf("web went at %d, db (healthy: %d) at %d; want both at once", web.Index, len(db.Healthy), db.Index)
	}
	if len(web.Endpoints) != 2 {
		t.Errorf("%d instances are kept, want 2", len(web.Endpoints))
	}
	s.wantKind(s.RenewNode(s.ctx, "n1"), catalog.KindNotFound)
	s.sync(st)
	s.want("web", "n1/a", "n1/b")
}

// endSession ends the session of a node, which serves web.
func (s *suite) endSession(st catalog.NodeState) {
	s.Helper()
	st.Node.Owner.TTL = ttl
	s.sync(st)
	s.await("web", "the session to end", func() bool { return len(s.found("web")) == 0 })
}

func permanentNode(_ *testing.T, s *suite) {
	st := state("n1", plain("n1", "a", "web"))
	st.Node.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	s.sync(st)
	s.want("web", "n1/a")
	s.wantKind(s.RenewNode(s.ctx, "n1"), catalog.KindNotFound)
}

func registerShows(t *testing.T, s *suite) {
	s.sync(state("n1"))
	r := leased("n1", "web-1", "web", 60*ttl)
	c := ttlCheck("c")
	c.InitialStatus = catalog.Warning
	r.Checks = []catalog.Check{c}
	s.register(r)
	s.want("web", "n1/web-1")
	e := s.view.Instance("n1", "web-1")
	if e.Status != catalog.Warning || len(e.Checks) != 1 || e.Owner.Kind != catalog.OwnerLease || e.Owner.TTL != 60*ttl {
		t.Errorf("instance is %+v %+v, want a warning from its check and its lease", e.Instance, e)
	}
	r.Checks = nil
	s.register(r)
	if e := s.view.Instance("n1", "web-1"); len(e.Checks) != 0 {
		t.Errorf("checks %v are left, want none", e.Checks)
	}
}

func registerTwiceWritesNothing(t *testing.T, s *suite) {
	s.sync(state("n1"))
	first := s.register(leased("n1", "web-1", "web", 60*ttl))
	if second := s.register(leased("n1", "web-1", "web", 60*ttl)); second != first {
		t.Errorf("registered again at revision %d, want %d still", second, first)
	}
	longer := leased("n1", "web-1", "web", 90*ttl)
	if third := s.register(longer); third <= first {
		t.Errorf("another ttl left the record at %d", third)
	}
}

func leaseEnds(t *testing.T, s *suite) {
	s.sync(state("n1"))
	r := leased("n1", "web-1", "web", 60*ttl)
	r.Checks = []catalog.Check{ttlCheck("c")}
	r.Checks[0].InitialStatus = catalog.Passing
	s.register(r)
	s.want("web", "n1/web-1")
	short := r
	short.Instance.Owner.TTL = ttl
	s.register(short)
	s.await("web", "the lease to end", func() bool { return len(s.found("web")) == 0 })
	if e := s.view.Instance("n1", "web-1"); e != nil {
		t.Errorf("instance %+v is left", e.Instance)
	}
	if c := s.view.Node("n1").Check("c"); c != nil {
		t.Errorf("check %+v is left", c)
	}
	s.wantKind(s.Renew(s.ctx, "n1", "web-1"), catalog.KindNotFound)
	s.register(r)
	s.want("web", "n1/web-1")
}

func renewKeeps(t *testing.T, s *suite) {
	s.sync(state("n1"))
	eventually.True(t, "a lease is renewed in time, all along", func() bool { return renewAlong(t, s) })
	permanent := plain("n1", "perm", "web")
	permanent.Instance.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	s.register(permanent)
	s.wantKind(s.Renew(s.ctx, "n1", "perm"), catalog.KindConflict)
}

// renewAlong renews a lease while another one of the same time runs out. It returns false if the renewals were late, as
// on a busy machine, so that the test says nothing about the lease.
func renewAlong(t *testing.T, s *suite) bool {
	begun := time.Now()
	s.register(leased("n1", "web-1", "web", 2*ttl))
	s.register(leased("n1", "clock", "clock", 2*ttl))
	before := s.view.Revision()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	renewed := make(chan error, 1)
	inTime := true
	go func() { // the last renewal in time began at begun
		for pause.For(ctx, time.Duration(ttl)/4) {
			now := time.Now()
			err := s.Renew(ctx, "n1", "web-1")
			inTime = time.Since(begun) < time.Duration(ttl)
			if ctx.Err() == nil && (err != nil || !inTime) {
				renewed <- err
				return
			}
			begun = now
		}
		renewed <- nil
	}()
	s.await("clock", "the other lease to end", func() bool { return len(s.found("clock")) == 0 })
	cancel()
	err := <-renewed
	found, e := s.found("web"), s.view.Instance("n1", "web-1")
	if !inTime || time.Since(begun) >= 2*time.Duration(ttl) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || e == nil || e.ModRevision > before {
		t.Errorf("web has %v, the instance is %+v, want it unwritten since revision %d", found, e, before)
	}
	return true
}

func registerWithoutNode(_ *testing.T, s *suite) {
	_, err := s.Register(s.ctx, leased("nowhere", "web-1", "web", ttl))
	s.wantKind(err, catalog.KindNotFound)
}

func registerOverDeclared(_ *testing.T, s *suite) {
	s.sync(state("n1", plain("n1", "web-1", "web")))
	_, err := s.Register(s.ctx, leased("n1", "web-1", "other", ttl))
	s.wantKind(err, catalog.KindConflict)
	s.want("web", "n1/web-1")
}

func deregister(t *testing.T, s *suite) {
	s.sync(state("n1"))
	r := leased("n1", "web-1", "web", 60*ttl)
	r.Checks = []catalog.Check{ttlCheck("c")}
	s.register(r)
	revision, err := s.Deregister(s.ctx, "n1", "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.view.WaitRevision(s.ctx, revision); err != nil {
		t.Fatal(err)
	}
	if s.view.Instance("n1", "web-1") != nil || s.view.Node("n1").Check("c") != nil {
		t.Error("instance or check is left")
	}
	_, err = s.Deregister(s.ctx, "n1", "web-1")
	s.wantKind(err, catalog.KindNotFound)
}

// as returns the context of a caller with a name.
func (s *suite) as(registrant string) context.Context {
	return catalog.WithCaller(s.ctx, catalog.Caller{Registrant: registrant})
}

// registerAs registers under a registrant's name, and returns the instance's owner afterwards.
func (s *suite) registerAs(registrant string, r catalog.Registration) catalog.Owner {
	s.Helper()
	revision, err := s.Register(s.as(registrant), r)
	if err != nil {
		s.Fatalf("register as %s: %v", registrant, err)
	}
	if err := s.view.WaitRevision(s.ctx, revision); err != nil {
		s.Fatal(err)
	}
	e := s.view.Instance(r.Instance.Node, r.Instance.ID)
	if e == nil || e.Registrant() != registrant {
		s.Fatalf("instance is %+v, want it registered by %s", e, registrant)
	}
	return e.Owner
}

func replaceOwner(t *testing.T, s *suite) {
	s.sync(state("n1"))
	r := leased("n1", "web-1", "web", 60*ttl)
	first := s.registerAs("first", r)
	if again := s.registerAs("first", r); again != first {
		t.Errorf("the same owner has %+v, want %+v as before", again, first)
	}
	second := s.registerAs("second", r) // the same in every other respect
	if second.ID == first.ID {
		t.Error("two owners share a lease")
	}
	err := s.Renew(s.as("first"), "n1", "web-1")
	s.wantKind(err, catalog.KindConflict)
	if err != nil && !strings.Contains(err.Error(), "second") {
		t.Errorf("the replaced owner gets %v, want the new one named", err)
	}
	_, err = s.Deregister(s.as("first"), "n1", "web-1")
	s.wantKind(err, catalog.KindConflict)
	if err := s.Renew(s.as("second"), "n1", "web-1"); err != nil {
		t.Errorf("the new owner renews: %v", err)
	}
	s.want("web", "n1/web-1")
	permanent := plain("n1", "web-1", "web")
	permanent.Instance.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	s.registerAs("third", permanent)
	s.wantKind(s.Renew(s.as("second"), "n1", "web-1"), catalog.KindConflict)
	s.registerAs("fourth", permanent)
	_, err = s.Deregister(s.as("third"), "n1", "web-1")
	s.wantKind(err, catalog.KindConflict)
	if _, err := s.Deregister(s.as("fourth"), "n1", "web-1"); err != nil {
		t.Errorf("the owner deregisters: %v", err)
	}
	_, err = s.Deregister(s.as("fourth"), "n1", "web-1")
	s.wantKind(err, catalog.KindNotFound)
}

func declareAs(t *testing.T, s *suite) {
	declared := state("n1", plain("n1", "web-1", "web"))
	declared.Node.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	for _, registrant := range []string{"first", "second", ""} { // the same in every other respect
		result, err := s.SyncNode(s.as(registrant), declared)
		if err != nil {
			t.Fatalf("sync as %q: %v", registrant, err)
		}
		if err := s.view.WaitRevision(s.ctx, result.Revision); err != nil {
			t.Fatal(err)
		}
		author := ""
		if o := s.view.Instance("n1", "web-1").Author(); o != nil {
			author = o.Registrant
		}
		if author != registrant {
			t.Errorf("the instance is %q's, want %q's", author, registrant)
		}
	}
	if _, err := s.SyncNode(s.as("second"), declared); err != nil {
		t.Fatal(err)
	}
	_, err := s.Deregister(s.as("first"), "n1", "web-1")
	s.wantKind(err, catalog.KindConflict)
	if err != nil && !strings.Contains(err.Error(), "by second") {
		t.Errorf("the replaced owner gets %v, want the new one named", err)
	}
	if _, err := s.Deregister(s.as("second"), "n1", "web-1"); err != nil {
		t.Errorf("the owner deregisters: %v", err)
	}
}

func nameless(t *testing.T, s *suite) {
	s.sync(state("n1"))
	owner := s.registerAs("first", leased("n1", "web-1", "web", 60*ttl))
	if err := s.Renew(s.ctx, "n1", "web-1"); err != nil {
		t.Errorf("renew: %v", err)
	}
	if again := s.registerAs("first", leased("n1", "web-1", "web", 60*ttl)); again != owner {
		t.Errorf("the owner has %+v, want %+v as before", again, owner)
	}
	if _, err := s.Deregister(s.ctx, "n1", "web-1"); err != nil {
		t.Errorf("deregister: %v", err)
	}
}

func deregisterDeclared(_ *testing.T, s *suite) {
	s.sync(state("n1", plain("n1", "web-1", "web")))
	_, err := s.Deregister(s.ctx, "n1", "web-1")
	s.wantKind(err, catalog.KindConflict)
	s.want("web", "n1/web-1")
}

func removeNode(t *testing.T, s *suite) {
	st := state("n1", plain("n1", "a", "web"))
	s.sync(st)
	_, err := s.RemoveNode(s.ctx, "n1")
	s.wantKind(err, catalog.KindConflict)
	s.endSession(st)
	revision, err := s.RemoveNode(s.ctx, "n1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.view.WaitRevision(s.ctx, revision); err != nil {
		t.Fatal(err)
	}
	if s.view.Node("n1") != nil || len(s.view.Services()) != 0 {
		t.Errorf("left: node %v, services %v", s.view.Node("n1"), s.view.Services())
	}
	_, err = s.RemoveNode(s.ctx, "n1")
	s.wantKind(err, catalog.KindNotFound)
}

func letterCase(t *testing.T, s *suite) {
	st := state("n1", plain("n1", "a", "web"))
	s.sync(st)
	if err := s.RenewNode(s.ctx, "N1"); err != nil {
		t.Error(err)
	}
	permanent := plain("N1", "perm", "web")
	permanent.Instance.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
	s.register(permanent)
	s.want("web", "n1/a", "n1/perm")
	revision, err := s.Deregister(s.ctx, "N1", "perm")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.view.WaitRevision(s.ctx, revision); err != nil {
		t.Fatal(err)
	}
	s.want("web", "n1/a")
	s.endSession(st)
	if revision, err = s.RemoveNode(s.ctx, "N1"); err != nil {
		t.Fatal(err)
	}
	if err := s.view.WaitRevision(s.ctx, revision); err != nil {
		t.Fatal(err)
	}
	if s.view.Node("n1") != nil || len(s.view.Services()) != 0 {
		t.Errorf("left: node %v, services %v", s.view.Node("n1"), s.view.Services())
	}
}

func refuseInvalid(_ *testing.T, s *suite) {
	s.sync(state("n1", plain("n1", "web-1", "web")))
	_, err := s.SyncNode(s.ctx, state("n1", plain("n1", "x", "not a name")))
	s.wantKind(err, catalog.KindInvalid)
	_, err = s.SyncNode(s.ctx, state("n1", plain("n1", "x", "web"), plain("n1", "x", "web")))
	s.wantKind(err, catalog.KindInvalid)
	_, err = s.Register(s.ctx, leased("n1", "x", "web", catalog.Duration(48*time.Hour)))
	s.wantKind(err, catalog.KindInvalid)
	_, err = s.Register(s.ctx, leased("n1", "x", "-web", ttl))
	s.wantKind(err, catalog.KindInvalid)
	s.want("web", "n1/web-1")
}
