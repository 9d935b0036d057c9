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
	"strings"
	"testing"
)

// root is the directory of the module.
const root = "../.."

// word is a rule with its pattern.
type word struct {
	pattern *regexp.Regexp
	better  string
	code    bool
}

// words reads the list.
func words(t *testing.T) (list []word) {
	t.Helper()
	text, err := os.ReadFile("list.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || fields[2] != "code" && fields[2] != "prose" {
			t.Fatalf("list.txt: %q is not a rule", line)
		}
		spaced := strings.ReplaceAll(fields[0], " ", `\s+(?:(?://|#)\s*)?`)
		list = append(list, word{regexp.MustCompile(`(?i)\b(?:` + spaced + `)\b`), fields[1], fields[2] == "code"})
	}
	return list
}

// TestWords reads all Go sources, pages and scripts of tests. The changelog and the decisions in docs/adr are
// left out.
func TestWords(t *testing.T) {
	list, read := words(t), 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		switch {
		case entry.IsDir() && (name == ".git" || name == "bin" || name == "docs/adr"):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !people(name):
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
		return name != "CHANGELOG.md"
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
