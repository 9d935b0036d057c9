package daemon

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/agent"
	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/health"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/registry"
)

// process is the part of a Koine process that deals with checks.
type process struct {
	name   string
	store  *engine.Engine
	reg    *registry.Registry
	checks *health.Runner
	stop   func()
}

func startProcess(t *testing.T, e *engine.Engine, name string) *process {
	t.Helper()
	view := catalog.NewView()
	reg, err := registry.New(registry.Config{Client: e.Client, KV: e.KV, MaxOps: e.MaxOps, MaxBytes: e.MaxBytes, View: view})
	if err != nil {
		t.Fatal(err)
	}
	checks, err := health.New(health.Config{Reporter: reg, View: view, Deregisterer: remover{reg}})
	if err != nil {
		t.Fatal(err)
	}
	host, err := agent.New(agent.Config{
		Node: catalog.Node{Name: name, ID: "id-of-" + name, Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Hour)}},
		View: view, Registry: reg, Checks: checks, Orphans: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{reg.Run, checks.Run, host.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	p := &process{name, e, reg, checks, sync.OnceFunc(func() { cancel(); running.Wait() })}
	t.Cleanup(p.stop)
	if err := view.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends a process and its session, as a crash does once the session has run out.
func (p *process) kill(t *testing.T) {
	t.Helper()
	lease, err := strconv.ParseInt(p.reg.View().Node(p.name).Session, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if _, err := p.store.Client.Revoke(t.Context(), clientv3.LeaseID(lease)); err != nil {
		t.Fatal(err)
	}
}

// external registers a node without an agent, with a TTL check and one of an address.
func (p *process) external(t *testing.T, node, address string) {
	t.Helper()
	permanent := catalog.Owner{Kind: catalog.OwnerPermanent}
	if _, err := p.reg.SyncNode(t.Context(), catalog.NodeState{Node: catalog.Node{Name: node, Owner: permanent}}); err != nil {
		t.Fatal(err)
	}
	_, err := p.reg.Register(t.Context(), catalog.Registration{
		Instance: catalog.Instance{ID: "x", Node: node, Service: "web", Owner: permanent},
		Checks: []catalog.Check{
			{ID: "ttl", Definition: catalog.Definition{TTL: catalog.Duration(time.Hour)}},
			{ID: "tcp", Definition: catalog.Definition{TCP: address, Interval: catalog.Duration(20 * time.Millisecond)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// runners returns, for each check that does not run in exactly the process that the View names, the number of processes that
// run it.
func runners(all []*process, nodes []string) (wrong []string) {
	for _, node := range nodes {
		for _, check := range []string{"ttl", "tcp"} {
			var run []string
			for _, p := range all {
				if _, ok := p.checks.Check(node, check); ok {
					run = append(run, p.name)
				}
			}
			holder := all[0].reg.View().Holder(catalog.ChecksDuty(node))
			if holder == nil || len(run) != 1 || run[0] != holder.Name {
				wrong = append(wrong, fmt.Sprintf("%s/%s by %v", node, check, run))
			}
		}
	}
	return wrong
}

// settle waits until no fault is left.
func settle(t *testing.T, what string, wrong func() []string) {
	t.Helper()
	var last []string
	defer func() {
		if t.Failed() {
			t.Logf("wrong at last: %s", strings.Join(last, "; "))
		}
	}()
	eventually.True(t, what, func() bool {
		last = wrong()
		return len(last) == 0
	})
}

// TestOneRunnerEach has three processes on one store: one of them runs each check of a node without an agent, and another takes
// over when that one dies. A push to any of them counts, and survives the move.
func TestOneRunnerEach(t *testing.T) {
	e := enginetest.Open(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() { // or the queue of connections would fill; it ends with the listener
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			_ = conn.Close()
		}
	}()
	all := []*process{startProcess(t, e, "h1"), startProcess(t, e, "h2"), startProcess(t, e, "h3")}
	var nodes []string
	held := make(map[string]int)
	for i := 0; len(held) < len(all); i++ { // each of them has some
		node := fmt.Sprint("ext-", i)
		all[i%3].external(t, node, listener.Addr().String())
		nodes = append(nodes, node)
		if holder := all[0].reg.View().Holder(catalog.ChecksDuty(node)); holder != nil {
			held[holder.Name]++
		}
	}
	push := func(turn int) {
		t.Helper()
		for i, node := range nodes {
			p := all[(i+turn)%len(all)]
			if err := p.checks.Push(t.Context(), strings.ToUpper(node), "ttl", catalog.Passing, ""); err != nil {
				t.Fatalf("push for %s to %s: %v", node, p.name, err)
			}
		}
	}
	push(0)
	healthy := func() (wrong []string) {
		for _, node := range nodes {
			for _, p := range all {
				if e := p.reg.View().Instance(node, "x"); e == nil || e.Status != catalog.Passing {
					wrong = append(wrong, node+" at "+p.name)
				}
			}
		}
		return wrong
	}
	settle(t, "each check has one runner and passes", func() []string { return append(runners(all, nodes), healthy()...) })
	settled := all[0].reg.View().Revision()
	for turn := range 6 {
		push(turn)
	}
	for len(all) > 1 {
		all[0].kill(t)
		all = all[1:]
		settle(t, "each check has one runner", func() []string { return runners(all, nodes) })
		push(1)
	}
	settle(t, "all checks pass", healthy)
	events, _ := all[0].reg.View().Events(0)
	for event := range events {
		if event.Revision > settled && event.Node != "" && event.Instance != "" {
			t.Errorf("after all was passing: %+v", event)
		}
	}
	_ = listener.Close()
	settle(t, "the last process finds the address closed", func() (wrong []string) {
		for _, node := range nodes {
			if all[0].reg.View().Instance(node, "x").Status != catalog.Critical {
				wrong = append(wrong, node)
			}
		}
		return wrong
	})
}

// TestNodeNameIsTaken starts a host under a name that another host has: it ends, says why, and leaves the other alone.
func TestNodeNameIsTaken(t *testing.T) {
	address := enginetest.Etcd(t)
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = etcd.Close() }()
	var put *clientv3.PutResponse
	for key, value := range map[string]string{
		"koine/node/twin":  `{"v":1,"name":"twin","id":"first","owner":{"kind":"session","ttl":"1s"}}`,
		"koine/alive/twin": `{"v":1,"session":"7b"}`,
	} {
		if put, err = etcd.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	second, err := New(Config{
		Node: "twin", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, Engine: engine.Scheme + address, SessionTTL: time.Second, DataDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Run(t.Context())
	if catalog.KindOf(err) != catalog.KindConflict || !strings.Contains(err.Error(), "node twin is alive under another id") ||
		!strings.Contains(err.Error(), "--node") {
		t.Errorf("the second host of the name ended with: %v", err)
	}
	if second.View().Ready() {
		t.Error("the second host was ready")
	}
	kept, err := etcd.Get(t.Context(), "koine/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range kept.Kvs {
		if kv.ModRevision > put.Header.Revision && !strings.HasPrefix(string(kv.Key), "koine/mark/") { // of the start, not of the node
			t.Errorf("%s was written: %s", kv.Key, kv.Value)
		}
	}
}

// TestFormerSelfIsWaitedFor has a host come back without its data directory: its own former session ends by itself.
func TestFormerSelfIsWaitedFor(t *testing.T) {
	etcd := engine.Scheme + enginetest.Etcd(t)
	cfg := Config{Node: "self", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, Engine: etcd, SessionTTL: 2 * time.Second, DataDir: t.TempDir()}
	before, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- before.Run(ctx) }()
	if err := before.View().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := before.View().Node("self").Node.ID
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	after := runDaemon(t, cfg)
	if node := after.View().Node("self"); node.Node.ID == id || !node.Alive {
		t.Errorf("node is %+v, had id %s", node.Node, id)
	}
}
