package test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is the tested part of Grafana's dashboard model.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Type, Query any }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  struct{ UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID, Expr string
		Datasource  struct{ UID string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "../dist/grafana/koine.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard holds the panels to Grafana's requirements: ids of their own, places of their own, and a data source
// that is chosen at the import of the dashboard.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	variables := make(map[any]any)
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
	}
	if d.UID == "" || variables["datasource"] != "datasource" {
		t.Errorf("uid %q, variables %v", d.UID, variables)
	}
	ids := make(map[int]string)
	for i, p := range d.Panels {
		if other, taken := ids[p.ID]; taken || p.ID == 0 {
			t.Errorf("panels %q and %q have id %d", other, p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		for _, other := range d.Panels[:i] {
			if overlap(&p, &other) {
				t.Errorf("panels %q and %q overlap", p.Title, other.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %d %q: description %q, %d targets, data source %q", p.ID, p.Title, p.Description, len(p.Targets),
				p.Datasource.UID)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || target.RefID == "" {
				t.Errorf("panel %q: target %+v", p.Title, target)
			}
		}
	}
}

func overlap(a, b *panel) bool {
	p, q := a.GridPos, b.GridPos
	return p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H || p.X+p.W > 24
}

var metricName = regexp.MustCompile(`\b(?:koine|etcd|go|process)_[a-z_]+`)

// TestDashboardHasNoDeadPanel looks for each metric of the panels among those that a process shows, and for each of
// Koine's among the panels.
func TestDashboardHasNoDeadPanel(t *testing.T) {
	shown := exposed(t)
	asked := make(map[string]bool)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("panel %q asks for no metric: %s", p.Title, target.Expr)
			}
			for _, name := range names {
				name = metricOf(name, shown)
				asked[name] = true
				if !slices.Contains(shown, name) {
					t.Errorf("panel %q asks for %s, which is not there", p.Title, name)
				}
			}
		}
	}
	for _, name := range shown {
		if strings.HasPrefix(name, "koine_") && !asked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// metricOf returns the metric that a series belongs to: those of a histogram have its name and an ending.
func metricOf(series string, shown []string) string {
	for _, ending := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, ending); ok && slices.Contains(shown, name) {
			return name
		}
	}
	return series
}
