package docker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPortHints: a setting of one port that leaves it out, or that finds no such port, is in the hints.
func TestPortHints(t *testing.T) {
	for name, test := range map[string]struct {
		edits []edit
		want  []string
	}{
		"left out": {[]edit{expose("8300", "8500"), env("SERVICE_8300_IGNORE=true")}, []string{"port 8300 is left out by env SERVICE_8300_IGNORE"}},
		"no such port": {[]edit{expose("8500"), env("SERVICE_8301_IGNORE=true", "SERVICE_21_NAME=ftp"), labels("SERVICE_21_TAGS", "a")}, []string{
			"env SERVICE_21_NAME has no effect: the instance has no port 21", "label SERVICE_21_TAGS has no effect: the instance has no port 21",
			"env SERVICE_8301_IGNORE has no effect: the instance has no port 8301",
		}},
		"in use":  {[]edit{expose("8500"), env("SERVICE_8500_NAME=ui", "SERVICE_8500_IGNORE=no")}, nil},
		"of udp":  {[]edit{expose("53/udp", "80"), env("SERVICE_53_IGNORE=1")}, []string{"port 53 is left out by env SERVICE_53_IGNORE"}},
		"by list": {[]edit{expose("80", "81"), labels("koine.ports", "80"), env("SERVICE_81_NAME=x")}, []string{"env SERVICE_81_NAME has no effect: the instance has no port 81"}},
	} {
		d, err := describe(inspected(test.edits...), testOptions())
		if diff := cmp.Diff(test.want, d.hints); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// TestTraefikPorts: where nothing is exposed, Traefik's labels name the ports.
func TestTraefikPorts(t *testing.T) {
	const http = "traefik.http.services.web.loadbalancer.server.port"
	for name, test := range map[string]struct {
		edits []edit
		want  string
	}{
		"one":                    {[]edit{labels(http, "8080")}, "web web =8080/tcp"},
		"several":                {[]edit{labels(http, "8080", "traefik.http.services.a.loadbalancer.server.port", "81", "traefik.udp.services.b.loadbalancer.server.port", "53")}, "web web =81/tcp =8080/tcp =53/udp"},
		"upper case":             {[]edit{labels("traefik.tcp.services.Web.loadBalancer.server.port", " 5432 ")}, "web web =5432/tcp"},
		"first version":          {[]edit{labels("traefik.port", "8080")}, "web web =8080/tcp"},
		"what is exposed counts": {[]edit{expose("80"), labels(http, "8080")}, "web web =80/tcp"},
		"no port":                {[]edit{labels(http, "eighty")}, "web web"},
		"out of range":           {[]edit{labels(http, "80800")}, "web web"},
		"another label":          {[]edit{labels("traefik.http.routers.web.loadbalancer.server.port", "80", "traefik.http.services.web.loadbalancer.server.scheme", "http")}, "web web"},
		"koine.ports counts":     {[]edit{labels(http, "8080", "koine.ports", "81")}, "web web =81/tcp"},
	} {
		if got := strings.Join(instances(t, test.edits...), "; "); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	d, _ := describe(inspected(labels(http, "eighty")), testOptions())
	if len(d.hints) != 1 || !strings.Contains(d.hints[0], `"eighty" is no port`) {
		t.Errorf("hints %q", d.hints)
	}
}
