package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

func seconds(n int) catalog.Duration { return catalog.Duration(time.Duration(n) * time.Second) }

func TestDescribeChecks(t *testing.T) {
	http := func(url string) catalog.Definition { return catalog.Definition{Type: catalog.CheckHTTP, HTTP: url} }
	script := func(text string) catalog.Definition {
		return catalog.Definition{Type: catalog.CheckScript, Args: []string{"/bin/sh", "-c", text}}
	}
	exec := func(args ...string) catalog.Definition {
		return catalog.Definition{Type: catalog.CheckExec, Container: testID, Args: args}
	}
	with := func(d catalog.Definition, change func(*catalog.Definition)) catalog.Definition { change(&d); return d }
	base := expose("80", "8080")
	tests := []struct {
		name  string
		edits []edit
		want  map[string]catalog.Definition
		warn  int
	}{
		{"path", []edit{base, labels("koine.check.http", "/health")}, map[string]catalog.Definition{"web:check": http("http://172.17.0.2:80/health")}, 0},
		{"port and path", []edit{base, labels("koine.check.http", ":8080/x?y=1")}, map[string]catalog.Definition{"web:check": http("http://172.17.0.2:8080/x?y=1")}, 0},
		{"port", []edit{base, labels("koine.check.http", ":8080")}, map[string]catalog.Definition{"web:check": http("http://172.17.0.2:8080/")}, 0},
		{"URL", []edit{base, labels("koine.check.http", "https://example.com/x")}, map[string]catalog.Definition{"web:check": http("https://example.com/x")}, 0},
		{"URL without host", []edit{base, labels("koine.check.http", "https://:8443/x")}, map[string]catalog.Definition{"web:check": http("https://172.17.0.2:8443/x")}, 0},
		{"IPv6", []edit{base, detached, attach("six", "", "fd06::2"), labels("koine.check.http", "/")}, map[string]catalog.Definition{"web:check": http("http://[fd06::2]:80/")}, 0},
		{"published only", []edit{detached, publish("80/tcp", "0.0.0.0:8000"), labels("koine.check.http", "/")}, map[string]catalog.Definition{"web:check": http("http://10.0.0.1:8000/")}, 0},
		{"tcp", []edit{base, labels("koine.check.tcp", "true")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckTCP, TCP: "172.17.0.2:80"}}, 0},
		{"tcp port", []edit{base, labels("koine.check.tcp", ":8080")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckTCP, TCP: "172.17.0.2:8080"}}, 0},
		{"tcp host", []edit{base, labels("koine.check.tcp", "db:5432")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckTCP, TCP: "db:5432"}}, 0},
		{"script", []edit{base, labels("koine.check.script", "true")}, map[string]catalog.Definition{"web:check": script("true")}, 0},
		{"named", []edit{base, labels("koine.check.live.http", "/live", "koine.check.ready.http", "/ready", "koine.check.ready.interval", "3s")},
			map[string]catalog.Definition{
				"web:live":  http("http://172.17.0.2:80/live"),
				"web:ready": with(http("http://172.17.0.2:80/ready"), func(d *catalog.Definition) { d.Interval = seconds(3) }),
			}, 0},
		{"all properties", []edit{base, labels("koine.check.http", "/", "koine.check.interval", "1m", "koine.check.timeout", "2s",
			"koine.check.method", "head", "koine.check.tls_skip_verify", "true", "koine.check.initial_status", "warning",
			"koine.check.success_before_passing", "2", "koine.check.failures_before_warning", "3", "koine.check.failures_before_critical", "4")},
			map[string]catalog.Definition{"web:check": {
				Type: catalog.CheckHTTP, HTTP: "http://172.17.0.2:80/", Interval: seconds(60), Timeout: seconds(2), Method: "HEAD",
				TLSSkipVerify: true, InitialStatus: catalog.Warning, SuccessBeforePassing: 2, FailuresBeforeWarning: 3, FailuresBeforeCritical: 4,
			}}, 0},
		{"bad properties", []edit{base, labels("koine.check.http", "/", "koine.check.interval", "10", "koine.check.initial_status", "fine",
			"koine.check.failures_before_critical", "-1", "koine.check.colour", "red")},
			map[string]catalog.Definition{"web:check": http("http://172.17.0.2:80/")}, 4},
		{"two targets", []edit{base, labels("koine.check.http", "/", "koine.check.tcp", "80")}, map[string]catalog.Definition{"web:check": http("http://172.17.0.2:80/")}, 1},
		{"bad targets", []edit{base, labels("koine.check.a.http", "ftp://x", "koine.check.b.tcp", "a:b", "koine.check.c.ttl", "soon", "koine.check.d.script", " ",
			"koine.check.e.http", ":99999/", "koine.check.docker.http", "/", "koine.check.f.tcp", "nowhere")}, nil, 7},
		{"no port", []edit{labels("koine.check.http", "/")}, nil, 1},
		{"registrator", []edit{base, env("SERVICE_CHECK_HTTP=health", "SERVICE_CHECK_INTERVAL=15s", "SERVICE_CHECK_TIMEOUT=1s", "SERVICE_CHECK_HTTP_METHOD=put", "SERVICE_CHECK_INITIAL_STATUS=passing")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckHTTP, HTTP: "http://172.17.0.2:80/health", Interval: seconds(15),
				Timeout: seconds(1), Method: "PUT", InitialStatus: catalog.Passing}}, 0},
		{"port beats plain", []edit{base, env("SERVICE_CHECK_TCP=true", "SERVICE_80_CHECK_HTTPS=/h", "SERVICE_80_CHECK_TLS_SKIP_VERIFY=true", "SERVICE_CHECK_INTERVAL=5s", "SERVICE_80_CHECK_INTERVAL=6s")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckHTTP, HTTP: "https://172.17.0.2:80/h", Interval: seconds(6), TLSSkipVerify: true}}, 0},
		{"second port", []edit{base, env("SERVICE_CHECK_TCP=true", "SERVICE_8080_CHECK_HTTP=/")},
			map[string]catalog.Definition{
				"web:check":      {Type: catalog.CheckTCP, TCP: "172.17.0.2:80"},
				"web:check-8080": http("http://172.17.0.2:8080/"),
			}, 0},
		{"label beats env", []edit{base, env("SERVICE_CHECK_TTL=10s"), labels("SERVICE_CHECK_TTL", "20s")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckTTL, TTL: seconds(20)}}, 0},
		{"script with address", []edit{base, env("SERVICE_CHECK_SCRIPT=nc -z $SERVICE_IP $SERVICE_PORT")}, map[string]catalog.Definition{"web:check": script("nc -z 172.17.0.2 80")}, 0},
		{"cmd", []edit{base, env("SERVICE_CHECK_CMD=/check $SERVICE_PORT")}, map[string]catalog.Definition{"web:check": exec("/bin/sh", "-c", "/check 80")}, 0},
		{"registrator grpc", []edit{base, env("SERVICE_CHECK_GRPC=true", "SERVICE_CHECK_GRPC_USE_TLS=true", "SERVICE_CHECK_TLS_SKIP_VERIFY=true")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckGRPC, GRPC: "172.17.0.2:80", GRPCUseTLS: true, TLSSkipVerify: true}}, 0},
		{"registrator grpc off", []edit{base, env("SERVICE_CHECK_GRPC=false")}, nil, 0},
		{"udp", []edit{expose("80", "53/udp"), labels("koine.check.udp", "", "koine.check.udp_payload", "ping", "koine.check.udp_reply", "true")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckUDP, UDP: "172.17.0.2:53", UDPPayload: "ping", UDPReply: true}}, 0},
		{"udp port", []edit{base, labels("koine.check.udp", ":8080")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckUDP, UDP: "172.17.0.2:8080"}}, 0},
		{"udp without a udp port", []edit{base, labels("koine.check.udp", "")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckUDP, UDP: "172.17.0.2:80"}}, 0},
		{"grpc", []edit{base, labels("koine.check.grpc", "", "koine.check.grpc_use_tls", "true", "koine.check.tls_server_name", "shop")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckGRPC, GRPC: "172.17.0.2:80", GRPCUseTLS: true, TLSServerName: "shop"}}, 0},
		{"grpc service", []edit{base, labels("koine.check.a.grpc", ":8080/shop.Cart", "koine.check.b.grpc", "/shop.Cart")},
			map[string]catalog.Definition{
				"web:a": {Type: catalog.CheckGRPC, GRPC: "172.17.0.2:8080/shop.Cart"},
				"web:b": {Type: catalog.CheckGRPC, GRPC: "172.17.0.2:80/shop.Cart"},
			}, 0},
		{"h2ping", []edit{base, labels("koine.check.h2ping", ":8080", "koine.check.h2ping_plain", "true", "koine.check.flap_threshold", "30")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckH2Ping, H2Ping: "172.17.0.2:8080", H2PingPlain: true, FlapThreshold: 30}}, 0},
		{"exec", []edit{base, labels("koine.check.exec", "curl -f localhost")}, map[string]catalog.Definition{"web:check": exec("/bin/sh", "-c", "curl -f localhost")}, 0},
		{"exec list", []edit{base, labels("koine.check.exec", `["/program", "-healthcheck"]`)}, map[string]catalog.Definition{"web:check": exec("/program", "-healthcheck")}, 0},
		{"bad exec", []edit{base, labels("koine.check.a.exec", " ", "koine.check.b.exec", `["x"`, "koine.check.c.exec", `[]`, "koine.check.d.exec", `[""]`)}, nil, 4},
		{"exec in another container", []edit{base, labels("koine.check.exec", "true", "koine.check.container", "other")},
			map[string]catalog.Definition{"web:check": exec("/bin/sh", "-c", "true")}, 1},
		{"alias", []edit{base, labels("koine.check.a.alias", "db", "koine.check.b.alias", "db", "koine.check.b.alias_node", "n2", "koine.check.c.alias_node", "n2")},
			map[string]catalog.Definition{
				"web:a": {Type: catalog.CheckAlias, AliasService: "db"},
				"web:b": {Type: catalog.CheckAlias, AliasService: "db", AliasNode: "n2"},
				"web:c": {Type: catalog.CheckAlias, AliasNode: "n2"},
			}, 0},
		{"bad alias", []edit{base, labels("koine.check.alias", " ")}, nil, 1},
		{"never deregistered", []edit{base, labels("koine.check.tcp", "", "koine.check.deregister_after", "1m")},
			map[string]catalog.Definition{"web:check": {Type: catalog.CheckTCP, TCP: "172.17.0.2:80"}}, 1},
		{"ttl without ports", []edit{env("SERVICE_CHECK_TTL=10s")}, map[string]catalog.Definition{"web:check": {Type: catalog.CheckTTL, TTL: seconds(10)}}, 0},
		{"koine beats registrator", []edit{base, env("SERVICE_CHECK_TCP=true"), labels("koine.check.http", "/")}, map[string]catalog.Definition{"web:check": http("http://172.17.0.2:80/")}, 0},
		{"host mode", []edit{mode("host"), detached, base, labels("koine.check.http", "/")}, map[string]catalog.Definition{"web:check": http("http://10.0.0.1:80/")}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, warned := registered(t, testOptions(), test.edits...)
			got := make(map[string]catalog.Definition)
			for _, c := range r.Checks {
				got[c.ID] = c.Definition
				if c.Instance != r.Instance.ID || c.Node != "n1" || c.Status != "" {
					t.Errorf("check is %+v", c)
				}
			}
			if test.want == nil {
				test.want = map[string]catalog.Definition{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if len(warned) != test.warn {
				t.Errorf("warned of %v, want %d warnings", warned, test.warn)
			}
		})
	}
}

