package api

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

// seenBy is a source that has seen a few things.
type seenBy struct{ err error }

func (s seenBy) Explain(_ context.Context, name string) (instances []string, left []catalog.LeftOut, err error) {
	switch name {
	case "box":
		return []string{"a"}, nil, nil
	case "hidden", "web":
		return nil, []catalog.LeftOut{{Node: "n1", Source: "docker", Name: "hidden", ID: "1", Why: "it is ignored"}}, nil
	}
	return nil, nil, s.err
}

func TestExplainWhatIsNotRegistered(t *testing.T) {
	b := newBed(t, func(c *Config) { c.Explainer = seenBy{} })
	for name, want := range map[string][2]int{"box": {1, 0}, "hidden": {0, 1}, "web": {2, 1}, "a": {1, 0}} {
		list, err := b.client.Explain(t.Context(), name, "")
		if got := [2]int{len(list.Explanations), len(list.LeftOut)}; err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v explanations and things left out", name, got, err, want)
		}
	}
	list, _ := b.client.Explain(t.Context(), "hidden", "")
	want := []catalog.LeftOut{{Node: "n1", Source: "docker", Name: "hidden", ID: "1", Why: "it is ignored"}}
	if diff := cmp.Diff(want, list.LeftOut); diff != "" {
		t.Error(diff)
	}
	if got := b.get(t, "/explain?name=nobody"); got.code != 404 || !strings.Contains(got.body, "never registered") {
		t.Errorf("%d %s", got.code, got.body)
	}
	failing := newBed(t, func(c *Config) {
		c.Explainer = seenBy{catalog.Errorf(catalog.KindUnavailable, "docker engine: it is away")}
	})
	if got := failing.get(t, "/explain?name=nobody"); got.code != 404 || !strings.Contains(got.body, "it is away") {
		t.Errorf("%d %s, want a hint that the engine could not be asked", got.code, got.body)
	}
	if got := failing.get(t, "/explain?name=web"); got.code != 200 {
		t.Errorf("%d %s", got.code, got.body)
	}
}

// TestExplainNamesTheDomain holds that names in DNS are below the server's own domain.
func TestExplainNamesTheDomain(t *testing.T) {
	for domain, want := range map[string]string{"": "web.service.koine", "svc.corp.internal": "web.service.svc.corp.internal"} {
		list, err := newBed(t, func(c *Config) { c.Domain = domain }).client.Explain(t.Context(), "web", "")
		if err != nil || list.Explanations[0].Doors[1].Names[0] != want {
			t.Errorf("%q: %v, %v, want %s", domain, list.Explanations, err, want)
		}
	}
}

// put registers an instance.
func put(t *testing.T, b *bed, id, body string) {
	t.Helper()
	if got := b.do(t, "PUT", "/instances/"+id, body); got.code != 200 {
		t.Fatalf("%s: %d %s", id, got.code, got.body)
	}
}

// TestExplainHostNames holds the explanation of an instance without an address in DNS.
func TestExplainHostNames(t *testing.T) {
	for _, test := range []struct {
		resolves    bool
		ports, want string
	}{
		{true, `[{"number": 5432}]`, ""},
		{false, `[{"number": 5432}]`, "A and AAAA: it has a host name"},
		{false, `[]`, "A, AAAA and SRV: it has a host name and no port"},
	} {
		b := newBed(t, func(c *Config) { c.ResolvesHosts = func() bool { return test.resolves } })
		put(t, b, "h1", `{"service": "hosty", "permanent": true, "ports": `+test.ports+`, "addresses": [{"host": "db.example.net"}]}`)
		explain := func() string {
			t.Helper()
			list, err := b.client.Explain(t.Context(), "h1", "")
			if err != nil || len(list.Explanations) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			return list.Explanations[0].Doors[1].Without
		}
		if got := explain(); strings.Contains(got, "host name") {
			t.Errorf("alone: %q", got)
		}
		put(t, b, "h2", `{"service": "hosty", "permanent": true, "addresses": [{"ip": "10.0.0.77"}]}`)
		if got := explain(); !strings.HasPrefix(got, test.want) || strings.Contains(got, "host name") != (test.want != "") {
			t.Errorf("resolving %v, ports %s: %q, want %q", test.resolves, test.ports, got, test.want)
		}
	}
}

