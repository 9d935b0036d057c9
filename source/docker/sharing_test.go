package docker

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/prometheus/client_golang/prometheus"
)

// of makes a container one of a Compose project's service.
func of(project, service string) edit {
	return labels(composeProject, project, composeService, service, composeNumber, "1")
}

func TestProjectIsMetaAndTag(t *testing.T) {
	r, warned := registered(t, testOptions(), of("prod", "web"), labels("koine.tags", "blue"))
	if strings.Join(r.Instance.Tags, " ") != "blue prod" || r.Instance.Meta["compose_project"] != "prod" || len(warned) != 0 {
		t.Errorf("tags %v, meta %v, warned of %v", r.Instance.Tags, r.Instance.Meta, warned)
	}
	r, _ = registered(t, testOptions(), labels(swarmService, "shop_web", swarmStack, "shop"))
	if strings.Join(r.Instance.Tags, " ") != "shop" || r.Instance.Meta["swarm_stack"] != "shop" || r.Instance.Service != "shop_web" {
		t.Errorf("of a stack: %+v", r.Instance)
	}
	r, warned = registered(t, testOptions(), of("prod", "web"), labels("koine.meta.compose_project", "mine", "koine.meta.swarm_stack", "mine", "koine.tags", "prod"))
	if len(r.Instance.Meta) != 1 || r.Instance.Meta["compose_project"] != "prod" || len(r.Instance.Tags) != 1 || len(warned) != 2 {
		t.Errorf("the keys are not reserved: %v, tags %v, warned of %v", r.Instance.Meta, r.Instance.Tags, warned)
	}
	r, _ = registered(t, testOptions(), labels("koine.meta.compose_project", "mine"))
	if len(r.Instance.Meta) != 0 {
		t.Errorf("without Compose somebody may say what its project is: %v", r.Instance.Meta)
	}
}

// TestImageOfCompose: a container of an image that Compose has built inherits the labels of the image, and is not of the
// service for that.
func TestImageOfCompose(t *testing.T) {
	built := labels(composeProject, "prod", composeService, "web", "com.docker.compose.version", "2.40.0")
	for _, o := range []options{testOptions(), {node: "n1", projectNames: true}} {
		r, _ := registered(t, o, as("debug"), image("prod-shop"), built, attach("front", "10.1.1.1", ""))
		if r.Instance.Service != "prod-shop" || len(r.Instance.Tags) != 0 || len(r.Instance.Meta) != 0 {
			t.Errorf("docker run of the image is an instance of %s, with tags %v and meta %v", r.Instance.Service, r.Instance.Tags, r.Instance.Meta)
		}
		if slices.Contains(r.Instance.Addresses[0].Names, "web") {
			t.Errorf("the service's bare name finds it: %v", r.Instance.Addresses)
		}
	}
	r, _ := registered(t, testOptions(), image("prod-shop"), built, env("SERVICE_NAME=shop"))
	if r.Instance.Service != "shop" {
		t.Errorf("with SERVICE_NAME=shop the service is %s", r.Instance.Service)
	}
	for _, own := range []string{composeNumber, composeHash, composeOneOff} {
		r, _ := registered(t, testOptions(), image("prod-shop"), built, labels(own, ""))
		if r.Instance.Service != "web" || r.Instance.Meta["compose_project"] != "prod" {
			t.Errorf("with %s the service is %s, with meta %v", own, r.Instance.Service, r.Instance.Meta)
		}
	}
}

// TestWarningsAreBounded: what is wrong with a container's labels makes neither it nor its neighbour invalid.
func TestWarningsAreBounded(t *testing.T) {
	for _, fill := range []string{"x", "\x01", "é"} {
		long := strings.Repeat(fill, 8000/len(fill))
		tracker := newTracker(testOptions())
		tracker.update(inspected(as("a"), of("prod", "web")), nil)
		for _, name := range []string{"b", "c"} {
			c := inspected(as(name), of(name+strings.Repeat(fill, 40_000), "web"), labels("koine.weight", long, "koine.min_healthy", long,
				"koine.ports", long, "koine.check.http", "/", "koine.check.interval", long, "koine.check.timeout", long))
			if _, err := describe(c, testOptions()); err != nil {
				t.Errorf("labels that cannot be understood: %v", err)
			}
			tracker.update(c, nil)
		}
		verdicts := tracker.verdicts()
		if len(tracker.shared(verdicts)) != 1 {
			t.Error("the shared name is not warned of")
		}
		for _, o := range verdicts {
			for i := range o.instances {
				if err := o.instances[i].Validate(); err != nil {
					t.Errorf("container %s: %v", o.name, err)
				}
			}
		}
	}
}

