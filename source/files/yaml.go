package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// parseYAML returns the tree of a YAML document.
func parseYAML(data []byte) (*node, error) {
	if n := bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{")); n > maxBrackets { // the library builds them all first
		return nil, problemAt(1, 1, "has %d opening brackets: %d are allowed", n, maxBrackets)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, problemAt(1, 0, "%v", err)
	}
	var document, second yaml.Node
	err = loader.Load(&document)
	if errors.Is(err, io.EOF) {
		return &node{line: 1}, nil
	}
	if err != nil {
		return nil, yamlProblem(data, err)
	}
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		return nil, problemAt(max(second.Line, 1), max(second.Column, 1), "holds more than one YAML document").
			withHint("use one file for each")
	}
	if len(document.Content) == 0 {
		return &node{line: 1}, nil
	}
	return new(yamlReader).node(document.Content[0], 0)
}

// yamlProblem puts the library's error into words for the author of the file.
func yamlProblem(data []byte, err error) *problem {
	known, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return problemAt(1, 0, "is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	p := &problem{line: known.Mark.Line, column: known.Mark.Column}
	if p.line == 0 { // the bytes are no text
		p.line, p.column = placeOf(data, known.Mark.Index)
	}
	p.reason, p.hint = yamlWords(known.Message)
	if begin := known.ContextMark.Line; begin > 0 && begin < p.line && strings.HasSuffix(p.reason, "is not closed") {
		p.reason += fmt.Sprintf(", which begins in line %d", begin)
	}
	return p.within(data)
}

// yamlWords returns the words for a message of the library, and the way out.
func yamlWords(message string) (reason, hint string) {
	for _, w := range []struct{ part, reason, hint string }{
		{"node content", "a value is missing", ""},
		{"',' or ']'", "a list in brackets is not closed", ""},
		{"',' or '}'", "a mapping in braces is not closed", ""},
		{"unexpected end of stream", "text in quotes is not closed", ""},
		{"find expected key", "a field is not indented as those before it", ""},
		{"expected '-' indicator", "a line is not indented as the items of the list before it", ""},
		{"mapping values are not allowed", "a field is not allowed here", "look at the indentation, and put text that has a colon in quotes"},
		{"block sequence entries", "an item of a list is not allowed here", "begin the list on a new line"},
		{"expected ':'", "a field has no colon", "write it as name: value"},
		{"tab", "a tab is not allowed here", "use spaces"},
		{"cannot start any token", "text cannot begin with this character", "put the text in quotes"},
		{"unknown escape", "text in quotes has an unknown escape", `write \\ for a backslash, or use single quotes`},
		{"hexadecimal number", "text in quotes has an incomplete escape", `write \\ for a backslash, or use single quotes`},
		{"alphabetic or numeric", "the name of an anchor or an alias is missing", "put text that begins with & or * in quotes"},
		{"unknown anchor", "uses an alias that is not defined", "put text that begins with * in quotes"},
		{"control characters", "holds a control character", ""},
		{"UTF-8", "holds bytes that are not UTF-8", ""},
	} {
		if strings.Contains(message, w.part) {
			return w.reason, w.hint
		}
	}
	return "is not YAML: " + message, ""
}

// yamlReader converts the library's nodes to ours.
type yamlReader struct{ values counter }

// node converts a node and all below it. Aliases are refused: they could name one large part many times over.
func (r *yamlReader) node(y *yaml.Node, depth int) (*node, error) {
	n := &node{line: y.Line, column: y.Column}
	if err := r.values.count(n); err != nil {
		return nil, err
	}
	switch y.Kind {
	case yaml.ScalarNode:
		return n, n.setScalar(y)
	case yaml.AliasNode:
		return nil, n.errorf("uses the alias *%s", y.Value).withHint("write it out")
	}
	if depth == maxDepth {
		return nil, n.errorf("nested deeper than %d levels", maxDepth)
	}
	switch {
	case y.Kind == yaml.SequenceNode && y.ShortTag() == "!!seq":
		return n, r.items(n, y, depth+1)
	case y.Kind == yaml.MappingNode && y.ShortTag() == "!!map":
		return n, r.fields(n, y, depth+1)
	}
	return nil, n.errorf("has tag %s, which is not supported", y.Tag)
}

func (n *node) setScalar(y *yaml.Node) error {
	n.text = y.Value
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp":
		n.kind = text
	case "!!int", "!!float":
		n.kind = number
	case "!!bool":
		n.kind, n.text = boolean, strings.ToLower(y.Value)
	case "!!null":
		n.kind = null
	default:
		return n.errorf("has tag %s, which is not supported", tag)
	}
	return nil
}

func (r *yamlReader) items(n *node, y *yaml.Node, depth int) error {
	n.kind = list
	for _, item := range y.Content {
		value, err := r.node(item, depth)
		if err != nil {
			return err
		}
		n.items = append(n.items, value)
	}
	return nil
}

func (r *yamlReader) fields(n *node, y *yaml.Node, depth int) error {
	n.kind = object
	for i := 0; i+1 < len(y.Content); i += 2 {
		name := y.Content[i]
		f := field{line: name.Line, column: name.Column, name: name.Value}
		if name.Kind != yaml.ScalarNode {
			return f.errorf("a field's name must be text")
		}
		value, err := r.node(y.Content[i+1], depth)
		if err != nil {
			return err
		}
		f.value = value
		n.fields = append(n.fields, f)
	}
	return nil
}
