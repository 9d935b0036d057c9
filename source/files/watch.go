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
	// Nothing follows after the last load, so how the watcher ends tells nothing.
	defer func() { _ = watcher.Close() }()
	// Watching begins before the directory is read: what changes in between is read twice and not missed.
	watched := s.watch(watcher, true)
	for {
		_ = s.Load() // it logs each error when it comes up
		if !s.waitForChange(ctx, watcher) {
			return nil
		}
		watched = s.watch(watcher, watched)
	}
}

// watch adds the directory to the watcher, which is no change if it is there already and needed if it was made anew.
func (s *Source) watch(watcher *fsnotify.Watcher, before bool) (watched bool) {
	err := watcher.Add(s.cfg.Dir)
	if err != nil && before {
		s.log.Warn("config directory is not watched, only read now and then", "dir", s.cfg.Dir, "every", s.rescan, "error", err)
	}
	return err == nil
}

// waitForChange blocks until the directory has changed and is quiet again, or it is time to read it anyway. It returns
// false when ctx ends.
func (s *Source) waitForChange(ctx context.Context, watcher *fsnotify.Watcher) bool {
	rescan := time.NewTimer(s.rescan)
	defer rescan.Stop()
	select {
	case <-watcher.Events:
		return s.waitForQuiet(ctx, watcher)
	case <-watcher.Errors: //nolint:errcheck // events were lost: look at everything
		return true
	case <-rescan.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// waitForQuiet blocks until no event came for a moment, but not for ever: a file that is always being written to must
// not keep the others from being read.
func (s *Source) waitForQuiet(ctx context.Context, watcher *fsnotify.Watcher) bool {
	enough := time.NewTimer(s.patience)
	defer enough.Stop()
	for {
		quiet := time.NewTimer(s.settle)
		select {
		case <-watcher.Events:
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
