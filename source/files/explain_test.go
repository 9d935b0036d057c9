package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
)

// TestFilesInErrorAreNamed holds that a file in error, and a service in error, leave the others in force, and are named in /health and explain
// until they are mended.
func TestFilesInErrorAreNamed(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("a.json", `{"services": [{"name": "good", "port": 1}, {"name": "bad", "port": -1}]}`)
	put("b.yaml", "services: [")
	put("c.json", `{"service": {"name": "other", "port": 2}}`)
	problem := ""
	sink := &namesSink{}
	s, err := New(Config{Dir: dir, Node: "n1", Sink: sink, Problem: func(what string) { problem = what }})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Load()
	if sink.names != "good other" {
		t.Errorf("in force: %q", sink.names)
	}
	if !strings.HasPrefix(problem, "2 definition files are in error") || !strings.Contains(problem, "a.json:1:") {
		t.Errorf("problem %q", problem)
	}
	for name, file := range map[string]string{"bad": "a.json", "b.yaml": "b.yaml", "other": "", "nosuch": ""} {
		left := s.Explain(name)
		if file == "" && len(left) > 0 || file != "" && (len(left) != 1 || left[0].Name != file || left[0].Why == "") {
			t.Errorf("explain %s: %+v", name, left)
		}
	}
	put("a.json", `{"services": [{"name": "good", "port": 1}, {"name": "bad", "port": 3}]}`)
	put("b.yaml", "services: []")
	_ = s.Load()
	if problem != "" || sink.names != "bad good other" || len(s.Explain("bad")) > 0 {
		t.Errorf("mended: problem %q, in force %q", problem, sink.names)
	}
}

// namesSink keeps the names of the services that are declared.
type namesSink struct{ names string }

func (s *namesSink) Declare(_ string, registrations []catalog.Registration) {
	var names []string
	for i := range registrations {
		names = append(names, registrations[i].Instance.Service)
	}
	s.names = strings.Join(names, " ")
}
