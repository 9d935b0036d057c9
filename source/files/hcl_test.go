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
