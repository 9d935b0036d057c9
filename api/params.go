package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/spelling"
)

// maxValues bounds the values of a parameter that may be repeated.
const maxValues = 256

// parameters are those that one route takes: a struct whose fields are filled from the URL's query.
type parameters interface{ fields() []field }

// field is one parameter.
type field struct {
	name string
	// many allows it to be repeated.
	many bool
	// set takes a value, or returns what is wrong with it.
	set func(text string) error
}

// operation is a route's handler together with its parameters. Only with and bare make one, so no route can ignore a parameter
// that it does not know: a filter that is silently ignored gives an answer with more than the client wants, or removes another
// thing than it means.
type operation struct {
	names  []string
	handle func(s *Server, route *route, w http.ResponseWriter, r *http.Request) error
}

// with is an operation whose parameters are read into a P.
func with[P any, PP interface {
	*P
	parameters
}](handle func(*Server, http.ResponseWriter, *http.Request, P) error) operation {
	names := fieldNames(PP(new(P)).fields())
	return operation{names, func(s *Server, route *route, w http.ResponseWriter, r *http.Request) error {
		var none P
		if r.URL.RawQuery == "" { // nearly always, and then nothing is allocated
			return handle(s, w, r, none)
		}
		p := PP(new(P))
		if err := route.read(r, p.fields()); err != nil {
			return err
		}
		if c, ok := any(p).(interface{ consistent() bool }); ok && c.consistent() {
			if err := s.catchUp(r.Context()); err != nil {
				return err
			}
			if err := s.admit(route); err != nil { // what it has caught up with may have suspended the View
				return err
			}
		}
		return handle(s, w, r, *p)
	}}
}

// bare is an operation without parameters.
func bare(handle func(*Server, http.ResponseWriter, *http.Request) error) operation {
	return operation{nil, func(s *Server, route *route, w http.ResponseWriter, r *http.Request) error {
		if err := route.read(r, nil); err != nil {
			return err
		}
		return handle(s, w, r)
	}}
}

func fieldNames(fields []field) (names []string) {
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}

// read reads a request's parameters into fields.
func (rt *route) read(r *http.Request, fields []field) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return catalog.Errorf(catalog.KindInvalid, "query of the URL: %v", err)
	}
	for name, list := range values {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			return rt.unknown(r, name, fieldNames(fields))
		}
		if err := fields[i].read(list); err != nil {
			return err
		}
	}
	return nil
}

func (f *field) read(values []string) error {
	switch {
	case len(values) > 1 && !f.many:
		return catalog.Errorf(catalog.KindInvalid, "parameter %s is given %d times", f.name, len(values)).
			WithHint("give it once")
	case len(values) > maxValues:
		return catalog.Errorf(catalog.KindInvalid, "parameter %s is given %d times: %d are allowed", f.name, len(values), maxValues)
	}
	for _, value := range values {
		if err := f.set(value); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error for a parameter that the route does not take.
func (rt *route) unknown(r *http.Request, name string, known []string) error {
	err := catalog.Errorf(catalog.KindInvalid, "unknown parameter %.100q", name)
	if name == "node" && rt.ofNode {
		node := url.PathEscape(r.URL.Query().Get(name))
		if node == "" {
			node = "NODE"
		}
		return err.WithHint("name the node in the path: %s/nodes/%s%.600s", root, node, strings.TrimPrefix(r.URL.EscapedPath(), root))
	}
	if len(known) == 0 {
		return err.WithHint("this route takes no parameters")
	}
	hint := "this route takes " + strings.Join(known, ", ")
	if meant := spelling.Closest(name, known); meant != "" {
		hint = fmt.Sprintf("did you mean %s? %s", meant, hint)
	}
	return err.WithHint("%s", hint)
}

// text is a parameter that may be any text. An empty one is a mistake, such as a variable that is not set.
func text(name string, to *string) field {
	return field{name: name, set: func(value string) error {
		*to = value
		return notEmpty(name, value)
	}}
}

// texts is a text that may be repeated.
func texts(name string, to *[]string) field {
	return field{name: name, many: true, set: func(value string) error {
		*to = append(*to, value)
		return notEmpty(name, value)
	}}
}

func notEmpty(name, value string) error {
	if value == "" {
		return catalog.Errorf(catalog.KindInvalid, "parameter %s is empty", name).WithHint("give it a value, or leave it out")
	}
	return nil
}

// flag is a parameter that is true where it has no value.
func flag(name string, to *bool) field {
	return field{name: name, set: func(value string) error {
		switch value {
		case "", "1", "true":
			*to = true
		case "0", "false":
			*to = false
		default:
			return catalog.Errorf(catalog.KindInvalid, "%s=%.20q is neither true nor false", name, value)
		}
		return nil
	}}
}

// position is a parameter that is an index or the id of an event.
func position(name string, to *catalog.Position) field {
	return field{name: name, set: func(value string) (err error) {
		*to, err = parsePosition(name, value)
		return err
	}}
}

func parsePosition(name, value string) (catalog.Position, error) {
	p, err := catalog.ParsePosition(value)
	if err != nil {
		return p, catalog.Errorf(catalog.KindInvalid, "%s %.60q is neither an index nor the id of an event", name, value).
			WithHint("give it back as it came, such as 812.k3f9x2ab, or a revision of the present history, such as 812")
	}
	return p, nil
}

func parseNumber(name, value string) (uint64, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, catalog.Errorf(catalog.KindInvalid, "%s %.30q is not a number", name, value).
			WithHint("write it in digits, from 0 to 18446744073709551615")
	}
	return n, nil
}

// duration is a time above zero.
func duration(name string, to *time.Duration) field {
	return field{name: name, set: func(value string) (err error) {
		if *to, err = time.ParseDuration(value); err != nil || *to <= 0 {
			return catalog.Errorf(catalog.KindInvalid, "%s %.20q is not a duration above zero", name, value).
				WithHint("write it as 30s or 5m")
		}
		return nil
	}}
}

// status is the status of a check.
func status(name string, to *catalog.Status) field {
	return field{name: name, set: func(value string) error {
		if *to = catalog.Status(value); !to.Valid() {
			return catalog.Errorf(catalog.KindInvalid, "unknown status %.20q", value).WithHint("use passing, warning or critical")
		}
		return nil
	}}
}

// health is which instances of a service are wanted.
func health(name string, to *catalog.Health) field {
	return field{name: name, set: func(value string) error {
		switch value {
		case "healthy":
			*to = catalog.OnlyHealthy
		case "passing":
			*to = catalog.OnlyPassing
		case "any":
			*to = catalog.AnyHealth
		default:
			return catalog.Errorf(catalog.KindInvalid, "unknown health %.20q", value).WithHint("use healthy, passing or any")
		}
		return nil
	}}
}

// pairs are a key and a value with a colon between them; it may be repeated.
func pairs(name string, to *map[string]string) field {
	return field{name: name, many: true, set: func(pair string) error {
		key, value, ok := strings.Cut(pair, ":")
		if !ok {
			return catalog.Errorf(catalog.KindInvalid, "%s %.100q has no colon", name, pair).WithHint("write it as key:value")
		}
		if other, given := (*to)[key]; given && other != value {
			return catalog.Errorf(catalog.KindInvalid, "%s has %.100q with two values", name, key).WithHint("no instance has both")
		}
		if *to == nil {
			*to = make(map[string]string)
		}
		(*to)[key] = value
		return nil
	}}
}
