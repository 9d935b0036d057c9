package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// inZones adds a service of three instances, of which the first has no place of its own.
func inZones(b *bed) {
	for id, zone := range map[string]string{"x": "", "y": "z2", "z": "z3"} {
		i := instance("zoned", id)
		if zone != "" {
			i.Locality = catalog.Locality{Region: "r", Zone: zone}
		}
		b.apply(instanceChange(i))
	}
}

func idsOf(list []client.Instance) string {
	var text []string
	for _, i := range list {
		text = append(text, fmt.Sprint(i.ID, "@", i.Locality.Region, "/", i.Locality.Zone))
	}
	return strings.Join(text, " ")
}

func TestNear(t *testing.T) {
	b := newBed(t)
	inZones(b)
	for query, want := range map[string]string{
		"?near=z2":                   "1 of y@r/z2 z@r/z3 x@/",
		"?near=r/z3":                 "1 of z@r/z3 y@r/z2 x@/",
		"?near=r/zz":                 "2 of y@r/z2 z@r/z3 x@/",
		"?near=z&health=any":         "1 of z@r/z3 y@r/z2 x@/",
		"?near=_self":                "3 of x@/ y@r/z2 z@r/z3",
		"?near=z2&health=passing":    "1 of y@r/z2 z@r/z3 x@/",
		"?near=z3&tag=nosuch":        "0 of ",
		"?near=z3&index=1&wait=10ms": "1 of z@r/z3 y@r/z2 x@/",
	} {
		service := decoded[client.Service](t, b.get(t, "/services/zoned"+query).body)
		if got := fmt.Sprint(service.Nearest, " of ", idsOf(service.Instances)); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]int{"?near=nowhere": 404, "?near=x/y": 404} {
		if got := b.get(t, "/services/zoned"+query); got.code != want || !strings.Contains(got.body, "_self for your own place") {
			t.Errorf("%s: %d %s", query, got.code, got.body)
		}
	}
	if got := b.get(t, "/watch?near=nowhere"); got.code != http.StatusNotFound {
		t.Errorf("a watch near nowhere: %d %s", got.code, got.body)
	}
}

func TestWatchNear(t *testing.T) {
	in := func(id, zone string) catalog.Change {
		i := instance("zoned", id)
		i.Locality = catalog.Locality{Region: "r", Zone: zone}
		return instanceChange(i)
	}
	synctest.Test(t, func(t *testing.T) {
		f, s := newOffline(t)
		f.apply(in("x", "z1"), in("y", "z2"))
		r := &reader{}
		open(t, s, "/watch?service=zoned&near=z2", r)
		for _, step := range []struct {
			change catalog.Change
			want   string
		}{
			{in("z", "z2"), "12 zoned[y z x]"},
			{in("x", "z2"), "13 zoned[x y z]"},
			{in("y", "z1"), "14 zoned[x z y]"},
		} {
			r.take()
			f.apply(step.change)
			if got := brief(t, r.take()); got != step.want {
				t.Errorf("%s, want %s", got, step.want)
			}
		}
	})
}
