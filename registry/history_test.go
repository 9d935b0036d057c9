package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// toldHistory returns a history line by line, without its revisions and times, but checks these.
func toldHistory(t *testing.T, h catalog.History) (lines []string) {
	t.Helper()
	var last catalog.Event
	for _, e := range h.Events {
		if e.Revision < last.Revision || e.Revision < h.Revision || e.Revision > h.Until {
			t.Errorf("revision %d after %d, in %d to %d", e.Revision, last.Revision, h.Revision, h.Until)
		}
		if e.Time.Before(last.Time) || time.Until(e.Time) > 0 || time.Since(e.Time) > time.Hour+time.Minute {
			t.Errorf("%v at %v after %v", e.Type, e.Time, last.Time)
		}
		line := fmt.Sprintf("%s %s %s/%s", e.Type, e.Service, e.Node, e.Instance)
		if e.Reason != "" {
			line += ": " + e.Reason
		}
		lines, last = append(lines, line), e
	}
	return lines
}

// live makes a history of a service among others.
func live(t *testing.T, r *Registry) {
	t.Helper()
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.SyncNode(ctx, permanentNode("N1")))
	must(r.Register(ctx, permanent("N1", "other", "api")))
	state := permanentNode("n2")
	state.Node.Owner = catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Minute)}
	state.Registrations = []catalog.Registration{{Instance: catalog.Instance{ID: "b", Service: "web", Weight: 1}}}
	must(r.SyncNode(ctx, state))

	checked := permanent("N1", "a", "Web")
	checked.Checks = []catalog.Check{{ID: "c", Definition: catalog.Definition{TTL: catalog.Duration(time.Minute)}}}
	must(r.Register(ctx, checked))
	must(nil, r.SetCheck(ctx, aCheck("N1", "c"), catalog.Passing, "200 OK"))
	must(nil, r.SetCheck(ctx, aCheck("N1", "c"), catalog.Critical, "refused"))
	must(r.Drain(ctx, catalog.Drain{Node: "N1", Instance: "a", Reason: "new disk"}))
	must(r.Undrain(ctx, catalog.Drain{Node: "N1", Instance: "a"}))
	must(r.Drain(ctx, catalog.Drain{Service: "api"}))
	moved := permanent("N1", "other", "web") // moves in from another service
	must(r.Register(ctx, moved))
	must(r.Deregister(ctx, "N1", "a"))
	must(r.client.Revoke(ctx, leaseID(r.View().Node("n2").Session)))
	must(r.Barrier(ctx))
}

var lived = []string{
	"registered web n2/b", "registered web N1/a: check c is critical", "passing web N1/a: check c is passing: 200 OK",
	"critical web N1/a: check c is critical: refused", "drained web N1/a: new disk", "undrained web N1/a: new disk",
	"registered web N1/other",
	"deregistered web N1/a", "critical web n2/b: node n2 is not alive",
}

func TestHistory(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		r, stop := start(t, e)
		live(t, r)
		h, err := r.History(t.Context(), "WEB", 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lived, toldHistory(t, h)); diff != "" || !h.Whole || time.Since(h.Since).Round(time.Minute) != time.Hour {
			t.Errorf("whole %v since %v:\n%s", h.Whole, h.Since, diff)
		}
		stop()

		r, _ = start(t, e) // which knows nothing but the store
		if h, err = r.History(t.Context(), "web", time.Minute); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lived, toldHistory(t, h)); diff != "" {
			t.Errorf("after a restart:\n%s", diff)
		}
		if h, err = r.History(t.Context(), "other", 0); err != nil {
			t.Fatal(err)
		}
		want := []string{"registered api N1/other", "drained api N1/other: service api is drained", "deregistered api N1/other: moved to service web", "registered web N1/other"}
		if diff := cmp.Diff(want, toldHistory(t, h)); diff != "" {
			t.Errorf("of an instance:\n%s", diff)
		}
	})
}

func TestHistoryOfWhatIsKept(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		r, _ := start(t, e)
		live(t, r)
		h, err := r.History(t.Context(), "web", 0)
		if err != nil {
			t.Fatal(err)
		}
		drained := h.Events[4]
		if _, err := e.Client.Compact(t.Context(), int64(drained.Revision)); err != nil {
			t.Fatal(err)
		}
		if h, err = r.History(t.Context(), "web", time.Hour); err != nil {
			t.Fatal(err)
		}
		want := append([]string{"present web N1/a: draining: drained: new disk", "present web n2/b"}, lived[5:]...)
		if diff := cmp.Diff(want, toldHistory(t, h)); diff != "" {
			t.Error(diff)
		}
		if h.Whole || h.Revision != drained.Revision || !h.Since.Equal(drained.Time) {
			t.Errorf("whole %v, since %v at %d; want it from %v at %d", h.Whole, h.Since, h.Revision, drained.Time, drained.Revision)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	r, _ := start(t, enginetest.Open(t))
	live(t, r)
	for _, tt := range []struct {
		name  string
		since time.Duration
		want  catalog.Kind
	}{
		{"", 0, catalog.KindInvalid}, {"web", -time.Second, catalog.KindInvalid},
		{"web", catalog.MaxHistory + 1, catalog.KindInvalid}, {"nobody", time.Minute, catalog.KindNotFound},
		{"n1", 0, catalog.KindNotFound},
	} {
		if _, err := r.History(t.Context(), tt.name, tt.since); catalog.KindOf(err) != tt.want {
			t.Errorf("history of %q since %v: %v, want kind %v", tt.name, tt.since, err, tt.want)
		}
	}
	r.replaying <- struct{}{} // written by another program
	if _, err := r.History(t.Context(), "web", 0); catalog.KindOf(err) != catalog.KindUnavailable {
		t.Errorf("while another one is read: %v, want it unavailable", err)
	}
	<-r.replaying

	p := newReplay(r, "web")
	for n := range 2*historyEvents + 7 {
		p.add(catalog.Event{Revision: uint64(n), Service: "web"})
	}
	p.trim(historyEvents)
	if len(p.history.Events) != historyEvents || p.history.Left != historyEvents+7 || p.history.Events[0].Revision != historyEvents+7 {
		t.Errorf("%d events, %d left out", len(p.history.Events), p.history.Left)
	}
}

// TestHistoryDropsOthersUndecoded checks the filter that spares a history the decoding of all other services' records.
func TestHistoryDropsOthersUndecoded(t *testing.T) {
	instance := catalog.Instance{ID: "a", Node: "n", Service: "Web", Meta: map[string]string{"service": "api"}}
	value := string(encode(instanceRecord{V: format, Instance: &instance}))
	for name, want := range map[string]bool{"web": true, "WEB": true, "we": false, "api": false} {
		if got := mayNameService([]byte(value), name); got != want {
			t.Errorf("may name %s: %v", name, got)
		}
	}
	if !mayNameService([]byte(strings.ReplaceAll(value, ":", ": ")), "api") {
		t.Error("the writes of another program are not looked at")
	}
}
