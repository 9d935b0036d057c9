package docker

import (
	"strings"
	"testing"
)

// TestDidYouMean: the warning about a misspelt setting names the one that it is close to.
func TestDidYouMean(t *testing.T) {
	for label, want := range map[string]string{
		"koine.nmae": "did you mean koine.name?", "koine.tag": "did you mean koine.tags?", "koine.port": "did you mean koine.ports?",
		"koine.NAME": "did you mean koine.name?", "koine.wieght": "did you mean koine.weight?", "koine.min-healthy": "did you mean koine.min_healthy?",
		"koine.dns.limit": "did you mean koine.dns_limit?", "koine.dnslimit": "did you mean koine.dns_limit?",
		"koine.checks.http": "did you mean koine.check.http?", "koine.chekc.web.http": "did you mean koine.check.web.http?",
		"koine.mata.team": "did you mean koine.meta.team?", "koine.check.intervall": "did you mean interval?",
		"koine.check.web.htpp": "did you mean http?", "koine.something": "no such label", "koine.": "no such label",
		"Koine.name": "did you mean koine.name?", "koine-name": "did you mean koine.name?", "koine_tags": "did you mean koine.tags?",
		"koine/check.http": "did you mean koine.check.http?", "SERVICE_CHECK_INTERVALL": "did you mean SERVICE_CHECK_INTERVAL?",
		"SERVICE_80_CHECK_HTPT": "did you mean SERVICE_80_CHECK_HTTP?",
	} {
		d, err := describe(inspected(expose("80"), labels(label, "x")), testOptions())
		if err != nil || len(d.warnings) == 0 {
			t.Errorf("%s: warned of %v, %v", label, d.warnings, err)
			continue
		}
		if w := d.warnings[0]; w.Label != label || !strings.HasSuffix(w.Reason, want) {
			t.Errorf("%s: %s, want %q", label, w, want)
		}
	}
	for _, label := range []string{"koine", "koine-sd.example/owner", "koineland.name", "traefik.enable", "koine-", "kubernetes.name"} {
		if d, _ := describe(inspected(labels(label, "x")), testOptions()); len(d.warnings) != 0 {
			t.Errorf("%s: warned of %v", label, d.warnings)
		}
	}
	d, _ := describe(inspected(expose("80"), env("SERVICE_CHECK_HTPT=/hunter2")), testOptions())
	if len(d.warnings) != 1 || !strings.Contains(d.warnings[0].Reason, "did you mean SERVICE_CHECK_HTTP?") {
		t.Errorf("of a misspelt variable: warned of %v", d.warnings)
	}
}
