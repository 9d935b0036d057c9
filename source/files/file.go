package files

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// file is one definition file between two loads.
type file struct {
	// name is the file's name in errors of other files, path its location.
	name, path string
	// sum is the hash of the bytes read last, so that an unchanged file is not decoded again.
	sum  [sha256.Size]byte
	read bool
	// latest is the file's present content, decoded the number of the load that found it; bad is why it cannot be read,
	// and latest is nil then.
	latest  *content
	decoded int
	bad     *problem
	// since is when the file disappeared; zero while it exists. The load with that number found it missing.
	since  time.Time
	missed int
	// inForce is the file's contribution: from latest, or from its former content.
	inForce []unit
	// clashes are why parts of latest cannot come into force although they are valid by themselves.
	clashes problems
	// told has the errors that were logged.
	told map[string]bool
}

func (f *file) missing() bool { return !f.since.IsZero() }

// declares reports whether the file has a service with that ID, in error or not.
func (f *file) declares(id string) bool { return f.latest != nil && f.latest.ids[id] }

// names reports whether the file has an instance or a service of a name, in force or not.
func (f *file) names(name string) bool {
	if f.declares(name) {
		return true
	}
	return slices.ContainsFunc(f.inForce, func(u unit) bool {
		return u.service != nil && (u.service.Instance.ID == name || strings.EqualFold(u.service.Instance.Service, name))
	})
}

// problems returns all errors of the file.
func (f *file) problems() problems {
	switch {
	case f.bad != nil:
		return problems{f.bad}
	case f.latest == nil:
		return nil
	}
	return slices.Concat(f.latest.problems, f.clashes).sorted()
}

// outcome is the result of reading a file again.
type outcome uint8

const (
	same outcome = iota
	changed
	gone // the file does not exist, or is a directory
)

// refresh reads the file and decodes it if it has changed. Load is the number of the load.
func (f *file) refresh(d *decoder, load int) outcome {
	data, err := readFile(f.path)
	if errors.Is(err, errDirectory) || errors.Is(err, fs.ErrNotExist) && !isLink(f.path) {
		return gone
	}
	if err != nil {
		return f.unreadable(err)
	}
	sum := sha256.Sum256(data)
	if f.read && sum == f.sum {
		return same
	}
	f.read, f.sum, f.bad = true, sum, nil
	f.latest, f.decoded = d.decode(f.name, data), load
	return changed
}

func (f *file) unreadable(err error) outcome {
	if known, ok := errors.AsType[*fs.PathError](err); ok { // the path is named already
		err = known.Err
	}
	before := f.bad
	f.read, f.latest, f.bad = false, nil, &problem{reason: "cannot be read: " + err.Error()}
	if before != nil && before.reason == f.bad.reason {
		return same
	}
	return changed
}

// isLink reports whether the path is a symbolic link, which may lead nowhere.
func isLink(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

var errDirectory = errors.New("is a directory")

// readFile reads at most one byte more than a file may have. A path that is neither a file nor a directory, such as a
// pipe, is not opened: it could block.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errDirectory
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}
