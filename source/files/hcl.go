package files

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	hclstrconv "github.com/hashicorp/hcl/hcl/strconv"
	"github.com/hashicorp/hcl/hcl/token"
)

// parseHCL returns the tree of an HCL document, in the first version of that language, which Consul's definitions use.
// A document that begins with a brace is JSON, as for Consul.
func parseHCL(data []byte) (root *node, err error) {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return parseJSON(data)
	}
	// The library panics in cases that its author took for impossible. One file must not end the process.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, problemAt(1, 0, "is not HCL: %v", r)
		}
	}()
	if p := scanHCL(data); p != nil {
		return nil, p.within(data)
	}
	file, err := parser.ParseDontErrorOnDuplicateKeys(data)
	if err != nil {
		return nil, hclProblem(err).within(data)
	}
	root, err = hclNode(file.Node, 0)
	if err == nil && len(root.fields) == 0 {
		root.kind = null
	}
	return root, err
}

// scanHCL scans a document's tokens before the parser does, because the parser descends as deep as the document goes,
// and loses a field whose value is missing at the end.
func scanHCL(data []byte) *problem {
	var first *problem
	s := scanner.New(data)
	s.Error = func(pos token.Pos, message string) {
		if first == nil {
			first = hclWords(pos.Line, pos.Column, message)
		}
	}
	var last token.Token
	values, depth := 0, 0 // names count as values
	for t := s.Scan(); first == nil; t = s.Scan() {
		switch t.Type {
		case token.EOF:
			if last.Type == token.ASSIGN {
				return problemAt(last.Pos.Line, last.Pos.Column, "a value is missing behind =")
			}
			return nil
		case token.COMMENT:
			continue
		case token.LBRACE, token.LBRACK:
			depth++
		case token.RBRACE, token.RBRACK:
			depth--
		case token.COMMA, token.ASSIGN:
		default:
			values++
		}
		if depth > maxDepth {
			return problemAt(t.Pos.Line, t.Pos.Column, "nested deeper than %d levels", maxDepth)
		}
		if values > 2*maxValues {
			return problemAt(t.Pos.Line, t.Pos.Column, "holds more than %d values", maxValues)
		}
		last = t
	}
	return first
}

// hclNode converts one of the library's nodes and all below it.
func hclNode(n ast.Node, depth int) (*node, error) {
	switch n := n.(type) {
	case *ast.ObjectList:
		return hclObject(&node{line: 1, column: 1, kind: object}, n.Items, depth)
	case *ast.ObjectType:
		return hclObject(&node{line: n.Lbrace.Line, column: n.Lbrace.Column, kind: object}, n.List.Items, depth)
	case *ast.ListType:
		return hclList(n, depth)
	case *ast.LiteralType:
		return hclScalar(n.Token)
	}
	return nil, problemAt(n.Pos().Line, n.Pos().Column, "is not a value")
}

func hclList(l *ast.ListType, depth int) (*node, error) {
	n := &node{line: l.Lbrack.Line, column: l.Lbrack.Column, kind: list}
	for _, item := range l.List {
		value, err := hclNode(item, depth+1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, value)
	}
	return n, nil
}

// hclObject fills a mapping. Blocks of one name become a list.
func hclObject(n *node, items []*ast.ObjectItem, depth int) (*node, error) {
	blocks := make(map[string]int)
	for _, item := range items {
		inner := depth + len(item.Keys) // each label is a level
		if inner > maxDepth+1 {
			at := item.Pos()
			return nil, problemAt(at.Line, at.Column, "nested deeper than %d levels", maxDepth)
		}
		value, err := hclNode(item.Val, inner)
		if err != nil {
			return nil, err
		}
		names, err := hclNames(item.Keys)
		if err != nil {
			return nil, err
		}
		for len(names) > 1 { // service "web" { … } is service { web { … } }
			f := names[len(names)-1]
			f.value, f.label = value, true
			value = &node{line: f.line, column: f.column, kind: object, fields: []field{f}}
			names = names[:len(names)-1]
		}
		names[0].value = value
		n.addBlock(names[0], blocks)
	}
	return n, nil
}

