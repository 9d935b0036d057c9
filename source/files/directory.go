package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// maxFiles bounds the definition files of a directory.
const maxFiles = 1000

// listing is the content of a directory: the names of definition files, and of similar files that are not read. Both
// are sorted.
type listing struct {
	names, others []string
	// device is that of the directory's file system; 0 if it is unknown.
	device uint64
}

func listDirectory(dir string) (listing, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return listing{}, catalog.Errorf(catalog.KindNotFound, "config directory %s does not exist", dir).
			WithHint("create it, or name another one with --config-dir")
	}
	if err != nil {
		return listing{}, fmt.Errorf("read config directory: %w", err)
	}
	l := listing{device: device(dir)}
	for _, entry := range entries {
		switch name := entry.Name(); {
		case entry.IsDir() || isDropping(name):
		case isDefinition(name):
			l.names = append(l.names, name)
		case looksLikeDefinition(name):
			l.others = append(l.others, name)
		}
	}
	return l, nil
}

// isDropping reports whether a file is hidden, or a temporary file of an editor.
func isDropping(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~")
}

func isDefinition(name string) bool {
	_, ok := formatOf(name)
	return ok
}

// looksLikeDefinition reports whether a file has one of the endings of configuration files that are not read, so that
// its author may expect its services.
func looksLikeDefinition(name string) bool {
	return slices.Contains([]string{
		".cfg", ".cnf", ".conf", ".config", ".cue", ".hjson", ".ini", ".json5", ".jsonc", ".jsonl", ".jsonnet", ".ndjson", ".nomad",
		".properties", ".tf", ".toml", ".xml",
	}, strings.ToLower(filepath.Ext(name)))
}

// endings returns the endings of definition files, for people.
func endings() string {
	var list []string
	for _, f := range formats() {
		list = append(list, f.endings...)
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
