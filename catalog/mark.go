package catalog

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Mark is a point in the history of the store: each process that begins to use the store writes one. Two histories that begin
// with a copy of the same store share the marks from before the copy, and no later ones.
type Mark struct {
	// ID is random.
	ID string
	// Revision is the one at which the mark was written.
	Revision uint64
}

// Position is a revision of one history of the store: an index, or the id of an event, as a client keeps it. Its text is
// the revision, a dot and a mark: "812.k3f9x2ab".
type Position struct {
	Revision uint64
	// Mark is the ID of the newest mark when the position was given. Without one, the position is of whatever history the
	// store has.
	Mark string
}

// maxMark bounds the bytes of a mark's ID.
const maxMark = 32

// ParsePosition reads the text of a position; a number alone has no mark. The error is of KindInvalid.
func ParsePosition(text string) (Position, error) {
	number, mark, marked := strings.Cut(text, ".")
	revision, err := strconv.ParseUint(number, 10, 64)
	if err != nil || marked && !markLike(mark) {
		return Position{}, Errorf(KindInvalid, "%.60q is no index", text).WithHint("give back an index, or the id of an event, as it came")
	}
	return Position{revision, mark}, nil
}

func markLike(text string) bool {
	return text != "" && len(text) <= maxMark && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// String returns the position's text.
func (p Position) String() string {
	text := strconv.FormatUint(p.Revision, 10)
	if p.Mark == "" {
		return text
	}
	return text + "." + p.Mark
}

// MarshalText returns the position's text.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the position's text, as ParsePosition does.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

// Marks are the marks of the store, by revision. They never change: another mark makes other Marks.
type Marks struct{ list []Mark }

// betweenHistories are the Marks while the View changes from one history to another: no position holds, and none that is
// given then ever will.
var betweenHistories = &Marks{[]Mark{{ID: "0"}}}

// Position returns the position of a revision. The Marks must have been read from the View before the revision was: a
// position that names too old a mark is no longer held, and one that names too new a mark would be held wrongly.
func (m *Marks) Position(revision uint64) Position {
	if len(m.list) == 0 {
		return Position{Revision: revision}
	}
	return Position{revision, m.list[len(m.list)-1].ID}
}

// Holds reports whether a position is of the history that has these marks: whether its mark is one of them, and no later one
// stands at or below its revision.
func (m *Marks) Holds(p Position) bool {
	if p.Mark == "" {
		return m != betweenHistories
	}
	i := slices.IndexFunc(m.list, func(mark Mark) bool { return mark.ID == p.Mark })
	return i >= 0 && m != betweenHistories && (i+1 == len(m.list) || m.list[i+1].Revision > p.Revision)
}

// with returns the Marks with one more.
func (m *Marks) with(mark Mark) *Marks {
	list := append(slices.Clone(m.without(mark.ID).list), mark)
	slices.SortFunc(list, func(a, b Mark) int { return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.ID, b.ID)) })
	return &Marks{list}
}

// without returns the Marks without one.
func (m *Marks) without(id string) *Marks {
	return &Marks{slices.DeleteFunc(slices.Clone(m.list), func(mark Mark) bool { return mark.ID == id })}
}

// Marks returns the marks of the history that the View shows.
func (v *View) Marks() *Marks { return v.marks.Load() }

// InHistory reports whether a position is of the history that the View shows. What is known of any other says nothing about the
// present.
func (v *View) InHistory(p Position) bool { return v.marks.Load().Holds(p) }

// recordMark takes in a mark that was written or deleted.
func (w *writer) recordMark(c *Change) {
	if c.Mark == nil {
		w.marks = w.marks.without(c.Name)
	} else {
		w.marks = w.marks.with(Mark{ID: c.Name, Revision: c.ModRevision})
	}
}
