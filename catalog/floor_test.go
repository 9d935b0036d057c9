package catalog

import (
	"fmt"
	"testing"
)

func TestFloor(t *testing.T) {
	floor := func(percent int16) func(*Instance) { return func(i *Instance) { i.MinHealthy = percent } }
	v := loaded()
	for i := range 4 {
		v.Apply(uint64(11+i), []Change{put("n1", fmt.Sprint("i", i), "web", floor(50)), check("n1", fmt.Sprint("k", i), fmt.Sprint("i", i), Passing)})
	}
	fail := func(revision uint64, i int, status Status) {
		v.Apply(revision, []Change{check("n1", fmt.Sprint("k", i), fmt.Sprint("i", i), status)})
	}
	fail(20, 0, Critical)
	fail(21, 1, Critical)
	want(t, v, Query{Service: "web"}, "n1/i2", "n1/i3") // half of them: at the floor, not below
	fail(22, 2, Critical)
	if s := v.Service("web"); !s.BelowFloor || s.Index != 22 {
		t.Errorf("below floor %v at %d, want true at 22", s.BelowFloor, s.Index)
	}
	want(t, v, Query{Service: "web"}, "n1/i0", "n1/i1", "n1/i2", "n1/i3")
	want(t, v, Query{Service: "web", Health: OnlyPassing}, "n1/i3")
	// Drained instances do not count, and are not answered.
	v.Apply(23, []Change{{Type: RecordDrain, Name: "n1", ID: "i0", Drain: &Drain{Node: "n1", Instance: "i0"}}})
	want(t, v, Query{Service: "web"}, "n1/i1", "n1/i2", "n1/i3")
	fail(24, 2, Passing)
	want(t, v, Query{Service: "web"}, "n1/i2", "n1/i3")
	if v.Service("web").BelowFloor {
		t.Error("still below the floor with two of three")
	}
}
