package logtail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/internal/logtail"
)

func TestOf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	t.Setenv(logtail.Dir, dir)
	short := strings.Repeat("a line\n", logtail.Lines)
	if got := logtail.Of("web", short); got+"\n" != short {
		t.Errorf("a short text became %q", got)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a short text was kept: %v", err)
	}

	long := "first\n" + short
	got := logtail.Of("TestScripts/stop", long)
	if strings.Contains(got, "first") || strings.Count(got, "a line") != logtail.Lines {
		t.Errorf("a long text became %q, want its last %d lines", got, logtail.Lines)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "TestScripts-stop-*.log"))
	if len(files) != 1 || !strings.Contains(got, files[0]) {
		t.Fatalf("kept in %v, and said is %q", files, got)
	}
	if whole, err := os.ReadFile(files[0]); err != nil || string(whole) != long {
		t.Errorf("the file holds %q, %v", whole, err)
	}
}

func TestNowhereToKeep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(logtail.Dir, file)
	got := logtail.Of("web", strings.Repeat("a line\n", 100))
	if !strings.Contains(got, "nowhere: ") || strings.Count(got, "a line") != logtail.Lines {
		t.Errorf("without a directory: %q", got)
	}
}
