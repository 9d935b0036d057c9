package agent

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// nodeOf returns the record of a node that takes duties, with its session.
func nodeOf(name, id, session string) []catalog.Change {
	record := catalog.Node{Name: name, ID: id, Owner: node.Owner, RunsChecks: true}
	return []catalog.Change{
		{Type: catalog.RecordNode, Name: name, Node: &record}, {Type: catalog.RecordSession, Name: name, Session: session},
	}
}

func checkOn(node, id string) catalog.Change {
	return catalog.Change{Type: catalog.RecordCheck, Name: node, ID: id, Check: &catalog.Check{ID: id, Node: node}}
}

// TestChecksOfOwnAndOrphanedNodes: the agent runs the checks of its own node always, and of the nodes without an agent
// those that the View gives it.
func TestChecksOfOwnAndOrphanedNodes(t *testing.T) {
	checks := &recorder{}
	run(t, Config{Checks: checks, Orphans: true}, nil, func(t *testing.T, _ *Agent, r *registry) {
		external := catalog.Node{Name: "rds", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}
		other := catalog.Node{Name: "n3", Owner: node.Owner}
		revision := uint64(5)
		step := func(changes []catalog.Change, want ...string) {
			t.Helper()
			revision++
			r.view.Apply(revision, changes)
			time.Sleep(orphanPause + feedPause)
			synctest.Wait()
			checks.want(t, want...)
		}
		step(append(nodeOf("n1", node.ID, "1"), checkOn("n1", "own"),
			catalog.Change{Type: catalog.RecordNode, Name: "n3", Node: &other}, checkOn("n3", "other")), "own")
		step([]catalog.Change{{Type: catalog.RecordNode, Name: "rds", Node: &external}, checkOn("rds", "orphan")}, "orphan", "own")
		takes := "" // an id that has the duty rather than this node
		for i := 0; takes == ""; i++ {
			id := fmt.Sprint("id-", i)
			r.view.Apply(revision, nodeOf("n2", id, "2"))
			if !r.view.Holds(&node, catalog.ChecksDuty("rds")) {
				takes = id
			}
		}
		step(nodeOf("n2", takes, "2"), "own")
		step([]catalog.Change{{Type: catalog.RecordSession, Name: "n2"}}, "orphan", "own")
		step([]catalog.Change{{Type: catalog.RecordSession, Name: "n1"}}, "own") // this node's own session ended
	})
}

func TestWithoutOrphansNoDuties(t *testing.T) {
	checks := &recorder{}
	run(t, Config{Checks: checks}, nil, func(t *testing.T, _ *Agent, r *registry) {
		external := catalog.Node{Name: "rds", Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}
		r.view.Apply(6, append(nodeOf("n1", node.ID, "1"),
			catalog.Change{Type: catalog.RecordNode, Name: "rds", Node: &external}, checkOn("rds", "orphan"), checkOn("n1", "own")))
		time.Sleep(orphanPause + feedPause)
		synctest.Wait()
		checks.want(t, "own")
		if state, _ := r.last(); state.Node.RunsChecks {
			t.Error("the node is declared as one that runs the checks of others")
		}
	})
}

func TestOrphansAreDeclared(t *testing.T) {
	run(t, Config{Orphans: true}, nil, func(t *testing.T, _ *Agent, r *registry) {
		if state, _ := r.last(); !state.Node.RunsChecks {
			t.Error("the node is not declared as one that runs the checks of others")
		}
		r.set(func(r *registry) {
			if r.actsFor != node.Name {
				t.Errorf("the registry acts for %q, want %s", r.actsFor, node.Name)
			}
		})
	})
}
