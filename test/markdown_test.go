package test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is a fenced block of a Markdown file.
type block struct {
	// line is the number of its first line.
	line      int
	language  string
	directive string
	lines     []string
}

// directiveForm is the comment on the line above a block that defines how the test treats it.
var directiveForm = regexp.MustCompile(`^<!-- docs: (.+) -->$`)

// readBlocks returns the fenced blocks of a Markdown file.
func readBlocks(t *testing.T, path string) []block {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parseBlocks(string(raw))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return blocks
}

func parseBlocks(text string) (blocks []block, err error) {
	var open *block
	directive := ""
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case open != nil && line == "```":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		case isFence:
			open = &block{line: i + 2, language: strings.TrimSpace(fence), directive: directive}
			directive = ""
		default:
			directive = ""
			if found := directiveForm.FindStringSubmatch(line); found != nil {
				directive = found[1]
			}
		}
	}
	if open != nil {
		return nil, os.ErrInvalid
	}
	return blocks, nil
}

// step is a command of a console block with its output.
type step struct {
	line     int
	command  string
	expected []string
	// mayFail is set if the next command looks at the exit code.
	mayFail bool
}

// heredoc finds the word that ends a here document.
var heredoc = regexp.MustCompile(`<<-?\s*['"]?([A-Za-z_]+)`)

// steps returns the commands of a console block. A command begins with "$ " and goes on while its lines end in a
// backslash, up to the end of its here document, or while a single quote is open.
func (b block) steps() (steps []step) {
	for i := 0; i < len(b.lines); i++ {
		text, ok := strings.CutPrefix(b.lines[i], "$ ")
		if !ok {
			if n := len(steps) - 1; n >= 0 {
				steps[n].expected = append(steps[n].expected, b.lines[i])
			}
			continue
		}
		command := []string{text}
		line := b.line + i
		for i+1 < len(b.lines) && unfinished(command) {
			i++
			command = append(command, b.lines[i])
		}
		steps = append(steps, step{line: line, command: strings.Join(command, "\n")})
	}
	for i := range steps {
		steps[i].expected = trimBlank(steps[i].expected)
		steps[i].mayFail = i+1 < len(steps) && steps[i+1].command == "echo $?"
	}
	return steps
}

func unfinished(command []string) bool {
	if found := heredoc.FindStringSubmatch(command[0]); found != nil {
		return command[len(command)-1] != found[1]
	}
	return strings.HasSuffix(command[len(command)-1], `\`) || strings.Count(strings.Join(command, "\n"), "'")%2 == 1
}

func trimBlank(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// question reports whether a command only asks, so that it may be asked again.
func (s step) question() bool {
	words := strings.Fields(s.command)
	switch words[0] {
	case "dig", "jq", "cat":
		return true
	case "curl":
		return !slices.Contains(words, "-X") && words[len(words)-1] != "&"
	case "bin/koine":
		asks := []string{"services", "lookup", "nodes", "history", "explain", "events"}
		return len(words) > 1 && slices.Contains(asks, words[1]) && words[len(words)-1] != "&"
	}
	return false
}

func TestStepsOfABlock(t *testing.T) {
	blocks, err := parseBlocks("text\n<!-- docs: start -->\n```sh\nmake run\n```\n\n```console\n$ a \\\n    b\nout\n\n$ cat >f <<'EOF'\nx\nEOF\n" +
		"$ false\n$ echo $?\n1\n$ curl -d '{\n}' u\n```\n")
	if err != nil || len(blocks) != 2 {
		t.Fatalf("parseBlocks = %+v, %v", blocks, err)
	}
	if b := blocks[0]; b.directive != "start" || b.language != "sh" || b.lines[0] != "make run" {
		t.Errorf("first block = %+v", b)
	}
	var got []string
	for _, s := range blocks[1].steps() {
		got = append(got, s.command+"|"+strings.Join(s.expected, "/"))
		if s.mayFail != (s.command == "false") {
			t.Errorf("%q may fail: %v", s.command, s.mayFail)
		}
	}
	want := []string{"a \\\n    b|out", "cat >f <<'EOF'\nx\nEOF|", "false|", "echo $?|1", "curl -d '{\n}' u|"}
	if !slices.Equal(got, want) {
		t.Errorf("steps = %q, want %q", got, want)
	}
	if _, err := parseBlocks("```sh\n"); err == nil {
		t.Error("a block without an end was accepted")
	}
}

func TestExpectedLines(t *testing.T) {
	for _, tt := range []struct {
		expected, output string
		want             bool
	}{
		{"", "", true}, {"", "x", false}, {"a", "a", true}, {"a", "b", false}, {"a...c", "abc", true}, {"a...", "a", true},
		{"a...c", "ab\nc", false}, {"a\n...\nc", "a\nc", true}, {"a\n...\nc", "a\nb\nb\nc", true}, {"...", "", true},
		{"a.c", "abc", false}, {"a\n...", "b\na", false},
	} {
		s := step{expected: trimBlank(strings.Split(tt.expected, "\n"))}
		if got := s.matches(tt.output); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.expected, tt.output, got, tt.want)
		}
	}
}
