package files

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// services returns a file of services with these IDs; those with a plus have a check with the ID after it.
func services(ids ...string) string {
	var list []string
	for _, id := range ids {
		id, check, checked := strings.Cut(id, "+")
		item := fmt.Sprintf(`{"name": %q}`, id)
		if checked {
			item = fmt.Sprintf(`{"name": %q, "check": {"id": %q, "ttl": "1s"}}`, id, check)
		}
		list = append(list, item)
	}
	return `{"services": [` + strings.Join(list, ",\n") + `]}`
}

// TestWhatIsInForceKeepsItsID holds which file has an ID that two files declare.
func TestWhatIsInForceKeepsItsID(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before map[string]string // files that are loaded first
		now    map[string]string // the files that change; empty text removes the file
		want   string            // the instances declared then, each with its file, as web=a
		errs   []string
	}{
		{"at first the first by name", nil, map[string]string{"b": services("web"), "a": services("web"), "c": services("web", "db")},
			"db=c web=a", []string{"b.json:1:15: instance web is declared in a.json", "c.json:1:15: instance web is declared in a.json"}},
		{"a new one with an earlier name", map[string]string{"b": services("web")}, map[string]string{"a": services("web")},
			"web=b", []string{"a.json:1:15: instance web is declared in b.json: give one of them another id"}},
		{"a new one with a later name", map[string]string{"b": services("web")}, map[string]string{"c": services("web")},
			"web=b", []string{"c.json:1:15: instance web is declared in b.json"}},
		{"its other services come into force", map[string]string{"b": services("web")}, map[string]string{"a": services("db", "web")},
			"db=a web=b", []string{"a.json:2:1: instance web is declared in b.json"}},
		{"the holder changes as well", map[string]string{"b": services("web")},
			map[string]string{"a": services("web"), "b": services("mq", "web")},
			"mq=b web=b", []string{"a.json:1:15: instance web is declared in b.json"}},
		{"the holder gives it up", map[string]string{"b": services("web", "db")},
			map[string]string{"a": services("web"), "b": services("db")}, "db=b web=a", nil},
		{"the holder gives it up, and two want it", map[string]string{"b": services("web")},
			map[string]string{"a": services("web"), "b": services("db"), "c": services("web")},
			"db=b web=a", []string{"c.json:1:15: instance web is declared in a.json"}},
		{"the holder is broken", map[string]string{"b": services("web", "db")},
			map[string]string{"a": services("web"), "b": "{"},
			"db=b web=b", []string{"a.json:1:15: instance web is declared in b.json", "b.json:1:1: unexpected end"}},
		{"the holder gives it up and has an error elsewhere", map[string]string{"b": services("web", "db")},
			map[string]string{"a": services("web"), "b": `{"services": [{"name": "db", "prot": 1}]}`},
			"db=b web=b", []string{"a.json:1:15: instance web is declared in b.json", "b.json:1:30: unknown field"}},
		{"the holder gives it up for what another has", map[string]string{"b": services("web"), "c": services("db")},
			map[string]string{"a": services("web"), "b": services("db")},
			"db=c web=b", []string{"a.json:1:15: instance web is declared in b.json", "b.json:1:15: instance db is declared in c.json"}},
		{"two change places", map[string]string{"a": services("web"), "b": services("db")},
			map[string]string{"a": services("db"), "b": services("web")}, "db=a web=b", nil},
		{"a file takes what another has", map[string]string{"a": services("web"), "b": services("db")},
			map[string]string{"a": services("web", "db")},
			"db=b web=a", []string{"a.json:2:1: instance db is declared in b.json"}},
		{"the holder goes", map[string]string{"a": services("web")},
			map[string]string{"a": "", "b": services("web")}, "web=b", nil},
		{"a check's ID", map[string]string{"b": services("web+up")}, map[string]string{"a": services("db+up")},
			"web=b", []string{"a.json:1:15: check up is declared in b.json"}},
		{"a check's ID that is given up", map[string]string{"b": services("web+up")},
			map[string]string{"a": services("db+up"), "b": services("web")}, "db=a web=b", nil},
		{"a check's ID of the node", map[string]string{"b": `{"check": {"id": "up", "ttl": "1s"}}`},
			map[string]string{"a": services("db+up")},
			"up=b", []string{"a.json:1:15: check up is declared in b.json"}},
		{"a check's ID of a service elsewhere", map[string]string{"b": services("web"), "c": `{"check": {"id": "up", "service_id": "web", "ttl": "1s"}}`},
			map[string]string{"a": services("db+up")},
			"up=c web=b", []string{"a.json:1:15: check up is declared in c.json"}},
		{"a held service takes a check that another has", map[string]string{"a": services("web"), "b": services("db+up")},
			map[string]string{"a": services("web+up")},
			"db=b web=a", []string{"a.json:1:15: check up is declared in b.json"}},
		{"a check for a service of its own file that is in error", map[string]string{"b": services("web")},
			map[string]string{"a": `{"service": {"name": "web"}, "check": {"id": "up", "service_id": "web", "ttl": "1s"}}`},
			"web=b", []string{"a.json:1:13: instance web is declared in b.json"}},
		{"a check whose service is given up", map[string]string{"a": services("web", "db")},
			map[string]string{"a": `{"service": {"name": "db"}, "check": {"id": "up", "service_id": "web", "ttl": "1s"}}`},
			"db=a up=a web=a", []string{"a.json:1:38: check up is for service_id web, which no file declares"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory(t)
			apply := func(change map[string]string) error {
				for name, text := range change {
					if text == "" {
						d.remove(name + ".json")
					} else {
						d.write(name+".json", text)
					}
				}
				return d.Load()
			}
			if err := apply(tt.before); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second load must change nothing
				err := apply(tt.now)
				tt.now = nil
				if got := heldBy(d.holders, tt.want); got != tt.want {
					t.Errorf("declared %q, want %q", got, tt.want)
				}
				compareErrors(t, d.path, err, tt.errs)
			}
		})
	}
}

