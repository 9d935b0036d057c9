package files

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHCLMeansWhatJSONMeans compares a definition in HCL with the same in JSON.
func TestHCLMeansWhatJSONMeans(t *testing.T) {
	meaning := func(name string) string {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		c, err := decodeText(name, string(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := json.MarshalIndent(registrations(c.units()), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		checks, err := json.MarshalIndent(nodeChecks(c.units()), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + string(checks)
	}
	if diff := cmp.Diff(meaning("camel.json"), meaning("orders.hcl")); diff != "" {
		t.Errorf("meaning (-JSON +HCL):\n%s", diff)
	}
}

func TestHCLThatIsJSON(t *testing.T) {
	c, err := decodeText("a.hcl", "\n {\"service\": {\"name\": \"web\", \"prot\": 80}}")
	if err == nil || err.Error() != `unknown field "prot" in service: did you mean "port"?` || c.problems[0].line != 2 {
		t.Errorf("error %v", err)
	}
}

func TestHCLLimits(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"services = " + strings.Repeat("[", 1<<20-20), "nested deeper than 32 levels"},
		{strings.Repeat("a {", 1<<18), "nested deeper than 32 levels"},
		{"a = [" + strings.Repeat("1,", 1<<19-10) + "]", "holds more than 200000 values"},
		{strings.Repeat("a=1 ", 1<<18), "holds more than 200000 values"},
		{strings.Repeat("#", 1<<20+1), "is larger than 1048576 bytes"},
	} {
		_, err := decodeText("a.hcl", tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.20s…: %.200v", tt.text, err)
		}
	}
}

// TestBlocksByName: blocks of many names are each put to those of their own name, in time that grows with their number.
func TestBlocksByName(t *testing.T) {
	n := &node{kind: object}
	blocks := make(map[string]int)
	for _, name := range []string{"a", "b", "a", "c", "b", "a"} {
		n.addBlock(field{name: name, value: &node{kind: object}}, blocks)
	}
	if len(n.fields) != 3 || len(n.fields[0].value.items) != 3 || len(n.fields[1].value.items) != 2 || n.fields[2].value.kind != object {
		t.Errorf("%d fields", len(n.fields))
	}
}

// TestLabelsAreLevels: the labels of a block count as levels.
func TestLabelsAreLevels(t *testing.T) {
	text := func(labels int) []byte { return []byte("x " + strings.Repeat(`"a" `, labels) + "{}\n") }
	if _, err := parseHCL(text(maxDepth - 1)); err != nil {
		t.Error(err)
	}
	if _, err := parseHCL(text(maxDepth + 1)); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("%d labels: %v", maxDepth+1, err)
	}
}

// TestOneSpelling: two names of one field are refused.
func TestOneSpelling(t *testing.T) {
	for _, check := range []string{
		`"id": "a", "check_id": "b", "ttl": "1s"`, `"args": ["a"], "script_args": ["b"]`, `"ttl": "1s", "status": "passing", "initial_status": "critical"`,
	} {
		c := (&decoder{node: "n", scripts: true}).decode("x.json", []byte(`{"service": {"name": "web", "check": {`+check+`}}}`))
		if len(c.problems) == 0 {
			t.Errorf("accepted: %s", check)
		}
	}
}
