package renewal_test

import (
	"bytes"
	"context"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/internal/renewal"
)

// list is a source.
type list struct {
	entries map[string]renewal.Entry
	changes atomic.Uint64
}

func (l *list) Changes() uint64                            { return l.changes.Load() }
func (l *list) Renewals() iter.Seq2[string, renewal.Entry] { return maps.All(l.entries) }

// save writes a book at once.
func save(t *testing.T, path, owner string, entries map[string]renewal.Entry) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := renewal.Open(path, owner, slog.New(slog.DiscardHandler)).Run(ended, &list{entries: entries}); err != nil {
		t.Fatal(err)
	}
}

// logged returns a logger and what it has logged.
func logged() (*slog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return slog.New(slog.NewTextHandler(&text, nil)), &text
}

func TestOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "renewals")
	synctest.Test(t, func(t *testing.T) {
		save(t, path, "me", map[string]renewal.Entry{"a": {Age: time.Minute}, "check/n/ä \"x\"@7": {Age: time.Hour, Grace: 2 * time.Second}})
		time.Sleep(20 * time.Second)
		logger, text := logged()
		b := renewal.Open(path, "me", logger)
		var zero time.Time
		for _, tt := range []struct {
			key   string
			since time.Time
			want  renewal.Entry
		}{
			{"a", zero, renewal.Entry{Age: 80 * time.Second, Grace: renewal.Grace}},
			{"a", zero, renewal.Entry{}}, // it began again
			{"check/n/ä \"x\"@7", time.Now(), renewal.Entry{Age: time.Hour + 20*time.Second, Grace: time.Second}},
			{"began just before the crash", zero, renewal.Entry{Age: 15 * time.Second, Grace: renewal.Grace}},
			{"began since", time.Now(), renewal.Entry{}},
		} {
			if got := b.Last(tt.key, tt.since); got != tt.want {
				t.Errorf("%s: %v, want %v", tt.key, got, tt.want)
			}
		}
		if text.Len() > 0 {
			t.Errorf("it logs %s", text)
		}
		var none *renewal.Book
		if got := none.Last("a", zero); got != (renewal.Entry{}) {
			t.Errorf("no book has %v", got)
		}
	})
}

// TestWrites has a book written at the start, where something has changed, and at the end. What nobody has asked for is kept.
func TestWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "renewals")
	synctest.Test(t, func(t *testing.T) {
		save(t, path, "me", map[string]renewal.Entry{"before": {Age: time.Second}})
		l := &list{entries: map[string]renewal.Entry{"a": {}}}
		b := renewal.Open(path, "me", slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx, l) }()
		written := func() (text string, there bool) {
			raw, err := os.ReadFile(path)
			return string(raw), err == nil
		}
		synctest.Wait()
		if text, _ := written(); !strings.Contains(text, `"before"`) || !strings.Contains(text, `"a"`) {
			t.Errorf("at the start: %s", text)
		}
		remove := func() {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
		remove()
		time.Sleep(time.Hour)
		if text, there := written(); there {
			t.Errorf("nothing has changed: %s", text)
		}
		l.changes.Add(1)
		time.Sleep(6 * time.Second)
		if text, _ := written(); strings.Contains(text, `"before"`) || !strings.Contains(text, `"a"`) {
			t.Errorf("after a change: %s", text)
		}
		remove()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, there := written(); !there {
			t.Error("nothing is written at the end")
		}
	})
}

// TestBadFiles has files that are damaged, of others, huge and from the future: each is a warning, and nothing ends at once.
func TestBadFiles(t *testing.T) {
	const now = "2026-01-02T03:04:05Z"
	good := `{"v":1,"owner":"me","written":"` + now + `"}` + "\n"
	for name, tt := range map[string]struct {
		content string
		// grace is the grace that a must have; 0 if it counts from now.
		grace time.Duration
		said  string
	}{
		"empty":     {"", 0, "damaged"},
		"no JSON":   {"\x00\x00\x00", 0, "damaged"},
		"an array":  {"[]", 0, "damaged"},
		"a list":    {"null\nnull\n", 0, "format 0"},
		"newer":     {`{"v":2,"owner":"me"}`, 0, "format 2"},
		"another's": {`{"v":1,"owner":"you","written":"` + now + `"}`, 0, "another node"},
		"no time":   {`{"v":1,"owner":"me"}` + "\n" + `{"key":"a","age":1}`, renewal.Grace, ""},
		"future":    {strings.Replace(good, "2026", "2999", 1) + `{"key":"a","age":1}`, renewal.Grace, "set back"},
		"overflows": {good + `{"key":"a","age":9223372036854775807,"grace":9223372036854775807}`, renewal.Grace, ""},
		"negative":  {good + `{"key":"a","age":-5,"grace":-5}`, renewal.Grace, ""},
		"some bad":  {good + "{\n" + `{"key":"a","age":1}` + "\n" + `{"key":3}` + "\n", renewal.Grace, "lines=2"},
		"long line": {good + `{"key":"a","age":1}` + "\n" + strings.Repeat("x", 100_000), renewal.Grace, "lines=1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "renewals")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			check(t, path, tt.grace, tt.said)
		})
	}
	t.Run("huge", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "renewals")
		if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 1<<40); err != nil {
			t.Fatal(err)
		}
		check(t, path, 0, "more than")
	})
	t.Run("pipe", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "renewals")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, path, 0, "not a regular file")
	})
}

