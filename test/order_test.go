package test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/koine-sd/koine/"

// order is the allowed imports: a < b means that b may import a. Packages inside one brace do not import each other;
// what they need of one another they declare as an interface over catalog's types, and daemon fills it in.
const order = `
{catalog, internal}
< engine
< {registry, tree, health, client}
< {api, dns, dialect, source, agent, balance, render, ui}
< daemon
< cmd/koine
< {bench, test}
`

// forbidden are imports that would be wrong although the order allows them.
var forbidden = []struct{ from, to, why string }{
	{"catalog", ".", "the core model knows no technology: it imports the standard library only"},
	{"internal", module, "helpers there hold no product words"},
	{"client", "go.etcd.io", "a client knows the API, not the store behind it"},
	{"api", "go.etcd.io", "a protocol knows the catalog, not the store behind it"},
	{"dns", "go.etcd.io", "a protocol knows the catalog, not the store behind it"},
	{"agent", "go.etcd.io", "an agent talks to a registry that may be remote"},
	{"source", "go.etcd.io", "a source declares, it does not store"},
	{"cmd/koine", "go.etcd.io", "the command line runs a daemon or asks one"},
}

// pkg is a package, by its folder, and what it imports.
type pkg struct {
	name    string
	imports []string
}

func TestImportOrder(t *testing.T) {
	levels := parseOrder(order)
	for _, p := range listPackages(t) {
		name := p.name
		part, level := place(levels, name)
		if level < 0 {
			t.Errorf("package %s has no place in the order", name)
			continue
		}
		for _, path := range p.imports {
			imported, ours := strings.CutPrefix(path, module)
			if ours {
				checkArrow(t, levels, name, part, level, imported)
			}
			checkForbidden(t, part, name, path)
		}
	}
}

// checkArrow reports an import that goes upwards, or sideways between parts of one brace.
func checkArrow(t *testing.T, levels [][]string, name, part string, level int, imported string) {
	t.Helper()
	other, otherLevel := place(levels, imported)
	sideways := otherLevel == level && (other != part || siblings(name, imported))
	if otherLevel > level || sideways {
		t.Errorf("%s imports %s: the arrow goes the other way, or is none", name, imported)
	}
}

// siblings reports whether two packages are features of one kind, such as two sources.
func siblings(a, b string) bool {
	kind, featureA, okA := strings.Cut(a, "/")
	_, featureB, okB := strings.Cut(b, "/")
	if !okA || !okB || kind != "source" && kind != "dialect" {
		return false
	}
	featureA, _, _ = strings.Cut(featureA, "/")
	featureB, _, _ = strings.Cut(featureB, "/")
	return featureA != featureB
}

func checkForbidden(t *testing.T, part, name, path string) {
	t.Helper()
	for _, f := range forbidden {
		if part != f.from || !strings.Contains(path, f.to) {
			continue
		}
		own := strings.HasPrefix(path, module+part)
		standard := !strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
		if !own && !standard {
			t.Errorf("%s imports %s: %s", name, path, f.why)
		}
	}
}

func parseOrder(text string) (levels [][]string) {
	for level := range strings.SplitSeq(text, "<") {
		var parts []string
		for part := range strings.SplitSeq(strings.Trim(strings.TrimSpace(level), "{}"), ",") {
			parts = append(parts, strings.TrimSpace(part))
		}
		levels = append(levels, parts)
	}
	return levels
}

// place finds the part that a package belongs to, and its level; -1 if it belongs to none.
func place(levels [][]string, name string) (part string, level int) {
	for level, parts := range levels {
		i := slices.IndexFunc(parts, func(part string) bool { return name == part || strings.HasPrefix(name, part+"/") })
		if i >= 0 {
			return parts[i], level
		}
	}
	return "", -1
}

// listPackages returns the packages of the module with the imports of their files, tests excepted. It reads the files
// itself: go list asks the network for modules that nothing here imports, and the tests may have none.
func listPackages(t *testing.T) (list []pkg) {
	t.Helper()
	imports := make(map[string][]string)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		folder := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../")))
		found, err := importsOf(path)
		imports[folder] = append(imports[folder], found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, paths := range imports {
		slices.Sort(paths)
		list = append(list, pkg{folder, slices.Compact(paths)})
	}
	slices.SortFunc(list, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	return list
}

// importsOf returns a file's imports, whatever system the file is built for.
func importsOf(path string) (list []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, imported)
	}
	return list, nil
}

// TestPackagesAreListed holds that the packages of the module are found, those of another system's files included.
func TestPackagesAreListed(t *testing.T) {
	found := make(map[string][]string)
	for _, p := range listPackages(t) {
		found[p.name] = p.imports
	}
	for name, imported := range map[string]string{
		"cmd/koine": module + "daemon", "source/docker": "golang.org/x/sys/unix", "internal/dockertest": "testing",
	} {
		if !slices.Contains(found[name], imported) {
			t.Errorf("package %s imports %q, and %s is missing", name, found[name], imported)
		}
	}
	for name := range found {
		if strings.Contains(name, "testdata") || strings.HasPrefix(name, "bin/") {
			t.Errorf("%s is listed as a package", name)
		}
	}
}

func TestTheOrderItselfCatches(t *testing.T) {
	levels := parseOrder(order)
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"engine", "catalog", true}, {"catalog", "engine", false}, {"api", "client", true}, {"api", "dns", false},
		{"source/docker", "source/files", false}, {"source/docker", "source/docker/x", true}, {"registry/registrytest", "catalog", true},
		{"daemon", "api", true}, {"health", "registry", false},
	} {
		probe := &testing.T{}
		part, level := place(levels, tt.from)
		checkArrow(probe, levels, tt.from, part, level, tt.to)
		if probe.Failed() == tt.ok {
			t.Errorf("%s -> %s: caught %v, want %v", tt.from, tt.to, probe.Failed(), !tt.ok)
		}
	}
}
