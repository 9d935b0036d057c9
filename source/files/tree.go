package files

import (
	"bytes"
	"encoding/json"
)

// Limits on one file.
const (
	maxFile   = 1 << 20 // bytes
	maxDepth  = 32      // of nested lists and mappings
	maxValues = 200_000
	// maxBrackets bounds the lists and mappings in brackets of a YAML file: each takes the library half a kilobyte and more.
	maxBrackets = 50_000
)

// kind is the kind of a node's value.
type kind uint8

const (
	null kind = iota
	text
	number
	boolean
	list
	object
)

func (k kind) String() string {
	return [...]string{"nothing", "text", "a number", "true or false", "a list", "a mapping"}[k]
}

// node is a value of a definition file, whatever its format, with its place in the file.
type node struct {
	line, column int
	kind         kind
	// text is a scalar as written, without quotes.
	text   string
	items  []*node
	fields []field
	// blocks reports that items are the bodies of HCL's blocks of one name, and not the items of a list.
	blocks bool
}

// field is one entry of a mapping. Its place is that of its name.
type field struct {
	line, column int
	name         string
	value        *node
	// label reports that the name is the second one of HCL's block, as in service "web" { … }.
	label bool
}

func (n *node) errorf(format string, args ...any) *problem {
	return problemAt(n.line, n.column, format, args...)
}

func (f *field) errorf(format string, args ...any) *problem {
	return problemAt(f.line, f.column, format, args...)
}

// scalar reports whether the node is a single value other than null.
func (n *node) scalar() bool { return n.kind == text || n.kind == number || n.kind == boolean }

// unset reports whether the value equals that of a field that is left out.
func (n *node) unset() bool {
	return n.kind == null || n.kind == text && n.text == "" || n.kind == boolean && n.text == "false"
}

// json returns the node as JSON, the fields in the order of the file.
func (n *node) json() json.RawMessage {
	var b bytes.Buffer
	n.encode(&b)
	return b.Bytes()
}

func (n *node) encode(b *bytes.Buffer) {
	switch n.kind {
	case null:
		b.WriteString("null")
	case list:
		b.WriteByte('[')
		for i, item := range n.items {
			separate(b, i)
			item.encode(b)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, f := range n.fields {
			separate(b, i)
			quote(b, f.name)
			b.WriteByte(':')
			f.value.encode(b)
		}
		b.WriteByte('}')
	default:
		// YAML has numbers that JSON lacks, such as .inf and 0x1f: they stay text.
		if n.kind != text && json.Valid([]byte(n.text)) {
			b.WriteString(n.text)
			return
		}
		quote(b, n.text)
	}
}

func separate(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

func quote(b *bytes.Buffer, s string) {
	quoted, _ := json.Marshal(s) // a string always has a form in JSON
	b.Write(quoted)
}

// counter counts the values of a file.
type counter int

// count returns an error if the value exceeds the limit.
func (c *counter) count(n *node) error {
	if *c++; *c > maxValues {
		return n.errorf("holds more than %d values", maxValues)
	}
	return nil
}
