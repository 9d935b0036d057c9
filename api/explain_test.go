package api

import (
	"context"
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
		b := newBed(t, func(c *Config) { c.ResolvesHosts = test.resolves })
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
