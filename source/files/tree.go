package files

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Limits on one file.
const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 32      // of nested lists and mappings
)

// problem is why a file is refused, and where in it. Column is 0 where it is not known.
type problem struct {
	line, column int
	reason       string
}

func (p *problem) Error() string { return p.reason }

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

// node is a value of a definition file, be it JSON or YAML, with its place in the file.
type node struct {
	line, column int
	kind         kind
	// text is a scalar as it was written, without quotes.
	text   string
	items  []*node
	fields []field
}

// field is one entry of a mapping. Its place is that of its name.
type field struct {
	line, column int
	name         string
	value        *node
}

func (n *node) errorf(format string, args ...any) error {
	return &problem{n.line, n.column, fmt.Sprintf(format, args...)}
}

func (f *field) errorf(format string, args ...any) error {
	return &problem{f.line, f.column, fmt.Sprintf(format, args...)}
}

// scalar tells whether the node is a single value other than null.
func (n *node) scalar() bool { return n.kind == text || n.kind == number || n.kind == boolean }

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
		// YAML has numbers that JSON has not, .inf and 0x1f among them: they stay text.
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