// heldBy returns which file has which instance, and which check if the wanted text names checks.
func heldBy(holders map[key]*file, want string) string {
	var list []string
	for k, f := range holders {
		if !k.check || strings.Contains(" "+want, " "+k.id+"=") {
			list = append(list, k.id+"="+strings.TrimSuffix(f.name, ".json"))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// world is some files of a random test.
type world struct {
	random *rand.Rand
	files  []*file
	loads  int
}

// change changes some of the files at random, and returns the existing ones.
func (w *world) change() (list []*file) {
	w.loads++
	for i, f := range w.files {
		switch w.random.IntN(6) {
		case 0, 1:
			f.read, f.bad, f.since, f.decoded = true, nil, time.Time{}, w.loads
			f.latest = (&decoder{node: "n", nodeChecks: true}).decode("a.json", []byte(w.text()))
		case 2:
			if f.latest != nil && w.random.IntN(2) == 0 {
				f.latest, f.bad = nil, &problem{reason: "unreadable"}
			}
		case 3:
			if !f.missing() {
				f.since, f.missed = time.Unix(1, 0), w.loads
			} else {
				w.files[i] = &file{name: f.name, bad: &problem{reason: "new"}} // gone for good
			}
		}
	}
	return w.files
}

// text is a random definition file of few IDs.
func (w *world) text() string {
	var list, checks []string
	ids := w.random.Perm(6)[:w.random.IntN(4)]
	for _, id := range ids {
		name := fmt.Sprintf("s%d", id)
		if w.random.IntN(3) == 0 {
			name += fmt.Sprintf("+c%d", w.random.IntN(4))
		}
		list = append(list, name)
	}
	if w.random.IntN(4) == 0 {
		checks = append(checks, fmt.Sprintf(`{"id": "c%d", "service_id": "s%d", "ttl": "1s"}`, w.random.IntN(4), w.random.IntN(6)))
	}
	if w.random.IntN(4) == 0 {
		checks = append(checks, fmt.Sprintf(`{"id": "c%d", "ttl": "1s"}`, w.random.IntN(4)))
	}
	text := strings.TrimSuffix(services(list...), "}") + `, "checks": [` + strings.Join(checks, ", ") + `]`
	if w.random.IntN(4) == 0 {
		text += `, "mistake": 1`
	}
	return text + "}"
}

// TestMergeKeepsItsPromises merges random files again and again.
func TestMergeKeepsItsPromises(t *testing.T) {
	const files = 4
	for seed := range uint64(100) {
		w := &world{random: rand.New(rand.NewPCG(seed, 1))}
		for i := range files {
			w.files = append(w.files, &file{name: string(rune('a' + i)), bad: &problem{reason: "new"}})
		}
		var before map[key]*file
		for range 30 {
			list := w.change()
			m := merge(list, before)
			checkMerged(t, list, before, m)
			again := merge(list, before)
			if diff := cmp.Diff(fmt.Sprint(registrations(m.units)), fmt.Sprint(registrations(again.units))); diff != "" {
				t.Errorf("merged again: %s", diff)
			}
			for _, f := range list {
				f.inForce, f.clashes = m.by[f], m.clashes[f]
			}
			before = m.holders
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// checkMerged compares the result of a merge with its promises.
func checkMerged(t *testing.T, files []*file, before map[key]*file, m *merged) {
	t.Helper()
	held := make(map[key]*file)
	inForce := make(map[unit]bool)
	for _, f := range files {
		for _, u := range m.by[f] {
			inForce[u] = true
			for _, k := range u.keys() {
				if held[k] != nil {
					t.Errorf("%s is in force twice", k)
				}
				held[k] = f
			}
		}
	}
	for _, f := range files {
		if f.missing() {
			continue
		}
		inError := f.bad != nil || len(f.latest.problems) > 0 || len(m.clashes[f]) > 0
		if f.bad == nil && !inError {
			if now := f.latest.units(); len(now) != len(m.by[f]) || slices.ContainsFunc(now, func(u unit) bool { return !inForce[u] }) {
				t.Errorf("%s is in order, and not as it stands in force", f.name)
			}
		}
		for _, u := range f.inForce {
			k := u.keys()[0]
			dropped := !inError && !slices.ContainsFunc(f.latest.units(), func(v unit) bool { return v.keys()[0] == k })
			if before[k] == f && !dropped && held[k] != f && !u.attached() {
				t.Errorf("%s was in force by %s and is not", k, f.name)
			}
		}
	}
}
