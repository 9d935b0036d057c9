package health

import (
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

func TestRunsAreSeen(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		check := &catalog.Check{ID: "c", Node: "n1", Definition: catalog.Definition{
			Type: catalog.CheckTTL, TTL: catalog.Duration(time.Minute),
		}}
		begun := time.Now()
		h.Set([]*catalog.Check{check})
		run, ok := h.Check("n1", "c")
		if !ok || !run.Last.IsZero() || !run.Next.Equal(begun.Add(time.Minute)) || run.Status != "" {
			t.Errorf("before the first push: %+v", run)
		}
		h.after(time.Second)
		long := strings.Repeat("é", shownOutput)
		if err := h.Push(t.Context(), "n1", "c", catalog.Warning, long); err != nil {
			t.Fatal(err)
		}
		run, _ = h.Check("n1", "c")
		if !run.Last.Equal(begun.Add(time.Second)) || !run.Next.Equal(begun.Add(time.Minute+time.Second)) ||
			run.Status != catalog.Warning || run.Output != long[:shownOutput] {
			t.Errorf("after a push: %+v", run)
		}
		h.after(2 * time.Minute)
		if run, _ = h.Check("n1", "c"); !run.Next.IsZero() || run.Status != catalog.Critical {
			t.Errorf("after it has expired: %+v", run)
		}
	})
}
