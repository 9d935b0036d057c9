// Package words keeps words out of what people read that make it hard to read.
package words

import (
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the directory of the module.
const root = "../.."

// rules are the words to avoid, each with better ones. A space in old stands for any space between two words, the start of a
// comment's next line included.
var rules = []struct {
	old, better string
	// code reports that the word is avoided in identifiers, too, not only in prose.
	code bool
}{
	{`askers?`, "client or caller (of HTTP), resolver or container (of DNS)", true},
	{`whoever`, "the noun: every client, each process, the owner", true},
	{`anew`, "again", true},
	{`(tells|says) whether`, "reports whether", false},
	{`tells that`, "reports whether, or reports that", false},
	{`(is|are|was|were|been) told`, "the verb: gets, is shown, is asked to stop, is logged", false},
	{`(of|to|for) who`, "the noun: of the client, to the caller", false},
	{`doors?`, "listener (an address where clients come in) or protocol (what is spoken there)", false},
	{`but for`, "except, or except for", false},
}

// excepted are the files that still have such words. No file may be added.
var excepted = strings.Fields(`
agent/agent.go
agent/agent_test.go
catalog/apply.go
catalog/check.go
catalog/equal.go
catalog/limits.go
catalog/publish.go
catalog/snapshot.go
catalog/validate.go
catalog/view.go
catalog/view_test.go
engine/engine.go
engine/purge_test.go
health/deregister.go
health/look.go
health/runner.go
health/runner_test.go
health/state.go
health/state_test.go
health/timetable.go
health/view_test.go
internal/conns/conns.go
internal/conns/conns_test.go
registry/diff.go
registry/feed.go
registry/record.go
registry/registry.go
registry/replay.go
source/docker/doc.go
source/docker/drain.go
source/docker/env_test.go
source/docker/explain.go
source/docker/neighbours.go
source/docker/outcome.go
source/docker/session.go
source/docker/source.go
source/docker/tracker.go
test/descriptors_test.go
test/script/testdata/docker/compose.txtar
test/script/testdata/docker/secrets.txtar
test/script/testdata/lookup.txtar
test/script/testdata/register.txtar
test/script/testdata/stop.txtar
`)

// word is a rule with its pattern.
type word struct {
	pattern *regexp.Regexp
	better  string
	code    bool
}

// words compiles the rules.
func words() (list []word) {
	for _, r := range rules {
		spaced := strings.ReplaceAll(r.old, " ", `\s+(?:(?://|#)\s*)?`)
		list = append(list, word{regexp.MustCompile(`(?i)\b(?:` + spaced + `)\b`), r.better, r.code})
	}
	return list
}

// TestWords reads all Go sources, pages and scripts of tests. The changelog, the decisions in docs/adr and this file, which
// has the list, are left out.
func TestWords(t *testing.T) {
	list, read := words(), 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		switch {
		case entry.IsDir() && (name == ".git" || name == "bin" || name == "docs/adr"):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !people(name) || slices.Contains(excepted, name):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		check(t, list, name, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < 300 {
		t.Errorf("only %d files were read", read)
	}
}

// people reports whether a file is one that people read.
func people(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".md", ".txtar":
		return name != "CHANGELOG.md" && name != "test/words/words_test.go"
	}
	return name == "api/openapi.json"
}

func check(t *testing.T, list []word, name string, text []byte) {
	t.Helper()
	read := prose(name, text)
	for _, w := range list {
		from := read
		if w.code {
			from = text
		}
		for _, at := range w.pattern.FindAllIndex(from, -1) {
			line := 1 + bytes.Count(from[:at[0]], []byte("\n"))
			t.Errorf("%s:%d: %q: write %s", name, line, from[at[0]:at[1]], w.better)
		}
	}
}

// described matches the prose of a JSON document.
var described = regexp.MustCompile(`"(?:summary|description)": "[^"]*"`)

// prose returns a text in which all code is blank: Go's except comments and strings of more than one word, and JSON's except
// summaries and descriptions. Every byte keeps its place.
func prose(name string, text []byte) []byte {
	blank := bytes.Repeat([]byte(" "), len(text))
	for i, b := range text {
		if b == '\n' {
			blank[i] = b
		}
	}
	switch filepath.Ext(name) {
	case ".go":
		keepGo(blank, text)
	case ".json":
		for _, at := range described.FindAllIndex(text, -1) {
			copy(blank[at[0]:at[1]], text[at[0]:at[1]])
		}
	default:
		return text
	}
	return blank
}

// keepGo copies the comments and the strings of more than one word into the blank text.
func keepGo(blank, text []byte) {
	file := token.NewFileSet().AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, scanner.ScanComments)
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return
		}
		if kind == token.COMMENT || kind == token.STRING && strings.Contains(literal, " ") {
			copy(blank[file.Offset(pos):], literal)
		}
	}
}
