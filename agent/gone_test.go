package agent

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

// TestGoneIsHandedOn: with the state in which an instance is missing the registry is given why it is.
func TestGoneIsHandedOn(t *testing.T) {
	run(t, Config{Sources: []string{"docker", "file"}}, nil, func(t *testing.T, a *Agent, r *registry) {
		a.DeclareGone("docker", map[string]string{"old": "container exited 1"})
		a.Declare("file", nil)
		synctest.Wait()
		if _, n := r.last(); n != 0 {
			t.Fatalf("%d syncs although docker has declared nothing", n)
		}
		a.Declare("docker", []catalog.Registration{registration("a"), registration("b")})
		synctest.Wait()
		before, n := r.last()
		if diff := cmp.Diff(map[string]string{"old": "container exited 1"}, before.Gone); diff != "" {
			t.Error(diff)
		}
		a.DeclareGone("docker", map[string]string{"b": "container exited 137", "c": "container was removed"})
		synctest.Wait()
		if _, again := r.last(); again != n {
			t.Error("a reason alone was declared")
		}
		a.Declare("file", []catalog.Registration{registration("c")})
		a.Declare("docker", []catalog.Registration{registration("a")})
		synctest.Wait()
		state, _ := r.last()
		if diff := cmp.Diff(map[string]string{"b": "container exited 137"}, state.Gone); diff != "" {
			t.Errorf("what another source declares is not gone: %s", diff)
		}
	})
}