// TestExplainAgreesWithTheAnswer holds that an explanation has the address and the port of the answer, and a true reason if
// there is none.
func TestExplainAgreesWithTheAnswer(t *testing.T) {
	b := newBed(t)
	b.view.SetNetworks([]catalog.Network{
		{ID: "A", Name: "back", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Gateways: []netip.Addr{netip.MustParseAddr("10.1.0.1")}},
	})
	const inner = `{"network": "back", "network_id": "A", "ip": "10.1.0.2"}`
	for id, test := range map[string]struct{ body, outside, host, why string }{
		"jvb": {`"ports": [{"number": 8080, "bindings": ["127.0.0.1:8080"]}, {"number": 10000, "protocol": "udp", "published": 10000}],
			"addresses": [` + inner + `, {"network": "host", "ip": "192.0.2.20"}]`, "192.0.2.20 10000", "10.1.0.2 8080", ""},
		"split": {`"ports": [{"number": 80, "bindings": ["192.0.2.10:8443"]}, {"number": 9090, "bindings": ["192.0.2.20:9100"]}],
			"addresses": [` + inner + `, {"network": "host", "ip": "192.0.2.20"}]`, "192.0.2.10 8443", "10.1.0.2 80", ""},
		"local": {`"ports": [{"number": 8888, "bindings": ["127.0.0.1:8888"]}], "addresses": [` + inner + `]`, " 8888", "10.1.0.2 8888",
			"it is on back, and publishes 127.0.0.1:8888 only, where none but its own host reaches it; the client is on no network known here"},
		"swarm": {`"ports": [{"number": 80}], "addresses": [` + inner + `, {"network": "ingress", "network_id": "I", "ip": "10.255.0.3"}]`, " 80", "10.1.0.2 80",
			"it is on back, ingress, and publishes no port itself: those that Swarm publishes are not known; the client is on no network known here"},
		"inside": {`"ports": [{"number": 80}], "addresses": [` + inner + `]`, " 80", "10.1.0.2 80",
			"it is on back, and publishes no port; the client is on no network known here"},
	} {
		put(t, b, id, `{"service": "`+id+`", "permanent": true, `+test.body+`}`)
		for as, want := range map[string]string{"203.0.113.9": test.outside, "127.0.0.1": test.host} {
			list, err := b.client.Explain(t.Context(), id, as)
			if err != nil || len(list.Explanations) != 1 {
				t.Fatalf("%s: %v, %v", id, list, err)
			}
			x := list.Explanations[0]
			if got := fmt.Sprint(x.Address, " ", x.Port); got != want {
				t.Errorf("%s as %s: %s, want %s", id, as, got, want)
			}
			d := x.Doors[1]
			switch given := x.Address != ""; {
			case d.Visible != given || !given && d.Why != test.why:
				t.Errorf("%s as %s: visible %v, because %q", id, as, d.Visible, d.Why)
			case given && (d.Addresses[0] != x.Address || d.Port != x.Port):
				t.Errorf("%s as %s: %v, and the answer is %s %d", id, as, d, x.Address, x.Port)
			}
		}
	}
}

// TestExplainNameThatWasMadeFit holds that a container's service is found by the name that it has in Compose.
func TestExplainNameThatWasMadeFit(t *testing.T) {
	b := newBed(t)
	put(t, b, "api-1", `{"service": "api-v1", "permanent": true}`)
	list, err := b.client.Explain(t.Context(), "api.v1", "")
	if err != nil || len(list.Explanations) != 1 || list.Explanations[0].ID != "api-1" {
		t.Errorf("%v, %v", list, err)
	}
}

// TestExplainLimit holds that an explanation has the limit of the service's answers, and names the instance whose limit it is.
func TestExplainLimit(t *testing.T) {
	b := newBed(t)
	for id, limit := range map[string]string{"l-a": `"dns_limit": 3, `, "l-b": `"dns_limit": 2, `, "l-c": "", "l-d": `"dns_limit": 2, `} {
		put(t, b, id, `{"service": "limited", `+limit+`"permanent": true, "address": "192.0.2.9"}`)
	}
	list, err := b.client.Explain(t.Context(), "limited", "")
	if err != nil || len(list.Explanations) != 4 {
		t.Fatalf("%v, %v", list, err)
	}
	const smallest = ": l-b on node n1 has 2, and the smallest of a service counts"
	for i, want := range []string{"its dns_limit of 3 has no effect" + smallest, "", "it has no dns_limit" + smallest, ""} {
		x := list.Explanations[i]
		if got := strings.Join(x.Warnings, " "); got != want {
			t.Errorf("%s: warned of %q, want %q", x.ID, got, want)
		}
		if x.Doors[0].Limit != 0 || x.Doors[1].Limit != 2 {
			t.Errorf("%s: limits %d and %d", x.ID, x.Doors[0].Limit, x.Doors[1].Limit)
		}
	}
}
