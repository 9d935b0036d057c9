package catalog

import (
	"slices"
	"testing"
	"unsafe"
)

// TestDNSLimit holds that the smallest limit among a service's instances counts, whatever their health, for as long as one has it.
func TestDNSLimit(t *testing.T) {
	v := loaded()
	limit := func(n int16) func(*Instance) { return func(i *Instance) { i.DNSLimit = n } }
	for step, s := range []struct {
		change Change
		want   int
	}{
		{put("n1", "a", "web", limit(0)), 0},
		{put("n1", "b", "web", limit(3)), 3},
		{put("n1", "c", "web", limit(2)), 2},
		{check("n1", "k", "c", Critical), 2},
		{put("n1", "c", "web", limit(5)), 3},
		{put("n1", "b", "web", limit(0)), 5},
		{Change{Type: RecordInstance, Name: "n1", ID: "c"}, 0},
	} {
		v.Apply(uint64(11+step), []Change{s.change})
		if got := v.Service("web").DNSLimit; got != s.want {
			t.Errorf("step %d: %d, want %d", step, got, s.want)
		}
	}
}

// TestLimitIsAChange holds that another limit wakes those who watch, and is named.
func TestLimitIsAChange(t *testing.T) {
	v := loaded()
	v.Apply(11, []Change{put("n1", "a", "web", func(i *Instance) { i.DNSLimit = 3 })})
	before := v.Instance("n1", "a")
	v.Apply(12, []Change{put("n1", "a", "web", func(i *Instance) { i.DNSLimit = 2 })})
	if s := v.Service("web"); s.Index != 12 {
		t.Errorf("index %d", s.Index)
	}
	if fields := changedFields(before, v.Instance("n1", "a")); !slices.Equal(fields, []string{"dns_limit"}) {
		t.Errorf("%q", fields)
	}
}

// TestSizes holds the memory that each instance costs: one byte more is the next of the allocator's sizes.
func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(Instance{}); size > 256 {
		t.Errorf("an instance has %d bytes", size)
	}
	if size := unsafe.Sizeof(Check{}); size > 480 {
		t.Errorf("a check has %d bytes", size)
	}
}

// TestLimitOfAStoreThatWentBack has a store go back to an older state, which has the same record.
func TestLimitOfAStoreThatWentBack(t *testing.T) {
	v := NewView()
	v.Load(10, []Change{putNode("n1"), session("n1", "s1")})
	limited := put("n1", "a", "web", func(i *Instance) { i.DNSLimit = 3 })
	v.Apply(20, []Change{limited})
	v.Load(15, []Change{putNode("n1"), session("n1", "s1"), limited})
	if got := v.Service("web").DNSLimit; got != 3 {
		t.Errorf("limit %d, want 3", got)
	}
}
