package test

import (
	"bufio"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/koine-sd/koine/daemon"
)

var metricRow = regexp.MustCompile("(?m)^\\| `(koine_[a-z_]+)` \\|")

// TestMetrics compares what /metrics exposes with the table of metrics.
func TestMetrics(t *testing.T) {
	var documented []string
	for _, row := range metricRow.FindAllStringSubmatch(read(t, "../docs/run-koine.md"), -1) {
		documented = append(documented, row[1])
	}
	own := slices.DeleteFunc(exposed(t), func(name string) bool { return !strings.HasPrefix(name, "koine_") })
	compare(t, "metrics", own, documented)
}

// exposed runs a process with every source and a check, and returns the names of its metrics.
func exposed(t *testing.T) []string {
	t.Helper()
	files := t.TempDir()
	definition := `{"service": {"name": "web", "check": {"tcp": "127.0.0.1:1", "interval": "10ms", "flap_threshold": 50}}}`
	if err := os.WriteFile(filepath.Join(files, "web.json"), []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := daemon.New(daemon.Config{
		Node: "here", DataDir: t.TempDir(), ConfigDir: files, HTTP: "127.0.0.1:0", DNS: "127.0.0.1:0",
		Docker: "unix://" + filepath.Join(files, "no.sock"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var names []string
	await(t, "a check has been run and reported", func() bool {
		names = scrape(t, "http://"+d.HTTPAddr().String()+"/metrics")
		return slices.Contains(names, "koine_health_reports_total")
	})
	return names
}

// scrape returns the names of the metrics that a process shows.
func scrape(t *testing.T, url string) (names []string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 2 && words[1] == "TYPE" {
			names = append(names, words[2])
		}
	}
	return names
}

// literals returns the string literals at some places of a package's sources.
func literals(t *testing.T, dir string, at func(ast.Node) []ast.Expr) []string {
	t.Helper()
	found := make(map[string]bool)
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, expr := range at(n) {
				if literal, ok := expr.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, _ := strconv.Unquote(literal.Value)
					found[text] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// casesOf returns the cases of the switches in a function of that name.
func casesOf(function string) func(ast.Node) []ast.Expr {
	return func(n ast.Node) (list []ast.Expr) {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != function {
			return nil
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if clause, ok := n.(*ast.CaseClause); ok {
				list = append(list, clause.List...)
			}
			return true
		})
		return list
	}
}

// elementsOf returns the elements of the list that a variable of that name is declared with.
func elementsOf(variable string) func(ast.Node) []ast.Expr {
	return func(n ast.Node) []ast.Expr {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != variable || len(spec.Values) != 1 {
			return nil
		}
		list, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return nil
		}
		return list.Elts
	}
}

var labelForm = regexp.MustCompile("`koine\\.([a-z_.]+)")

// TestLabels compares the labels and the properties of checks that the Docker source knows with the guide.
func TestLabels(t *testing.T) {
	guide := read(t, "../docs/register-containers.md")
	labels := literals(t, "../source/docker", elementsOf("labelWords"))
	properties := literals(t, "../source/docker", casesOf("setProperty"))
	var documented []string
	for _, found := range labelForm.FindAllStringSubmatch(guide, -1) {
		name, path, _ := strings.Cut(found[1], ".")
		property := path[strings.LastIndexByte(path, '.')+1:]
		if name == "check" && property != "" && !slices.Contains(properties, property) {
			t.Errorf("koine.check.%s is documented and is not there", property)
		}
		if name != "meta" && name != "check" && name != "" {
			documented = append(documented, name)
		}
	}
	compare(t, "labels", labels, documented)
	for _, property := range properties {
		if !strings.Contains(guide, "`"+property+"`") {
			t.Errorf("property %s of a check is not documented", property)
		}
	}
}

// TestEnvironmentSettings looks for every variable that is read from a container's environment in the guide.
func TestEnvironmentSettings(t *testing.T) {
	guide := read(t, "../docs/register-containers.md")
	settings := literals(t, "../source/docker", elementsOf("serviceKeys"))
	if len(settings) < 15 {
		t.Fatalf("only %d settings: %v", len(settings), settings)
	}
	for _, setting := range settings {
		if !strings.Contains(guide, "`SERVICE_"+strings.ToUpper(setting)+"`") {
			t.Errorf("SERVICE_%s is read from the environment and not documented", strings.ToUpper(setting))
		}
	}
}

// TestDefinitionFields looks for every field of a definition file in the guide.
func TestDefinitionFields(t *testing.T) {
	guide := read(t, "../docs/definition-files.md")
	fields := literals(t, "../source/files", func(n ast.Node) (list []ast.Expr) {
		composite, ok := n.(*ast.CompositeLit)
		if !ok {
			return nil
		}
		if name, ok := composite.Type.(*ast.Ident); !ok || name.Name != "schema" {
			return nil
		}
		for _, element := range composite.Elts {
			list = append(list, element.(*ast.KeyValueExpr).Key)
		}
		return list
	})
	if len(fields) < 30 {
		t.Fatalf("only %d fields: %v", len(fields), fields)
	}
	for _, field := range fields {
		if !regexp.MustCompile(`\b` + field + `\b`).MatchString(guide) {
			t.Errorf("field %s is not documented", field)
		}
	}
}
