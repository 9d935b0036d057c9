package main

import (
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// crew has two healthy instances, one of them with a warning, and a critical one.
func crew() []client.Instance {
	instance := func(id string, status catalog.Status) client.Instance {
		return client.Instance{Instance: catalog.Instance{ID: id}, Status: status, Healthy: status != catalog.Critical}
	}
	return []client.Instance{
		instance("web-1", catalog.Passing), instance("web-2", catalog.Warning), instance("web-3", catalog.Critical),
	}
}

func TestCondition(t *testing.T) {
	for _, tt := range []struct {
		condition string
		met       bool
		missing   string
	}{
		{"healthy=2", true, ""},
		{"healthy=3", false, "healthy=2 where healthy=3 is wanted"},
		{"healthy=2..", true, ""},
		{"healthy=3..", false, "healthy=2 where healthy=3.. is wanted"},
		{"healthy=..2", true, ""},
		{"healthy=..1", false, "healthy=2 where healthy=..1 is wanted"},
		{"healthy=1..4", true, ""},
		{"healthy=0", false, "healthy=2 where healthy=0 is wanted"},
		{"passing=1", true, ""},
		{"instances=3", true, ""},
		{"in=web-2", true, ""},
		{"in=web-3", false, "web-3 is registered and not healthy where in=web-3 is wanted"},
		{"in=web-9", false, "web-9 is not registered where in=web-9 is wanted"},
		{"out=web-3", true, ""},
		{"out=web-9", true, ""},
		{"out=web-1", false, "web-1 is healthy where out=web-1 is wanted"},
		{"present=web-3", true, ""},
		{"present=web-9", false, "web-9 is not registered where present=web-9 is wanted"},
		{"gone=web-9", true, ""},
		{"gone=web-3", false, "web-3 is registered and not healthy where gone=web-3 is wanted"},
		{"healthy=2, gone=web-9", true, ""},
		{"healthy=3,gone=web-1", false, "healthy=2 where healthy=3 is wanted; web-1 is healthy where gone=web-1 is wanted"},
		{"healthy=2,in=web-3", false, "web-3 is registered and not healthy where in=web-3 is wanted"},
	} {
		c, err := parseCondition(tt.condition)
		if err != nil {
			t.Errorf("%s: %v", tt.condition, err)
			continue
		}
		if met, missing := c.met(crew()), c.missing(crew()); met != tt.met || missing != tt.missing {
			t.Errorf("%s: met %v, missing %q; want %v, %q", tt.condition, met, missing, tt.met, tt.missing)
		}
	}
}

// TestConditionOfOneID has the same id on two nodes: one healthy instance of it is enough to be in.
func TestConditionOfOneID(t *testing.T) {
	two := crew()
	two[2].ID = "web-1"
	for condition, want := range map[string]bool{"in=web-1": true, "out=web-1": false, "gone=web-1": false} {
		if c, err := parseCondition(condition); err != nil || c.met(two) != want {
			t.Errorf("%s: met %v, %v; want %v", condition, !want, err, want)
		}
	}
}

func TestBadConditions(t *testing.T) {
	for condition, want := range map[string]string{
		"":                   `--until "": "" is not NAME=VALUE`,
		"healthy":            `"healthy" is not NAME=VALUE: write it as healthy=3 or gone=web-1`,
		"healthy=":           `"healthy=" is not NAME=VALUE`,
		"gone=":              `"gone=" is not NAME=VALUE`,
		"well=3":             `"well" is not healthy, passing, instances, in, out, present or gone`,
		"healthy=three":      `"three" is not a number of instances: write it as 3, 3.. for at least three`,
		"healthy=-1":         `"-1" is not a number of instances`,
		"healthy=1..x":       `"1..x" is not a number of instances`,
		"healthy=..":         `".." is not a number of instances`,
		"healthy=4..2":       `"4..2" holds no number: 4 is above 2`,
		"healthy=9999999999": `is not a number of instances`,
		"healthy=1,":         `"" is not NAME=VALUE`,
	} {
		if c, err := parseCondition(condition); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", condition, c, err, want)
		}
	}
}

func TestOfHealth(t *testing.T) {
	for health, want := range map[catalog.Health]int{catalog.AnyHealth: 3, catalog.OnlyPassing: 1, catalog.Query{}.Health: 2} {
		all := crew()
		if got := ofHealth(all, health); len(got) != want || all[2].ID != "web-3" {
			t.Errorf("health %v: %d instances, want %d", health, len(got), want)
		}
	}
}
