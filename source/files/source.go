package files

import (
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

// Sink takes the declarations of the files: always all of them. It must not change its arguments.
type Sink interface {
	Declare(source string, registrations []catalog.Registration)
}

// NodeCheckSink is a Sink that also takes checks of the node, always all of them. Without it a check of the node is an
// error of its file.
type NodeCheckSink interface {
	DeclareNodeChecks(source string, checks []catalog.Check)
}

// HoldingSink is a Sink that holds what a former process declared. KeepHeld tells it why the source does not know all of
// that: then nothing is removed that the source has not declared itself. It is called before Declare; and with "" after it, once
// all files have been read without an error.
type HoldingSink interface {
	KeepHeld(source, why string)
}

// Config is where the files are and where their services go. Dir, Node and Sink must be set.
type Config struct {
	// Dir is the directory of the definition files.
	Dir string
	// Node is the name of the node that the services run on.
	Node string
	Sink Sink
	// EnableScripts accepts checks that run scripts; without it they are errors.
	EnableScripts bool
	// Problem is called with a text for /health while the directory or a file is in error, and with "" once all is in order. It may be
	// nil.
	Problem func(what string)
	// Logger receives each load that changed something, each error when it appears, and each file's return to order;
	// nil discards them.
	Logger *slog.Logger
	// Metrics is where the source's metrics are registered; nil means nowhere.
	Metrics prometheus.Registerer
}

// Source declares the services of a directory's definition files.
type Source struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	times
	// reload holds at most one request for a load whose outcome is always logged.
	reload chan struct{}

	// mu guards the fields below, and keeps one load from overtaking another.
	mu    sync.Mutex
	loads int // so far
	files map[string]*file
	// holders has the file of each ID in force.
	holders map[key]*file
	// device is the file system that the directory was on.
	device     uint64
	declared   []catalog.Registration
	nodeChecks []catalog.Check
	loaded     bool
	// settled is set once all files have been read without an error: what no file declares was taken out since. keeps is the
	// reason that the sink got before that.
	settled bool
	keeps   string
	told    told
	// next is when the directory must be read although nothing in it changes; zero if that is not before the next
	// rescan.
	next time.Time
}

// times are the source's delays.
type times struct {
	// settle is how long the directory must be quiet before it is read, patience bounds the wait for that.
	settle, patience time.Duration
	// absence is how long a file must be missing before its services are taken out.
	absence time.Duration
	// rescan is how often the directory is read without an event, retry how often if it cannot be read.
	rescan, retry time.Duration
}

func usualTimes() times {
	return times{
		settle: 50 * time.Millisecond, patience: time.Second, absence: 1500 * time.Millisecond,
		rescan: 30 * time.Second, retry: time.Second,
	}
}

