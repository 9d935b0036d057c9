package docker

import (
	"strings"
	"testing"
)

// TestBadLimits holds that a limit which cannot be meant is left out with a warning.
func TestBadLimits(t *testing.T) {
	for _, value := range []string{"0", "-1", "4097", "65537", "99999999999999999999", "1.5", "one", "", "1,2"} {
		d, err := describe(inspected(expose("80"), labels("koine.dns_limit", value)), testOptions())
		if err != nil || len(d.members) != 1 || d.members[0].Instance.DNSLimit != 0 {
			t.Fatalf("%q: %v, %v", value, d.members, err)
		}
		if len(d.warnings) != 1 || !strings.Contains(d.warnings[0].String(), "is not a number of 1 to 4096") {
			t.Errorf("%q: warned of %v", value, d.warnings)
		}
	}
}
