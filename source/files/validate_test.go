package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

func TestValidate(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"conf/a.json":    services("web", "db"),
		"conf/b.hcl":     "service {\n  name = \"web\"\n}\nservice {\n  name = \"mq\"\n  kind = \"x\"\n  port = 70000\n}\n",
		"conf/c.yaml":    "service: {name: api, token: t}\ncheck: {name: disk, args: [df]}\nchecks: [{name: load, ttl: 1m}]\n",
		"conf/old.toml":  "x",
		"conf/.hid.json": "{",
		"more/d.json":    `{"check": {"id": "up", "service_id": "api", "ttl": "1s"}}`,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Validate(ValidateConfig{}, "conf", "more/d.json", "more", "conf/a.json")
	if err != nil {
		t.Fatal(err)
	}
	want := &Report{
		Files: 4, Services: 3, NodeChecks: 1,
		Errors: []Finding{
			{"conf/b.hcl", 1, 9, "instance web is declared in conf/a.json", "give one of them another id"},
			{"conf/b.hcl", 7, 10, `port: must be a whole number from 0 to 65535, not "70000"`, ""},
			{"conf/c.yaml", 2, 8, "check runs a script", allowScripts},
		},
		Warnings: []Finding{
			{"conf/old.toml", 0, 0, "is not read", "the name of a definition file ends in .json, .yaml, .yml or .hcl"},
			{"conf/b.hcl", 6, 0, "kind has no effect in koine", ""},
			{"conf/c.yaml", 1, 0, "token has no effect in koine", ""},
		},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if r, err = Validate(ValidateConfig{EnableScripts: true}, "conf/c.yaml"); err != nil || len(r.Errors) != 0 || r.NodeChecks != 2 {
		t.Errorf("with scripts: %+v, %v", r, err)
	}
	if r, err = Validate(ValidateConfig{}, "conf/.hid.json", "conf/old.toml"); err != nil || len(r.Errors) != 2 || len(r.Warnings) != 1 {
		t.Errorf("by name: %+v, %v", r, err)
	}
	if _, err = Validate(ValidateConfig{}, "conf", "nosuch"); catalog.KindOf(err) != catalog.KindNotFound {
		t.Errorf("error %v", err)
	}
}

func TestValidateTooManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range maxFiles + 1 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.json", i)), []byte(`{}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Validate(ValidateConfig{}, dir)
	if err != nil || r.Files != maxFiles || len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Message, "1001 definition files") {
		t.Errorf("%+v, %v", r, err)
	}
}
