package health

import (
	"fmt"
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

func TestChecksThatBeginTogetherSpread(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, h *harness) {
		const checks, interval = 1000, 10 * time.Second
		begun := time.Now()
		var list []*catalog.Check
		for i := range checks {
			list = append(list, tcp(fmt.Sprint("c", i), interval))
		}
		h.Set(list)
		h.after(10 * interval)
		perSecond := make(map[int]int)
		for _, check := range list {
			runs := h.prober.runs[check.ID]
			if first := runs[0].Sub(begun); first > firstWithin {
				t.Errorf("%s ran first after %v", check.ID, first)
			}
			if gap := runs[1].Sub(runs[0]); gap < interval/2-interval/16 || gap > interval*3/2+interval/16 {
				t.Errorf("%s ran again after %v", check.ID, gap)
			}
			for _, at := range runs {
				perSecond[int(at.Sub(begun)/time.Second)]++
			}
		}
		for second := 20; second < 90; second++ {
			if n := perSecond[second]; n < checks/20 || n > checks/5 {
				t.Errorf("%d runs in second %d; 100 are even", n, second)
			}
		}
	})
}