// TestRenamedIDIsFree: an ID that a rename makes is looked up again.
func TestRenamedIDIsFree(t *testing.T) {
	tracker := newTracker(testOptions())
	third := inspected(as("third"), labels("koine.id", "web"))
	tracker.update(inspected(as("first"), labels("koine.id", "web")), nil)
	tracker.update(inspected(as("second"), labels("koine.id", "web-"+shortID(third.ID))), nil)
	tracker.update(third, nil)
	seen := make(map[string]bool)
	for _, r := range registrations(tracker.verdicts()) {
		if seen[r.Instance.ID] {
			t.Errorf("two instances have the ID %s", r.Instance.ID)
		}
		seen[r.Instance.ID] = true
	}
}

// TestNamesOfFirstRegisteredPort: the bare names find the first port that is registered.
func TestNamesOfFirstRegisteredPort(t *testing.T) {
	o := registratorOptions()
	o.peer = inspected(as("peer"), attach("shop", "10.1.1.1", ""))
	names := func(edits ...edit) (n int) {
		r, _ := registered(t, o, append([]edit{mode("container:peer"), detached, expose("80", "81")}, edits...)...)
		for _, a := range r.Instance.Addresses {
			n += len(a.Names)
		}
		return n
	}
	if all, ignored := names(), names(env("SERVICE_80_IGNORE=1")); all == 0 || ignored != all {
		t.Errorf("%d names, and %d when the first port is ignored", all, ignored)
	}
}

// TestSharedNameIsWarnedOfAgain: a name that was shared, is not, and is shared again, is logged again.
func TestSharedNameIsWarnedOfAgain(t *testing.T) {
	log := newLogWatch(`msg="services share a name"`)
	f, sink := newFake(), newSink()
	f.put("prod-web-1", of("prod", "web"))
	s, err := New(Config{Client: f, Node: "n1", Sink: sink, Logger: textLogger(log)})
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{source: s, tracker: newTracker(s.options())}
	show := func(containers ...*container.InspectResponse) {
		l.tracker = newTracker(s.options())
		for _, c := range containers {
			l.tracker.update(c, nil)
		}
		l.logShared(l.tracker.shared(l.tracker.verdicts()))
	}
	prod, test := inspected(as("a"), of("prod", "web")), inspected(as("b"), of("test", "web"))
	show(prod, test)
	show(prod)
	show(prod, test)
	if log.count != 2 {
		t.Errorf("warned %d times of two spells", log.count)
	}
}

func TestProjectNames(t *testing.T) {
	o := testOptions()
	o.projectNames = true
	for _, test := range []struct {
		want  string
		edits []edit
	}{
		{"web-prod", []edit{of("prod", "web")}},
		{"mine", []edit{of("prod", "web"), labels("koine.name", "mine")}},
		{"web", []edit{labels(composeService, "web", composeNumber, "1")}},
		{"shop_web", []edit{labels(swarmService, "shop_web", swarmStack, "shop")}},
	} {
		if r, _ := registered(t, o, test.edits...); r.Instance.Service != test.want {
			t.Errorf("%q, want %q", r.Instance.Service, test.want)
		}
	}
}

// TestOneOff: what docker compose run has started is not of the service.
func TestOneOff(t *testing.T) {
	run := labels(composeOneOff, "True")
	d, err := describe(inspected(of("prod", "web"), run), testOptions())
	if err != nil || !strings.Contains(d.skip, "docker compose run") || !strings.Contains(d.skip, "koine.name") {
		t.Errorf("skipped for %q, %v", d.skip, err)
	}
	registered(t, testOptions(), of("prod", "web"), labels(composeOneOff, "False"))
	r, _ := registered(t, testOptions(), as("run-1"), of("prod", "web"), run, labels("koine.name", "job"), attach("shop", "10.1.1.1", ""))
	if r.Instance.Service != "job" {
		t.Errorf("%+v", r.Instance)
	}
	for _, name := range r.Instance.Addresses[0].Names {
		if name == "web" {
			t.Error("the service's bare name finds it")
		}
	}
}

func TestNamesThatLose(t *testing.T) {
	for _, test := range []struct {
		edit edit
		want string
	}{
		{labels("koine.name", "Ünïcode App!!"), `label koine.name: "Ünïcode App!!" becomes n-code-App`},
		{labels("koine.name", "my shop"), "becomes my-shop"},
		{env("SERVICE_NAME=" + strings.Repeat("x", 70)), "becomes " + strings.Repeat("x", 63)},
		{labels(composeService, "größe", composeNumber, "1"), "becomes gr-e"},
		{labels("koine.name", "///"), "has no letter or digit"},
		{image("team/api.v2:1"), ""},
		{labels(composeService, "api.v1", composeNumber, "1"), ""},
		{labels("koine.name", "my-shop_1"), ""},
	} {
		d, err := describe(inspected(test.edit), testOptions())
		if err != nil {
			t.Fatal(err)
		}
		var kept extras
		if err := json.Unmarshal(d.members[0].Instance.Extras[sourceName], &kept); err != nil {
			t.Fatal(err)
		}
		told := strings.Join(kept.Warnings, "; ")
		if (test.want == "") != (len(d.warnings) == 0) || !strings.Contains(told, test.want) {
			t.Errorf("warned of %v, kept %q; want %q", d.warnings, told, test.want)
		}
	}
}

