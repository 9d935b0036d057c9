package main

import "testing"

func TestDNSAddresses(t *testing.T) {
	for value, want := range map[string]string{
		"":                          "192.0.2.1:8600",
		"off":                       "off",
		":53":                       "192.0.2.1:53",
		"127.0.0.1:53, bridge":      "127.0.0.1:53,bridge",
		"bridge":                    "192.0.2.1:8600,bridge",
		"bridge:front,bridge:back":  "192.0.2.1:8600,bridge:front,bridge:back",
		":53,[::1]:5353,bridge:a_b": "192.0.2.1:53,[::1]:5353,bridge:a_b",
	} {
		if got, err := dnsAddresses(value, "192.0.2.1"); err != nil || got != want {
			t.Errorf("--dns %q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"53", "127.0.0.1", "off,bridge", "bridge,off", "bridge:"} {
		if got, err := dnsAddresses(value, "192.0.2.1"); err == nil {
			t.Errorf("--dns %q is taken as %q", value, got)
		}
	}
}
