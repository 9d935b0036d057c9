package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/pause"
)

// Bounds on the calls to the engine.
const (
	// callTimeout bounds a list and the opening of the event stream, inspectTimeout the look at one container.
	callTimeout    = 10 * time.Second
	inspectTimeout = 5 * time.Second
	// replay is the time that the first subscription reaches back: a little, for events while Koine starts.
	replay = 10 * time.Second
	// resync is the time between two full lists while the stream stands, for events that the engine has dropped.
	resync = time.Minute
	// retryMin and retryMax bound the wait between two attempts; the first after a working stream comes at once.
	retryMin = 50 * time.Millisecond
	retryMax = time.Second
)

var (
	errSilent   = errors.New("the engine does not answer")
	errTooMany  = errors.New("too many events at once")
	errStreamUp = errors.New("the event stream ended")
)

// talk follows the engine until ctx ends, and connects again whenever the engine goes away.
func (s *Source) talk(ctx context.Context, in *inbox) {
	last := time.Now().Add(-replay)
	var wait time.Duration
	told, denied := false, false
	quiet := silence{since: time.Now()}
	for {
		began := time.Now()
		answered, err := s.follow(ctx, in, &last)
		if ctx.Err() != nil {
			return
		}
		s.setAnswers(false)
		if answered {
			denied = false
			quiet = silence{since: time.Now(), heard: true}
		}
		s.silent(&quiet, err)
		if n, ok := s.engine.(*negotiator); ok {
			n.again() // another version of the engine may come back
		}
		switch {
		case !answered && s.refused(&denied):
			told = true
		case !answered && !told && s.cfg.Missing:
			s.log.Info("no docker engine is found: it is followed once there is one", "host", s.engine.DaemonHost())
			told = true
		case answered || !told:
			s.log.Warn("lost "+s.theEngine()+": keeping its last known containers", "host", s.engine.DaemonHost(), "error", err)
			told = true
		}
		if answered && time.Since(began) > retryMax {
			wait = 0
		}
		if !pause.For(ctx, wait) {
			return
		}
		wait = min(max(2*wait, retryMin), retryMax)
	}
}

// refused reports whether this process may not use the engine. If so it logs and hands on the reason, once.
func (s *Source) refused(told *bool) bool {
	why := denied(s.engine.DaemonHost())
	if why == nil || *told {
		return why != nil
	}
	*told = true
	s.log.Warn(s.theEngine()+" cannot be followed: its containers are unknown", "host", s.engine.DaemonHost(), "reason", why)
	if s.cfg.Denied != nil {
		s.cfg.Denied(why)
	}
	return true
}

// follow subscribes to events, then lists, then hands on the events until the stream ends. It reports whether the engine
// answered, and stores in last the time of the last event, from which the next subscription goes on.
func (s *Source) follow(ctx context.Context, in *inbox, last *time.Time) (answered bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var children sync.WaitGroup
	defer children.Wait()
	defer cancel(nil)

	silence := time.AfterFunc(callTimeout, func() { cancel(errSilent) })
	connected := time.Now()
	stream := s.engine.Events(ctx, client.EventsListOptions{
		Since:   fmt.Sprintf("%d.%09d", last.Unix(), last.Nanosecond()),
		Filters: make(client.Filters).Add("type", "container", "network"),
	})
	silence.Stop()
	first := make(chan struct{})
	children.Go(func() { s.relist(ctx, in, first, cancel) })
	children.Go(func() { s.nets.run(ctx) })
	for {
		select {
		case m := <-stream.Messages:
			at := time.Unix(0, m.TimeNano)
			if at.After(*last) {
				*last = at
			}
			if lifecycle(m) {
				s.nets.changed()
			} else if followed(m.Action) && !in.event(m, at.After(connected)) {
				return true, errTooMany
			}
		case err, ok := <-stream.Err:
			if !ok || err == nil {
				err = errStreamUp
			}
			return isClosed(first), errors.Join(err, context.Cause(ctx))
		case <-ctx.Done():
			return isClosed(first), context.Cause(ctx)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// relist hands on the networks and the list of all running containers, now and every minute. It closes first after the first list, and
// ends the session if the engine does not return one.
func (s *Source) relist(ctx context.Context, in *inbox, first chan<- struct{}, cancel context.CancelCauseFunc) {
	for n := 0; ; n++ {
		s.nets.refresh(ctx)
		ids, err := s.list(ctx, false)
		if err != nil {
			cancel(fmt.Errorf("list containers: %w", err))
			return
		}
		if n == 0 {
			s.log.Info(s.engineName()+" answers", "host", s.engine.DaemonHost(), "containers", len(ids))
			s.setAnswers(true)
			if s.cfg.Problem != nil {
				s.cfg.Problem("")
			}
			if s.cfg.Denied != nil {
				s.cfg.Denied(nil)
			}
			close(first)
		}
		in.list(listing{running: ids, stopped: s.listStopped(ctx, ids)})
		if err := s.watchList(ctx, in); err != nil {
			cancel(fmt.Errorf("list containers: %w", err))
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// listStopped returns the containers that are not running, the latest first and at most maxStopped; nil if nobody wants to know
// of them, or the engine does not list them.
func (s *Source) listStopped(ctx context.Context, running []string) []string {
	if s.cfg.Residents == nil {
		return nil
	}
	all, err := s.list(ctx, true)
	if err != nil {
		s.log.Debug("stopped containers cannot be listed", "error", err)
		return nil
	}
	runs := make(map[string]bool, len(running))
	for _, id := range running {
		runs[id] = true
	}
	stopped := slices.DeleteFunc(all, func(id string) bool { return runs[id] })
	return append([]string{}, stopped[:min(len(stopped), maxStopped)]...)
}

// watchList waits for the next full list. With Podman it lists the running containers every second meanwhile, unless the kernel
// reports the stop signals of all of them.
func (s *Source) watchList(ctx context.Context, in *inbox) error {
	if !s.podman.Load() {
		pause.For(ctx, resync)
		return nil
	}
	for began := time.Now(); time.Since(began) < resync && pause.For(ctx, retryMax); {
		if s.signals.sees() {
			continue
		}
		ids, err := s.list(ctx, false)
		if err != nil {
			return err
		}
		in.running(ids)
	}
	return nil
}

// engineName names the engine in the log.
func (s *Source) engineName() string {
	if s.podman.Load() {
		return "podman"
	}
	return "docker engine"
}

// theEngine names the engine within a message.
func (s *Source) theEngine() string {
	if s.podman.Load() {
		return "podman"
	}
	return "the docker engine"
}
