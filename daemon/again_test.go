package daemon

import (
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestApplicationThatComesBack: an application on a node without an agent deregisters, is registered again at once, before the
// process has looked at the node's checks again, and goes on pushing.
func TestApplicationThatComesBack(t *testing.T) {
	p := startProcess(t, enginetest.Open(t), "h1")
	permanent := catalog.Owner{Kind: catalog.OwnerPermanent}
	if _, err := p.reg.SyncNode(t.Context(), catalog.NodeState{Node: catalog.Node{Name: "ext", Owner: permanent}}); err != nil {
		t.Fatal(err)
	}
	register := func() {
		t.Helper()
		_, err := p.reg.Register(t.Context(), catalog.Registration{
			Instance: catalog.Instance{ID: "x", Node: "ext", Service: "web", Owner: permanent},
			Checks:   []catalog.Check{{ID: "c", Definition: catalog.Definition{TTL: catalog.Duration(time.Hour)}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	passes := func() bool {
		if err := p.checks.Push(t.Context(), "ext", "c", catalog.Passing, "I am well"); err != nil {
			t.Fatal(err)
		}
		return p.reg.View().Node("ext").Check("c").Status == catalog.Passing
	}
	register()
	eventually.True(t, "the push counts", passes)
	for range 3 {
		if _, err := p.reg.Deregister(t.Context(), "ext", "x"); err != nil {
			t.Fatal(err)
		}
		register()
		eventually.True(t, "the push counts after it came back", passes)
	}
}
