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

// fold makes the spellings of a field's name alike: "TTL", "ServiceID" and "service_id".
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// read hands the fields of a mapping to their setters. What is the noun in errors.
func (s schema) read(what string, n *node) error {
	if n.kind != object {
		return n.errorf("%s must be a mapping, not %s", what, n.kind)
	}
	setters := make(map[string]setter, len(s))
	for name, set := range s {
		setters[fold(name)] = set
	}
	seen := make(map[string]bool, len(n.fields))
	for i := range n.fields {
		f := &n.fields[i]
		key := fold(f.name)
		set, ok := setters[key]
		if !ok {
			return f.errorf("unknown field %.40q in %s%s", f.name, what, s.suggest(key))
		}
		if seen[key] {
			return f.errorf("field %.40q is given twice", f.name)
		}
		seen[key] = true
		if err := set(f.value); err != nil {
			return fieldProblem(f, err)
		}
	}
	return nil
}

// fieldProblem names the field in an error of its setter that has no place yet.
func fieldProblem(f *field, err error) error {
	var placed *problem
	if errors.As(err, &placed) {
		return err
	}
	return f.value.errorf("%.40s: %v", f.name, err)
}

// suggest returns ": did you mean …?" if a field's name is close to an unknown one.
func (s schema) suggest(key string) string {
	best := spelling.Closest(key, slices.Collect(maps.Keys(s)))
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// The setters of plain values. Null leaves the value out.

// setText takes any scalar as it was written: YAML takes 1.10 for a number, and whoever wrote it may not have.
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
		for _, item := range v.items {
			if !item.scalar() {
				return item.errorf("must be text, not %s", item.kind)
			}
			*to = append(*to, item.text)
		}
		return nil
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

func setInt(to *int, limit int) setter {
	return func(v *node) error {
		if v.kind == null {
			return nil
		}
		n, err := strconv.Atoi(v.text)
		if v.kind != number || err != nil || n < 0 || n > limit {
			return fmt.Errorf("must be a whole number from 0 to %d, not %s", limit, brief(v))
		}
		*to = n
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
			return fmt.Errorf("%s is not a duration: write it as 10s, 1m30s or 2h", brief(v))
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
			return fmt.Errorf("%s is no status: use passing, warning or critical", brief(v))
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
		var seen []string
		for i := range v.fields {
			f := &v.fields[i]
			seen = append(seen, f.name)
			if err := put(f.name, f.value); err != nil {
				return fieldProblem(f, err)
			}
		}
		slices.Sort(seen)
		for i := 1; i < len(seen); i++ {
			if seen[i] == seen[i-1] {
				return fmt.Errorf("%.40q is given twice", seen[i])
			}
		}
		return nil
	}
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
