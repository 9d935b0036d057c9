package registry

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/eventually"
)

// safeLog is a log that several goroutines write.
type safeLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *safeLog) has(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), what)
}

// TestUnreadableRecordsHideNoOthers has a record of each kind that this version cannot read in the store, before the start and while the
// registry runs: all others are found, and it is named in the log, in /health, in explain and in a metric until it goes.
func TestUnreadableRecordsHideNoOthers(t *testing.T) {
	for _, test := range []struct {
		name, key, value string
		about            string // the name that leads to it
		service          string
	}{
		{"newer node", nodeKey("n2"), `{"v":2,"name":"n2"}`, "n2", ""},
		{"node of another type", nodeKey("n2"), `{"v":1,"name":"n2","addresses":"10.0.0.1"}`, "n2", ""},
		{"newer session", aliveKey("n2"), `{"v":9,"session":"1"}`, "n2", ""},
		{"empty session", aliveKey("n2"), `{"v":1}`, "n2", ""},
		{"newer instance", instanceKey("n2", "db-1"), `{"v":2,"id":"db-1","node":"n2","service":"db","ports":{"a":1}}`, "db-1", "db"},
		{"instance by its service", instanceKey("n2", "db-1"), `{"v":2,"id":"db-1","node":"n2","service":"db"}`, "DB", "db"},
		{"damaged instance", instanceKey("n2", "db-1"), "{\"v\":1,\"id\":\"db-1\",\x00", "db-1", ""},
		{"instance of another key", instanceKey("n2", "db-1"), `{"v":1,"id":"other","node":"n2","service":"db"}`, "db-1", "db"},
		{"no value", instanceKey("n2", "db-1"), "", "db-1", ""},
		{"newer check", checkKey("n1", "c2"), `{"v":2,"id":"c2","node":"n1"}`, "c2", ""},
		{"check whose status is a number", checkKey("n1", "c2"), `{"v":1,"id":"c2","node":"n1","status":[]}`, "c2", ""},
		{"newer drain", drainPrefix + "node/n2", `{"v":2,"node":"n2"}`, drainPrefix + "node/n2", ""},
		{"newer push", pushKey("n1", "c2"), `{"v":2}`, "c2", ""},
		{"a kind that only newer versions know", Root + "mount/x", `{"v":1}`, Root + "mount/x", ""},
		{"a key that is none", instancePrefix + "%zz/a", `{"v":1}`, instancePrefix + "%zz/a", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := enginetest.Open(t)
			var log safeLog
			metrics := prometheus.NewRegistry()
			observed := func(cfg *Config) { cfg.Logger, cfg.Metrics = slog.New(slog.NewTextHandler(&log, nil)), metrics }
			r, stop := start(t, e, observed)
			state := sessionNode("n1", time.Minute)
			state.Registrations = append(state.Registrations, permanent("n1", "web-1", "web"))
			r.mustSync(t, state)
			if _, err := e.Client.Put(t.Context(), test.key, test.value); err != nil {
				t.Fatal(err)
			}
			named := func(when string, r *Registry) {
				t.Helper()
				eventually.True(t, when+": it is named", func() bool {
					problems := strings.Join(r.view.Problems(), "\n")
					return len(r.Unreadable(test.about)) == 1 && strings.Contains(problems, "cannot be read, and is left out")
				})
				left := r.Unreadable(test.about)[0]
				if left.ID != test.key || left.Service != test.service || left.Source != "store" || left.Why == "" {
					t.Errorf("%s: %+v", when, left)
				}
				if service := r.view.Service("web"); service == nil || len(service.Healthy) != 1 {
					t.Errorf("%s: web is %+v", when, service)
				}
				if len(r.Unreadable("web")) != 0 {
					t.Errorf("%s: explained as web", when)
				}
			}
			named("watched", r)
			eventually.True(t, "the log names it", func() bool { return log.has("unreadable record left out") && log.has(test.key) })
			if n := gauge(t, metrics, "koine_registry_unreadable_records"); n != 1 {
				t.Errorf("%v records in the metric", n)
			}
			r.mustSync(t, state) // what is readable is still written
			stop()
			metrics = prometheus.NewRegistry()
			again, _ := start(t, e, observed)
			named("loaded", again)
			if n := gauge(t, metrics, "koine_registry_unreadable_records"); n != 1 {
				t.Errorf("%v records in the metric after a restart", n)
			}
			if _, err := e.Client.Delete(t.Context(), test.key); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "it is forgotten when it goes", func() bool {
				return len(again.Unreadable(test.about)) == 0 && len(again.view.Problems()) == 0
			})
		})
	}
}

// gauge returns the value of a metric without labels.
func gauge(t *testing.T, metrics *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
