// Package lenient decodes JSON that does not quite fit the type it is meant for.
//
// encoding/json gives up a whole document for one value that it cannot decode. This package leaves out the value alone, and says
// where it stood, so that one bad record in an answer of another program does not hide all others.
package lenient

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxFaults bounds the faults in lists and maps that are named, maxDepth the nesting in which a fault is looked for: what lies deeper is left
	// out as a whole. maxText bounds the bytes of a value or a key that are quoted.
	maxFaults = 64
	maxDepth  = 64
	maxText   = 64
)

// Fault is a value that was left out.
type Fault struct {
	// Path leads to the value by the names of fields, the keys of maps and the indexes of lists: "IPAM.Config[0].Gateway".
	Path string
	// Reason is the reason why it cannot be decoded, with the value if that is short.
	Reason string
}

func (f Fault) String() string { return f.Path + ": " + f.Reason }

// Unmarshal decodes a document into the value that into points to, as encoding/json does, except that a value which does not fit
// its type is left out: a field or an element of an array keeps its zero value, an element of a slice or a map is missing. It
// returns what it left out, and an error if data is no JSON or into is no pointer. Of what it left out of lists and maps only the first
// is named, as long as there are less than 64 faults; what it left out of structs always is.
func Unmarshal(data []byte, into any) ([]Fault, error) {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return nil, fmt.Errorf("decode into %T: not a pointer", into)
	}
	if json.Unmarshal(data, into) == nil {
		return nil, nil
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("decode %s: not JSON", quote(data))
	}
	target.Elem().SetZero() // json.Unmarshal may have left a part of it
	d := &decoder{}
	d.value(data, target.Elem(), "", 0)
	return d.faults, nil
}

type decoder struct {
	faults []Fault
	// within counts the lists and maps around the value that is decoded.
	within int
}

func (d *decoder) fault(path string, data []byte, err error) {
	if d.within == 0 || len(d.faults) < maxFaults {
		d.faults = append(d.faults, Fault{strings.TrimPrefix(path, "."), quote(data) + ": " + short(err.Error())})
	}
}

// value decodes data into v, and reports whether anything of it could be decoded. v must be settable, and zero.
func (d *decoder) value(data []byte, v reflect.Value, path string, depth int) bool {
	err := json.Unmarshal(data, v.Addr().Interface())
	if err == nil {
		return true
	}
	v.SetZero()
	if depth >= maxDepth || !d.parts(data, v, path, depth+1) {
		d.fault(path, data, err)
		return false
	}
	return true
}

// parts decodes the parts of a value one by one. It returns false for a value that has none.
func (d *decoder) parts(data []byte, v reflect.Value, path string, depth int) bool {
	if decodesItself(v) {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		if !d.parts(data, target.Elem(), path, depth) {
			return false
		}
		v.Set(target)
		return true
	case reflect.Struct:
		return d.fields(data, v, path, depth)
	case reflect.Map:
		return d.entries(data, v, path, depth)
	case reflect.Slice:
		return d.elements(data, v, path, depth)
	default:
		return false
	}
}

// decodesItself reports whether the type of a value has its own decoder.
func decodesItself(v reflect.Value) bool {
	switch v.Addr().Interface().(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		return true
	}
	return false
}

// fields decodes an object into a struct.
func (d *decoder) fields(data []byte, v reflect.Value, path string, depth int) bool {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return false
	}
	for _, field := range reflect.VisibleFields(v.Type()) {
		name, ok := key(field, object)
		target, err := v.FieldByIndexErr(field.Index)
		if ok && err == nil {
			d.value(object[name], target, path+"."+name, depth)
		}
	}
	return true
}

// key returns the key in an object that a field is decoded from: its name, in other case if there is no better.
func key(field reflect.StructField, object map[string]json.RawMessage) (name string, ok bool) {
	tag := field.Tag.Get("json")
	name, _, _ = strings.Cut(tag, ",")
	if !field.IsExported() || tag == "-" || name == "" && field.Anonymous {
		return "", false
	}
	name = cmp.Or(name, field.Name)
	if _, ok := object[name]; ok {
		return name, true
	}
	for _, other := range slices.Sorted(maps.Keys(object)) {
		if strings.EqualFold(other, name) {
			return other, true
		}
	}
	return "", false
}

// entries decodes an object into a map.
func (d *decoder) entries(data []byte, v reflect.Value, path string, depth int) bool {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return false
	}
	d.within++
	defer func() { d.within-- }()
	of := v.Type()
	v.Set(reflect.MakeMapWithSize(of, len(object)))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := path + "." + short(name)
		// One entry is decoded as an object of its own, because encoding/json alone knows how a key is decoded.
		one := reflect.New(reflect.MapOf(of.Key(), reflect.TypeFor[json.RawMessage]()))
		text, err := json.Marshal(map[string]json.RawMessage{name: object[name]})
		if err == nil {
			err = json.Unmarshal(text, one.Interface())
		}
		if err != nil {
			d.fault(at, []byte(strconv.Quote(name)), err)
			continue
		}
		for entry := one.Elem().MapRange(); entry.Next(); {
			element := reflect.New(of.Elem()).Elem()
			if d.value(object[name], element, at, depth) {
				v.SetMapIndex(entry.Key(), element)
			}
		}
	}
	return true
}

// elements decodes a list into a slice.
func (d *decoder) elements(data []byte, v reflect.Value, path string, depth int) bool {
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil {
		return false
	}
	d.within++
	defer func() { d.within-- }()
	v.Set(reflect.MakeSlice(v.Type(), 0, len(list)))
	for i, raw := range list {
		element := reflect.New(v.Type().Elem()).Elem()
		if d.value(raw, element, fmt.Sprintf("%s[%d]", path, i), depth) {
			v.Set(reflect.Append(v, element))
		}
	}
	return true
}

// quote returns a value as it stands in a message.
func quote(data []byte) string { return short(string(data)) }

func short(text string) string {
	if len(text) <= maxText {
		return strings.ToValidUTF8(text, "?")
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
