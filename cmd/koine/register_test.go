package main

import "testing"

func TestDefaultID(t *testing.T) {
	for _, test := range []struct {
		name        string
		flags       registerFlags
		withCommand bool
		want        string
	}{
		{"without a command", registerFlags{ports: ports{80}, address: "10.0.0.1"}, false, "web"},
		{"a port", registerFlags{ports: ports{80, 443}}, true, "web-host-80"},
		{"an address", registerFlags{ports: ports{80}, address: "10.0.0.1"}, true, "web-10.0.0.1-80"},
		{"no port", registerFlags{}, true, "web-host-42"},
		{"an address without a port", registerFlags{address: "10.0.0.1"}, true, "web-host-42"},
	} {
		if got := test.flags.defaultID("web", "host", 42, test.withCommand); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestPorts(t *testing.T) {
	var p ports
	for _, text := range []string{"80", "443, 8080"} {
		if err := p.Set(text); err != nil {
			t.Error(err)
		}
	}
	if p.String() != "80,443,8080" {
		t.Errorf("ports %v", p)
	}
	for _, text := range []string{"", "0", "65536", "-1", "http", "80,", "0x50"} {
		if err := p.Set(text); err == nil {
			t.Errorf("port %q is taken", text)
		}
	}
}
