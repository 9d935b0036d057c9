package docker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// instances writes each instance of a container as "service id ports".
func instances(t *testing.T, edits ...edit) (list []string) {
	t.Helper()
	d, err := describe(inspected(edits...), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range d.members {
		line := m.Instance.Service + " " + m.Instance.ID
		for _, p := range m.Instance.Ports {
			line += fmt.Sprintf(" %s=%d/%s", p.Name, p.Number, p.Transport())
		}
		list = append(list, line)
	}
	return list
}

// TestPortNamesAreServices: SERVICE_<port>_NAME finds the container under that name, too.
func TestPortNamesAreServices(t *testing.T) {
	ports := expose("80", "9000", "53/udp", "53/tcp")
	const web = "web web dns=53/tcp http=80/tcp admin=9000/tcp dns=53/udp"
	for _, test := range []struct {
		name  string
		edits []edit
		want  []string
	}{
		{"each port", []edit{ports, env("SERVICE_80_NAME=http", "SERVICE_9000_NAME=admin", "SERVICE_53_NAME=dns")},
			[]string{web, "dns web:53 dns=53/tcp dns=53/udp", "http web:80 http=80/tcp", "admin web:9000 admin=9000/tcp"}},
		{"the service's own name", []edit{expose("80"), env("SERVICE_80_NAME=Web")}, []string{"web web Web=80/tcp"}},
		{"ids", []edit{expose("80", "81"), env("SERVICE_80_ID=a", "SERVICE_81_ID=b", "SERVICE_80_NAME=x", "SERVICE_81_NAME=y")},
			[]string{"web a x=80/tcp y=81/tcp", "x a:80 x=80/tcp", "y b y=81/tcp"}},
		{"an id twice", []edit{expose("80", "81"), env("SERVICE_81_ID=web", "SERVICE_81_NAME=y")}, []string{"web web y=81/tcp =80/tcp", "y web:81 y=81/tcp"}},
		{"no name", []edit{expose("80"), env("SERVICE_80_NAME=//")}, []string{"web web =80/tcp"}},
		{"no such port", []edit{expose("80"), env("SERVICE_81_NAME=y")}, []string{"web web =80/tcp"}},
		{"ignored", []edit{expose("80", "81"), env("SERVICE_81_NAME=y", "SERVICE_81_IGNORE=1")}, []string{"web web =80/tcp"}},
		{"long id", []edit{expose("80"), env("SERVICE_80_NAME=y"), labels("koine.id", strings.Repeat("é", 127))},
			[]string{"web " + strings.Repeat("é", 127) + " y=80/tcp", "y " + strings.Repeat("é", 111) + ":80 y=80/tcp"}},
	} {
		if diff := cmp.Diff(test.want, instances(t, test.edits...)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// TestPortInstanceFollows: what is said of a port, and the container's health, hold for its instance.
func TestPortInstanceFollows(t *testing.T) {
	d, err := describe(inspected(expose("80", "81"), env("SERVICE_81_NAME=admin", "SERVICE_TAGS=a", "SERVICE_81_TAGS=b"),
		labels("SERVICE_REGION", "eu", "SERVICE_81_REGION", "us", composeProject, "prod", composeNumber, "1", "koine.check.http", "/", "koine.weight", "3"),
		func(c *container.InspectResponse) { c.State.Health = &container.Health{Status: container.Healthy} }), testOptions())
	if err != nil || len(d.members) != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	main, port := d.members[0].Instance, d.members[1].Instance
	if diff := cmp.Diff([]string{"b", "prod"}, port.Tags); diff != "" || port.Meta["region"] != "us" || port.Weight != 3 || port.Owner != main.Owner {
		t.Errorf("%+v: %s", port, diff)
	}
	if len(main.Addresses[0].Names) == 0 || len(port.Addresses) != 1 || len(port.Addresses[0].Names) != 0 {
		t.Errorf("addresses %+v; want the bare names once", port.Addresses)
	}
	var got []string
	for _, c := range d.members[1].Checks {
		got = append(got, fmt.Sprintf("%s %s %s %s", c.ID, c.Type, c.Status, c.AliasService))
	}
	if diff := cmp.Diff([]string{"web:81:docker docker passing ", "web:81:container alias  web"}, got); diff != "" {
		t.Error(diff)
	}
	if s := d.members[1].Checks[1].InitialStatus; s == catalog.Passing {
		t.Error("it passes before the check of the container has been run")
	}
	d, _ = describe(inspected(expose("80", "81"), env("SERVICE_81_NAME=admin")), testOptions())
	if s := d.members[1].Checks[0].InitialStatus; s != catalog.Passing {
		t.Errorf("without a check of the container's its status begins as %q", s)
	}
}

// TestInstancesOfOneContainerGoTogether: a signal, a pause, a clash of IDs and the end are those of all of its instances.
func TestInstancesOfOneContainerGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		named := env("SERVICE_81_NAME=admin", "SERVICE_ID=one")
		f.put("a", expose("80", "81"), named, func(c *container.InspectResponse) { c.State.Health = &container.Health{Status: container.Healthy} })
		f.put("b", expose("80", "81"), named, func(c *container.InspectResponse) { c.Created = "2026-01-02T09:00:00Z" })
		start(t, Config{Client: f, Sink: sink})
		expect(t, sink, "one one-b one:81 one:81-b")
		set, _, _ := sink.latest()
		if alias := set[3].Checks[0]; alias.AliasService != "one-b" || alias.ID != "one:81-b:container" {
			t.Errorf("the renamed instance follows %+v", alias)
		}
		f.send("kill", "a", "15")
		expect(t, sink, "one:stop signal SIGTERM one-b one:81:stop signal SIGTERM one:81-b")
		f.change("b", func(c *container.InspectResponse) { c.State.Paused = true })
		f.send("pause", "b")
		expect(t, sink, "one:stop signal SIGTERM one-b:paused one:81:stop signal SIGTERM one:81-b:paused")
		f.change("a", func(c *container.InspectResponse) { c.State.Health = &container.Health{Status: container.Unhealthy} })
		f.send("health_status: unhealthy", "a")
		synctest.Wait()
		set, _, _ = sink.latest()
		for _, i := range []int{0, 2} {
			if c := set[i].Checks[0]; c.Type != catalog.CheckDocker || c.Status != catalog.Critical {
				t.Errorf("%s is %+v", set[i].Instance.ID, c)
			}
		}
		f.remove("a")
		f.send("destroy", "a")
		expect(t, sink, "one:paused one:81:paused")
	})
}

// TestExplainFindsAllInstances: a container's name and a port's service both lead to its instances.
func TestExplainFindsAllInstances(t *testing.T) {
	tracker := newTracker(testOptions())
	tracker.update(inspected(as("c"), expose("80", "81"), env("SERVICE_81_NAME=admin")), nil)
	if got := tracker.find("c").said(); got != "is c; is c:81" {
		t.Errorf("%q", got)
	}
	tracker.exited("c"+strings.Repeat("0", 63), testStart, time.Now().Add(-deathGrace))
	if got := tracker.verdicts()[0].instances; len(got) != 2 || got[1].Instance.Drain != whyEnded {
		t.Errorf("when its process has ended: %+v", got)
	}
	tracker.giveUp(time.Now(), false)
	if got := tracker.find("c").said(); got != "c of web: its process has ended" {
		t.Errorf("%q", got)
	}
}
