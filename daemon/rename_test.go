package daemon

import (
	"os"
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
