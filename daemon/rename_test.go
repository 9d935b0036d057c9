package daemon

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
)

// TestHostIsRenamed starts a host under another name with the data directory of before, while its former session has an hour to run.
func TestHostIsRenamed(t *testing.T) {
	for name, store := range map[string]func(t *testing.T) string{
		"embedded":  func(*testing.T) string { return "" },
		"elsewhere": func(t *testing.T) string { return engine.Scheme + enginetest.Etcd(t) },
	} {
		t.Run(name, func(t *testing.T) {
			files := t.TempDir()
			must(t, write("web.json", `{"service":{"name":"web","port":80}}`)(files))
			cfg := Config{
				Node: "hosta", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, DataDir: t.TempDir(), ConfigDir: files, Engine: store(t), SessionTTL: time.Hour,
			}
			id := ""
			for _, node := range []string{"hosta", "hostb", "hosta", "HOSTA"} {
				cfg.Node = node
				d := startDaemon(t, cfg)
				if id == "" {
					id = d.View().Node(node).Node.ID
					c, err := client.New(client.Config{Address: d.HTTPAddr().String()})
					must(t, err)
					_, err = c.Register(t.Context(), catalog.Registration{Instance: catalog.Instance{
						ID: "db", Service: "db", Node: "hosta", Ports: []catalog.Port{{Number: 5432}}, Owner: catalog.Owner{Kind: catalog.OwnerPermanent},
					}})
					must(t, err)
				}
				if nodes := d.View().Nodes(); len(nodes) != 1 || !strings.EqualFold(nodes[0].Name, node) || nodes[0].Node.ID != id {
					t.Errorf("as %s: %d nodes, %s of id %s; want the one of id %s", node, len(nodes), nodes[0].Name, nodes[0].Node.ID, id)
				}
				for _, service := range []string{"db", "web"} {
					if s := d.View().Service(service); s == nil || len(s.Endpoints) != 1 || len(s.Healthy) != 1 {
						t.Errorf("as %s: %s is %+v, want one instance that is answered", node, service, s)
					}
				}
				must(t, d.stop())
			}
		})
	}
}

// TestCopyOfADataDirectory starts another host with a copy of a living host's data directory: it ends, says why, and leaves the other
// one alone.
func TestCopyOfADataDirectory(t *testing.T) {
	cfg := Config{
		Node: "original", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, DataDir: t.TempDir(), Engine: engine.Scheme + enginetest.Etcd(t), SessionTTL: time.Second,
	}
	original := startDaemon(t, cfg)
	cfg.Node, cfg.DataDir = "copy", copyOf(t, cfg.DataDir)
	for range 2 { // the second start finds what the first has left
		second, err := New(cfg)
		must(t, err)
		err = second.Run(eventually.Context(t))
		if catalog.KindOf(err) != catalog.KindConflict || !strings.Contains(err.Error(), "node original is alive") ||
			!strings.Contains(err.Error(), "give this one an empty data directory") {
			t.Errorf("the copy ended with: %v", err)
		}
	}
	if n := original.View().Node("original"); n == nil || !n.Alive || original.View().Node("copy") != nil {
		t.Errorf("the original is %+v", n)
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// TestRenewalsOverARename restarts a host under one name after the other: a check that nobody pushes to counts from the last push
// all the same, and none is forgotten.
func TestRenewalsOverARename(t *testing.T) {
	cfg := Config{Node: "n0", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, DataDir: t.TempDir()}
	first := startDaemon(t, cfg)
	c, err := client.New(client.Config{Address: first.HTTPAddr().String()})
	must(t, err)
	for id, owner := range map[string]catalog.Owner{
		"pushed": {Kind: catalog.OwnerPermanent}, "leased": {Kind: catalog.OwnerLease, TTL: catalog.Duration(time.Hour)},
	} {
		_, err = c.Register(t.Context(), catalog.Registration{
			Instance: catalog.Instance{ID: id, Service: id, Node: "n0", Ports: []catalog.Port{{Number: 5432}}, Owner: owner},
			Checks:   []catalog.Check{{Definition: catalog.Definition{TTL: catalog.Duration(time.Hour)}}},
		})
		must(t, err)
		must(t, c.PushCheck(t.Context(), "n0", id+":1", catalog.Passing, "fine"))
	}
	must(t, first.stop())
	file := filepath.Join(cfg.DataDir, renewalsFile)
	text, err := os.ReadFile(file)
	must(t, err)
	text = regexp.MustCompile(`"age":\d+`).ReplaceAll(text, []byte(`"age":1800000`)) // half an hour
	must(t, os.WriteFile(file, text, 0o600))
	for _, cfg.Node = range []string{"n1", "n2", "n0", "n3"} {
		must(t, startDaemon(t, cfg).stop())
		text, err := os.ReadFile(file)
		must(t, err)
		ages := regexp.MustCompile(`"check/[^"]*","age":(\d+)`).FindAllSubmatch(text, -1)
		if len(ages) != 2 {
			t.Errorf("as %s the file lists %d checks, want 2:\n%s", cfg.Node, len(ages), text)
		}
		for _, age := range ages {
			if n, _ := strconv.Atoi(string(age[1])); n < 1800000 {
				t.Errorf("as %s one counts as renewed %d ms ago:\n%s", cfg.Node, n, text)
			}
		}
	}
}
