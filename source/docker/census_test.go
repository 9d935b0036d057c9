package docker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/koine-sd/koine/catalog"
)

// resident returns the resident of a container's id in a short form.
func residentText(list []catalog.Resident, id string) string {
	i := slices.IndexFunc(list, func(r catalog.Resident) bool { return r.ID == id })
	if i < 0 {
		return "none"
	}
	r := list[i]
	text := fmt.Sprintf("%s %v", r.Project, r.Left.IsZero())
	for _, a := range r.Addresses {
		text += " " + a.Network + "=" + a.String() + ":" + strings.Join(a.Names, ",")
	}
	return text
}

// TestCensus holds that the source tells of containers that are not registered, and of those that were stopped before it
// began.
func TestCensus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("app")
		f.put("ignored", func(c *container.InspectResponse) { c.Config.Labels = map[string]string{"koine.ignore": "true"} })
		f.put("db", func(c *container.InspectResponse) {
			c.State.Running, c.State.FinishedAt = false, testStart
			c.Config.Labels = map[string]string{composeService: "db", composeProject: "test", composeNumber: "1"}
			c.NetworkSettings.Networks = map[string]*network.EndpointSettings{"front": {NetworkID: "front-id", Aliases: []string{"database"}}}
		})
		var mu sync.Mutex
		var latest []catalog.Resident
		text := func(id string) string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return residentText(latest, id)
		}
		start(t, Config{Client: f, Sink: sink, Residents: func(list []catalog.Resident) {
			mu.Lock()
			defer mu.Unlock()
			latest = list
		}})
		expect(t, sink, "app")
		time.Sleep(time.Second)
		if got := text("app"); !strings.HasPrefix(got, " true bridge=172.17.0.2:app") {
			t.Errorf("app: %q", got)
		}
		if got := text("ignored"); !strings.HasPrefix(got, " true bridge=172.17.0.2:ignored") {
			t.Errorf("ignored: %q", got)
		}
		if got, want := text("db"), "test false front=:db,database"; got != want {
			t.Errorf("db: %q, want %q", got, want)
		}
		f.remove("db")
		time.Sleep(resync)
		if got := text("db"); got != "none" {
			t.Errorf("db, removed: %q", got)
		}
		expect(t, sink, "app")
	})
}