// New returns a Source that has not read anything yet.
func New(cfg Config) (*Source, error) {
	if cfg.Dir == "" || cfg.Node == "" || cfg.Sink == nil {
		return nil, catalog.Errorf(catalog.KindInternal, "definition files: no directory, node or sink")
	}
	if cfg.Problem == nil {
		cfg.Problem = func(string) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Source{
		cfg: cfg, log: cfg.Logger, metrics: m, files: make(map[string]*file), reload: make(chan struct{}, 1), times: usualTimes(),
	}, nil
}

// Reload asks Run to load at once and to log the outcome even if nothing has changed; it is for SIGHUP.
func (s *Source) Reload() {
	select {
	case s.reload <- struct{}{}:
	default: // one is pending already
	}
}

// Load reads the directory and declares what changed; the first time it declares even nothing. The errors of files, of
// KindInvalid, are joined in the order of the files' names, and do not stop the others. If the directory itself cannot be
// read, everything stays as it is.
func (s *Source) Load() error { return s.load(false) }

// load is Load. Asked reports that its outcome must be logged.
func (s *Source) load(asked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics.loads.Inc()
	s.loads++
	l, err := s.look()
	s.reportDirectory(err, asked)
	if err != nil {
		s.next = time.Now().Add(s.retry)
		if !s.settled {
			s.keepHeld("the config directory cannot be read")
		}
		return err
	}
	names, err := s.limit(l.names)
	s.reportListing(l.others, err)
	first := !s.loaded
	news := s.readAll(names) || first
	var c changes
	if news || !s.settled {
		c = s.apply(err != nil)
	}
	errs := s.reportFiles()
	if news || asked {
		s.reportLoad(c, len(errs))
	}
	if err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// look lists the directory. If it is empty and on another file system than before, it was unmounted: that is an error.
func (s *Source) look() (listing, error) {
	l, err := listDirectory(s.cfg.Dir)
	if err != nil {
		return l, err
	}
	if len(l.names) == 0 && len(s.files) > 0 && l.device != s.device {
		return l, catalog.Errorf(catalog.KindNotFound,
			"config directory %s is on another file system than before, and has no definition file", s.cfg.Dir).
			WithHint("mount it again, or put a file there that declares nothing")
	}
	s.device = l.device
	return l, nil
}

// limit returns the names of the files to read, and an error if there are too many. A file in force stays in force even
// if others exceed the limit.
func (s *Source) limit(names []string) ([]string, error) {
	if len(names) <= maxFiles {
		return names, nil
	}
	unknown := func(name string) bool { return s.files[name] == nil }
	known := slices.DeleteFunc(slices.Clone(names[maxFiles:]), unknown)
	return slices.Concat(names[:maxFiles], known), tooManyFiles(s.cfg.Dir, len(names))
}

func tooManyFiles(dir string, n int) *catalog.Error {
	return catalog.Errorf(catalog.KindInvalid, "%s has %d definition files: the first %d are read", dir, n, maxFiles)
}

// readAll updates the files, and forgets those that have been missing for long enough. It reports whether anything has
// changed.
func (s *Source) readAll(names []string) (news bool) {
	_, nodeChecks := s.cfg.Sink.(NodeCheckSink)
	found := make(map[string]bool, len(names))
	for _, name := range names {
		f := s.files[name]
		if f == nil {
			f = &file{name: name, path: filepath.Join(s.cfg.Dir, name)}
		}
		d := &decoder{node: s.cfg.Node, scripts: s.cfg.EnableScripts, nodeChecks: nodeChecks}
		got := f.refresh(d, s.loads)
		if got == gone {
			continue
		}
		found[name] = true
		news = news || got == changed || f.missing()
		s.files[name] = f
		f.since = time.Time{}
		if got == changed {
			s.reportWarnings(f)
		}
	}
	return s.miss(found) || news
}

// miss records which files are missing, and forgets those that have been missing for long enough or declare nothing.
func (s *Source) miss(found map[string]bool) (news bool) {
	now := time.Now()
	s.next = time.Time{}
	for name, f := range s.files {
		if found[name] {
			continue
		}
		if !f.missing() {
			f.since, f.missed = now, s.loads
		}
		end := f.since.Add(s.absence)
		switch {
		case len(f.inForce) == 0 && s.settled, !now.Before(end): // before that, the sink may hold more of the file
			delete(s.files, name)
			news = true
		case s.next.IsZero() || end.Before(s.next):
			s.next = end
		}
	}
	return news
}

// apply merges the files and passes the result to the sink if anything has changed. TooMany reports that some are not read.
func (s *Source) apply(tooMany bool) changes {
	files := s.sorted()
	m := merge(files, s.holders)
	for _, f := range files {
		f.inForce, f.clashes = m.by[f], m.clashes[f]
	}
	s.holders = m.holders
	services, checks := registrations(m.units), nodeChecks(m.units)
	c := difference(s.declared, services, s.nodeChecks, checks)
	why := ""
	if !s.settled {
		why = inError(files, tooMany)
	}
	if why != "" {
		s.keepHeld(why)
	}
	// The checks of the node come first: with the services the source has reported, and what it has not declared then is removed.
	if sink, ok := s.cfg.Sink.(NodeCheckSink); ok && (!s.loaded || !sameChecks(s.nodeChecks, checks)) {
		sink.DeclareNodeChecks(sourceName, checks)
	}
	if !s.loaded || !sameRegistrations(s.declared, services) {
		s.cfg.Sink.Declare(sourceName, services)
	}
	s.declared, s.nodeChecks, s.loaded = services, checks, true
	if why == "" { // last: what is mended by this load has been declared
		s.keepHeld("")
		s.settled = true
	}
	return c
}

// inError says why files may have declared more before the start than they do now; "" if all are in order.
func inError(files []*file, tooMany bool) string {
	if tooMany {
		return "not all definition files are read"
	}
	var bad []string
	for _, f := range files {
		if len(f.problems()) > 0 {
			bad = append(bad, f.name)
		}
	}
	if len(bad) == 0 {
		return ""
	}
	return "definition files have been in error since the start: " + shorten(bad)
}

// keepHeld tells the sink why it must keep what it holds, unless it knows.
func (s *Source) keepHeld(why string) {
	if why == s.keeps {
		return
	}
	s.keeps = why
	if sink, ok := s.cfg.Sink.(HoldingSink); ok {
		sink.KeepHeld(sourceName, why)
	}
}

// sorted returns the files by name.
func (s *Source) sorted() []*file {
	return slices.SortedFunc(maps.Values(s.files), func(a, b *file) int { return strings.Compare(a.name, b.name) })
}

// due returns when the directory must be read at the latest.
func (s *Source) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	rescan := time.Now().Add(s.rescan)
	if s.next.IsZero() || rescan.Before(s.next) {
		return rescan
	}
	return s.next
}
