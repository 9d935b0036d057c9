package eventually_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/outcome"
)

func TestTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		late := func() bool { return time.Since(begun) >= eventually.Patience-time.Second }
		if said := outcome.Of(t, func(t testing.TB) { eventually.True(t, "late", late) }).Fatal; said != "" {
			t.Errorf("a condition that holds before the bound: %q", said)
		}
		never := outcome.Of(t, func(t testing.TB) { eventually.True(t, "it rains", func() bool { return false }) }).Fatal
		if !strings.Contains(never, "it rains") || !strings.Contains(never, eventually.Patience.String()) {
			t.Errorf("a condition that never holds: %q, want the condition and the bound", never)
		}
	})
}

func TestReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := make(chan int, 1)
		values <- 7
		if got := eventually.Receive(t, "a value", values); got != 7 {
			t.Errorf("received %d, want 7", got)
		}
		if said := outcome.Of(t, func(t testing.TB) { eventually.Receive(t, "a value", values) }).Fatal; !strings.Contains(said, "a value") {
			t.Errorf("nothing to receive: %q, want what was waited for", said)
		}
		close(values)
		if got := eventually.Receive(t, "the end", values); got != 0 {
			t.Errorf("received %d from a closed channel, want 0", got)
		}
	})
}

func TestContext(t *testing.T) {
	deadline, ok := eventually.Context(t).Deadline()
	if left := time.Until(deadline); !ok || left > eventually.Patience {
		t.Errorf("the deadline is in %v, %v; want at most %v", left, ok, eventually.Patience)
	}
}
