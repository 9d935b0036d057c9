package api

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func markChange(id string, revision uint64) catalog.Change {
	c := catalog.Change{Type: catalog.RecordMark, Name: id, Mark: &catalog.Mark{ID: id}}
	c.At(revision, revision)
	return c
}

// newMarked is newOffline on a store whose history has marks: a from its beginning, b from revision 8.
func newMarked(t *testing.T) (*store, *Server) {
	t.Helper()
	f, s := newOffline(t)
	f.view.Load(10, append(content(), markChange("a", 2), markChange("b", 8)))
	return f, s
}

func content() []catalog.Change {
	return append(nodeChange("n1"), instanceChange(instance("web", "a", "blue")), instanceChange(instance("db", "c")))
}

// waits are the reads that can wait.
var waits = []string{"/services/web", "/services/nope", "/services", "/nodes", "/nodes/n1", "/nodes/nope", "/services/web?near=_self", "/services/web?health=any"}

// waitingAt returns a path with ?index=.
func waitingAt(path, index string) string {
	if strings.Contains(path, "?") {
		return path + "&index=" + index
	}
	return path + "?index=" + index
}

// TestReadsDoNotWaitInAnotherHistory holds that a read which brings an index of another history of the store is answered at once, and
// that one of this history waits.
func TestReadsDoNotWaitInAnotherHistory(t *testing.T) {
	for index, want := range map[string]bool{"10.z": true, "10.a": true, "10.b": false, "10": false} {
		for _, path := range waits {
			synctest.Test(t, func(t *testing.T) {
				f, s := newMarked(t)
				w, answered := start(t.Context(), s, waitingAt(path, index))
				if answered() != want {
					t.Fatalf("%s: answered %v, want %v: %s", waitingAt(path, index), !want, want, w.Body)
				}
				// The store is put back to another state at the same revision.
				f.view.Load(10, append(nodeChange("n1"), markChange("a", 2), markChange("c", 9)))
				if !answered() {
					t.Errorf("%s: waits on after the store got another history", waitingAt(path, index))
				}
			})
		}
	}
}

// TestIndexesNameTheHistory holds that every index names the newest mark, and one that the store still knows.
func TestIndexesNameTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newMarked(t)
		check := func(want string) {
			t.Helper()
			for _, path := range waits {
				w, answered := start(t.Context(), s, path)
				if !answered() || w.Header().Get(client.HeaderIndex) != want {
					t.Errorf("%s: index %q in the header, want %s", path, w.Header().Get(client.HeaderIndex), want)
				}
				var body struct {
					Index    string
					Services []struct{ Index string }
				}
				if w.Code != 200 {
					continue
				}
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Index != want {
					t.Errorf("%s: index %q, %v; want %s", path, body.Index, err, want)
				}
				for _, service := range body.Services {
					if service.Index != want {
						t.Errorf("%s: a service has the index %s, want %s", path, service.Index, want)
					}
				}
			}
		}
		check("10.b")
		f.view.Apply(11, []catalog.Change{markChange("d", 11), {Type: catalog.RecordMark, Name: "a"}, {Type: catalog.RecordMark, Name: "b"}})
		check("10.d")
	})
}

// TestStreamsBeginAgainInAnotherHistory holds that a stream which goes on from another history begins with a reset, and everything that
// is so now.
func TestStreamsBeginAgainInAnotherHistory(t *testing.T) {
	for path, want := range map[string]string{
		"/watch?revision=10.z":                        "10 reset, 10+ db[c], 10 web[a]",
		"/watch?revision=10.a":                        "10 reset, 10+ db[c], 10 web[a]",
		"/watch?revision=10.b":                        "10",
		"/watch?service=web&revision=10.z":            "10 reset, 10 web[a]",
		"/watch?service=web&service=x&revision=4.z":   "10 reset, 10+ web[a], 10 x[]",
		"/watch?service=web&revision=10.b":            "10",
		"/watch?service=web&revision=10":              "10",
		"/watch?service=web&tag=blue&revision=3000.z": "10 reset, 10 web[a]",
	} {
		synctest.Test(t, func(t *testing.T) {
			_, s := newMarked(t)
			r := &reader{}
			open(t, s, path, r)
			if got := brief(t, r.take()); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
			page := &reader{}
			open(t, s, "/watch?service=web", page, "Accept", "text/event-stream", "Last-Event-ID", "10.z")
			got := page.take()
			if !strings.HasPrefix(got, "event: reset\ndata: {\"id\":\"10.b\",") || !strings.Contains(got, "\n\nid: 10.b\ndata: {\"id\":\"10.b\",\"revision\":10,\"service\":\"web\"") {
				t.Errorf("an event source: %s", got)
			}
		})
	}
}

// TestStreamsNoticeAnotherHistory changes the history under a watch, to one at the same revision.
func TestStreamsNoticeAnotherHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newMarked(t)
		one, all, resumed := &reader{}, &reader{}, &reader{}
		open(t, s, "/watch?service=web", one)
		open(t, s, "/watch", all)
		open(t, s, "/watch?revision=10.b", resumed)
		one.take()
		all.take()
		resumed.take()
		f.view.Load(10, append(nodeChange("n1"), instanceChange(instance("web", "old")), markChange("a", 2), markChange("c", 9)))
		for r, want := range map[*reader]string{one: "10 web[old]", all: "10+ db[], 10 web[old]", resumed: "10 reset, 10 web[old]"} {
			text := r.take()
			if got := brief(t, text); got != want || !strings.Contains(text, `"id":"10.c"`) {
				t.Errorf("%s, want %s with ids of the new history: %s", got, want, text)
			}
		}
	})
}

// TestEventsOfAnotherHistory holds that a reader of events that comes from another history gets a reset, a gap, and all that the
// server remembers.
func TestEventsOfAnotherHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newMarked(t)
		f.apply(instanceChange(instance("web", "z")))
		for path, want := range map[string]string{
			"/events?revision=11.z": "11, 11+ gap the revision is of another history of the store, 11 registered z",
			"/events?revision=10.a": "11, 10 gap the revision is of another history of the store, 11 registered z",
			"/events?revision=10.b": "11 registered z",
			"/events?revision=11.b": "",
		} {
			r := &reader{}
			<-open(t, s, path, r)
			text := r.take()
			if got := logged(t, text); got != want || strings.Contains(text, `"reset":true`) != strings.Contains(want, "gap") {
				t.Errorf("%s: %s, want %s: %s", path, got, want, text)
			}
		}
	})
}

// TestBodiesNameTheHistoryOfTheirSnapshot holds that the index in the body of a snapshot is of the history that the snapshot is of,
// also if the store has got another one since.
func TestBodiesNameTheHistoryOfTheirSnapshot(t *testing.T) {
	f, s := newMarked(t)
	at := f.view.Marks()
	service := f.view.Service("web")
	f.view.Load(600, append(nodeChange("n1"), markChange("other", 3)))
	index, err := catalog.ParsePosition(s.bodyOf(service, catalog.AllNetworks, at).index[0])
	if err != nil || index.Mark != "b" || f.view.InHistory(index) {
		t.Errorf("index %v, %v", index, err)
	}
}
