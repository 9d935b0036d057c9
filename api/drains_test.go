package api

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func TestDrains(t *testing.T) {
	b := newBed(t)
	if _, err := b.client.Drain(t.Context(), catalog.Drain{Instance: "a", Reason: "new disk"}); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, b.get(t, "/services/web").body); got != "" {
		t.Errorf("web has %q with its one healthy instance drained", got)
	}
	list, err := b.client.Drains(t.Context())
	if orders := list.Drains; err != nil || len(orders) != 1 || orders[0].Node != "n1" || orders[0].Instance != "a" || orders[0].Since.IsZero() {
		t.Errorf("orders %+v, %v; want that of a on the server's own node", orders, err)
	}
	if _, err := b.client.Drain(t.Context(), catalog.Drain{Service: "db"}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []catalog.Drain{{Instance: "a", Node: "n1"}, {Service: "db"}} {
		if _, err := b.client.Undrain(t.Context(), d); err != nil {
			t.Errorf("undrain %+v: %v", d, err)
		}
	}
	if got := ids(t, b.get(t, "/services/web").body); got != "a" {
		t.Errorf("web has %q after the order was taken back", got)
	}
	if got := b.do(t, "PUT", "/drains", `{"instans":"a"}`); got.code != 400 || !strings.Contains(got.body, "instans") {
		t.Errorf("an order with an unknown field: %d %s", got.code, got.body)
	}
	if got := b.do(t, "DELETE", "/drains?color=red", ""); got.code != 400 {
		t.Errorf("an order by color: %d %s", got.code, got.body)
	}
	readOnly := newBed(t, func(c *Config) { c.Drainer = nil })
	for method, body := range map[string]string{"PUT": "{}", "DELETE": ""} {
		if got := readOnly.do(t, method, "/drains", body); got.code != 503 {
			t.Errorf("%s without a drainer: %d %s", method, got.code, got.body)
		}
	}
}

// TestDrainsByOwners lists the instances that their owners drain beside the orders, with the time of the signal if it is known.
func TestDrainsByOwners(t *testing.T) {
	b := newBed(t)
	at := time.Unix(1000, 0).UTC()
	stopped, paused := instance("web", "stopped"), instance("web", "paused")
	stopped.Source, stopped.Drain = "docker", "stop signal SIGTERM"
	stopped.Extras = map[string]json.RawMessage{"docker": json.RawMessage(`{"drained_at":"` + at.Format(time.RFC3339) + `"}`)}
	paused.Drain = "paused"
	b.apply(instanceChange(stopped), instanceChange(paused))
	list, err := b.client.Drains(t.Context())
	want := []catalog.Drain{
		{Node: "n1", Instance: "paused", Reason: "paused"},
		{Node: "n1", Instance: "stopped", Reason: "stop signal SIGTERM", Since: at},
	}
	if err != nil || len(list.Drains) != 0 || !slices.Equal(list.Instances, want) {
		t.Errorf("%+v, %v; want %+v", list, err, want)
	}
}

