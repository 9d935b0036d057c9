package catalog

import (
	"reflect"
	"slices"
	"testing"
)

// TestSameTarget sets each field of a definition: a new one counts as part of what is probed unless it is named here.
func TestSameTarget(t *testing.T) {
	timetable := []string{
		"TTL", "Interval", "Timeout", "SuccessBeforePassing", "FailuresBeforeWarning", "FailuresBeforeCritical",
		"InitialStatus", "FlapThreshold", "DeregisterAfter",
	}
	fields := reflect.TypeFor[Definition]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		a, b := Check{ID: "c"}, Check{ID: "c"}
		setField(t, reflect.ValueOf(&b.Definition).Elem().Field(i))
		if same, want := a.SameTarget(&b), slices.Contains(timetable, name); same != want {
			t.Errorf("another %s: same target %v, want %v", name, same, want)
		}
		if a.SameDeclaration(&b) {
			t.Errorf("another %s is the same declaration", name)
		}
	}
	for _, tt := range []struct {
		name      string
		other     Check
		same, all bool
	}{
		{"another name", Check{ID: "c", Node: "n1", Name: "for people"}, true, false},
		{"the node in other letters", Check{ID: "c", Node: "N1"}, true, true},
		{"another outcome", Check{ID: "c", Node: "n1", Status: Critical, Output: "refused"}, true, true},
		{"of another instance", Check{ID: "c", Node: "n1", Instance: "web"}, false, false},
	} {
		c := Check{ID: "c", Node: "n1"}
		if same, all := c.SameTarget(&tt.other), c.SameDeclaration(&tt.other); same != tt.same || all != tt.all {
			t.Errorf("%s: same target %v, declaration %v; want %v, %v", tt.name, same, all, tt.same, tt.all)
		}
	}
}

// setField sets a field to a value that is not its zero.
func setField(t *testing.T, field reflect.Value) {
	t.Helper()
	switch field.Kind() {
	case reflect.String:
		field.SetString("x")
	case reflect.Bool:
		field.SetBool(true)
	case reflect.Int, reflect.Int64:
		field.SetInt(1)
	case reflect.Slice:
		field.Set(reflect.ValueOf([]string{"x"}))
	case reflect.Map:
		field.Set(reflect.ValueOf(map[string][]string{"X": {"x"}}))
	default:
		t.Fatalf("a field of kind %v", field.Kind())
	}
}
