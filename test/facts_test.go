package test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// markdown returns all Markdown files of the repository.
func markdown(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) < 12 {
		t.Fatalf("only %d Markdown files: %v", len(paths), paths)
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// TestLinks looks for the target of every relative link, and for the heading that it leads to.
func TestLinks(t *testing.T) {
	for _, path := range markdown(t) {
		for _, found := range link.FindAllStringSubmatch(read(t, path), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			place := path
			if target != "" {
				place = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(place); err != nil {
				t.Errorf("%s: %v", path, err)
			} else if anchor != "" && !slices.Contains(anchors(read(t, place)), anchor) {
				t.Errorf("%s: %s has no heading #%s", path, place, anchor)
			}
		}
	}
}

// anchors returns the anchors that GitHub gives the headings of a Markdown file.
func anchors(text string) (list []string) {
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
				return r
			}
			return -1
		}, strings.ToLower(found[1])))
	}
	return list
}

// TestPicture compares the README's picture with the README, whose commands are run.
func TestPicture(t *testing.T) {
	readme := read(t, "../README.md")
	file, err := os.Open("../docs/img/session.svg")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	shown := 0
	decoder := xml.NewDecoder(file)
	for {
		var line struct {
			Class string `xml:"class,attr"`
			Text  string `xml:",chardata"`
			Spans []struct {
				Class string `xml:"class,attr"`
				Text  string `xml:",chardata"`
			} `xml:"tspan"`
		}
		next, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := next.(xml.StartElement); !ok || element.Name.Local != "text" {
			continue
		} else if err := decoder.DecodeElement(&line, &element); err != nil {
			t.Fatal(err)
		}
		words := []string{strings.TrimSpace(line.Text)}
		for _, span := range line.Spans {
			words = append(words, span.Text)
		}
		if text := strings.TrimSpace(strings.Join(words, " ")); line.Class != "note" {
			shown++
			if !strings.Contains(readme, text+"\n") {
				t.Errorf("the picture shows %q, and the README does not", text)
			}
		}
	}
	if shown < 10 {
		t.Errorf("the picture shows %d lines", shown)
	}
}

// help returns the help of a subcommand.
func help(t *testing.T, command ...string) string {
	t.Helper()
	koine, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(koine, append(command, "--help")...).Output()
	if err != nil {
		t.Fatalf("koine %v --help: %v", command, err)
	}
	return string(output)
}

var flagForm = regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-z-]+)`)

func flagsOf(t *testing.T, command ...string) (names []string) {
	t.Helper()
	for _, found := range flagForm.FindAllStringSubmatch(help(t, command...), -1) {
		names = append(names, found[1])
	}
	return names
}

var flagRow = regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| `([A-Z_]+)` \\| (?:`([a-z_]+)`)? ?\\|")

// TestSettings compares the flags of koine dev with the table of settings.
func TestSettings(t *testing.T) {
	var documented []string
	for _, row := range flagRow.FindAllStringSubmatch(read(t, "../docs/run-koine.md"), -1) {
		documented = append(documented, row[1])
		key := strings.ReplaceAll(row[1], "-", "_")
		if row[2] != "KOINE_"+strings.ToUpper(key) || row[3] != key && row[1] != "config" {
			t.Errorf("--%s has environment variable %s and key %q", row[1], row[2], row[3])
		}
	}
	flags := slices.DeleteFunc(flagsOf(t, "dev"), func(name string) bool { return name == "help" })
	compare(t, "flags of koine dev", flags, documented)
}

// compare reports what is only in one of two lists.
func compare(t *testing.T, what string, real, documented []string) {
	t.Helper()
	if len(real) == 0 || len(documented) == 0 {
		t.Fatalf("%s: %d, documented: %d", what, len(real), len(documented))
	}
	for _, name := range real {
		if !slices.Contains(documented, name) {
			t.Errorf("%s: %s is not documented", what, name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(real, name) {
			t.Errorf("%s: %s is documented and is not there", what, name)
		}
	}
}

// TestUnrunCommands checks the blocks of sh, which are not run: their make targets, scripts, subcommands and flags must
// exist.
func TestUnrunCommands(t *testing.T) {
	makefile := read(t, "../Makefile")
	for _, path := range markdown(t) {
		for _, b := range readBlocks(t, path) {
			if b.language != "sh" {
				continue
			}
			text := strings.ReplaceAll(strings.Join(b.lines, "\n"), "\\\n", " ")
			for line := range strings.SplitSeq(text, "\n") {
				if reason := unknownCommand(t, line, makefile); reason != "" {
					t.Errorf("%s:%d: %s: %s", path, b.line, line, reason)
				}
			}
		}
	}
}

func unknownCommand(t *testing.T, line, makefile string) string {
	line, _, _ = strings.Cut(line, " #")
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	switch {
	case words[0] == "make":
		for _, target := range words[1:] {
			if !strings.Contains(target, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:`).MatchString(makefile) {
				return "no target " + target
			}
		}
	case strings.HasPrefix(words[0], "scripts/"):
		if _, err := os.Stat(filepath.Join("..", words[0])); err != nil {
			return err.Error()
		}
	case words[0] == "bin/koine" && len(words) > 1:
		if !strings.Contains(help(t), "\n  "+words[1]+" ") {
			return "no subcommand " + words[1]
		}
		known := flagsOf(t, words[1])
		for _, word := range words[2:] {
			if name, ok := strings.CutPrefix(word, "--"); ok && name != "" && !slices.Contains(known, name) {
				return "no flag --" + name
			}
		}
	}
	return ""
}
