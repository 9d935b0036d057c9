package agent

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

func TestTwin(t *testing.T) {
	var log bytes.Buffer
	view := catalog.NewView()
	a := &Agent{cfg: Config{Node: node, View: view, Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	now := time.Now()
	note := func(times int, repaired bool, step time.Duration) {
		for range times {
			now = now.Add(step)
			a.noteSync(repaired, now)
		}
	}
	note(twinUndone-1, true, time.Second)
	note(100, false, 100*time.Millisecond)
	note(twinUndone-1, true, 2*twinWindow) // now and then
	if log.Len() > 0 || len(view.Problems()) > 0 {
		t.Fatalf("a twin is reported without one: %s", log.String())
	}
	note(5*twinUndone, true, time.Second/2)
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "another process declares node n1") || len(view.Problems()) != 1 {
		t.Errorf("logged %q, problems %q; want one of each", log.String(), view.Problems())
	}
	note(2, false, 2*twinWindow)
	if got := view.Problems(); len(got) > 0 {
		t.Errorf("problems %q once the twin is gone", got)
	}
}
