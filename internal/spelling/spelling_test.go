package spelling

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"data_dir", "dc", "docker", "http", "node", "interval", "TTL"}
	for word, want := range map[string]string{
		"datadir": "data_dir", "data_dri": "data_dir", "nod": "node", "HTPP": "http", "dokcer": "docker", "ttll": "TTL",
		"intervall": "interval", "node": "node",
		"": "", "x": "", "id": "", "service": "", "revision": "",
	} {
		if got := Closest(word, known); got != want {
			t.Errorf("closest to %q is %q, want %q", word, got, want)
		}
	}
	if got := Closest("nide", []string{"nude", "node", "side"}); got != "node" {
		t.Errorf("of several that are equally close: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "a", 0}, {"a", "b", 1}, {"abc", "acb", 1}, {"abc", "abcd", 1}, {"abc", "xbyd", 3}, {"abc", "abcdefgh", 3},
	} {
		if got := Distance(test.a, test.b, 3); got != test.want {
			t.Errorf("%q and %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
