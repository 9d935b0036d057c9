package api

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func TestHealth(t *testing.T) {
	view := catalog.NewView()
	release := view.Hold("the first look at this host (docker)")
	b := serveView(t, view)
	health := func(code int, want client.Health) {
		t.Helper()
		got := b.get(t, "/health")
		var state client.Health
		if err := json.Unmarshal([]byte(got.body), &state); err != nil {
			t.Fatal(err)
		}
		if got.code != code || (got.header.Get("Retry-After") == "1") != (code == 503) {
			t.Errorf("code %d, Retry-After %q", got.code, got.header.Get("Retry-After"))
		}
		if state.Ready != want.Ready || state.Revision != want.Revision || !slices.Equal(state.WaitingFor, want.WaitingFor) {
			t.Errorf("state %+v, want %+v", state, want)
		}
		if code == 503 && got.problem(t).Code != "not_ready" {
			t.Errorf("body %s", got.body)
		}
	}
	health(503, client.Health{
		WaitingFor: []string{"the first look at this host (docker)", "the catalog's first load"},
	})
	view.Load(10, nil)
	health(503, client.Health{Revision: 10, WaitingFor: []string{"the first look at this host (docker)"}})
	if _, err := b.client.Health(t.Context()); catalog.KindOf(err) != catalog.KindNotReady {
		t.Errorf("the client says %v", err)
	}
	release()
	health(200, client.Health{Ready: true, Revision: 10})
	view.Touch(time.Now().Add(-time.Hour))
	if state, err := b.client.Health(t.Context()); err != nil || time.Duration(state.Age) < time.Hour {
		t.Errorf("age %v, %v", state.Age, err)
	}
}
