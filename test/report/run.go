package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/koine-sd/koine/internal/logtail"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// name is a test of a package; "" is the package itself.
type name struct{ pkg, test string }

// run is a run of go test that is being read.
type run struct {
	out io.Writer
	// outputs are the output of packages and tests that have not ended, and of builds under their import path.
	outputs map[name]*strings.Builder
	results map[string]result // of packages
	ended   int               // tests, subtests among them
	skips   []skip
	failed  []name // tests
}

// result is the end of a package.
type result struct {
	action  string
	seconds float64
}

type skip struct {
	name
	reason string
}

func newRun(out io.Writer) *run {
	return &run{out: out, outputs: make(map[name]*strings.Builder), results: make(map[string]result)}
}

// take takes one line. A line that is not an event is printed unchanged.
func (r *run) take(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		fmt.Fprintf(r.out, "%s\n", line)
		return
	}
	switch n := (name{e.Package, e.Test}); e.Action {
	case "output":
		r.keep(n, e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(n, e.Action)
		}
	}
}

func (r *run) keep(n name, text string) {
	if r.outputs[n] == nil {
		r.outputs[n] = new(strings.Builder)
	}
	r.outputs[n].WriteString(text)
}

// drop returns the recorded output, and forgets it.
func (r *run) drop(n name) string {
	defer delete(r.outputs, n)
	if b := r.outputs[n]; b != nil {
		return b.String()
	}
	return ""
}

func (r *run) endTest(n name, action string) {
	text := r.drop(n)
	r.ended++
	switch action {
	case "skip":
		r.skips = append(r.skips, skip{n, reason(text)})
	case "fail":
		r.failed = append(r.failed, n)
		r.show(n, text)
	}
}

// endPackage prints the line of a package. If it failed, the reason is in its own output and in that of tests that have
// not ended: a panic, or the time limit.
func (r *run) endPackage(e event) {
	r.results[e.Package] = result{e.Action, e.Elapsed}
	cached := ""
	left := slices.SortedFunc(maps.Keys(r.outputs), func(a, b name) int { return strings.Compare(a.test, b.test) })
	for _, n := range left {
		if n.pkg != e.Package {
			continue
		}
		text := r.drop(n)
		if e.Action == "fail" {
			r.show(n, text)
		}
		if n.test == "" && strings.Contains(text, "\t(cached)") {
			cached = " (cached)"
		}
	}
	switch word := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "?   "}[e.Action]; e.Action {
	case "skip":
		fmt.Fprintf(r.out, "%s\t%s\t[no test files]\n", word, e.Package)
	default:
		fmt.Fprintf(r.out, "%s\t%s\t%.1fs%s\n", word, e.Package, e.Elapsed, cached)
	}
}

// The bounds on the lines shown of one test: of the start and of the end.
const (
	headLines = 200
	tailLines = 100
)

// show prints the output of a test, without the lines that only mark its progress.
func (r *run) show(n name, text string) {
	var lines []string
	for line := range strings.Lines(text) {
		if !marker(line) {
			lines = append(lines, line)
		}
	}
	if more := len(lines) - headLines - tailLines; more > 0 {
		where := logtail.Keep(n.pkg+"-"+n.test, text)
		note := fmt.Sprintf("(%d lines are left out; all are in %s)\n", more, where)
		lines = slices.Concat(lines[:headLines], []string{note}, lines[len(lines)-tailLines:])
	}
	fmt.Fprint(r.out, strings.Join(lines, ""))
}

// marker reports whether a line is of the frame that -v puts around the tests.
func marker(line string) bool {
	line = strings.TrimSpace(line)
	return line == "PASS" || line == "FAIL" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- PASS") ||
		strings.HasPrefix(line, "--- SKIP") || strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t")
}
