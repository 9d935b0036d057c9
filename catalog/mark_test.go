package catalog

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func mark(id string, revision uint64) Change {
	c := Change{Type: RecordMark, Name: id, Mark: &Mark{ID: id}}
	c.At(revision, revision)
	return c
}

// TestPositionsAreOfOneHistory holds which positions hold in which history: in the one in which they were given, and in those that
// went apart from it later.
func TestPositionsAreOfOneHistory(t *testing.T) {
	ours := new(Marks).with(Mark{"b", 700}).with(Mark{"a", 2})
	for _, test := range []struct {
		name     string
		marks    *Marks
		position Position
		want     bool
	}{
		{"the present", ours, ours.Position(812), true},
		{"from before the last mark", ours, Position{500, "a"}, true},
		{"the last before a mark", ours, Position{699, "a"}, true},
		{"named by a later mark than its own", ours, ours.Position(500), true},
		{"a copy from before the mark was started elsewhere", ours, Position{812, "a"}, false},
		{"at the revision of a later mark", ours, Position{700, "a"}, false},
		{"another store", ours, Position{500, "z"}, false},
		{"a forgotten mark", ours.without("a"), Position{500, "a"}, false},
		{"a number alone", ours, Position{Revision: 9000}, true},
		{"a store without marks", new(Marks), Position{Revision: 5}, true},
		{"a store without marks, of one with", new(Marks), Position{5, "a"}, false},
		{"while the history changes", betweenHistories, Position{5, "a"}, false},
		{"while the history changes, a number alone", betweenHistories, Position{Revision: 5}, false},
		{"given while the history changed", ours, betweenHistories.Position(500), false},
		{"given while the history changed, in that time", betweenHistories, betweenHistories.Position(500), false},
	} {
		if got := test.marks.Holds(test.position); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]Position{"0": {}, "812": {812, ""}, "812.k3f9": {812, "k3f9"}} {
		got, err := ParsePosition(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", ".", "k3f9", "812.", ".k3f9", "-1", "+1", "1.2.3", "812.K3F9", "812.k3 f9", "99999999999999999999", "812." + strings.Repeat("k", maxMark+1),
	} {
		if p, err := ParsePosition(text); err == nil || KindOf(err) != KindInvalid {
			t.Errorf("%q: %v, %v; want a refusal", text, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("812.k3f9")
	f.Add("812")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			return
		}
		if again, err := ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q is read as %v, and that as %v, %v", text, p, again, err)
		}
	})
}

// TestViewChangesItsHistory loads another history over one: positions of before do not hold, whatever their numbers.
func TestViewChangesItsHistory(t *testing.T) {
	v := NewView()
	v.Load(10, []Change{mark("a", 5)})
	v.Apply(20, nil)
	before := v.Marks().Position(v.Revision())
	if before.String() != "20.a" || !v.InHistory(before) {
		t.Fatalf("%v, held %v", before, v.InHistory(before))
	}
	v.Apply(21, []Change{mark("b", 21)})
	if after := v.Marks().Position(v.Revision()); after.String() != "21.b" || !v.InHistory(before) || !v.InHistory(after) {
		t.Errorf("after another mark: %v; held %v, %v", after, v.InHistory(before), v.InHistory(after))
	}
	v.Load(20, []Change{mark("a", 5), mark("c", 16)})
	if v.InHistory(before) || !v.InHistory(Position{15, "a"}) || v.InHistory(Position{21, "b"}) {
		t.Errorf("a copy of revision 15: held %v %v %v", v.InHistory(before), v.InHistory(Position{15, "a"}), v.InHistory(Position{21, "b"}))
	}
	v.Load(3000, []Change{mark("z", 1)})
	if v.InHistory(Position{15, "a"}) || v.Marks().Position(3000).String() != "3000.z" {
		t.Errorf("another store: held %v, at %v", v.InHistory(Position{15, "a"}), v.Marks().Position(3000))
	}
}

// TestWaitsEndWithTheHistory restores the store to the very revision that a reader waits at: the wait ends.
func TestWaitsEndWithTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := NewView()
		v.Load(5, append(crowd(1, 1), mark("a", 5)))
		v.Apply(7, nil)
		index := v.ServiceIndex("svc-00000")
		ended := make(chan struct{}, 4)
		wait := func(block func()) {
			go func() { block(); ended <- struct{}{} }()
		}
		wait(func() { _, _ = v.WaitService(t.Context(), "svc-00000", index) })
		wait(func() { _, _ = v.WaitNode(t.Context(), "node-0000", v.Node("node-0000").Index) })
		wait(func() { _, _ = v.WaitList(t.Context(), v.Revision, 7) })
		wait(func() { _ = v.WaitRevision(t.Context(), 99) })
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatalf("%d waits have ended before anything happened", len(ended))
		}
		v.Load(5, append(crowd(1, 1), mark("b", 5)))
		time.Sleep(time.Second)
		if len(ended) != 4 {
			t.Errorf("%d of 4 waits have ended with the history", len(ended))
		}
	})
}
