package registry

import (
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestOwnSessionThatHasEnded holds that a process that was stopped for longer than its session's TTL never answers that its own
// instances are gone: it is not ready until its session is there again. Another process shows the host as dead.
func TestOwnSessionThatHasEnded(t *testing.T) {
	e := enginetest.Open(t)
	r, _ := host(t, e, "h1")
	other, _ := host(t, e, "h2")
	catchUp(t, r, other)
	if !r.view.Ready() || !other.view.Ready() {
		t.Fatal("not ready")
	}
	wrong := make(chan bool, 1)
	go func() { // a reader that is woken by the end of the session
		index := r.view.Node("h1").Index
		_, err := r.view.WaitNode(t.Context(), "h1", index)
		wrong <- err != nil || r.view.Ready()
	}()
	eventually.True(t, "somebody waits", func() bool { return r.view.Node("h1") != nil })
	if _, err := e.Client.Revoke(t.Context(), leaseID(r.view.Node("h1").Session)); err != nil {
		t.Fatal(err)
	}
	if eventually.Receive(t, "the end of the session", wrong) {
		t.Error("a reader that the end of the session wakes finds the View ready")
	}
	if waiting := r.view.WaitingFor(); len(waiting) != 1 {
		t.Errorf("it waits for %q", waiting)
	}
	catchUp(t, other)
	if !other.view.Ready() || other.view.Node("h1").Session != "" {
		t.Errorf("the other process is ready: %v, and shows the session %q", other.view.Ready(), other.view.Node("h1").Session)
	}
	r.mustSync(t, takerOf("h1"))
	eventually.True(t, "it is ready again", r.view.Ready)
	if r.view.Node("h1").Session == "" {
		t.Error("it is ready without a session")
	}
}

// TestOwnSessionThatHasEndedBeforeALoad has the end of the session come by a load, as after the store has compacted what the watch
// would have brought.
func TestOwnSessionThatHasEndedBeforeALoad(t *testing.T) {
	e := enginetest.Open(t)
	r, stop := start(t, e)
	state := sessionNode("n1", time.Minute)
	r.ActFor(state.Node)
	state.Registrations = []catalog.Registration{permanent("n1", "web-1", "web")}
	r.mustSync(t, state)
	lease := leaseID(r.view.Node("n1").Session)
	stop() // nothing follows the store any more
	if _, err := e.Client.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if err := r.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.view.Node("n1").Alive || r.view.Ready() {
		t.Errorf("alive %t, ready %t after the end of the own session", r.view.Node("n1").Alive, r.view.Ready())
	}
	if r.load(t.Context()) != nil || r.view.Ready() {
		t.Error("ready after another load")
	}
}
