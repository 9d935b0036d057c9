// Package renewal keeps the times of the last renewals (of leases, of pushed checks) over a restart, in a small file: what
// nobody renews must end although the process starts again and again.
//
// The file holds how long ago each renewal was, and when it was written. The wall clock is compared once, at the start, to
// learn how long the process was away; a clock that was set back counts as no time at all.
package renewal

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/koine-sd/koine/internal/durable"
)

const (
	// Grace is the time that is left at the start of what ran out while the process was away, for a renewal that could not come.
	Grace = 5 * time.Second
	// saveEvery is the time between two writes of the file. What was renewed for the first time within saveEvery before a crash is
	// not in it.
	saveEvery = 5 * time.Second
	// memory is the time after the start for which a book answers: what begins later is no part of what was before it.
	memory = time.Minute
)

// Entry is a renewal: how long ago it was and, if its time to live has passed since then, how much of the grace is left.
type Entry struct {
	Age, Grace time.Duration
}

// Source has renewals. Its methods may be called from any goroutine.
type Source interface {
	// Renewals lists the last renewals, by keys that no other source has.
	Renewals() iter.Seq2[string, Entry]
	// Changes returns another number after each change of what Renewals lists.
	Changes() uint64
}

// Book is the file. A nil Book keeps nothing.
type Book struct {
	path, owner string
	logger      *slog.Logger
	// problem reports that the file cannot be written; "" withdraws that.
	problem func(what string)
	// due holds one token if the file is to be written at once.
	due chan struct{}

	mu sync.Mutex
	// before has the renewals of before the start that nobody has asked for; nil if they do not count.
	before map[string]Entry
	// asked are the keys that Last has answered for.
	asked map[string]bool
	// unlisted is the age of a renewal that the file does not list.
	unlisted time.Duration
	opened   time.Time
	// failing is set while the file cannot be written. It is Run's alone.
	failing bool
}

// Open reads the book at a path; owner says whose it is. A file that is damaged, too large or another owner's is left out with
// a warning: all renewals then count from the start.
func Open(path, owner string, logger *slog.Logger) *Book {
	b := &Book{
		path: path, owner: owner, logger: logger, opened: time.Now(), problem: func(string) {}, due: make(chan struct{}, 1),
	}
	f, err := read(path, owner)
	switch {
	case err != nil:
		logger.Warn("the last renewals are not known: all count from now", "file", path, "error", err)
		return b
	case f == nil:
		return b
	case f.damaged > 0:
		logger.Warn("some of the last renewals cannot be read", "file", path, "lines", f.damaged)
	}
	away := b.opened.Round(0).Sub(f.written) // by the wall clock
	if away < 0 {
		logger.Warn("the clock was set back since the last renewals were written: the time since then does not count",
			"file", path, "written", f.written)
		away = 0
	}
	away = min(away, forever)
	b.before, b.asked, b.unlisted = f.entries, make(map[string]bool), max(away-saveEvery, 0)
	for key, e := range b.before {
		e.Age += away
		e.Grace = e.rest(away)
		b.before[key] = e
	}
	return b
}

// Report sets the function that takes the problem that the file cannot be written, and "" once it can. It must be called before Run.
func (b *Book) Report(problem func(what string)) { b.problem = problem }

// rest returns what is left of a grace a time after it was written; 0 if none had begun. Nobody knows how much of that time the
// process ran: at least half is left, so that a process that crashes again and again still ends what nobody renews.
func (e Entry) rest(away time.Duration) time.Duration {
	if e.Grace <= 0 || e.Grace > Grace {
		return 0
	}
	return max(e.Grace-away, e.Grace/2, time.Millisecond)
}

// forever bounds the parts of an age.
const forever = 100 * 365 * 24 * time.Hour

// Last returns the last renewal of what has a key and exists since a time (the zero time is one before the start), and the time
// that is left of it at least. Where that is not known, both are 0: it counts from now. Last answers once for each key, and for a
// minute: after that, what has the key began in this process.
func (b *Book) Last(key string, since time.Time) Entry {
	if b == nil {
		return Entry{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked == nil || b.asked[key] {
		return Entry{}
	}
	e, listed := b.before[key]
	switch {
	case !listed && !since.Before(b.opened):
		return Entry{}
	case !listed: // it began just before the process ended
		e.Age = b.unlisted
	}
	delete(b.before, key)
	b.asked[key] = true
	if e.Grace == 0 {
		e.Grace = Grace
	}
	b.wake() // it is the source's to list from now on
	return e
}

// Renewed has the file written at once, after a renewal in a grace. A crash must not lose it, because the grace is shorter then.
func (b *Book) Renewed() {
	if b != nil {
		b.wake()
	}
}

func (b *Book) wake() {
	select {
	case b.due <- struct{}{}:
	default: // a token is waiting already
	}
}

// forget ends the time for which Last answers.
func (b *Book) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.asked = nil, nil
}

// Run writes the file at the start, after each answer of Last, at intervals if something has changed, and when the context ends: the
// sources must not change any more then.
func (b *Book) Run(ctx context.Context, sources ...Source) error {
	if b == nil {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	saved, known := false, uint64(0)
	for {
		if time.Since(b.opened) > memory {
			b.forget()
		}
		if now := changes(sources); !saved || now != known || ctx.Err() != nil {
			saved, known = b.save(sources), now
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-b.due:
		case <-ticker.C:
		}
	}
}

// save replaces the file, and reports whether it could. A file that cannot be replaced is removed: it does not have the renewals
// since, and would end at the next start what is renewed all the time. Without it all counts from the start.
func (b *Book) save(sources []Source) bool {
	err := b.write(sources)
	if err == nil {
		if b.failing {
			b.logger.Info("the last renewals are written again", "file", b.path)
		}
		b.failing = false
		b.problem("")
		return true
	}
	what := "the last renewals cannot be written: after a crash all leases and pushed checks count from the start"
	if gone := b.remove(); gone != nil {
		what = "the last renewals can neither be written nor removed: after a crash leases and pushed checks count from an earlier time"
		err = errors.Join(err, gone)
	}
	if !b.failing {
		b.logger.Warn(what, "error", err)
	}
	b.failing = true
	b.problem(what + ": " + err.Error())
	return false
}

// remove removes the file, which takes no room on a full disk.
func (b *Book) remove() error {
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(b.path))
}

func changes(sources []Source) (sum uint64) {
	for _, s := range sources {
		sum += s.Changes()
	}
	return sum
}

// all lists the renewals of before the start that no source knows yet, and those of the sources. What a source takes over meanwhile
// is listed twice, the later one being the source's; it must not be missing.
func (b *Book) all(sources []Source) iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		for key, e := range b.waiting() {
			if !yield(key, e) {
				return
			}
		}
		for _, s := range sources {
			for key, e := range s.Renewals() {
				if !yield(key, e) {
					return
				}
			}
		}
	}
}

// waiting returns the renewals of before the start that nobody has asked for.
func (b *Book) waiting() map[string]Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	since := time.Since(b.opened)
	list := make(map[string]Entry, len(b.before))
	for key, e := range b.before {
		e.Age += since
		list[key] = e
	}
	return list
}