func TestScriptsAreRefused(t *testing.T) {
	o := testOptions()
	o.scripts = false
	r, warned := registered(t, o, labels("koine.check.script", "rm -rf /"))
	if len(r.Checks) != 0 || len(warned) != 1 {
		t.Errorf("checks %v, warned of %v", r.Checks, warned)
	}
}

func TestCheckWithoutAddress(t *testing.T) {
	r, _ := registered(t, options{node: "n1"}, mode("host"), detached, expose("80"), labels("koine.check.http", "/"))
	if r.Checks[0].HTTP != "http://127.0.0.1:80/" || len(r.Instance.Addresses) != 0 {
		t.Errorf("registered %+v", r)
	}
}

// startOf sets and returns the time at which a container was started.
func startOf(t *testing.T, c *container.InspectResponse) time.Time {
	t.Helper()
	started := time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)
	c.State.StartedAt = started.Format(time.RFC3339Nano)
	return started
}

func TestHealthcheck(t *testing.T) {
	health := func(status container.HealthStatus, outputs ...string) edit {
		return func(c *container.InspectResponse) {
			c.State.Health = &container.Health{Status: status}
			for _, output := range outputs {
				c.State.Health.Log = append(c.State.Health.Log, &container.HealthcheckResult{Output: output})
			}
		}
	}
	tests := []struct {
		name   string
		edit   edit
		status catalog.Status
		output string
	}{
		{"none", health(container.NoHealthcheck), "", ""},
		{"starting", health(container.Starting), catalog.Critical, "starting"},
		{"starting, with a run of before", func(c *container.InspectResponse) {
			health(container.Starting, "503 of before")(c)
			c.State.Health.Log[0].Start = startOf(t, c).Add(-time.Second)
		}, catalog.Critical, "starting"},
		{"starting, with a run since", func(c *container.InspectResponse) {
			health(container.Starting, "503 of before", "503")(c)
			c.State.Health.Log[0].Start, c.State.Health.Log[1].Start = startOf(t, c).Add(-time.Second), startOf(t, c)
		}, catalog.Critical, "503"},
		{"healthy", health(container.Healthy, "old", "200 OK"), catalog.Passing, "200 OK"},
		{"unhealthy", health(container.Unhealthy, "503"), catalog.Critical, "503"},
		{"paused", func(c *container.InspectResponse) {
			health(container.Unhealthy, "200 OK")(c)
			c.State.Paused = true
		}, catalog.Critical, "paused: Docker does not run it"},
		{"long", health(container.Unhealthy, strings.Repeat("é", catalog.MaxOutput)), catalog.Critical, strings.Repeat("é", catalog.MaxOutput/2)},
		{"cut within a character", health(container.Unhealthy, "x"+strings.Repeat("é", catalog.MaxOutput)), catalog.Critical, "x" + strings.Repeat("é", catalog.MaxOutput/2-1) + "?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, _ := registered(t, testOptions(), test.edit)
			if test.status == "" {
				if len(r.Checks) != 0 {
					t.Errorf("checks are %+v", r.Checks)
				}
				return
			}
			want := catalog.Check{ID: "web:docker", Node: "n1", Instance: "web", Name: "Docker HEALTHCHECK",
				Definition: catalog.Definition{Type: catalog.CheckDocker}, Status: test.status, Output: test.output}
			if diff := cmp.Diff([]catalog.Check{want}, r.Checks); diff != "" {
				t.Error(diff)
			}
		})
	}
}
