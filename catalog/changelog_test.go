package catalog

import "testing"

func TestChangesOfAStoreThatWentBackAreNotKnown(t *testing.T) {
	v := loaded(put("n1", "a", "web"))
	v.Apply(50, []Change{put("n1", "b", "web")})
	v.Load(20, []Change{putNode("n1"), session("n1", "s1")})
	if names, ok := v.ChangedSince(50); ok {
		t.Errorf("changed since a revision that the store has lost: %v; want that everything may have", names)
	}
	v.Apply(21, []Change{put("n1", "c", "other")})
	if names, ok := v.ChangedSince(20); !ok || len(names) != 1 {
		t.Errorf("changed since: %v, %v; want the one", names, ok)
	}
}
