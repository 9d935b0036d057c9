package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// parseJSON returns the tree of a JSON document.
func parseJSON(data []byte) (*node, error) {
	// The whole document is validated first: then the places of its errors are known, and reading it cannot fail.
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, jsonProblem(data, err)
	}
	p := &jsonParser{data: data, decoder: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.decoder.UseNumber()
	return p.value(0)
}

func jsonProblem(data []byte, err error) error {
	offset := len(data)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = int(syntax.Offset) - 1
	}
	line, column := placeOf(data, offset)
	return problemAt(line, column, "%v", err)
}

// jsonParser builds the tree from the decoder's tokens and finds the place of each.
type jsonParser struct {
	data    []byte
	decoder *json.Decoder
	// line is the line of the byte at offset, and begin is where that line begins.
	line, offset, begin int
	values              counter
}

// place returns line and column, both from 1, of an offset that is not before the last one asked for.
func (p *jsonParser) place(offset int) (line, column int) {
	for ; p.offset < offset; p.offset++ {
		if p.data[p.offset] == '\n' {
			p.line++
			p.begin = p.offset + 1
		}
	}
	return p.line, offset - p.begin + 1
}

// token returns the next token and where it begins.
func (p *jsonParser) token() (token json.Token, line, column int, err error) {
	start := int(p.decoder.InputOffset())
	for start < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[start]) >= 0 {
		start++
	}
	line, column = p.place(start)
	token, err = p.decoder.Token()
	if err != nil {
		err = problemAt(line, column, "%v", err)
	}
	return token, line, column, err
}

func (p *jsonParser) value(depth int) (*node, error) {
	token, line, column, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &node{line: line, column: column}
	if err := p.values.count(n); err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case nil:
	case string:
		n.kind, n.text = text, v
	case json.Number:
		n.kind, n.text = number, v.String()
	case bool:
		n.kind, n.text = boolean, fmt.Sprint(v)
	case json.Delim:
		if depth == maxDepth {
			return nil, n.errorf("nested deeper than %d levels", maxDepth)
		}
		if v == '[' {
			return n, p.list(n, depth+1)
		}
		return n, p.object(n, depth+1)
	}
	return n, nil
}

func (p *jsonParser) list(n *node, depth int) error {
	n.kind = list
	for p.decoder.More() {
		item, err := p.value(depth)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, _, err := p.token()
	return err
}

func (p *jsonParser) object(n *node, depth int) error {
	n.kind = object
	for p.decoder.More() {
		name, line, column, err := p.token()
		if err != nil {
			return err
		}
		value, err := p.value(depth)
		if err != nil {
			return err
		}
		n.fields = append(n.fields, field{line: line, column: column, name: name.(string), value: value})
	}
	_, _, _, err := p.token()
	return err
}
