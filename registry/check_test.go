package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

func TestNextCheck(t *testing.T) {
	then, now := time.Unix(50, 0), time.Unix(100, 0)
	http := func(url string) catalog.Definition { return catalog.Definition{Type: catalog.CheckHTTP, HTTP: url} }
	kept := &catalog.Check{ID: "c", Node: "n1", Instance: "web", Definition: http("http://a/"), Status: catalog.Passing, Output: "200", Since: then}
	changed := func(change func(*catalog.Check)) *catalog.Check {
		c := &catalog.Check{ID: "c", Node: "n1", Instance: "web", Definition: http("http://a/")}
		change(c)
		return c
	}
	for _, tt := range []struct {
		name     string
		before   *catalog.Check
		declared *catalog.Check
		status   catalog.Status
		output   string
		since    time.Time
		written  bool
	}{
		{"a new check", nil, changed(func(*catalog.Check) {}), catalog.Critical, "", now, true},
		{"the same again", kept, changed(func(*catalog.Check) {}), catalog.Passing, "200", then, false},
		{"another URL", kept, changed(func(c *catalog.Check) { c.HTTP = "http://b/" }),
			catalog.Critical, catalog.OutputChanged, now, true},
		{"another URL, with an initial status", kept, changed(func(c *catalog.Check) { c.HTTP, c.InitialStatus = "http://b/", catalog.Warning }),
			catalog.Warning, catalog.OutputChanged, now, true},
		{"another header", kept, changed(func(c *catalog.Check) { c.Header = map[string][]string{"Host": {"b"}} }),
			catalog.Critical, catalog.OutputChanged, now, true},
		{"another type", kept, changed(func(c *catalog.Check) { c.Definition = catalog.Definition{Type: catalog.CheckTCP, TCP: "a:80"} }),
			catalog.Critical, catalog.OutputChanged, now, true},
		{"of another instance", kept, changed(func(c *catalog.Check) { c.Instance = "db" }),
			catalog.Critical, catalog.OutputChanged, now, true},
		{"another target with an outcome of its own", kept,
			changed(func(c *catalog.Check) { c.HTTP, c.Status, c.Output = "http://b/", catalog.Passing, "301" }), catalog.Passing, "301", now, true},
		{"another interval", kept, changed(func(c *catalog.Check) { c.Interval = catalog.Duration(time.Second) }),
			catalog.Passing, "200", then, true},
		{"other thresholds", kept, changed(func(c *catalog.Check) { c.FailuresBeforeCritical, c.FlapThreshold = 3, 20 }),
			catalog.Passing, "200", then, true},
		{"another name", kept, changed(func(c *catalog.Check) { c.Name = "front page" }), catalog.Passing, "200", then, true},
		{"another time to deregister", kept, changed(func(c *catalog.Check) { c.DeregisterAfter = catalog.Duration(time.Hour) }),
			catalog.Passing, "200", then, true},
	} {
		after, written := nextCheck(tt.before, tt.declared, now)
		if written != tt.written || after.Status != tt.status || after.Output != tt.output || !after.Since.Equal(tt.since) {
			t.Errorf("%s: written %v, %s %q since %v; want %v, %s %q since %v", tt.name, written, after.Status, after.Output,
				after.Since.Unix(), tt.written, tt.status, tt.output, tt.since.Unix())
		}
		if written && !after.SameDeclaration(tt.declared) {
			t.Errorf("%s: %+v is kept, want what is declared", tt.name, after)
		}
	}
}

func TestFirstOutcomeSaysWhy(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	state := permanentNode("n1")
	state.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
	r.mustSync(t, state)
	set := func(status catalog.Status, output string) *catalog.Check {
		t.Helper()
		if err := r.SetCheck(t.Context(), aCheck("n1", "c"), status, output); err != nil {
			t.Fatal(err)
		}
		return r.View().Node("n1").Check("c")
	}
	begun := r.View().Node("n1").Check("c").Since
	for _, step := range []struct {
		status       catalog.Status
		output, want string
	}{
		{catalog.Critical, "refused", "refused"}, {catalog.Critical, "no route", "refused"}, // an output alone is not written
		{catalog.Passing, "connected", "connected"}, {catalog.Passing, "", "connected"},
	} {
		c := set(step.status, step.output)
		if c.Status != step.status || c.Output != step.want || step.status == catalog.Critical && !c.Since.Equal(begun) {
			t.Errorf("after %s %q: %s %q since %v", step.status, step.output, c.Status, c.Output, c.Since)
		}
	}
	state.Checks[0].TCP, state.Checks[0].InitialStatus = "127.0.0.1:2", catalog.Passing
	r.mustSync(t, state)
	if c := r.View().Node("n1").Check("c"); c.Status != catalog.Passing || c.Output != catalog.OutputChanged {
		t.Errorf("after another target: %s %q", c.Status, c.Output)
	}
	if c := set(catalog.Passing, ""); c.Output != "" {
		t.Errorf("after the first run of another target: %q", c.Output)
	}
}

// TestRegisterForgetsTheOutcomeOfAnotherDefinition: what is registered passes through the same decision as what is
// declared.
func TestRegisterForgetsTheOutcomeOfAnotherDefinition(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, permanentNode("n1"))
	registration := permanent("n1", "web", "web")
	registration.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{HTTP: "http://10.0.0.1/"}}}
	r.mustRegister(t, registration)
	if err := r.SetCheck(t.Context(), aCheck("n1", "c"), catalog.Passing, "200"); err != nil {
		t.Fatal(err)
	}
	outcome := func() [2]string {
		c := r.View().Node("n1").Check("c")
		return [2]string{string(c.Status), c.Output}
	}
	registration.Checks[0].Interval = catalog.Duration(time.Minute)
	r.mustRegister(t, registration)
	if diff := cmp.Diff([2]string{"passing", "200"}, outcome()); diff != "" {
		t.Errorf("after another interval: %s", diff)
	}
	registration.Checks[0].HTTP = "http://10.0.0.2/"
	r.mustRegister(t, registration)
	if diff := cmp.Diff([2]string{"critical", catalog.OutputChanged}, outcome()); diff != "" {
		t.Errorf("after another URL: %s", diff)
	}
}
