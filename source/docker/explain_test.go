package docker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// as gives a container another id and name.
func as(name string) edit {
	return func(c *container.InspectResponse) {
		c.ID, c.Name = name+strings.Repeat("0", 64-len(name)), "/"+name
	}
}

func exitedWith(code int) edit {
	return func(c *container.InspectResponse) {
		c.State.Running, c.State.ExitCode, c.State.FinishedAt = false, code, "2026-01-02T04:00:00Z"
	}
}

// said writes what was found in one line.
func (f found) said() string {
	var words []string
	for _, i := range f.instances {
		words = append(words, "is "+i)
	}
	for _, l := range f.left {
		words = append(words, l.Name+" of "+l.Service+": "+l.Why)
	}
	return strings.Join(words, "; ")
}

func TestFindTellsWhatBecameOfContainers(t *testing.T) {
	tracker := newTracker(testOptions())
	tracker.update(inspected(as("shop-1"), labels("koine.name", "shop", "koine.id", "shop")), nil)
	tracker.update(inspected(as("shop-2"), labels("koine.name", "shop", "koine.id", "shop")), nil)
	tracker.update(inspected(as("shop-3"), labels("koine.name", "shop", "koine.ignore", "1")), nil)
	tracker.update(inspected(as("dead-1"), labels("koine.name", "dead")), nil)
	tracker.exited("dead-1"+strings.Repeat("0", 58), testStart, time.Now().Add(-deathGrace))
	tracker.giveUp(time.Now(), false)
	tracker.update(inspected(as("early"), exitedWith(3)), nil)
	tracker.update(inspected(as("old"), labels("koine.name", "shop"), exitedWith(0)), nil)
	tracker.update(inspected(as("rolled"), labels("koine.name", "rolled")), nil)
	tracker.removed("rolled"+strings.Repeat("0", 58), time.Now())
	for name, want := range map[string]string{
		"shop-1":                       "is shop",
		"shop-2":                       "is shop-shop-2000000",
		"shop-2000000":                 "is shop-shop-2000000",
		"shop-3":                       `shop-3 of shop: label koine.ignore is "1"`,
		"Shop":                         `shop-3 of shop: label koine.ignore is "1"`, // what ran before is not told while some run
		"dead":                         "dead-1 of dead: its process has ended",
		"early":                        "early of web: it is not running: it exited with code 3 at 2026-01-02T04:00:00Z",
		"old":                          "old of shop: it is not running: it exited with code 0 at 2026-01-02T04:00:00Z",
		"rolled":                       "rolled of rolled: it was removed",
		"web":                          "early of web: it is not running: it exited with code 3 at 2026-01-02T04:00:00Z",
		"sho":                          "",
		"old" + strings.Repeat("0", 9): "old of shop: it is not running: it exited with code 0 at 2026-01-02T04:00:00Z",
	} {
		if got := tracker.find(name).said(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	tracker.update(inspected(as("early")), nil)
	if got := tracker.find("early").said(); got != "is early" {
		t.Errorf("a container that runs again: %q", got)
	}
}

func TestGoneAreBounded(t *testing.T) {
	tracker := newTracker(testOptions())
	for i := range 2 * maxGone {
		tracker.update(inspected(as(fmt.Sprint("job-", i)), exitedWith(0)), nil)
	}
	if len(tracker.gone) != maxGone {
		t.Errorf("%d are remembered, want %d", len(tracker.gone), maxGone)
	}
	if left := tracker.find("web").left; len(left) != maxShown || left[0].Name != fmt.Sprint("job-", 2*maxGone-1) {
		t.Errorf("told of %v, want the last %d", left, maxShown)
	}
}

func TestWhyNotRunning(t *testing.T) {
	for _, test := range []struct {
		edit edit
		want string
	}{
		{exitedWith(1), "it exited with code 1 at 2026-01-02T04:00:00Z"},
		{func(c *container.InspectResponse) { exitedWith(137)(c); c.State.OOMKilled = true }, "for want of memory at"},
		{func(c *container.InspectResponse) { exitedWith(1)(c); c.State.Restarting = true }, "is to be restarted"},
		{func(c *container.InspectResponse) { exitedWith(1)(c); c.State.Dead = true }, "being removed"},
		{func(c *container.InspectResponse) { c.State = &container.State{FinishedAt: "0001-01-01T00:00:00Z"} }, "never started"},
		{func(c *container.InspectResponse) { c.State = &container.State{Error: "no such file"} }, "could not be started: no such file"},
	} {
		if d, err := describe(inspected(test.edit), testOptions()); err != nil || !strings.Contains(d.skip, test.want) || d.service != "web" {
			t.Errorf("%+v, %v; want %q", d, err, test.want)
		}
	}
}

func TestExplainAsksTheEngine(t *testing.T) {
	engine, sink := newFake(), newSink()
	engine.put("web-1")
	engine.put("old-1", exitedWith(4))
	s, err := New(Config{Client: engine, Node: "n1", Sink: sink, Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s)
	sink.wait(t, "web-1", has("web-1"))
	if instances, left, err := s.Explain(t.Context(), "web-1"); err != nil || !slices.Equal(instances, []string{"web-1"}) || left != nil {
		t.Errorf("web-1: %v, %v, %v", instances, left, err)
	}
	_, left, err := s.Explain(t.Context(), "old-1")
	if err != nil || len(left) != 1 || left[0].Node != "n1" || !strings.Contains(left[0].Why, "code 4") {
		t.Errorf("old-1, which ended before: %v, %v", left, err)
	}
	for _, name := range []string{"nobody", "../old-1", ""} {
		if instances, left, err := s.Explain(t.Context(), name); err != nil || instances != nil || left != nil {
			t.Errorf("%q: %v, %v, %v", name, instances, left, err)
		}
	}
	engine.leave()
	if instances, _, err := s.Explain(t.Context(), "web-1"); err != nil || len(instances) != 1 {
		t.Errorf("with the engine away: %v, %v; want what is known", instances, err)
	}
	if _, _, err := s.Explain(t.Context(), "nobody"); catalog.KindOf(err) != catalog.KindUnavailable {
		t.Errorf("with the engine away: %v", err)
	}
}

func TestDryRun(t *testing.T) {
	engine := newFake()
	engine.put("a", labels("koine.id", "one", "koine.wieght", "3"))
	engine.put("b", labels("koine.id", "one"))
	engine.put("c", labels("koine.ignore", "yes"))
	engine.put("d")
	engine.stuck["d"] = errAway
	engine.change("b", func(c *container.InspectResponse) { c.Created = time.Now().UTC().Format(time.RFC3339Nano) })
	plans, err := DryRun(t.Context(), Config{Client: engine, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range plans {
		id, before := "-", ""
		if len(p.Registrations) > 0 {
			id, before = p.Registrations[0].Instance.ID, p.Registrations[0].RenamedFrom
		}
		got = append(got, fmt.Sprintf("%s %s %s %q %v", p.Container, id, before, p.WhyNot, p.Warnings))
	}
	want := []string{
		` -  "the engine does not say what it is: inspect: no engine" []`, `a one  "" [koine.wieght: no such label: did you mean koine.weight?]`,
		`b one-b one "" []`, `c -  "label koine.ignore is \"yes\"" []`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	engine.leave()
	if _, err := DryRun(t.Context(), Config{Client: engine, Node: "n1"}); catalog.KindOf(err) != catalog.KindUnavailable {
		t.Errorf("without an engine: %v", err)
	}
}
