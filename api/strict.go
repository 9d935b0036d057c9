package api

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/spelling"
)

// maxDepth bounds how deep objects and arrays may be nested.
const maxDepth = 32

// decodeStrict decodes one JSON object and nothing after it. Fields that the value does not have, be it by their letter case
// only, and fields given twice are errors: what the client wrote would otherwise be lost silently.
func decodeStrict(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return catalog.Errorf(catalog.KindInvalid, "the body is empty").WithHint("send a JSON object")
	}
	if err := checkDepth(body); err != nil {
		return err
	}
	switch kind := jsontext.Value(body).Kind(); kind {
	case 'n', 'f', 't', '"', '0', '[':
		return catalog.Errorf(catalog.KindInvalid, "the body is %s", nounOf(kind)).WithHint("send a JSON object")
	}
	// Unmarshal takes its decoder, and the cache of strings in it, from a pool. A decoder of our own allocates 4 KiB for each body.
	err := json.Unmarshal(body, into, json.RejectUnknownMembers(true))
	if err != nil && goesOn(body) {
		return catalog.Errorf(catalog.KindInvalid, "the body goes on after its JSON object")
	}
	if err != nil {
		return badJSON(err)
	}
	return nil
}

// goesOn reports whether anything follows the first JSON value.
func goesOn(body []byte) bool {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	return decoder.SkipValue() == nil && len(bytes.TrimSpace(body[decoder.InputOffset():])) > 0
}

// checkDepth refuses JSON that is nested too deep, before a decoder descends into it.
func checkDepth(body []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth > maxDepth {
			return catalog.Errorf(catalog.KindInvalid, "the body is nested more than %d deep", maxDepth)
		}
	}
	return nil
}

// badJSON puts a decoder's error into words for the author of the JSON.
func badJSON(err error) error {
	syntax, isSyntax := errors.AsType[*jsontext.SyntacticError](err)
	meaning, isMeaning := errors.AsType[*json.SemanticError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return catalog.Errorf(catalog.KindInvalid, "the body ends within its JSON")
	case isSyntax && errors.Is(err, jsontext.ErrDuplicateName):
		return catalog.Errorf(catalog.KindInvalid, "field %.200s is given twice", pathOf(syntax.JSONPointer)).WithHint("leave one of the two out")
	case isSyntax:
		return catalog.Errorf(catalog.KindInvalid, "the body is not JSON: %.200v at byte %d", syntax.Err, syntax.ByteOffset)
	case isMeaning && errors.Is(err, json.ErrUnknownName):
		return unknownField(meaning)
	case isMeaning:
		return badField(meaning)
	default:
		return catalog.Errorf(catalog.KindInvalid, "the body: %.300v", err)
	}
}

func unknownField(err *json.SemanticError) error {
	name, where := err.JSONPointer.LastToken(), pathOf(err.JSONPointer.Parent())
	if where != "" {
		where = " in " + where
	}
	unknown := catalog.Errorf(catalog.KindInvalid, "unknown field %.100q%.200s", name, where)
	if meant := spelling.Closest(name, jsonNames(err.GoType)); meant != "" {
		return unknown.WithHint("did you mean %q?", meant)
	}
	return unknown
}

func badField(err *json.SemanticError) error {
	path := pathOf(err.JSONPointer)
	switch want := wanted(err.GoType); {
	case want != "" && len(err.JSONValue) > 0 && err.JSONKind != '"':
		return catalog.Errorf(catalog.KindInvalid, "field %.200s is %s, %.30s", path, nounOf(err.JSONKind), err.JSONValue).
			WithHint("it takes %s", want)
	case want != "":
		return catalog.Errorf(catalog.KindInvalid, "field %.200s is %s", path, nounOf(err.JSONKind)).WithHint("it takes %s", want)
	case err.Err != nil:
		return catalog.Errorf(catalog.KindInvalid, "field %.200s: %.200v", path, err.Err)
	default:
		return catalog.Errorf(catalog.KindInvalid, "field %.200s is %s", path, nounOf(err.JSONKind))
	}
}

// wanted returns what a field of a type takes, or "" for a type that decodes itself and has a better error.
func wanted(t reflect.Type) string {
	if t == nil || reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()) ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[stdjson.Unmarshaler]()) {
		return ""
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint16:
		return "a whole number up to 65535"
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint64:
		return "a whole number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return ""
	}
}

func nounOf(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 'f', 't':
		return "a JSON boolean"
	case '"':
		return "a JSON string"
	case '0':
		return "a JSON number"
	case '{':
		return "a JSON object"
	case '[':
		return "a JSON array"
	default:
		return "of the wrong type"
	}
}

// pathOf writes a pointer as people write the way to a field: checks[0].interval.
func pathOf(pointer jsontext.Pointer) string {
	var b strings.Builder
	for token := range pointer.Tokens() {
		switch {
		case token != "" && strings.Trim(token, "0123456789") == "":
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

// jsonNames returns the names of a struct's fields in JSON.
func jsonNames(t reflect.Type) (names []string) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}
