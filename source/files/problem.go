package files

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// maxProblems bounds the problems of a file, and the unknown fields of a mapping, that are reported one by one.
const maxProblems = 20

// problem is why a part of a file is refused, and its place in the file. Line and column count from 1. Column is 0 if
// it is unknown; line is 0 only if no place is known, as for a file that cannot be opened.
type problem struct {
	line, column int
	reason       string
	// hint is the way out; it may be empty.
	hint string
}

func problemAt(line, column int, format string, args ...any) *problem {
	return &problem{line: line, column: column, reason: fmt.Sprintf(format, args...)}
}

func (p *problem) withHint(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}

func (p *problem) Error() string {
	if p.hint == "" {
		return p.reason
	}
	return p.reason + ": " + p.hint
}

// problems is the error of a part of a file with several problems.
type problems []*problem

func (l problems) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// err returns the list as an error, nil if it is empty.
func (l problems) err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// add appends the problems of an error. An error without a place gets the given one.
func (l *problems) add(line, column int, err error) {
	var one *problem
	var several problems
	switch {
	case err == nil:
	case errors.As(err, &several):
		*l = append(*l, several...)
	case errors.As(err, &one):
		*l = append(*l, one)
	default:
		*l = append(*l, placed(line, column, err))
	}
}

// placed returns a problem with the words of an error.
func placed(line, column int, err error) *problem {
	if known, ok := errors.AsType[*catalog.Error](err); ok {
		return &problem{line, column, known.Message, known.Hint}
	}
	return &problem{line: line, column: column, reason: err.Error()}
}

// sorted returns the problems by their places, the first maxProblems of them.
func (l problems) sorted() problems {
	l = slices.Clone(l)
	slices.SortStableFunc(l, func(a, b *problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	more := len(l) - maxProblems
	if more <= 0 {
		return l
	}
	last := l[maxProblems]
	return append(l[:maxProblems], problemAt(last.line, last.column, "has %d more errors from here on", more))
}

// placeOf returns line and column of an offset; one outside of the data is at its nearest end.
func placeOf(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset, 0), len(data))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// within moves a problem beyond the end of the file, where something is missing, to its end.
func (p *problem) within(data []byte) *problem {
	line, column := placeOf(data, len(data))
	if p.line > line || p.line == line && p.column > column {
		p.line, p.column = line, column
	}
	return p
}
