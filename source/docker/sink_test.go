package docker

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/eventually"
)

// recordingSink keeps every declared set with the time at which it came.
type recordingSink struct {
	mu       sync.Mutex
	declared [][]catalog.Registration
	at       []time.Time
	changed  chan struct{}
}

func newSink() *recordingSink { return &recordingSink{changed: make(chan struct{})} }

func (s *recordingSink) Declare(_ string, set []catalog.Registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declared = append(s.declared, set)
	s.at = append(s.at, time.Now())
	close(s.changed)
	s.changed = make(chan struct{})
}

// latest returns the last declared set, how many there have been, and what tells of the next.
func (s *recordingSink) latest() ([]catalog.Registration, int, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.declared) == 0 {
		return nil, 0, s.changed
	}
	return s.declared[len(s.declared)-1], len(s.declared), s.changed
}

// wait waits until a declared set meets a condition, and returns it.
func (s *recordingSink) wait(t *testing.T, what string, condition func([]catalog.Registration) bool) []catalog.Registration {
	t.Helper()
	ctx := eventually.Context(t)
	for {
		set, n, changed := s.latest()
		if n > 0 && condition(set) {
			return set
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waiting for %s: the last of %d declared sets is %+v", what, n, set)
		}
	}
}

// find returns the registration of an instance.
func find(set []catalog.Registration, id string) (catalog.Registration, bool) {
	i := slices.IndexFunc(set, func(r catalog.Registration) bool { return r.Instance.ID == id })
	if i < 0 {
		return catalog.Registration{}, false
	}
	return set[i], true
}

// has, gone and drained are conditions on one instance.
func has(id string, more ...func(catalog.Registration) bool) func([]catalog.Registration) bool {
	return func(set []catalog.Registration) bool {
		r, ok := find(set, id)
		for _, condition := range more {
			ok = ok && condition(r)
		}
		return ok
	}
}

func gone(id string) func([]catalog.Registration) bool {
	return func(set []catalog.Registration) bool {
		_, ok := find(set, id)
		return !ok
	}
}

func drained(reason string) func(catalog.Registration) bool {
	return func(r catalog.Registration) bool { return r.Instance.Drain == reason }
}

// testLogger writes to the test's log while the test runs.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a source until the test ends, and returns what ends it before.
func start(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	cfg.Node = cmp.Or(cfg.Node, "n1")
	if cfg.Logger == nil {
		cfg.Logger = testLogger(t)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return runUntilEnd(t, s)
}

// runUntilEnd runs a source until the test ends, and returns what ends it before.
func runUntilEnd(t *testing.T, s *Source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// logWatch tells when a text was logged.
type logWatch struct {
	text  string
	met   chan struct{}
	mu    sync.Mutex
	count int
}

func newLogWatch(text string) *logWatch { return &logWatch{text: text, met: make(chan struct{})} }

func (w *logWatch) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(string(line), w.text) {
		if w.count++; w.count == 1 {
			close(w.met)
		}
	}
	return len(line), nil
}

func textLogger(w *logWatch) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
