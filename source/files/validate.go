package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/koine-sd/koine/catalog"
)

// ValidateConfig is the set of accepted features.
type ValidateConfig struct {
	// EnableScripts accepts checks that run scripts.
	EnableScripts bool
}

// Report is the result of validating definition files.
type Report struct {
	// Files is how many were read, Services and NodeChecks how many of their services and checks would come into force.
	Files      int `json:"files"`
	Services   int `json:"services"`
	NodeChecks int `json:"node_checks"`
	// Errors and Warnings are never nil.
	Errors   []Finding `json:"errors"`
	Warnings []Finding `json:"warnings"`
}

// Finding is an error or a warning in a file.
type Finding struct {
	File string `json:"file"`
	// Line and Column count from 1; 0 means that the place is unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message names the fault, Hint the way out; Hint may be empty.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Validate reads definition files and the definition files of directories as a Source does at its start, as if all of
// them were in one directory. It returns an error for a path that cannot be read at all, of KindNotFound if the path
// does not exist.
func Validate(cfg ValidateConfig, paths ...string) (*Report, error) {
	r := &Report{Errors: []Finding{}, Warnings: []Finding{}}
	list, err := r.gather(paths)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		d := &decoder{node: "node", scripts: cfg.EnableScripts, nodeChecks: true}
		if f.refresh(d, 1) == gone {
			f.bad = &problem{reason: "is gone"}
		}
	}
	m := merge(list, nil)
	for _, f := range list {
		f.clashes = m.clashes[f]
		r.add(f)
	}
	r.Files, r.Services, r.NodeChecks = len(list), len(registrations(m.units)), len(nodeChecks(m.units))
	return r, nil
}

// gather returns the files that the paths name, each once.
func (r *Report) gather(paths []string) (list []*file, err error) {
	seen := make(map[string]bool)
	add := func(path string) {
		if path = filepath.Clean(path); !seen[path] {
			seen[path] = true
			list = append(list, &file{name: path, path: path})
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, catalog.Errorf(catalog.KindNotFound, "no file or directory %s", path)
		case err != nil:
			return nil, err
		case !info.IsDir():
			add(path)
			if isDropping(filepath.Base(path)) {
				r.Warnings = append(r.Warnings, Finding{File: path, Message: "is hidden or an editor's file, and not read from a directory"})
			}
			continue
		}
		names, err := r.readDirectory(path)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			add(filepath.Join(path, name))
		}
	}
	return list, nil
}

// readDirectory returns the names of the files that a Source would read.
func (r *Report) readDirectory(dir string) ([]string, error) {
	l, err := listDirectory(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range l.others {
		r.Warnings = append(r.Warnings, Finding{
			File: filepath.Join(dir, name), Message: "is not read", Hint: "the name of a definition file ends in " + endings(),
		})
	}
	if n := len(l.names); n > maxFiles {
		p := tooManyFiles(dir, n)
		r.Errors = append(r.Errors, Finding{File: dir, Message: p.Message, Hint: p.Hint})
		l.names = l.names[:maxFiles]
	}
	return l.names, nil
}

// add adds the findings of a file.
func (r *Report) add(f *file) {
	for _, p := range f.problems() {
		r.Errors = append(r.Errors, Finding{f.path, p.line, p.column, p.reason, p.hint})
	}
	if f.latest == nil {
		return
	}
	for _, w := range f.latest.warnings {
		r.Warnings = append(r.Warnings, Finding{File: f.path, Line: w.line, Message: w.field + " has no effect in koine"})
	}
}
