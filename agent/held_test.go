package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

// TestUnsureSourceKeepsWhatItHeld: until a source knows all that it declared before the start, only what it has declared since
// can be taken out.
func TestUnsureSourceKeepsWhatItHeld(t *testing.T) {
	check := func(id, instance string) catalog.Check {
		return catalog.Check{ID: id, Node: "n1", Instance: instance,
			Definition: catalog.Definition{Type: catalog.CheckTCP, TCP: "127.0.0.1:1"}}
	}
	records := []catalog.Change{{Type: catalog.RecordNode, Name: "n1", Node: &node}}
	for _, id := range []string{"hidden", "known", "taken"} {
		i, c := registration(id).Instance, check("up-"+id, id)
		i.Node, i.Source = "n1", "file"
		records = append(records, catalog.Change{Type: catalog.RecordInstance, Name: "n1", ID: id, Instance: &i},
			catalog.Change{Type: catalog.RecordCheck, Name: "n1", ID: c.ID, Check: &c})
	}
	run(t, Config{Sources: []string{"docker", "file"}}, records, func(t *testing.T, a *Agent, r *registry) {
		want := func(when string, keep map[string]bool, declared ...string) {
			t.Helper()
			synctest.Wait()
			state, _ := r.last()
			if diff := cmp.Diff(keep, state.Keep); diff != "" || state.KeepChecks != (keep != nil) {
				t.Errorf("%s: keeps checks of the node: %t; keeps %s", when, state.KeepChecks, diff)
			}
			if diff := cmp.Diff(declared, ids(state)); diff != "" {
				t.Errorf("%s: declared %s", when, diff)
			}
		}
		a.Declare("docker", []catalog.Registration{registration("taken")})
		a.KeepHeld("file", "the directory is away")
		time.Sleep(defaultGrace)
		want("silent", map[string]bool{"hidden": true, "known": true}, "taken")

		a.KeepHeld("file", "a file is in error")
		a.Declare("file", []catalog.Registration{registration("known")})
		want("known is declared", map[string]bool{"hidden": true}, "taken", "known")
		if state, _ := r.last(); len(state.Registrations[1].Checks) != 1 || len(state.Registrations[0].Checks) != 0 {
			t.Errorf("declares %+v; want known with the check that it had", state.Registrations)
		}
		a.Declare("file", []catalog.Registration{registration("known", check("up-known", ""))})
		a.Declare("file", []catalog.Registration{registration("known")})
		synctest.Wait()
		if state, _ := r.last(); len(state.Registrations[1].Checks) != 0 {
			t.Error("a check stays that the source has taken out")
		}
		a.KeepHeld("file", "another file is in error, too")
		a.Declare("file", nil)
		want("known is taken out", map[string]bool{"hidden": true}, "taken")

		a.KeepHeld("file", "")
		want("the source knows all", nil, "taken")
	})
}
