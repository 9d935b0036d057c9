package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// logged shortens the lines of an event log to "revision type instance", with a + for more.
func logged(t *testing.T, ndjson string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(ndjson) {
		var e client.LogEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if e.Type != "" && e.Time.IsZero() {
			t.Errorf("no time in %s", line)
		}
		text := fmt.Sprint(e.Revision)
		if e.More {
			text += "+"
		}
		for _, word := range []string{string(e.Type), e.Instance, e.Reason} {
			if word != "" {
				text += " " + word
			}
		}
		if e.Missing > 0 {
			text += fmt.Sprint(" ", e.Missing)
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, ", ")
}

func TestEvents(t *testing.T) {
	b := newBed(t)
	b.apply(instanceChange(instance("web", "z")), instanceChange(instance("api", "y")))
	b.apply(remove("c"))
	b.apply(remove("z"))
	const all = "11+ registered y, 11 registered z, 12 deregistered c, 13 deregistered z"
	for path, want := range map[string]string{
		"/events":                      all,
		"/events?last=0":               "",
		"/events?last=2":               "12 deregistered c, 13 deregistered z",
		"/events?name=WEB":             "11 registered z, 13 deregistered z",
		"/events?name=y":               "11 registered y",
		"/events?name=N1":              all,
		"/events?name=nobody":          "",
		"/events?revision=11":          "12 deregistered c, 13 deregistered z",
		"/events?revision=9&name=y":    "9 gap what happened next is not remembered, 11 registered y",
		"/events?revision=14&follow=0": "13 gap what happened next is not remembered",
	} {
		a := b.get(t, path)
		if got := logged(t, a.body); got != want || a.header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s (%s): %s\nwant %s", path, a.header.Get("Content-Type"), got, want)
		}
	}
	for _, path := range []string{"/events?last=10001", "/events?last=-1", "/events?follow=maybe", "/events?revision=x", "/events?service=web"} {
		if a := b.get(t, path); a.code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, a.code)
		}
	}
}

func TestEventsAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		f.apply(instanceChange(instance("web", "y")))
		all, web, page := &reader{}, &reader{}, &reader{}
		open(t, s, "/events?follow", all)
		open(t, s, "/events?follow=true&name=web&last=10", web)
		open(t, s, "/events?follow&revision=10", page, "Accept", "text/event-stream", "Last-Event-ID", "11")
		for r, want := range map[*reader]string{all: "11", web: "11 registered y, 11"} {
			if got := logged(t, r.take()); got != want {
				t.Errorf("at first %s, want %s", got, want)
			}
		}
		if got := page.take(); got != ": alive\nid: 11\n\n" {
			t.Errorf("an event source begins with %q", got)
		}
		f.apply(instanceChange(instance("db", "d")), instanceChange(instance("web", "z")))
		for r, want := range map[*reader]string{all: "12+ registered d, 12 registered z", web: "12 registered z"} {
			if got := logged(t, r.take()); got != want {
				t.Errorf("then %s, want %s", got, want)
			}
		}
		got := page.take()
		if blocks := strings.Split(got, "\n\n"); len(blocks) != 3 || !strings.HasPrefix(blocks[0], `data: {"id":"12","revision":12,"more":true,"time":"`) ||
			!strings.HasPrefix(blocks[1], "id: 12\ndata: {\"id\":\"12\",\"revision\":12,\"time\":") {
			t.Errorf("an event source gets %q", got)
		}
		f.apply(checkChange(check("x", "", catalog.Passing))) // a node looks different, and nothing has happened
		f.apply(remove("d"))
		if got := logged(t, web.take()); got != "" {
			t.Errorf("got the events of others: %s", got)
		}
		time.Sleep(15 * time.Second) // the bubble's clock
		if got := logged(t, web.take()); got != "14" {
			t.Errorf("heartbeat %s", got)
		}
	})
}

// Events that a slow reader misses are counted.
func TestEventsOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		r := &reader{gate: make(chan struct{})}
		open(t, s, "/events?follow", r)
		synctest.Wait() // it is stuck in its first write
		const changes = 20_000
		for i := range changes {
			f.apply(instanceChange(instance("web", "a", fmt.Sprint("tag", i))))
		}
		close(r.gate)
		lines := strings.SplitAfter(r.take(), "\n")
		sent := len(lines) - 3 // besides the sign of life, the gap, and the rest of the last line
		if got, want := logged(t, lines[1]), fmt.Sprintf("%d gap %d", 10+changes-sent, changes-sent); got != want || sent < 4096 {
			t.Errorf("after %d changes, %d sent, the first is %s; want %s", changes, sent, got, want)
		}
		if got, want := logged(t, lines[len(lines)-2]), fmt.Sprintf("%d changed a tags", 10+changes); got != want {
			t.Errorf("the last is %s, want %s", got, want)
		}
	})
}

func TestEventsThroughClient(t *testing.T) {
	b := newBed(t)
	b.apply(remove("c"))
	list, err := b.client.Events(t.Context(), client.EventOptions{Last: 5, Name: "db"})
	if err != nil || len(list) != 1 || list[0].Type != catalog.EventDeregistered || list[0].Revision != 11 {
		t.Errorf("events %+v, %v", list, err)
	}
	var got []string
	for e, err := range b.client.FollowEvents(t.Context(), client.EventOptions{Last: 5}) {
		if err != nil {
			got = append(got, catalog.KindOf(err).String())
			b.apply(instanceChange(instance("web", "y")))
			continue // the connection was cut: the log continues where it was
		}
		got = append(got, fmt.Sprintf("%d %s", e.Revision, e.Type))
		switch len(got) {
		case 1:
			b.apply(remove("a"))
		case 2:
			b.http.CloseClientConnections()
		}
		if len(got) == 4 {
			break
		}
	}
	if diff := cmp.Diff([]string{"11 deregistered", "12 deregistered", "unavailable", "13 registered"}, got); diff != "" {
		t.Error(diff)
	}
}

// historian records its questions.
type historian struct {
	name  string
	since time.Duration
	err   error
}

func (h *historian) History(_ context.Context, name string, since time.Duration) (catalog.History, error) {
	h.name, h.since = name, since
	return catalog.History{Name: name, Revision: 3, Whole: true, Events: []catalog.Event{{Type: catalog.EventPresent}}}, h.err
}

func TestHistory(t *testing.T) {
	h := &historian{}
	b := newBed(t, func(cfg *Config) { cfg.Historian = h })
	got, err := b.client.History(t.Context(), "web", 90*time.Second)
	if err != nil || h.name != "web" || h.since != 90*time.Second || got.Revision != 3 || !got.Whole || len(got.Events) != 1 {
		t.Errorf("history %+v, %v; asked for %+v", got, err, h)
	}
	if _, err := b.client.History(t.Context(), "web", 0); err != nil || h.since != 0 {
		t.Errorf("asked for %v, %v", h.since, err)
	}
	h.err = catalog.Errorf(catalog.KindNotFound, "no service")
	for path, want := range map[string]int{
		"/history": 400, "/history?name=": 400, "/history?name=web&since=soon": 400, "/history?name=web&since=-1s": 400,
		"/history?name=web&since=0s": 400, "/history?name=web&since=169h": 400, "/history?name=web&last=1": 400,
		"/history?name=" + strings.Repeat("x", 300): 400, "/history?name=web": 404,
	} {
		if a := b.get(t, path); a.code != want {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if a := newBed(t).get(t, "/history?name=web"); a.code != 503 {
		t.Errorf("without a store: %d %s", a.code, a.body)
	}
}