func TestSharedNames(t *testing.T) {
	type one struct {
		name  string
		edits []edit
	}
	many := func(list ...one) []one { return list }
	for _, test := range []struct {
		name       string
		containers []one
		want       string
	}{
		{"two projects", many(one{"a", []edit{of("prod", "web")}}, one{"b", []edit{of("test", "Web")}}), "projects prod, test share the name"},
		{"one project", many(one{"a", []edit{of("prod", "web")}}, one{"b", []edit{of("prod", "web")}}), ""},
		{"a label says so", many(one{"a", []edit{of("prod", "web")}}, one{"b", []edit{of("test", "x"), labels("koine.name", "web")}}), ""},
		{"no project", many(one{"a", []edit{image("web")}}, one{"b", []edit{of("test", "web")}}), ""},
		{"project names that meet", many(one{"a", []edit{of("b-c", "a")}}, one{"b", []edit{of("c", "a-b")}}), ""},
		{"stacks", many(one{"a", []edit{labels(swarmService, "x.y", swarmStack, "x")}}, one{"b", []edit{labels(swarmService, "x-y", swarmStack, "z")}}), "projects x, z"},
		{"spellings", many(one{"a", []edit{labels("koine.name", "my shop")}}, one{"b", []edit{labels("koine.name", "my-shop")}}), `several names become my-shop: ["my shop" "my-shop"]`},
		{"letter case", many(one{"a", []edit{labels("koine.name", "Shop")}}, one{"b", []edit{labels("koine.name", "shop")}}), ""},
		{"not registered", many(one{"a", []edit{of("prod", "web")}}, one{"b", []edit{of("test", "web"), labels("koine.ignore", "1")}}), ""},
	} {
		tracker := newTracker(testOptions())
		for _, c := range test.containers {
			tracker.update(inspected(append([]edit{as(c.name)}, c.edits...)...), nil)
		}
		verdicts := tracker.verdicts()
		warnings := tracker.shared(verdicts)
		if test.want == "" {
			if len(warnings) != 0 {
				t.Errorf("%s: %v", test.name, warnings)
			}
			continue
		}
		for _, o := range verdicts {
			if told := string(o.instances[0].Instance.Extras[sourceName]); len(warnings) != 1 || !strings.Contains(told, strings.ReplaceAll(test.want, `"`, `\"`)) {
				t.Errorf("%s: %v; an instance keeps %s", test.name, warnings, told)
			}
		}
	}
	o := testOptions()
	o.projectNames = true
	tracker := newTracker(o)
	tracker.update(inspected(as("a"), of("b-c", "a")), nil)
	tracker.update(inspected(as("b"), of("c", "a-b")), nil)
	want := map[string]string{"a-b-c": "containers of the projects b-c, c share the name a-b-c: koine.name tells them apart"}
	if diff := cmp.Diff(want, tracker.shared(tracker.verdicts())); diff != "" {
		t.Errorf("names with their projects that meet: %s", diff)
	}
}

// TestSharedNamesAreLoggedOnce: the log warns of two projects with one name, and the metric counts them while they last.
func TestSharedNamesAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("prod-web-1", of("prod", "web"))
		f.put("other")
		log := newLogWatch(`msg="services share a name" service=web`)
		metrics := prometheus.NewRegistry()
		s, err := New(Config{Client: f, Node: "n1", Sink: sink, Logger: textLogger(log), Metrics: metrics})
		if err != nil {
			t.Fatal(err)
		}
		runUntilEnd(t, s)
		expect(t, sink, "other prod-web-1")
		f.put("test-web-1", of("test", "web"))
		f.send("start", "test-web-1")
		expect(t, sink, "other prod-web-1 test-web-1")
		for range 4 {
			f.change("other", func(c *container.InspectResponse) { c.State.Paused = !c.State.Paused })
			f.send("pause", "other")
			synctest.Wait()
		}
		if log.count != 1 || gauge(t, metrics, "koine_docker_shared_names") != 1 {
			t.Errorf("logged %d times, counted %v", log.count, gauge(t, metrics, "koine_docker_shared_names"))
		}
		f.remove("test-web-1")
		f.send("destroy", "test-web-1")
		expect(t, sink, "other prod-web-1")
		if n := gauge(t, metrics, "koine_docker_shared_names"); n != 0 {
			t.Errorf("counted %v when it is over", n)
		}
	})
}

func gauge(t *testing.T, metrics prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