// hclNames returns the names of a field: the one before its value, and the labels of a block.
func hclNames(keys []*ast.ObjectKey) ([]field, error) {
	var names []field
	for _, key := range keys {
		f := field{line: key.Token.Pos.Line, column: key.Token.Pos.Column, name: key.Token.Text}
		if key.Token.Type == token.STRING {
			name, err := hclstrconv.Unquote(key.Token.Text)
			if err != nil {
				return nil, f.errorf("is not text in quotes: %s", key.Token.Text)
			}
			f.name = name
		}
		names = append(names, f)
	}
	return names, nil
}

// addBlock adds a field; if it is a mapping, to those of the same name that are. The index of the first of them is in blocks.
func (n *node) addBlock(f field, blocks map[string]int) {
	if f.value.kind != object {
		n.fields = append(n.fields, f)
		return
	}
	i, ok := blocks[f.name]
	if !ok {
		blocks[f.name] = len(n.fields)
		n.fields = append(n.fields, f)
		return
	}
	other := &n.fields[i]
	if other.value.kind == object {
		other.value = &node{
			line: other.value.line, column: other.value.column, kind: list, blocks: true, items: []*node{other.value},
		}
	}
	other.value.items = append(other.value.items, f.value)
}

func hclScalar(t token.Token) (*node, error) {
	n := &node{line: t.Pos.Line, column: t.Pos.Column, text: t.Text}
	switch t.Type {
	case token.NUMBER, token.FLOAT:
		n.kind = number
	case token.BOOL:
		n.kind = boolean
	case token.HEREDOC:
		n.kind, n.text = text, t.Value().(string)
	case token.STRING:
		unquoted, err := hclstrconv.Unquote(t.Text)
		if err != nil {
			return nil, n.errorf("is not text in quotes: %s", brief(n))
		}
		n.kind, n.text = text, unquoted
	default:
		return nil, n.errorf("is not a value: %s", brief(n))
	}
	return n, nil
}

var hclPlace = regexp.MustCompile(`At (\d+):(\d+): `)

// hclProblem puts the parser's error into words. The parser wraps the error of an inner part in that of the outer one.
func hclProblem(err error) *problem {
	message := err.Error()
	line, column := 1, 0
	for {
		at := hclPlace.FindStringSubmatchIndex(message)
		if at == nil {
			break
		}
		line, _ = strconv.Atoi(message[at[2]:at[3]])
		column, _ = strconv.Atoi(message[at[4]:at[5]])
		message = message[at[1]:]
	}
	return hclWords(line, column, message)
}

// hclWords returns the problem that a message of the library is about.
func hclWords(line, column int, message string) *problem {
	p := problemAt(line, column, "is not HCL: %.100q", message)
	for _, w := range []struct{ part, reason, hint string }{
		{"Unknown token: ", "a value is expected here", "put text in double quotes"},
		{"expected comma or list end", "a list is not closed, or a comma is missing before this", ""},
		{"while parsing list: EOF", "a list is not closed", ""},
		{"while parsing list", "a value is expected here", "put text in double quotes"},
		{"closing RBRACE", "a closing brace is missing", ""},
		{"IDENT | STRING", "a field's name is expected here", "write name = value or name { … }"},
		{"expected start of object", "a value is missing", "write name = value or name { … }"},
		{"nested object expected", "a block cannot have a = before its brace", ""},
		{"no object keys", "a field's name is missing before =", ""},
		{"EOF token", "a value is missing", ""},
		{"illegal UTF-8", "holds bytes that are not UTF-8", ""},
		{"null character", "holds a control character", ""},
		{"reserved for internal", "holds a character that HCL does not allow", ""},
		{"literal not terminated", "text in quotes is not closed", ""},
		{"comment not terminated", "a comment is not closed", "end it with */"},
		{"heredoc not terminated", "a heredoc is not closed", "its last line must be the word that stands behind <<"},
		{"heredoc anchor", "a heredoc must begin with a word and the end of the line", ""},
		{"heredoc expected", "a heredoc begins with <<", ""},
		{"char escape", "text in quotes has an unknown escape", `write \\ for a backslash`},
		{"'/' for comment", "a comment begins with #, // or /*", ""},
		{"octal", "is not a number", "write numbers without leading zeros"},
		{"hexadecimal", "is not a number", ""},
		{"illegal char", "a character that has no meaning in HCL", "write name = value, and put text in double quotes"},
	} {
		if strings.Contains(message, w.part) {
			p.reason, p.hint = w.reason, w.hint
			return p
		}
	}
	return p
}
