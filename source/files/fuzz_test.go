package files

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lineBreaks counts the line ends by YAML's rules.
func lineBreaks(data string) (n int) {
	for _, r := range data {
		if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) {
			n++
		}
	}
	return n
}

// fuzz feeds a format's decoder: each error must have a place in the file, and the accepted content must be valid.
func fuzz(f *testing.F, ending string, more ...string) {
	paths, err := filepath.Glob("testdata/*" + ending)
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range more {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _ := decodeText("a"+ending, string(data))
		for _, p := range c.problems {
			if p.line < 1 || p.line > lineBreaks(string(data))+2 || p.reason == "" {
				t.Fatalf("error %v (%+v) has no place in the file", p, p)
			}
		}
		checkContent(t, c)
	})
}

func checkContent(t *testing.T, c *content) {
	t.Helper()
	taken := make(map[key]bool)
	for _, u := range c.units() {
		for _, k := range u.keys() {
			if taken[k] {
				t.Fatalf("%s was accepted twice", k)
			}
			taken[k] = true
		}
		if u.check != nil {
			if err := u.check.Validate(); err != nil {
				t.Fatalf("an invalid check was accepted: %v", err)
			}
			continue
		}
		if err := u.service.Validate(); err != nil {
			t.Fatalf("an invalid registration was accepted: %v", err)
		}
		for _, raw := range u.service.Instance.Extras {
			if !json.Valid(raw) {
				t.Fatalf("extras %q are not JSON", raw)
			}
		}
	}
}

func FuzzJSON(f *testing.F) { fuzz(f, ".json", `{"services": [{"name": "a"}, {"name": 1}]}`) }

func FuzzYAML(f *testing.F) {
	fuzz(f, ".yaml", "a: &a [*a]", ":a\r\rn{m e:", "service: {name: a, port: .inf, meta: {<<: {a: b}}}")
}

func FuzzHCL(f *testing.F) {
	fuzz(f, ".hcl", `{"service": {}}`, "a \"b\" c {}", "a = <<-A\n\t x\n A\n", "a = -1.e5", "a = 0x1F b = 017", "a = [[1][2]]",
		"service { name = \"${a \"b\"}\\u00e9\" }", "a.b-c /* */ = true // x\r\n", "a = 1.\nb = .5e+1\nc = [,]")
}
