package docker

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// everything is all that the source tells anybody of a container: what it registers, logs and answers.
func everything(t *testing.T, o options, edits ...edit) string {
	t.Helper()
	tracker := newTracker(o)
	told := tracker.update(inspected(edits...), nil)
	verdicts := tracker.verdicts()
	plans := make([]Plan, 0, len(verdicts))
	for _, one := range verdicts {
		plans = append(plans, one.plan(nil))
	}
	text, err := json.Marshal(map[string]any{
		"declared": registrations(verdicts), "plans": plans, "left": tracker.find("web").left, "skip": told.skip, "warnings": told.warnings,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEnvironmentIsNotPublished: of the environment only the settings that have a meaning are read.
func TestEnvironmentIsNotPublished(t *testing.T) {
	const value = "hunter2"
	for _, name := range []string{
		"SERVICE_ACCOUNT_KEY", "SERVICE_DB_PASSWORD", "SERVICE_REGION", "SERVICE_80_SECRET", "SERVICE_80_X", "SERVICE_CHECK_HEADER",
		"SERVICE_80_CHECK_TOKEN", "SERVICE_CHECK_", "SERVICE_", "SERVICE_70000_NAME", "SERVICE_080_TAGS", "SERVICE_0_NAME", "service_name",
		"koine.name", "koine.meta.x", "KOINE_NAME", "SERVICE_NAMES", "SERVICE_TAGS_X", "SERVICE_PORTS_X",
	} {
		if text := everything(t, testOptions(), expose("80"), env(name+"="+value)); strings.Contains(text, value) {
			t.Errorf("%s is shown: %s", name, text)
		}
	}
	many := make([]string, 0, 2000)
	for range cap(many) {
		many = append(many, "SERVICE_X=1")
	}
	if text := everything(t, testOptions(), env(many...), env("SERVICE_NAME=last")); !strings.Contains(text, "last") {
		t.Errorf("variables that are not read use up the limit: %s", text)
	}
	hints := everything(t, testOptions(), env("SERVICE_REGION=eu"))
	if !strings.Contains(hints, "not read from the environment: SERVICE_REGION") {
		t.Errorf("no hint at the variable that is not read: %s", hints)
	}
}

// TestSecretsAreNotMeta: neither the environment's meta in Registrator's mode nor a label's holds what may be a secret.
func TestSecretsAreNotMeta(t *testing.T) {
	const value = "hunter2"
	secrets := []string{
		"PASSWORD", "DB_PASSWD", "Passphrase", "ADMIN_PASS", "SECRET_1", "API_TOKEN", "APIKEY", "KEY", "AWS_ACCESS_KEY_ID", "CREDENTIALS",
		"PRIVATE_X", "PWD", "DB_PW", "BASIC_AUTH", "OAUTH", "PG_DSN",
	}
	for _, name := range secrets {
		for how, from := range map[string]func(string) edit{
			"env":   func(pair string) edit { return env(pair) },
			"label": func(pair string) edit { return labels(strings.TrimSuffix(pair, "="+value), value) },
		} {
			text := everything(t, registratorOptions(), publish("80/tcp", "0.0.0.0:8080"), from("SERVICE_"+name+"="+value))
			if strings.Contains(text, value) || !strings.Contains(text, "may be a secret") {
				t.Errorf("%s %s: %s", how, name, text)
			}
		}
	}
	for _, text := range []string{
		"me:hunter2@tcp(db:3306)/shop", "jdbc:postgresql://db/shop?user=me&password=hunter2", "Server=db;User=me;Password = hunter2",
		"Authorization: Bearer hunter2", "basic hunter2", "https://hooks.example/x?access_token=hunter2", `{"pwd": "hunter2"}`,
		"postgres://me:hunter2@db/x", "see https://a/b and redis://:hunter2@c", "-----BEGIN RSA hunter2",
	} {
		if told := everything(t, registratorOptions(), publish("80/tcp", "0.0.0.0:8080"), env("SERVICE_URL="+text)); strings.Contains(told, value) {
			t.Errorf("value %q is shown: %s", text, told)
		}
	}
	kept := map[string]string{"region": "eu", "author": "me", "mail": "me@example.org", "url": "http://a/b?c=d@e", "owner_pwx": "x"}
	d, err := describe(inspected(publish("80/tcp", "0.0.0.0:8080"), env("SERVICE_REGION=eu", "SERVICE_AUTHOR=me", "SERVICE_MAIL=me@example.org",
		"SERVICE_URL=http://a/b?c=d@e", "SERVICE_OWNER_PWX=x")), registratorOptions())
	if err != nil || len(d.warnings) != 0 || !maps.Equal(d.members[0].Instance.Meta, kept) {
		t.Errorf("%v, %v, warned of %v", d.members[0].Instance.Meta, err, d.warnings)
	}
	r, _ := registered(t, testOptions(), labels("koine.meta.public_key", "ssh-ed25519"))
	if r.Instance.Meta["public_key"] != "ssh-ed25519" {
		t.Errorf("koine.meta says that it is none: %v", r.Instance.Meta)
	}
}

// TestMessagesHideSecrets: what is wrong with a check is shown without the password in it.
func TestMessagesHideSecrets(t *testing.T) {
	const value = "hunter2"
	for _, e := range []edit{
		labels("koine.check.http", "http://me:hunter2@:80/health"), labels("koine.check.http", "http://me:hunter2@h:x/"),
		labels("koine.check.tcp", "me:hunter2@host:80"), env("SERVICE_CHECK_HTTP=/", "SERVICE_80_CHECK_HTTP=\x7f//hunter2"),
		labels("koine.check.exec", `["curl","-u","me:hunter2"`), labels("koine.check.udp", "x@hunter2"),
	} {
		c := inspected(expose("80"), e)
		d, err := describe(c, testOptions())
		if err != nil || len(d.warnings) == 0 {
			t.Errorf("%v: %v, %v", c.Config, d.warnings, err)
		}
		for _, w := range d.warnings {
			if strings.Contains(w.String(), value) {
				t.Errorf("told: %s", w)
			}
		}
	}
}

// FuzzEnvironment gives a container an arbitrary variable: unless its name is one of the settings, its value is nowhere.
func FuzzEnvironment(f *testing.F) {
	for _, name := range []string{"SERVICE_ACCOUNT_KEY", "SERVICE_80_X", "SERVICE_NAME", "PATH", "SERVICE_81_CHECK_HTTP", "SERVICE_\u017fECRET"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		const value = "zq7hunter2"
		if k, ok := parseServiceKey(name); strings.HasPrefix(name, servicePrefix) && ok && known(k.key) || strings.Contains(name, "=") {
			return
		}
		if text := everything(t, testOptions(), expose("80"), env(name+"="+value)); strings.Contains(text, value) {
			t.Errorf("%q is shown: %s", name, text)
		}
	})
}

// TestLabelledOnly: with --docker-expose labelled a container says for itself that it is to be registered.
func TestLabelledOnly(t *testing.T) {
	for _, test := range []struct {
		name  string
		edits []edit
		all   bool
		want  bool
	}{
		{"nothing", nil, false, false},
		{"koine.enable", []edit{labels("koine.enable", "true")}, false, true},
		{"koine.enable=false", []edit{labels("koine.enable", "false", "koine.name", "x")}, false, false},
		{"koine.enable=false, all exposed", []edit{labels("koine.enable", "no")}, true, false},
		{"any koine label", []edit{labels("koine.meta.x", "y")}, false, true},
		{"koine.ignore", []edit{labels("koine.ignore", "1", "koine.name", "x")}, false, false},
		{"Compose", []edit{labels(composeService, "web", composeNumber, "1")}, false, false},
		{"SERVICE_NAME", []edit{env("SERVICE_NAME=x"), labels("SERVICE_NAME", "y")}, false, false},
	} {
		o := testOptions()
		o.labelled = !test.all
		d, err := describe(inspected(append(test.edits, expose("80"))...), o)
		if err != nil || (d.skip == "") != test.want {
			t.Errorf("%s: skipped for %q, %v; want it registered: %v", test.name, d.skip, err, test.want)
		}
	}
	o := testOptions()
	o.labelled = true
	if d, _ := describe(inspected(), o); !strings.Contains(d.skip, "--docker-expose") || !strings.Contains(d.skip, "koine.enable") {
		t.Errorf("%q does not say what to do", d.skip)
	}
	healthy := func(c *container.InspectResponse) { c.State.Running = false }
	if d, _ := describe(inspected(healthy), o); !strings.Contains(d.skip, "not running") {
		t.Errorf("of one that does not run: %q", d.skip)
	}
}

// TestKnownSettings: the settings that are read from the environment are those of the guide, each with a meaning.
func TestKnownSettings(t *testing.T) {
	for _, key := range []string{"NAME", "TAGS", "ID", "IGNORE", "PORTS", "CHECK_HTTP", "CHECK_INTERVAL"} {
		if !known(strings.ToLower(key)) {
			t.Errorf("%s is not known", key)
		}
	}
	for _, key := range slices.Concat(registratorTargets[:], registratorProperties[:]) {
		if !known("check_" + key) {
			t.Errorf("check_%s is used and not read", key)
		}
	}
}
