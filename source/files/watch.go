package files

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Run follows the directory until ctx ends: it loads the directory when something in it changes, and at intervals even
// if nothing seems to, because changes behind symbolic links and on some file systems go unnoticed. If the directory
// cannot be watched, only the intervals remain. Run returns nil, or the error of making a watcher.
func (s *Source) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch definition files: %w", err)
	}
	// There is no load after the last one, so an error of closing means nothing.
	defer func() { _ = watcher.Close() }()
	s.follow(ctx, &notices{add: watcher.Add, events: watcher.Events, errors: watcher.Errors})
	return nil
}

// notices is the source of the system's notices of changes in the directory.
type notices struct {
	// add watches the directory. It does nothing if the directory is watched already; it is needed if the directory was
	// made again.
	add    func(dir string) error
	events <-chan fsnotify.Event
	errors <-chan error // events were lost
	// lost reports that the directory is not watched.
	lost bool
}

// follow loads the directory until ctx ends.
func (s *Source) follow(ctx context.Context, n *notices) {
	asked := false
	for {
		// Watching begins before the directory is read: a change in between is read twice and not missed.
		s.watch(n)
		_ = s.load(asked) // it logs each error when it appears
		var ok bool
		if asked, ok = s.waitForChange(ctx, n); !ok {
			return
		}
	}
}

// watch makes sure that the directory is watched, and logs when that begins to fail and when it works again.
func (s *Source) watch(n *notices) {
	err := n.add(s.cfg.Dir)
	switch {
	case err != nil && !n.lost:
		s.log.Warn("config directory cannot be watched: reading it at intervals", "dir", s.cfg.Dir,
			"every", s.rescan.String(), "error", err)
	case err == nil && n.lost:
		s.log.Info("config directory is watched again", "dir", s.cfg.Dir)
	}
	n.lost = err != nil
}

// waitForChange blocks until the directory has changed and is quiet again, or until it must be read anyway. Asked
// reports whether a reload was requested; ok is false when ctx has ended.
func (s *Source) waitForChange(ctx context.Context, n *notices) (asked, ok bool) {
	due := time.NewTimer(time.Until(s.due()))
	defer due.Stop()
	select {
	case <-n.events:
		return false, s.waitForQuiet(ctx, n)
	case <-n.errors: //nolint:errcheck // events were lost: look at everything
		return false, true
	case <-due.C:
		return false, true
	case <-s.reload:
		return true, true
	case <-ctx.Done():
		return false, false
	}
}

// waitForQuiet blocks until no event came for a moment, but not for ever: a file under constant change must not keep
// the others from being read.
func (s *Source) waitForQuiet(ctx context.Context, n *notices) bool {
	enough := time.NewTimer(s.patience)
	defer enough.Stop()
	for {
		quiet := time.NewTimer(s.settle)
		select {
		case <-n.events:
			quiet.Stop()
		case <-quiet.C:
			return true
		case <-enough.C:
			quiet.Stop()
			return true
		case <-ctx.Done():
			quiet.Stop()
			return false
		}
	}
}