func TestExplain(t *testing.T) {
	b := newBed(t)
	container := instance("web", "c1")
	container.Owner = catalog.Owner{Kind: catalog.OwnerContainer, ID: "0123456789abcdef"}
	container.Extras = map[string]json.RawMessage{"docker": json.RawMessage(`{"named_by":"label koine.name","warnings":["koine.wieght: no such label"]}`)}
	container.Addresses = []catalog.Address{{Network: "front", NetworkID: "f", IP: netip.MustParseAddr("10.80.0.2")}}
	container.Tags = []string{"blue", "not a label"}
	other := instance("api", "c2")
	other.Addresses = []catalog.Address{{Network: "back", NetworkID: "b", IP: netip.MustParseAddr("10.81.0.2")}}
	leased := instance("api", "lease")
	leased.Ports = nil
	leased.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: 1e9}
	b.apply(instanceChange(container), instanceChange(other), instanceChange(leased))
	b.view.SetNetworks([]catalog.Network{
		{ID: "f", Name: "front", Subnets: []netip.Prefix{netip.MustParsePrefix("10.80.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("10.80.0.1")}},
		{ID: "b", Name: "back", Subnets: []netip.Prefix{netip.MustParsePrefix("10.81.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("10.81.0.1")}},
	})
	one := func(name, as string) client.Explanation {
		t.Helper()
		list, err := b.client.Explain(t.Context(), name, as)
		if err != nil || len(list.Explanations) != 1 {
			t.Fatalf("explain %s as %s: %+v, %v; want one", name, as, list, err)
		}
		return list.Explanations[0]
	}
	x := one("c1", "")
	if x.NamedBy != "label koine.name" || !strings.Contains(x.KeptBy, "container 0123456789ab, and the session of node n1") {
		t.Errorf("named by %q, kept by %q", x.NamedBy, x.KeptBy)
	}
	if !slices.Equal(x.Warnings, []string{"koine.wieght: no such label"}) {
		t.Errorf("warnings %q", x.Warnings)
	}
	if dns := x.Doors[1]; dns.Door != "dns" || !dns.Visible || len(dns.Names) != 2 || dns.Addresses[0] != "10.80.0.2" {
		t.Errorf("the host gets %+v", dns)
	}
	for as, visible := range map[string]bool{"c2": false, "10.80.0.9": true, "10.81.0.9": false, "192.0.2.1": false} {
		dns := one("c1", as).Doors[1]
		if dns.Visible != visible || visible != (dns.Why == "") {
			t.Errorf("%s gets %+v, want visible %v and why", as, dns, visible)
		}
		if !visible && !strings.Contains(dns.Why, "it is on front") {
			t.Errorf("%s gets the reason %q", as, dns.Why)
		}
	}
	if got := one("b", "").Doors[1]; got.Visible || got.Why == "" {
		t.Errorf("a critical instance: %+v", got)
	}
	if got := one("lease", "").KeptBy; got != "a lease of 1s that its owner renews" {
		t.Errorf("kept by %q", got)
	}
	if list, err := b.client.Explain(t.Context(), "web", ""); err != nil || len(list.Explanations) != 3 {
		t.Errorf("service web: %+v, %v; want its three instances", list, err)
	}
	if got := one("0123456789ab", ""); got.ID != "c1" {
		t.Errorf("the container's short id finds %s", got.ID)
	}
	if got := one("lease", "").Doors[1].Without; !strings.HasPrefix(got, "SRV") {
		t.Errorf("without a port it is without %q", got)
	}
	for query, code := range map[string]int{
		"": 400, "?name=nobody": 404, "?name=web&as=nobody": 404, "?name=web&for=me": 400,
	} {
		if got := b.get(t, "/explain"+query); got.code != code {
			t.Errorf("%q: %d %s, want %d", query, got.code, got.body, code)
		}
	}
}

// watcher knows of one check's runs, of one lease, and of the time of one revision.
type watcher struct{ asked map[string]int }

func (watcher) Check(node, id string) (catalog.CheckRun, bool) {
	run := catalog.CheckRun{FlapScore: 12.5, Damped: true, Status: catalog.Passing, Output: "200", Last: time.Unix(5, 0)}
	return run, node == "n1" && id == "b:1"
}

func (w watcher) TimeLeft(_ context.Context, id string) (time.Duration, error) {
	w.asked[id]++
	if id != "lease-1" {
		return 0, catalog.Errorf(catalog.KindNotFound, "no lease")
	}
	return 7 * time.Second, nil
}

func (watcher) TimeOf(_ context.Context, revision uint64) (time.Time, error) {
	if revision != 7 {
		return time.Time{}, catalog.Errorf(catalog.KindNotFound, "forgotten")
	}
	return time.Unix(100, 0).UTC(), nil
}

func TestExplainOwners(t *testing.T) {
	w := watcher{asked: make(map[string]int)}
	b := newBed(t, func(cfg *Config) { cfg.Runs, cfg.Keeper = w, w })
	session := func(id string) catalog.Change {
		return catalog.Change{Type: catalog.RecordSession, Name: "n1", Session: id}
	}
	b.apply(session("lease-1"))
	leased := instance("db", "leased")
	leased.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(30 * time.Second), ID: "lease-1"}
	owned := instance("db", "owned")
	owned.Owner = catalog.Owner{Kind: catalog.OwnerSession}
	b.apply(instanceChange(leased), instanceChange(owned))
	explain := func(name string) map[string]client.Explanation {
		t.Helper()
		list, err := b.client.Explain(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		byID := make(map[string]client.Explanation)
		for _, x := range list.Explanations {
			byID[x.ID] = x
		}
		return byID
	}
	x := explain("db")
	if got := x["leased"]; got.KeptBy != "a lease of 30s that its owner renews, 7s left" ||
		got.LeaseLeft != catalog.Duration(7*time.Second) || !got.RegisteredAt.IsZero() {
		t.Errorf("leased: %+v", got)
	}
	if got := x["owned"]; got.KeptBy != "the session of node n1, which is alive, 7s left" || !got.NodeAlive {
		t.Errorf("owned: %+v", got)
	}
	if w.asked["lease-1"] != 1 {
		t.Errorf("the lease was asked for %d times", w.asked["lease-1"])
	}
	if got := x["c"].RegisteredAt; !got.Equal(time.Unix(100, 0)) {
		t.Errorf("registered at %v", got)
	}
	if run := explain("b")["b"].Checks[0].Run; run == nil || run.FlapScore != 12.5 || !run.Damped || run.Last.Unix() != 5 {
		t.Errorf("runs %+v", run)
	}
	if run := x["c"].Checks[0].Run; run != nil {
		t.Errorf("runs of a check that is not run here: %+v", run)
	}
	if got := b.get(t, "/checks?service=web"); !strings.Contains(got.body, `"run":{"flap_score":12.5,"damped":true`) {
		t.Errorf("checks %s", got.body)
	}
	b.apply(session(""), catalog.Change{Type: catalog.RecordNode, Name: "n1"})
	if got := explain("owned")["owned"]; got.KeptBy != "the session of node n1, which has ended" || got.NodeAlive {
		t.Errorf("owned by a dead node: %+v", got)
	}
}
