package build_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/internal/build"
)

func TestProgram(t *testing.T) {
	output := filepath.Join(t.TempDir(), "demo")
	if err := build.Program(output, "github.com/koine-sd/koine/test/demo", []string{"CGO_ENABLED=0"}, "-trimpath"); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(output, "-no-such-flag").CombinedOutput(); err == nil || !strings.Contains(string(said), "no-such-flag") {
		t.Errorf("the program says %q, %v", said, err)
	}
}

// TestMissingModule builds with an empty module cache, as on a machine without fetched modules.
func TestMissingModule(t *testing.T) {
	t.Setenv("GOMODCACHE", t.TempDir())
	err := build.Program(filepath.Join(t.TempDir(), "koine"), "github.com/koine-sd/koine/cmd/koine", nil)
	if err == nil || !strings.Contains(err.Error(), "tests have no network: go build ./... fetches what is missing") {
		t.Errorf("without its modules: %v, want what to do", err)
	}
}
