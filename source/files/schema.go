package files

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/spelling"
)

// setter takes a field's value, or refuses it.
type setter func(value *node) error

// schema is the fields that a mapping may have, under their names in snake_case. A field's name in the file may be in
// CamelCase as well, in any letter case.
type schema map[string]setter

// fold maps the spellings of a field's name to one: "TTL", "ServiceID" and "service_id".
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// read passes the fields of a mapping to their setters, all of them even if some are refused. What is the noun in
// errors.
func (s schema) read(what string, n *node) error {
	if n.kind != object {
		return n.errorf("%s must be a mapping, not %s", what, n.kind)
	}
	setters := make(map[string]setter, len(s))
	for name, set := range s {
		setters[fold(name)] = set
	}
	var found problems
	unknown := 0
	seen := make(map[string]bool, len(n.fields))
	for i := range n.fields {
		f := &n.fields[i]
		key := fold(f.name)
		set, ok := setters[key]
		switch {
		case !ok && unknown == maxProblems: // looking for the intended name takes time
		case !ok:
			unknown++
			found = append(found, s.unknown(f, what))
		case seen[key]:
			found = append(found, f.errorf("field %.40q is given twice", f.name))
		default:
			found.add(f.line, f.column, f.put(set))
		}
		seen[key] = true
	}
	return found.err()
}

// oneOf refuses the second of two names of one field if both are given.
func (s schema) oneOf(a, b string) {
	given := ""
	for _, name := range [...]string{a, b} {
		set := s[name]
		s[name] = func(v *node) error {
			if given != "" && !v.unset() {
				return fmt.Errorf("is given as %s already", given)
			}
			if !v.unset() {
				given = name
			}
			return set(v)
		}
	}
}

// put passes the field's value to a setter. An error without a place gets the value's, and the field's name.
func (f *field) put(set setter) error {
	err := set(f.value)
	var one *problem
	var several problems
	if err == nil || errors.As(err, &one) || errors.As(err, &several) {
		return err
	}
	p := placed(f.value.line, f.value.column, err)
	p.reason = fmt.Sprintf("%.40s: %s", f.name, p.reason)
	return p
}

// unknown returns the problem of a field that a mapping may not have.
func (s schema) unknown(f *field, what string) *problem {
	if f.label {
		return f.errorf("%s has the label %.40q", what, f.name).withHint("write name = %.40q between its braces", f.name)
	}
	p := f.errorf("unknown field %.40q in %s", f.name, what)
	if best := spelling.Closest(fold(f.name), slices.Collect(maps.Keys(s))); best != "" {
		p.hint = fmt.Sprintf("did you mean %q?", best)
	}
	return p
}

// The setters of plain values. Null leaves the value out.

// setText takes any scalar as written: YAML takes 1.10 for a number, which its author may have meant as text.
func setText(to *string) setter {
	return func(v *node) error {
		if v.kind == null {
			return nil
		}
		if !v.scalar() {
			return fmt.Errorf("must be text, not %s", v.kind)
		}
		*to = v.text
		return nil
	}
}

func setTexts(to *[]string) setter {
	return func(v *node) error {
		if v.kind == null {
			return nil
		}
		if v.kind != list {
			return fmt.Errorf("must be a list, not %s", v.kind)
		}
		var found problems
		for _, item := range v.items {
			if !item.scalar() {
				found = append(found, item.errorf("must be text, not %s", item.kind))
				continue
			}
			*to = append(*to, item.text)
		}
		return found.err()
	}
}

func setBool(to *bool) setter {
	return func(v *node) error {
		if v.kind != null && v.kind != boolean {
			return fmt.Errorf("must be true or false, not %s", v.kind)
		}
		*to = v.text == "true"
		return nil
	}
}

func setInt[T int | int16 | int32](to *T, limit T) setter { return setWithin(to, 0, limit) }

func setWithin[T int | int16 | int32](to *T, least, most T) setter {
	return func(v *node) error {
		if v.kind == null {
			return nil
		}
		// YAML and HCL have numbers in other bases, too: 0x50.
		n, err := strconv.ParseInt(v.text, 0, 32)
		if v.kind != number || err != nil || n < int64(least) || n > int64(most) {
			return fmt.Errorf("must be a whole number from %d to %d, not %s", least, most, brief(v))
		}
		*to = T(n)
		return nil
	}
}

func setDuration(to *catalog.Duration) setter {
	return func(v *node) error {
		if v.kind == null {
			return nil
		}
		d, err := time.ParseDuration(v.text)
		if v.kind != text || err != nil {
			return hinted("write it as 10s, 1m30s or 2h", "%s is not a duration", brief(v))
		}
		if d < 0 {
			return fmt.Errorf("%s is negative", brief(v))
		}
		*to = catalog.Duration(d)
		return nil
	}
}

func setStatus(to *catalog.Status) setter {
	return func(v *node) error {
		status := catalog.Status(strings.ToLower(v.text))
		if v.kind == null || v.kind == text && v.text == "" {
			return nil
		}
		if !status.Valid() {
			return hinted("use passing, warning or critical", "%s is not a status", brief(v))
		}
		*to = status
		return nil
	}
}

// setMap takes a mapping whose field names are the user's own.
func setMap(put func(name string, value *node) error) setter {
	return func(v *node) error {
		if v.kind == null {
			return nil
		}
		if v.kind != object {
			return fmt.Errorf("must be a mapping, not %s", v.kind)
		}
		var found problems
		seen := make(map[string]bool, len(v.fields))
		for i := range v.fields {
			f := &v.fields[i]
			if seen[f.name] {
				found = append(found, f.errorf("%.40q is given twice", f.name))
				continue
			}
			seen[f.name] = true
			found.add(f.line, f.column, f.put(func(value *node) error { return put(f.name, value) }))
		}
		return found.err()
	}
}

// hinted returns an error with the way out.
func hinted(hint, format string, args ...any) error {
	return catalog.Errorf(catalog.KindInvalid, format, args...).WithHint("%s", hint)
}

// brief returns a value for an error.
func brief(v *node) string {
	if !v.scalar() {
		return v.kind.String()
	}
	if len(v.text) > 40 {
		return strconv.Quote(strings.ToValidUTF8(v.text[:40], "")) + "…"
	}
	return strconv.Quote(v.text)
}
