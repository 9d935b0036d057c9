package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
)

// TestPushOfAReplacedOwner holds that an owner that was replaced does not speak for the check of the one that replaced it.
func TestPushOfAReplacedOwner(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, permanentNode("ext"))
	registration := leased("ext", "x", time.Hour)
	registration.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TTL: catalog.Duration(time.Minute)}}}
	first := catalog.WithCaller(t.Context(), catalog.Caller{Registrant: "first"})
	second := catalog.WithCaller(t.Context(), catalog.Caller{Registrant: "second"})
	if _, err := r.Register(first, registration); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Register(second, registration); err != nil {
		t.Fatal(err)
	}
	if err := r.PushCheck(second, "ext", "c", catalog.Critical, "broken"); err != nil {
		t.Fatal(err)
	}
	if err := r.PushCheck(first, "ext", "c", catalog.Passing, "well"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("PushCheck = %v", err)
	}
	if p := r.view.Push("ext", "c"); p == nil || p.Status != catalog.Critical {
		t.Errorf("pushed is %+v", p)
	}
}

// TestFormerRunnerThatIsBehind holds that a process whose watch stands still, while its session is renewed, writes no outcome of a
// check that another process runs by now.
func TestFormerRunnerThatIsBehind(t *testing.T) {
	e := enginetest.Open(t)
	live, _ := start(t, e)
	live.mustSync(t, takerOf("h1"))
	var nodes []string
	for i := range 20 {
		nodes = append(nodes, fmt.Sprint("ext-", i))
		external(t, live, nodes[i], tcpCheck)
	}
	stale := startBehind(t, e)
	stale.ActFor(takerOf("h1").Node)
	current, _ := host(t, e, "h2")
	catchUp(t, current)
	moved := 0
	for _, node := range nodes {
		if !current.holds(catalog.ChecksDuty(node)) {
			continue
		}
		moved++
		if err := stale.SetCheck(t.Context(), aCheck(node, "c"), catalog.Passing, "stale"); catalog.KindOf(err) != catalog.KindConflict {
			t.Fatalf("SetCheck = %v", err)
		}
	}
	if moved == 0 {
		t.Fatal("no duty has moved")
	}
}

// TestOutcomeOfAFormerCheck holds that an outcome is stored only for the check that was run, as it was run.
func TestOutcomeOfAFormerCheck(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	r.mustSync(t, sessionNode("n1", time.Minute))
	register := func(tcp string) *catalog.Check {
		registration := permanent("n1", "x", "web")
		registration.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TCP: tcp}}}
		r.mustRegister(t, registration)
		return r.view.Node("n1").Check("c")
	}
	former := register("127.0.0.1:1")
	moved := register("127.0.0.1:2")
	if err := r.SetCheck(t.Context(), former, catalog.Passing, "connected"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("of another target: %v", err)
	}
	if _, err := r.Deregister(t.Context(), "n1", "x"); err != nil {
		t.Fatal(err)
	}
	again := register("127.0.0.1:2")
	if err := r.SetCheck(t.Context(), moved, catalog.Passing, "connected"); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("of a former instance: %v", err)
	}
	if err := r.SetCheck(t.Context(), again, catalog.Passing, "connected"); err != nil {
		t.Error(err)
	}
}
