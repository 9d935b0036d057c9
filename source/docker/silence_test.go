package docker

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/internal/pause"
)

// localEngine is a fakeEngine at an address of its own.
type localEngine struct {
	*fakeEngine
	host string
}

func (e localEngine) DaemonHost() string { return e.host }

// said is the last text that a source has reported.
type said struct {
	mu   sync.Mutex
	text string
}

func (s *said) set(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

func (s *said) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// TestSilentEngine holds that an engine that does not answer is reported with the time since when, and one whose socket refuses connections for a
// minute with what may be the matter.
func TestSilentEngine(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	for _, test := range []struct {
		name, host string
		away       bool // from the start
		missing    bool
		after      time.Duration
		want, hint string // "" means nothing
	}{
		{"just lost", "unix://" + dead, false, false, 10 * time.Second, "has not answered since 2000-01-01T00:01:00Z: its containers are shown as they were then", ""},
		{"refuses for a minute", "unix://" + dead, false, false, 2 * time.Minute, "has not answered since 2000-01-01T00:01:00Z", "-v /var/run:/var/run/docker-host"},
		{"never there", "unix://" + dead, true, false, 2 * time.Minute, "has not answered since Koine's start at 2000-01-01T00:00:00Z", "mount its directory"},
		{"its socket is gone", "unix://" + filepath.Join(dir, "none.sock"), false, false, 2 * time.Minute, "has not answered since", ""},
		{"on another host", "tcp://192.0.2.1:2375", false, false, 2 * time.Minute, "has not answered since", ""},
		{"nobody has named one", "unix://" + filepath.Join(dir, "none.sock"), true, true, 2 * time.Minute, "", ""},
		{"found and lost", "unix://" + dead, false, true, 2 * time.Minute, "has not answered since", "mount its directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.away = test.away
				var problem said
				var log bytes.Buffer
				source, err := New(Config{
					Client: localEngine{f, test.host}, Node: "n1", Sink: discard{}, Missing: test.missing, Problem: problem.set,
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				source.watch, err = newPidWatch(0)
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = source.Run(ctx) })
				pause.For(ctx, time.Minute)
				if got := problem.get(); !test.away && got != "" {
					t.Errorf("while it answers: %q", got)
				}
				if !test.away {
					f.leave()
				}
				pause.For(ctx, test.after)
				got := problem.get()
				if test.want == "" && got != "" || !strings.Contains(got, test.want) {
					t.Errorf("reported %q, want %q", got, test.want)
				}
				f.comeBack()
				pause.For(ctx, 5*time.Second)
				if after := problem.get(); after != "" {
					t.Errorf("when it is back: %q", after)
				}
				stop()
				running.Wait()
				hints := strings.Count(log.String(), "refuses connections")
				if (hints == 1) != (test.hint != "") || hints > 1 || !strings.Contains(got, test.hint) {
					t.Errorf("%d hints in the log, reported %q, want %q", hints, got, test.hint)
				}
			})
		})
	}
}
