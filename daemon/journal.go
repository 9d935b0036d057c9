package daemon

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

const (
	// journalLines bounds the lines about one look at the events; further events are only counted.
	journalLines = 20
	// journalPause is the least time between two looks, and journalBusyPause that after one with more events than lines.
	journalPause     = 100 * time.Millisecond
	journalBusyPause = 5 * time.Second
)

// journal logs which instances come, go and are drained, a line each, so that the log of a running Koine tells what happens.
// Changes of status are logged with the checks that cause them.
type journal struct {
	view   *catalog.View
	logger *slog.Logger
	// node is this host. Instances of others are logged as well, if all is set: no other process does.
	node string
	all  bool
	// position is that of the next event.
	position uint64
}

// run logs what happens from the time when the View is loaded until the context ends.
func (j *journal) run(ctx context.Context) error {
	if j.view.WaitLoaded(ctx) != nil {
		return nil
	}
	j.position = j.view.EventPosition()
	revision := j.view.Revision()
	for {
		wait := journalPause
		if more := j.write(); more {
			wait = journalBusyPause
		}
		if !pause.For(ctx, wait) {
			return nil
		}
		var err error
		if revision, err = j.view.WaitList(ctx, j.view.Revision, revision); err != nil {
			return nil //nolint:nilerr // the context has ended
		}
	}
}

// write logs the events since the last time. It returns true if there were more than are logged.
func (j *journal) write() (more bool) {
	events, next := j.view.Events(j.position)
	j.position = next
	lines := 0
	left := make(map[catalog.EventType]int)
	for e := range events {
		switch {
		case e.Type == catalog.EventGap:
			j.logger.Info("instances have changed faster than they are logged", "changes", e.Missing)
		case !j.concerns(&e):
		case lines < journalLines:
			j.line(&e)
			lines++
		default:
			left[e.Type]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(left)) {
		j.logger.Info("further instances "+string(what), "number", left[what])
	}
	return len(left) > 0
}

// concerns reports whether an event is to be logged.
func (j *journal) concerns(e *catalog.Event) bool {
	switch e.Type {
	case catalog.EventRegistered, catalog.EventDeregistered, catalog.EventReplaced, catalog.EventDrained, catalog.EventUndrained:
		return e.Instance != "" && (j.all || strings.EqualFold(e.Node, j.node))
	default:
		return false
	}
}

func (j *journal) line(e *catalog.Event) {
	attrs := []any{"service", e.Service, "instance", e.Instance}
	if !strings.EqualFold(e.Node, j.node) {
		attrs = append(attrs, "node", e.Node)
	}
	if e.Reason != "" {
		attrs = append(attrs, "reason", e.Reason)
	}
	j.logger.Info(string(e.Type), attrs...)
}
