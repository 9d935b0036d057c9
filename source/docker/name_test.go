package docker

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// TestServiceNameInCompose: SERVICE_NAME precedes Compose's name of the service where it is certain to be Registrator's. What is
// passed over is in the hints.
func TestServiceNameInCompose(t *testing.T) {
	compose := labels(composeProject, "shop", composeService, "tcp", composeNumber, "1")
	swarm := labels(swarmService, "shop_tcp")
	const (
		byCompose = "label com.docker.compose.service"
		alone     = "is not used: alone it may be another program's"
		composes  = `label com.docker.compose.service says "tcp": `
	)
	for _, test := range []struct {
		name             string
		edits            []edit
		want, rule, hint string
	}{
		{"alone", []edit{compose, env("SERVICE_NAME=users")}, "tcp", byCompose, "env SERVICE_NAME " + alone},
		{"alone, beside variables that are no settings", []edit{compose, env("SERVICE_NAME=users", "SERVICE_PORT=80", "SERVICE_HOST=x", "SERVICE_URL=y")},
			"tcp", byCompose, "env SERVICE_NAME " + alone},
		{"alone, in Swarm", []edit{swarm, env("SERVICE_NAME=users")}, "shop_tcp", "label com.docker.swarm.service.name", "env SERVICE_NAME " + alone},
		{"as a label", []edit{compose, labels("SERVICE_NAME", "cache")}, "cache", "label SERVICE_NAME", composes + "label SERVICE_NAME precedes it"},
		{"beside tags", []edit{compose, env("SERVICE_NAME=cache", "SERVICE_TAGS=a")}, "cache", "env SERVICE_NAME", composes + "env SERVICE_NAME precedes it"},
		{"beside an id", []edit{compose, env("SERVICE_NAME=cache", "SERVICE_ID=c-1")}, "cache", "env SERVICE_NAME", composes},
		{"beside a check", []edit{compose, expose("80"), env("SERVICE_NAME=cache", "SERVICE_CHECK_HTTP=/")}, "cache", "env SERVICE_NAME", composes},
		{"beside a check's interval", []edit{compose, env("SERVICE_NAME=cache", "SERVICE_CHECK_INTERVAL=5s")}, "cache", "env SERVICE_NAME", composes},
		{"beside a port's name", []edit{compose, expose("80"), env("SERVICE_NAME=cache", "SERVICE_80_NAME=http")}, "cache", "env SERVICE_NAME", composes},
		{"beside a port's meta", []edit{compose, expose("80"), env("SERVICE_NAME=cache", "SERVICE_80_REGION=eu")}, "cache", "env SERVICE_NAME", composes},
		{"beside meta as a label", []edit{compose, env("SERVICE_NAME=cache"), labels("SERVICE_REGION", "eu")}, "cache", "env SERVICE_NAME", composes},
		{"beside a switch that is off", []edit{compose, env("SERVICE_NAME=cache", "SERVICE_IGNORE=false")}, "cache", "env SERVICE_NAME", composes},
		{"in Swarm, beside tags", []edit{swarm, env("SERVICE_NAME=cache", "SERVICE_TAGS=a")}, "cache", "env SERVICE_NAME", "label com.docker.swarm.service.name says"},
		{"in upper case", []edit{compose, env("SERVICE_NAME=logServer", "SERVICE_TAGS=a")}, "logServer", "env SERVICE_NAME", composes},
		{"empty", []edit{compose, env("SERVICE_NAME=", "SERVICE_TAGS=a")}, "tcp", byCompose, ""},
		{"nothing left of it", []edit{compose, env("SERVICE_NAME=//", "SERVICE_TAGS=a")}, "tcp", byCompose, ""},
		{"the same", []edit{compose, env("SERVICE_NAME=tcp", "SERVICE_TAGS=a")}, "tcp", "env SERVICE_NAME", ""},
		{"after koine.name", []edit{compose, env("SERVICE_NAME=cache", "SERVICE_TAGS=a"), labels("koine.name", "mine")}, "mine", "label koine.name",
			"env SERVICE_NAME is not used: label koine.name precedes it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := describe(inspected(test.edits...), testOptions())
			if err != nil || len(d.members) == 0 {
				t.Fatalf("%+v, %v", d, err)
			}
			if d.service != test.want || d.rule != test.rule {
				t.Errorf("named %q by %q, want %q by %q", d.service, d.rule, test.want, test.rule)
			}
			hints := strings.Join(d.hints, "\n")
			if !strings.Contains(hints, test.hint) || test.hint == "" && strings.Contains(hints, "precedes") {
				t.Errorf("hints %q, want %q", hints, test.hint)
			}
			var kept extras
			if err := json.Unmarshal(d.members[0].Instance.Extras[sourceName], &kept); err != nil || !cmp.Equal(kept.Hints, d.hints) {
				t.Errorf("%v: the catalog has hints %q", err, kept.Hints)
			}
		})
	}
	o := testOptions()
	o.projectNames = true
	if d, _ := describe(inspected(compose, labels("SERVICE_NAME", "cache")), o); d.service != "cache" {
		t.Errorf("with the names of projects it is %s", d.service)
	}
}

// TestChangedNames: a name that was made fit for DNS is in the hints and once in the log, and leads to the container.
func TestChangedNames(t *testing.T) {
	compose := func(service string) edit {
		return labels(composeProject, "p", composeService, service, composeNumber, "1")
	}
	for _, test := range []struct{ text, want string }{
		{"api.v1", "api-v1"}, {"php-fpm_7.4", "php-fpm_7-4"}, {"svc..x", "svc-x"}, {"web", ""}, {"Frontend", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, sink, log := newFake(), newSink(), new(strings.Builder)
			f.put("c1", compose(test.text))
			source, err := New(Config{Client: f, Sink: sink, Node: "n1", Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			stop := runUntilEnd(t, source)
			synctest.Wait()
			f.send("rename", "c1")
			synctest.Wait()
			_, left, err := source.Explain(t.Context(), test.text)
			instances, _, _ := source.Explain(t.Context(), test.text)
			if test.want != "" && (err != nil || len(left) > 0 || !cmp.Equal(instances, []string{"c1"})) {
				t.Errorf("%s leads to %q, %v, %v", test.text, instances, left, err)
			}
			set, _, _ := sink.latest()
			stop()
			var kept extras
			_ = json.Unmarshal(set[0].Instance.Extras[sourceName], &kept)
			hinted, logged := strings.Join(kept.Hints, "\n"), strings.Count(log.String(), "made fit for DNS")
			if test.want == "" {
				if hinted != "" || logged != 0 {
					t.Errorf("%s: hints %q, log %s", test.text, hinted, log)
				}
				return
			}
			if set[0].Instance.Service != test.want || !strings.Contains(hinted, `"`+test.text+`" becomes `+test.want) || logged != 1 {
				t.Errorf("%s is %s, hints %q, log %s", test.text, set[0].Instance.Service, hinted, log)
			}
		})
	}
}
