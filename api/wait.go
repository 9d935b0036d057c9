package api

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
)

// reading are the parameters of every read but watches.
type reading struct {
	// Consistent asks for an answer that contains every write acknowledged before the request.
	Consistent bool
}

func (p *reading) consistent() bool { return p.Consistent }

func (p *reading) fields() []field { return []field{flag("consistent", &p.Consistent)} }

// waiting are the parameters of a read that may wait for a change.
type waiting struct {
	reading
	// Index is the index that the client has seen; with 0 the read does not wait.
	Index catalog.Position
	// Wait bounds the wait; 0 means defaultWait.
	Wait time.Duration
}

func (p *waiting) fields() []field {
	return append([]field{position("index", &p.Index), duration("wait", &p.Wait)}, p.reading.fields()...)
}

// longest returns how long the read may block. A little is added at random, so that clients that began together do not all
// return together.
func (p *waiting) longest() time.Duration {
	wait := defaultWait
	if p.Wait > 0 {
		wait = min(p.Wait, maxWait)
	}
	return wait + rand.N(wait/16+1)
}

// catchUp makes the View as fresh as every write that has been acknowledged.
func (s *Server) catchUp(ctx context.Context) error {
	if s.cfg.Barrier == nil {
		return catalog.Errorf(catalog.KindInvalid, "this server has no consistent reads").WithHint("leave out ?consistent")
	}
	revision, err := s.cfg.Barrier.Barrier(ctx)
	if err != nil {
		return err
	}
	return s.view.WaitRevision(ctx, revision)
}

// blocks reports whether a request may wait for a change.
func blocks(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "index=") }

// await blocks a read with ?index=N while the index of what it reads is N, for the time of ?wait at most. Any other
// index is answered at once: a higher one is the change that was waited for, a lower one means that the store has been
// restored from an older state, and one of another history says nothing about this one.
func (s *Server) await(w http.ResponseWriter, r *http.Request, p waiting, current func() uint64,
	wait func(ctx context.Context, index uint64) (uint64, error)) error {
	if p.Index.Revision == 0 || current() != p.Index.Revision || !s.view.InHistory(p.Index) {
		return nil
	}
	unhurried(w)
	defer s.hurried(w)
	s.metrics.reads.Inc()
	defer s.metrics.reads.Dec()
	alive, release := s.waiting(r)
	defer release()
	ctx, cancel := context.WithTimeout(alive, p.longest())
	defer cancel()
	if _, err := wait(ctx, p.Index.Revision); err != nil && alive.Err() != nil {
		return context.Cause(alive)
	}
	// It has changed, or the time is over: what there is now is the answer, once it is known to be true.
	if !s.view.Ready() && s.view.WaitReady(ctx) != nil {
		return s.view.NotReady()
	}
	return nil
}

// unhurried lifts the deadlines that the HTTP server may have set for requests that are answered at once.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	// Not every writer has deadlines, and one without needs none lifted.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
}
