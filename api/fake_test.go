package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// store stands in for the registry: it applies writes to the View at once, and records the calls.
type store struct {
	mu    sync.Mutex
	view  *catalog.View
	calls []string
	// err is returned by all calls while set.
	err          error
	registration catalog.Registration
	state        catalog.NodeState
}

func (f *store) called(format ...string) error {
	f.calls = append(f.calls, strings.Join(format, " "))
	return f.err
}

// apply writes changes at the next revision.
func (f *store) apply(changes ...catalog.Change) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applyLocked(changes...)
}

func (f *store) applyLocked(changes ...catalog.Change) uint64 {
	revision := f.view.Revision() + 1
	for i := range changes {
		changes[i].CreateRevision, changes[i].ModRevision = revision, revision
	}
	f.view.Apply(revision, changes)
	return revision
}

func (f *store) Register(_ context.Context, r catalog.Registration) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("register", r.Instance.Node, r.Instance.ID); err != nil {
		return 0, err
	}
	if err := r.Validate(); err != nil {
		return 0, err
	}
	f.registration = r
	changes := []catalog.Change{instanceChange(&r.Instance)}
	for i := range r.Checks {
		changes = append(changes, checkChange(&r.Checks[i]))
	}
	return f.applyLocked(changes...), nil
}

func (f *store) Deregister(_ context.Context, node, id string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("deregister", node, id); err != nil {
		return 0, err
	}
	return f.applyLocked(catalog.Change{Type: catalog.RecordInstance, Name: node, ID: id}), nil
}

func (f *store) Renew(_ context.Context, node, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.called("renew", node, id)
}

func (f *store) SyncNode(_ context.Context, state catalog.NodeState) (catalog.SyncResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("sync", state.Node.Name); err != nil {
		return catalog.SyncResult{}, err
	}
	f.state = state
	return catalog.SyncResult{Revision: f.view.Revision(), Puts: 2, Conflicts: []string{"instance x"}}, state.Validate()
}

func (f *store) RenewNode(_ context.Context, node string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.called("renew-node", node)
}

func (f *store) RemoveNode(_ context.Context, node string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view.Revision() + 5, f.called("remove-node", node)
}

func (f *store) Push(_ context.Context, node, check string, status catalog.Status, output string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.called("push", node, check, string(status), output)
}

func (f *store) Drain(_ context.Context, d catalog.Drain) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("drain", d.Service, d.Node, d.Instance, d.Reason); err != nil {
		return 0, err
	}
	return f.applyLocked(drainChange(&d, &d)), nil
}

func (f *store) Undrain(_ context.Context, d catalog.Drain) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("undrain", d.Service, d.Node, d.Instance); err != nil {
		return 0, err
	}
	return f.applyLocked(drainChange(&d, nil)), nil
}

func drainChange(target, order *catalog.Drain) catalog.Change {
	if target.Service != "" {
		return catalog.Change{Type: catalog.RecordDrain, ID: target.Service, Drain: order}
	}
	return catalog.Change{Type: catalog.RecordDrain, Name: target.Node, ID: target.Instance, Drain: order}
}

func (f *store) Barrier(context.Context) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view.Revision(), f.called("barrier")
}

func (f *store) recorded() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

var since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func instanceChange(i *catalog.Instance) catalog.Change {
	return catalog.Change{Type: catalog.RecordInstance, Name: i.Node, ID: i.ID, Instance: i}
}

func checkChange(c *catalog.Check) catalog.Change {
	return catalog.Change{Type: catalog.RecordCheck, Name: c.Node, ID: c.ID, Check: c}
}

func nodeChange(name string) []catalog.Change {
	node := &catalog.Node{
		Name: name, ID: "id-" + name, Addresses: []catalog.Address{{Network: "host", IP: netip.MustParseAddr("10.0.0.1")}},
		Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(10 * time.Second)},
	}
	return []catalog.Change{
		{Type: catalog.RecordNode, Name: name, Node: node},
		{Type: catalog.RecordSession, Name: name, Session: "abc"},
	}
}

func instance(service, id string, tags ...string) *catalog.Instance {
	return &catalog.Instance{
		ID: id, Node: "n1", Service: service, Tags: tags, Source: "docker",
		Ports: []catalog.Port{{Number: 80, Published: 8080}}, Owner: catalog.Owner{Kind: catalog.OwnerSession},
		Meta: map[string]string{"version": "1:2"},
	}
}

func check(id, of string, status catalog.Status) *catalog.Check {
	return &catalog.Check{
		ID: id, Node: "n1", Instance: of, Name: "ping", Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: ":1"},
		Status: status, Output: "out of " + id, Since: since,
	}
}

// bed is a server with a loaded View.
type bed struct {
	*store
	server *Server
	http   *httptest.Server
	client *client.Client
}

// newBed returns a server whose catalog holds, at revision 10, a node with the services web (a, tagged blue; b, critical)
// and db (c, with a warning).
func newBed(t *testing.T, adjust ...func(*Config)) *bed {
	t.Helper()
	view := catalog.NewView()
	records := append(nodeChange("n1"),
		instanceChange(instance("web", "a", "blue")), instanceChange(instance("Web", "b", "green")),
		checkChange(check("b:1", "b", catalog.Critical)),
		instanceChange(instance("db", "c")), checkChange(check("c:1", "c", catalog.Warning)),
		checkChange(check("disk", "", catalog.Passing)))
	for i := range records {
		records[i].CreateRevision, records[i].ModRevision = 7, 9
	}
	view.Load(10, records)
	return serveView(t, view, adjust...)
}

func serveView(t *testing.T, view *catalog.View, adjust ...func(*Config)) *bed {
	t.Helper()
	b := &bed{store: &store{view: view}}
	cfg := Config{View: view, Registrar: b.store, Nodes: b.store, Drainer: b.store, Pusher: b.store, Barrier: b.store, Node: "n1", Version: "v0"}
	for _, f := range adjust {
		f(&cfg)
	}
	var err error
	if b.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(root+"/", b.server.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	b.http = httptest.NewUnstartedServer(mux)
	b.http.Config.BaseContext = baseContext(ctx)
	b.http.Start()
	t.Cleanup(func() { cancel(); b.http.Close() })
	b.client, err = client.New(client.Config{Address: b.http.URL, HTTPClient: b.http.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answer is a response with its body read.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (b *bed) do(t *testing.T, method, path, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, b.http.URL+root+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := b.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(read)}
}

func (b *bed) get(t *testing.T, path string) answer { t.Helper(); return b.do(t, "GET", path, "") }

// problem decodes the body of a refusal.
func (a answer) problem(t *testing.T) client.ErrorDetail {
	t.Helper()
	var body client.ErrorBody
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	return body.Error
}
