package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/internal/logtail"
	"github.com/koine-sd/koine/internal/needs"
)

// module is one with tests of every outcome.
var module = map[string]string{
	"go.mod": "module example.org/m\n\ngo 1.26\n",
	"fine/fine_test.go": `package fine
import "testing"
func TestFine(t *testing.T) { t.Log("nobody reads this") }
func TestTool(t *testing.T) { t.Log("looking"); t.Skip("no such tool") }
func TestSub(t *testing.T) { t.Run("one", func(t *testing.T) { t.Skipf("kernel: no %s", "macvlan") }) }
`,
	"bad/bad_test.go": `package bad
import "testing"
func TestGood(t *testing.T) { t.Log("nobody reads this") }
func TestBad(t *testing.T) {
	t.Log("before")
	t.Run("inner", func(t *testing.T) { t.Error("one is not two") })
	t.Run("other", func(t *testing.T) { t.Log("nobody reads this") })
}
func TestLong(t *testing.T) { for i := range 1000 { t.Log("line", i) }; t.Fail() }
`,
	"panics/panics_test.go": `package panics
import "testing"
func TestPanic(t *testing.T) { t.Log("about to"); panic("too much") }
`,
	"broken/broken_test.go": "package broken\nimport \"testing\"\nfunc TestBroken(t *testing.T) { undefined() }\n",
	"none/none.go":          "package none\n",
}

// inModule runs go test on the packages of the module.
func inModule(t *testing.T, packages ...string) (out string, r *run, code int) {
	t.Helper()
	dir := t.TempDir()
	for path, text := range module {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")
	t.Setenv("CGO_ENABLED", "0")
	t.Setenv(logtail.Dir, filepath.Join(dir, "logs"))
	var b strings.Builder
	r = newRun(&b)
	code, err := goTest(r, packages)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), r, code
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s has no %q:\n%s", what, part, text)
		}
	}
}

func TestAllPass(t *testing.T) {
	out, r, code := inModule(t, "./fine", "./none")
	if code != 0 || strings.Contains(out, "nobody") || strings.Contains(out, "===") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	contains(t, "what is printed", out, "ok  \texample.org/m/fine\t", "?   \texample.org/m/none\t[no test files]\n")
	contains(t, "the summary", r.summary(false), "The slowest of 2 packages:\n", "s  example.org/m/fine\n", "Failed: 0 tests, 0 packages\n",
		"Skipped: 2 tests\n  example.org/m/fine TestSub/one: kernel: no macvlan\n  example.org/m/fine TestTool: no such tool\n")
	if list := r.avoidable(); len(list) != 1 || list[0].test != "TestTool" {
		t.Errorf("skips that need not be: %v", list)
	}
	contains(t, "the summary where all is required", r.summary(true), needs.RequireAll+"=1: only the kernel may be a reason to skip, and 1 were")
}

func TestFailures(t *testing.T) {
	out, r, code := inModule(t, "./fine", "./bad")
	if code != 1 || strings.Contains(out, "nobody") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	contains(t, "what is printed", out, "bad_test.go:6: one is not two\n", "--- FAIL: TestBad/inner", "before\n", "FAIL\texample.org/m/bad\t",
		"line 0\n", "line 999\n", "lines are left out; all are in ", "ok  \texample.org/m/fine\t")
	if n := strings.Count(out, "\n"); n > headLines+tailLines+50 {
		t.Errorf("%d lines are printed", n)
	}
	contains(t, "the summary", r.summary(false), "Failed: 3 tests, 1 packages\n", "  example.org/m/bad TestBad/inner\n", "  example.org/m/bad TestLong\n")
}

func TestPanicAndBuild(t *testing.T) {
	out, r, code := inModule(t, "./panics", "./broken")
	if code == 0 {
		t.Error("exit code 0")
	}
	contains(t, "what is printed", out, "panic: too much", "about to", "undefined: undefined", "FAIL\texample.org/m/broken\t")
	contains(t, "the summary", r.summary(false), "2 packages\n", "  example.org/m/broken\n", "  example.org/m/panics TestPanic\n")
}

func TestWhatIsNoEvent(t *testing.T) {
	var b strings.Builder
	r := newRun(&b)
	if err := r.read(strings.NewReader("go: no such tool\n{\"Action\":\"output\",\"Package\":\"p\",\"Output\":\"x\"}\n{}\n")); err != nil {
		t.Fatal(err)
	}
	if b.String() != "go: no such tool\n{}\n" {
		t.Errorf("printed %q", b.String())
	}
}

func TestSummaryIsAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary")
	for range 2 {
		if err := appendTo(path, "line\n"); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "line\nline\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if err := appendTo("", "line\n"); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"=== RUN   TestA\n    a_test.go:3: no root\n--- SKIP: TestA (0.00s)\n": "no root",
		"    a_test.go:3: tried\n    b.go:30: kernel: no IPVS\n":               "kernel: no IPVS",
		"=== RUN   TestA\n--- SKIP: TestA (0.00s)\n":                           "no reason given",
	} {
		if got := reason(text); got != want {
			t.Errorf("reason of %q = %q, want %q", text, got, want)
		}
	}
}
