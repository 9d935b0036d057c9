package needs_test

import (
	"strings"
	"testing"

	"github.com/koine-sd/koine/internal/needs"
	"github.com/koine-sd/koine/internal/outcome"
)

func TestWhatIsMissing(t *testing.T) {
	tool := func(t testing.TB) { needs.Tool(t, "no-such-tool") }
	kernel := func(t testing.TB) { needs.Kernel(t, "no macvlan") }
	for _, tt := range []struct {
		name, all      string
		need           func(testing.TB)
		fatal, skipped string
	}{
		{"a tool", "", tool, "", "no-such-tool"},
		{"a tool where all is required", "1", tool, "no-such-tool", ""},
		{"the kernel", "", kernel, "", needs.KernelMark + "no macvlan"},
		{"the kernel where all is required", "1", kernel, "", needs.KernelMark + "no macvlan"},
		{"an installed tool", "1", func(t testing.TB) { needs.Tool(t, "go") }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(needs.RequireAll, tt.all)
			got := outcome.Of(t, tt.need)
			if !strings.Contains(got.Fatal, tt.fatal) || !strings.Contains(got.Skipped, tt.skipped) ||
				(got.Fatal != "") != (tt.fatal != "") || (got.Skipped != "") != (tt.skipped != "") {
				t.Errorf("failed with %q, skipped with %q; want %q, %q", got.Fatal, got.Skipped, tt.fatal, tt.skipped)
			}
		})
	}
}