// check opens a book, and has it replaced by a good one.
func check(t *testing.T, path string, grace time.Duration, said string) {
	t.Helper()
	logger, text := logged()
	b := renewal.Open(path, "me", logger)
	if got := b.Last("a", time.Time{}); got.Grace != grace || got.Age < 0 {
		t.Errorf("a has %v, want the grace %v", got, grace)
	}
	if !strings.Contains(text.String(), said) || said == "" && text.Len() > 0 {
		t.Errorf("it logs %q, want %q", text, said)
	}
	save(t, path, "me", map[string]renewal.Entry{"a": {}})
	if got := renewal.Open(path, "me", logger).Last("a", time.Time{}); got.Grace != renewal.Grace {
		t.Errorf("after it was replaced, a has %v", got)
	}
}

// TestDiskIsFull has a file that cannot be replaced for a time: the one of before must not count, and the problem is reported.
func TestDiskIsFull(t *testing.T) {
	for name, block := range map[string]func(t *testing.T, dir, path string){
		"no new file": func(t *testing.T, _, path string) { // also for the superuser, who may write anywhere
			if err := os.MkdirAll(filepath.Join(path+".new", "full"), 0o700); err != nil {
				t.Error(err)
			}
		},
		"no room": func(t *testing.T, _, path string) {
			if err := os.Symlink("/dev/full", path+".new"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "renewals")
			synctest.Test(t, func(t *testing.T) {
				l := &list{entries: map[string]renewal.Entry{"a": {}}}
				logger, text := logged()
				b := renewal.Open(path, "me", logger)
				var problem atomic.Value
				b.Report(func(what string) { problem.Store(what) })
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- b.Run(ctx, l) }()
				time.Sleep(time.Minute)
				block(t, dir, path)
				l.changes.Add(1)
				time.Sleep(time.Minute)
				if what, _ := problem.Load().(string); !strings.Contains(what, "cannot be written") {
					t.Errorf("the problem is %q", what)
				}
				if got := renewal.Open(path, "me", logger).Last("a", time.Time{}); got != (renewal.Entry{}) {
					t.Errorf("after a crash a counts as %v, want from the start", got)
				}
				if err := os.RemoveAll(path + ".new"); err != nil {
					t.Error(err)
				}
				time.Sleep(6 * time.Second) // nothing else has changed
				if what, _ := problem.Load().(string); what != "" {
					t.Errorf("the problem is still %q", what)
				}
				if got := renewal.Open(path, "me", logger).Last("a", time.Time{}); got.Grace == 0 {
					t.Error("it is not written again")
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if strings.Count(text.String(), "level=WARN") != 1 || strings.Count(text.String(), "written again") != 1 {
					t.Errorf("it logs %s", text)
				}
			})
		})
	}
}

// TestAskedForWhileItIsWritten has a source take over a renewal of before the start while the file is written.
func TestAskedForWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "renewals")
	synctest.Test(t, func(t *testing.T) {
		save(t, path, "me", map[string]renewal.Entry{"a": {Age: time.Minute}})
		b := renewal.Open(path, "me", slog.New(slog.DiscardHandler))
		l := &list{entries: make(map[string]renewal.Entry)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx, l, taker(func() { b.Last("a", time.Time{}) })) }()
		synctest.Wait()
		if got := renewal.Open(path, "me", slog.New(slog.DiscardHandler)).Last("a", time.Time{}); got.Age != time.Minute {
			t.Errorf("after a crash it counts as %v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// taker is a source that does something once, when it is first asked for its renewals.
type taker func()

func (taker) Changes() uint64 { return 0 }
func (f taker) Renewals() iter.Seq2[string, renewal.Entry] {
	return func(func(string, renewal.Entry) bool) { f() }
}
