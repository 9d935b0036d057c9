package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseYAML returns the tree of a YAML document.
func parseYAML(data []byte) (*node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return &node{line: 1}, nil
	}
	if err != nil {
		return nil, yamlProblem(err)
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, problemAt(max(second.Line, 1), 0, "holds more than one YAML document").withHint("use one file for each")
	}
	if len(document.Content) == 0 {
		return &node{line: 1}, nil
	}
	return new(yamlReader).node(document.Content[0], 0)
}

// yamlProblem takes the line out of the library's error, which has it in its text only.
func yamlProblem(err error) error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if n, scanErr := fmt.Sscanf(reason, "line %d:", &line); n == 1 && scanErr == nil {
		_, reason, _ = strings.Cut(reason, ": ")
	}
	return &problem{line: line, reason: reason}
}

// yamlReader makes nodes of the library's.
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
