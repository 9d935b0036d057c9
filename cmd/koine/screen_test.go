package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/source/docker"
)

func TestEscape(t *testing.T) {
	for _, test := range []struct{ text, harmless, oneLine string }{
		{"", "", ""},
		{"200 OK, grün 日本", "200 OK, grün 日本", "200 OK, grün 日本"},
		{"a\tb\nc", "a\tb\nc", `a\u0009b\u000ac`},
		{"\x1b]0;pwned\x07\x1b[2J", `\u001b]0;pwned\u0007\u001b[2J`, `\u001b]0;pwned\u0007\u001b[2J`},
		{"C1 \u009b2J, DEL \x7f, CR\r", `C1 \u009b2J, DEL \u007f, CR\u000d`, `C1 \u009b2J, DEL \u007f, CR\u000d`},
		{"\u202egnp.exe\u2066\u200f", `\u202egnp.exe\u2066\u200f`, `\u202egnp.exe\u2066\u200f`},
		{"line\u2028paragraph\u2029", `line\u2028paragraph\u2029`, `line\u2028paragraph\u2029`},
		{"no UTF-8 \x9b \xff", "no UTF-8 � �", "no UTF-8 � �"},
		{`already \u001b`, `already \u001b`, `already \u001b`},
	} {
		if got := harmless(test.text); got != test.harmless {
			t.Errorf("harmless %q is %q, want %q", test.text, got, test.harmless)
		}
		if got := oneLine(test.text); got != test.oneLine {
			t.Errorf("one line of %q is %q, want %q", test.text, got, test.oneLine)
		}
	}
}

func FuzzScreen(f *testing.F) {
	f.Add("\x1b[2J\u009b\u202e\xff\n\t")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if n, err := (screen{&out}).Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(text), err)
		}
		if found := control(out.String()); found != "" {
			t.Errorf("%s of %q passes", found, text)
		}
		raw, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		var before, after map[string]string
		if err := json.Unmarshal(raw, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(harmless(string(raw))), &after); err != nil || before["text"] != after["text"] {
			t.Errorf("JSON says %q on a screen, and %q before: %v", after["text"], before["text"], err)
		}
	})
}

// control names the first control character of a text, except line feeds and tabs.
func control(text string) string {
	if !utf8.ValidString(text) {
		return "a byte that is not UTF-8"
	}
	for _, r := range text {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u061c\u200e\u200f\u2028\u2029", r) ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return fmt.Sprintf("%U", r)
		}
	}
	return ""
}

// hostile is a text that a service, a check's output or a server could send. It also tries to begin a line, and a column.
const hostile = "h\x1b]0;pwned\x07\x1b[2J\u009b31m\x7f\u202e\u2066\u2028\r\nkoine: forged\tcolumn"

// fill puts hostile text into every string of a value, and something into everything else.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint16, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`"\u001b[2J"`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

func filled[T any]() (value T) {
	fill(reflect.ValueOf(&value).Elem())
	return value
}

// hostileServer answers every request with hostile text, and lines of it where a stream is wanted.
func hostileServer(t *testing.T) *httptest.Server {
	service := filled[client.Service]()
	service.Instances[1].Address = ""
	watched := filled[client.Event]()
	watched.Reset, watched.More = false, false
	drains := filled[client.DrainList]()
	drains.Drains[0].Service, drains.Drains[1].Service = "web", ""
	answers := map[string]any{
		"/services": filled[client.ServiceList](), "/services/web": service, "/services/sick": client.Service{Service: hostile},
		"/instances": filled[client.InstanceList](), "/instances/a": filled[client.Instance](),
		"/nodes": client.NodeList{Nodes: []client.NodeSummary{filled[client.NodeSummary]()}}, "/checks": filled[client.CheckList](),
		"/explain": filled[client.ExplanationList](), "/history": filled[catalog.History](), "/health": filled[client.Health](),
		"/watch": watched, "/events": filled[catalog.Event](), "/drains": drains,
	}
	return serveAnswers(t, func(r *http.Request) (int, any) {
		if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "refused") {
			return http.StatusOK, client.Written{Revision: 7}
		}
		if answer, known := answers[strings.TrimPrefix(r.URL.Path, "/api/v1")]; known {
			return http.StatusOK, answer
		}
		if strings.HasPrefix(r.URL.Path, "/api/v1/nodes/h") {
			return http.StatusNotFound, client.ErrorBody{Error: client.ErrorDetail{Code: "not_found", Message: hostile}}
		}
		return http.StatusConflict, client.ErrorBody{Error: client.ErrorDetail{Code: "conflict", Message: hostile, Hint: hostile}}
	})
}

func serveAnswers(t *testing.T, answer func(*http.Request) (int, any)) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := answer(r)
		w.Header().Set(client.HeaderRevision, "7")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestNothingHostilePasses runs every command that reads from a server, against one whose every word is hostile.
func TestNothingHostilePasses(t *testing.T) {
	server := hostileServer(t)
	t.Setenv("KOINE_HTTP", server.URL)
	for _, line := range []string{
		"services", "instances", "nodes", "checks", "status", "version", "drain", "lookup web", "lookup web --near _self", "lookup sick",
		"lookup web --tag none", "watch web --once", "events", "events web", "history web", "explain web", "register web --permanent",
		"deregister a", "nodes remove n", "nodes remove refused", "push c passing", "push refused passing --node refused", "drain web", "drain --undo web",
		"drain --undo nosuch", "drain nosuch", "lookup refused", "explain refused --as x",
		"__complete lookup ", "__complete drain ", "__complete lookup web --tag ",
	} {
		args := strings.Split(line, " ")
		runs := [][]string{args}
		if args[0] != "__complete" {
			runs = append(runs, append(args[:len(args):len(args)], "-o", "json"))
		}
		for _, args := range runs {
			stdout, stderr, _ := koine(args...)
			for _, text := range []string{stdout, stderr} {
				if found := control(text); found != "" {
					t.Errorf("koine %s prints %s: %q", strings.Join(args, " "), found, text)
				}
				if strings.Contains(text, "\nkoine: forged") || strings.HasPrefix(text, "koine: forged") {
					t.Errorf("koine %s prints a forged line: %q", strings.Join(args, " "), text)
				}
			}
			if stdout+stderr == "" && line != "push c passing" {
				t.Errorf("koine %s prints nothing", strings.Join(args, " "))
			}
		}
	}
}

// TestHostileContainers holds the same for the output of koine explain --docker.
func TestHostileContainers(t *testing.T) {
	registered, refused := filled[docker.Plan](), filled[docker.Plan]()
	refused.Registrations = nil
	for _, p := range []docker.Plan{registered, refused} {
		text := describePlan(&p)
		if found := control(text); found != "" || strings.Contains(text, "\nkoine: forged") {
			t.Errorf("%s in %q", found, text)
		}
	}
}
