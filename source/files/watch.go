package files

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Run follows the directory until ctx ends: it loads it when something in it changes, and now and then even if nothing
// seems to, because changes behind symbolic links and on some file systems go unnoticed. Where the directory cannot be
// watched, that alone remains. Run returns nil, or the error of making a watcher.
func (s *Source) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch definition files: %w", err)
	}
	// Nothing follows after the last load, so an error of closing means nothing.
	defer func() { _ = watcher.Close() }()
	s.follow(ctx, &notices{add: watcher.Add, events: watcher.Events, errors: watcher.Errors})
	return nil
}

// notices is where the system tells of changes in the directory.
type notices struct {
	// add watches the directory, which is no change if it is watched already and needed if it was made again.
	add    func(dir string) error
	events <-chan fsnotify.Event
	errors <-chan error // events were lost
	// lost says that the directory is not watched.
	lost bool
}

// follow loads the directory until ctx ends.
func (s *Source) follow(ctx context.Context, n *notices) {
	asked := false
	for {
		// Watching begins before the directory is read: what changes in between is read twice and not missed.
		s.watch(n)
		_ = s.load(asked) // it logs each error when it comes up
		var ok bool
		if asked, ok = s.waitForChange(ctx, n); !ok {
			return
		}
	}
}

// watch sees to it that the directory is watched, and logs when that begins to fail and when it works again.
func (s *Source) watch(n *notices) {
	err := n.add(s.cfg.Dir)
	switch {
	case err != nil && !n.lost:
		s.log.Warn("config directory cannot be watched: it is read now and then", "dir", s.cfg.Dir,
			"every", s.rescan.String(), "error", err)
	case err == nil && n.lost:
		s.log.Info("config directory is watched again", "dir", s.cfg.Dir)
	}
	n.lost = err != nil
}

// waitForChange blocks until the directory has changed and is quiet again, or until it must be read anyway. Asked reports
// whether somebody waits for that; ok is false when ctx has ended.
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

// waitForQuiet blocks until no event came for a moment, but not for ever: a file that is always being written to must
// not keep the others from being read.
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
