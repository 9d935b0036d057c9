package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
)

// maxFiles is how many definition files a directory may have.
const maxFiles = 1000

// Sink takes what the files declare: always the whole of it. It must not change what it is given.
type Sink interface {
	Declare(source string, registrations []catalog.Registration)
}

// NodeCheckSink is a Sink that also takes checks of the node, always all of them. Without it a check of the node is the
// error of its file.
type NodeCheckSink interface {
	DeclareNodeChecks(source string, checks []catalog.Check)
}

// Config says where the files are and who is told of them. Dir, Node and Sink must be set.
type Config struct {
	// Dir is the directory of the definition files.
	Dir string
	// Node is the name of the node that the services run on.
	Node string
	Sink Sink
	// EnableScripts accepts checks that run scripts; without it they are the error of their file.
	EnableScripts bool
	// Logger is told of each file that comes to be in error or leaves it; nil means nobody.
	Logger *slog.Logger
	// Metrics is where the source's metrics are registered; nil means nowhere.
	Metrics prometheus.Registerer
}

// Source declares the services of a directory's definition files.
type Source struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	// settle is how long the directory must be quiet before it is read, patience how long at most that is waited for,
	// rescan how often it is read without an event.
	settle, patience, rescan time.Duration

	// mu guards what follows, and keeps one load from overtaking another.
	mu         sync.Mutex
	files      map[string]*file
	declared   []catalog.Registration
	nodeChecks []catalog.Check
	loaded     bool
	// told is the error of the directory that was logged last.
	told string
}

// New returns a Source that has read nothing yet.
func New(cfg Config) (*Source, error) {
	if cfg.Dir == "" || cfg.Node == "" || cfg.Sink == nil {
		return nil, catalog.Errorf(catalog.KindInternal, "definition files: no directory, node or sink")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Source{
		cfg: cfg, log: cfg.Logger, metrics: m, files: make(map[string]*file),
		settle: 50 * time.Millisecond, patience: time.Second, rescan: 30 * time.Second,
	}, nil
}

// Load reads the directory and declares what changed; the first time it declares even nothing. The errors of single
// files, of KindInvalid, are joined in the order of the files' names, and do not stop the others. If the directory
// itself cannot be read, all stays as it is.
func (s *Source) Load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics.loads.Inc()
	names, err := s.list()
	s.logDirectory(err)
	if err != nil {
		return err
	}
	var tooMany error
	if n := len(names); n > maxFiles {
		tooMany = catalog.Errorf(catalog.KindInvalid, "%s has %d definition files: the first %d are read", s.cfg.Dir, n, maxFiles)
		// A file that is in force stays so when others push it over the edge.
		names = slices.Concat(names[:maxFiles], slices.DeleteFunc(slices.Clone(names[maxFiles:]), s.unknown))
	}
	files := s.readAll(names)
	m := merge(files)
	s.declare(m)
	return errors.Join(append(s.report(files), tooMany)...)
}

// Reload does what Load does; it is for SIGHUP.
func (s *Source) Reload() error { return s.Load() }

func (s *Source) unknown(name string) bool { return s.files[name] == nil }

// list returns the names of the definition files, sorted.
func (s *Source) list() ([]string, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, catalog.Errorf(catalog.KindNotFound, "config directory %s does not exist", s.cfg.Dir).
			WithHint("create it, or name another one with --config-dir")
	}
	if err != nil {
		return nil, fmt.Errorf("read config directory: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() && isDefinition(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

func isDefinition(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") {
		return false
	}
	switch filepath.Ext(name) {
	case ".json", ".yaml", ".yml":
		return true
	}
	return false
}

// readAll brings the files up to date and forgets those that are gone. It returns them in the order of the names.
func (s *Source) readAll(names []string) []*file {
	kept := make(map[string]*file, len(names))
	var files []*file
	for _, name := range names {
		f := s.files[name]
		if f == nil {
			f = &file{name: name}
		}
		if s.read(f) {
			kept[name] = f
			files = append(files, f)
		}
	}
	s.files = kept
	return files
}

// read brings one file up to date. It returns false if there is no such file any more, or if it is a directory.
func (s *Source) read(f *file) bool {
	data, err := readFile(filepath.Join(s.cfg.Dir, f.name))
	if errors.Is(err, fs.ErrNotExist) {
		if _, gone := os.Lstat(filepath.Join(s.cfg.Dir, f.name)); gone != nil {
			return false
		}
	}
	if errors.Is(err, errDirectory) {
		return false
	}
	if err != nil {
		f.read, f.latest, f.bad = false, nil, &problem{reason: err.Error()}
		return true
	}
	if sum := sha256.Sum256(data); !f.read || sum != f.sum {
		f.read, f.sum = true, sum
		s.decode(f, data)
	}
	return true
}

func (s *Source) decode(f *file, data []byte) {
	_, nodeChecks := s.cfg.Sink.(NodeCheckSink)
	d := &decoder{node: s.cfg.Node, scripts: s.cfg.EnableScripts, nodeChecks: nodeChecks}
	latest, err := d.decode(f.name, data)
	if err != nil {
		f.latest, f.bad = nil, asProblem(err)
		return
	}
	f.latest, f.bad = latest, nil
	for _, w := range latest.warnings {
		s.log.Warn("field has no effect in koine", "file", f.name, "line", w.line, "field", w.field)
	}
}

func asProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	return &problem{reason: err.Error()}
}

var errDirectory = errors.New("is a directory")

// readFile reads at most one byte more than a file may have. What is neither a file nor a directory, a pipe say, is
// not opened: it could block.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errDirectory
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// logDirectory logs the error of the directory when it comes up.
func (s *Source) logDirectory(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now != "" && now != s.told {
		s.log.Error("config directory cannot be read", "error", now, "kept", s.loaded)
	}
	s.told = now
}

// declare tells the sink what changed.
func (s *Source) declare(m *merged) {
	registrations := m.registrations()
	if !s.loaded || !sameRegistrations(s.declared, registrations) {
		s.cfg.Sink.Declare(sourceName, registrations)
	}
	if sink, ok := s.cfg.Sink.(NodeCheckSink); ok && (!s.loaded || !sameChecks(s.nodeChecks, m.nodeChecks)) {
		sink.DeclareNodeChecks(sourceName, m.nodeChecks)
	}
	s.declared, s.nodeChecks, s.loaded = registrations, m.nodeChecks, true
}

// report logs the files that came to be in error or left it, and returns the errors of all that are.
func (s *Source) report(files []*file) (errs []error) {
	for _, f := range files {
		p, now := f.problem(), ""
		if p != nil {
			err := s.fileError(f.name, p)
			errs, now = append(errs, err), err.Error()
		}
		if now != "" && now != f.told {
			s.log.Error("definition file is in error", "error", now, "kept", f.inForce != nil)
		} else if now == "" && f.told != "" {
			s.log.Info("definition file is in order again", "file", f.name)
		}
		f.told = now
	}
	s.metrics.files.Set(float64(len(files)))
	s.metrics.bad.Set(float64(len(errs)))
	return errs
}

func (s *Source) fileError(name string, p *problem) error {
	where := filepath.Join(s.cfg.Dir, name)
	for _, n := range []int{p.line, p.column} {
		if n == 0 {
			break
		}
		where += fmt.Sprintf(":%d", n)
	}
	return catalog.Errorf(catalog.KindInvalid, "%s: %s", where, p.reason)
}
