package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

// decodeText returns a file's content, and its problems as an error.
func decodeText(name, data string) (*content, error) {
	c := (&decoder{node: "n1", scripts: true, nodeChecks: true}).decode(name, []byte(data))
	return c, c.problems.err()
}

// TestGolden compares the meaning of definition files with testdata/*.golden; with UPDATE_GOLDEN set it writes those
// instead.
func TestGolden(t *testing.T) {
	update := os.Getenv("UPDATE_GOLDEN") != ""
	for _, name := range []string{"issue.json", "camel.json", "snake.json", "koine.yaml", "checks.json", "several.hcl"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f := &file{name: name}
			f.latest, err = decodeText(name, string(data))
			if err != nil {
				t.Fatal(err)
			}
			m := merge([]*file{f}, nil)
			if len(m.clashes) > 0 {
				t.Fatal(m.clashes[f])
			}
			got, err := json.MarshalIndent(map[string]any{
				"services": registrations(m.units), "node_checks": nodeChecks(m.units), "warnings": fmt.Sprint(f.latest.warnings),
			}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := path + ".golden"
			if update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("meaning (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFilesAsPeopleHaveThem reads definitions in shapes that are in use.
func TestFilesAsPeopleHaveThem(t *testing.T) {
	agent := []string{"leave_on_terminate", "bind_addr", "client_addr", "retry_join"}
	for name, want := range map[string]struct {
		services, warnings []string
		problem            string
	}{
		"d02.json": {services: []string{"koapp"}},
		"d07.json": {services: []string{"podweb"}, warnings: append(agent, "connect")},
		"d08.json": {services: []string{"sayer"}, warnings: []string{"datacenter", "node_name", "data_dir", "log_level", "retry_join"}},
		"d09.json": {services: []string{"front-end-Shop"}, warnings: []string{"node_name"}},
		"d14.json": {services: []string{"twin", "twin", "single"}},
		"d19.json": {services: []string{"clusterhost"}, warnings: []string{"watches"}},
		"d20.json": {problem: `put them under "service"`},
		"d21.json": {services: []string{"fake", "fake-sidecar-proxy"}, warnings: []string{"kind", "proxy"}},
		"d23.hcl":  {services: []string{"hcl-one", "hcl-two"}},
		"d27.json": {services: []string{"withtoken"}, warnings: []string{"token", "token"}},
		"d28.json": {services: []string{"onecheck"}},
		"d31.json": {warnings: []string{"datacenter", "data_dir", "log_level", "node_name", "server", "ui", "watches"}},
	} {
		data, err := os.ReadFile(filepath.Join("testdata/field", name))
		if err != nil {
			t.Fatal(err)
		}
		c, err := decodeText(name, string(data))
		if want.problem != "" && (err == nil || !strings.Contains(err.Error(), want.problem)) || want.problem == "" && err != nil {
			t.Errorf("%s: %v, want %q", name, err, want.problem)
		}
		var services, warnings []string
		for _, s := range c.services {
			services = append(services, s.Instance.Service)
		}
		for _, w := range c.warnings {
			warnings = append(warnings, w.field)
		}
		if diff := cmp.Diff(want.services, services) + cmp.Diff(want.warnings, warnings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCommandsAreRefused(t *testing.T) {
	for _, text := range []string{
		`{"check": {"name": "c", "args": ["x"]}}`, `{"check": {"name": "c", "container": "b", "args": ["x"]}}`,
		`{"check": {"name": "c", "DockerContainerID": "b", "Script": "x"}}`,
	} {
		err := (&decoder{node: "n1", nodeChecks: true}).decode("a.json", []byte(text)).problems.err()
		if err == nil || !strings.Contains(err.Error(), "--enable-script-checks") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestIssueSample(t *testing.T) {
	c, err := decodeText("web.json", `{"service": {"name": "web", "tags": ["rails"], "port": 80, "check": {"script": "curl localhost >/dev/null 2>&1", "interval": "10s"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Registration{
		Instance: catalog.Instance{
			ID: "web", Node: "n1", Service: "web", Ports: []catalog.Port{{Number: 80}}, Tags: []string{"rails"},
			Source: "file", Owner: catalog.Owner{Kind: catalog.OwnerSession},
		},
		Checks: []catalog.Check{{
			ID: "web:1", Node: "n1", Instance: "web", Definition: catalog.Definition{
				Type: catalog.CheckScript, Args: []string{"sh", "-c", "curl localhost >/dev/null 2>&1"},
				Interval: catalog.Duration(catalog.DefaultInterval),
			},
		}},
	}
	if diff := cmp.Diff(want, c.services[0].Registration, cmp.Comparer(func(a, b catalog.Instance) bool { return a.Equal(&b) })); diff != "" {
		t.Errorf("registration (-want +got):\n%s", diff)
	}
}

func TestYAMLMeansWhatJSONMeans(t *testing.T) {
	for _, name := range []string{"camel.json", "snake.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := decodeText("a.json", string(data))
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := decodeText("a.yaml", strings.ReplaceAll(string(data), "\t", "  "))
		if err != nil {
			t.Fatal(err)
		}
		for i := range asJSON.services {
			if !asJSON.services[i].Instance.Equal(&asYAML.services[i].Instance) ||
				!sameChecks(asJSON.services[i].Checks, asYAML.services[i].Checks) {
				t.Errorf("%s: service %d differs:\n%+v\n%+v", name, i, asJSON.services[i], asYAML.services[i])
			}
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	tests := []struct {
		name, file, data string
		// want is line:column: reason, or the beginning of it.
		want string
	}{
		{"empty", "a.json", " \n", "1:0: is empty"},
		{"comment only", "a.yaml", "# later\n", "1:0: is empty"},
		{"null", "a.yaml", "~\n", "1:0: is empty"},
		{"json syntax", "a.json", "{\"service\":\n  {\"name\" \"web\"}}", "2:11: invalid character '\"' after object key"},
		{"json ends early", "a.json", "{\n\"service\":", "2:10: unexpected end"},
		{"json trailing", "a.json", "{} {}", "1:4: invalid character '{'"},
		{"yaml syntax", "a.yaml", "service:\n  name: web\n\tport: 80\n", "3:1: a tab is not allowed here: use spaces"},
		{"yaml list", "a.yaml", "services: [{name: web}", "1:23: a list in brackets is not closed"},
		{"yaml list of several lines", "a.yaml", "services: [\n{name: web}\n", "3:1: a list in brackets is not closed, which begins in line 1"},
		{"yaml braces", "a.yaml", "service: {name: web]", "1:20: a mapping in braces is not closed"},
		{"yaml quotes", "a.yaml", "service: {name: 'web}", "1:22: text in quotes is not closed"},
		{"yaml escape", "a.yaml", `service: {name: "w\eb\q"}`, `1:22: text in quotes has an unknown escape: write \\ for a backslash`},
		{"yaml hex escape", "a.yaml", `service: {name: "\x1"}`, "1:20: text in quotes has an incomplete escape"},
		{"yaml colon", "a.yaml", "service: name: web", "1:14: a field is not allowed here: look at the indentation"},
		{"yaml no colon", "a.yaml", "service:\n  name: web\n  port\n", "4:1: a field has no colon: write it as name: value"},
		{"yaml indentation", "a.yaml", "service:\n  name: web\n port: 80\n", "3:2: a field is not indented as those before it"},
		{"yaml list indentation", "a.yaml", "services:\n  - name: web\n - name: db\n", "3:2: a field is not indented as those before it"},
		{"yaml list in a list", "a.yaml", "- - a\n - b\n", "2:2: a line is not indented as the items"},
		{"yaml dash", "a.yaml", "services: - name: web\n", "1:11: an item of a list is not allowed here"},
		{"yaml at sign", "a.yaml", "service: {name: @web}", "1:17: text cannot begin with this character: put the text in quotes"},
		{"yaml star", "a.yaml", "service: {name: *}", "1:18: the name of an anchor or an alias is missing"},
		{"yaml anchor", "a.yaml", "service: *web", "1:10: uses an alias that is not defined: put text"},
		{"yaml control character", "a.yaml", "service:\n  name: w\x01", "2:10: holds a control character"},
		{"yaml latin-1", "a.yaml", "service:\n  name: \xe9t\xe9\n", "2:10: holds bytes that are not UTF-8"},
		{"yaml version", "a.yaml", "%YAML 3.0\n---\nservices: []\n", "1:1: is not YAML: found incompatible YAML document"},
		{"brackets", "a.yaml", strings.Repeat("[],", 60_000), "1:1: has 60000 opening brackets: 50000 are allowed"},
		{"two documents", "a.yaml", "services: []\n---\nservices: []\n", "2:1: holds more than one YAML document"},
		{"alias", "a.yaml", "services:\n- &a {name: web}\n- *a\n", "3:3: uses the alias *a"},
		{"custom tag", "a.yaml", "service: !thing {name: web}\n", "1:10: has tag !thing"},
		{"binary", "a.yaml", "service: {name: !!binary d2Vi}\n", "1:17: has tag !!binary"},
		{"set", "a.yaml", "service: {tags: !!set {a}}\n", "1:17: has tag"},
		{"mapping as a name", "a.yaml", "? {a: b}\n: c\n", "1:3: a field's name must be text"},
		{"deep json", "a.json", `{"services": ` + deep + `}`, "1:45: nested deeper than 32"},
		{"deep yaml", "a.yaml", `{"services": ` + deep + `}`, "1:45: nested deeper than 32"},
		{"not a mapping", "a.json", "[]", "1:1: definition file must be a mapping, not a list"},
		{"unknown at the top", "a.json", `{"servcies": []}`, `1:2: unknown field "servcies" in definition file: did you mean "services"?`},
		{"unknown and far", "a.json", `{"jobs": "dc1"}`, `1:2: unknown field "jobs" in definition file`},
		{"unknown in a service", "a.json", "{\"service\": {\n  \"name\": \"web\",\n  \"prot\": 80}}", `3:3: unknown field "prot" in service: did you mean "port"?`},
		{"unknown in a check", "a.yaml", "service:\n  name: web\n  check:\n    tpc: a:1\n", `4:5: unknown field "tpc" in check: did you mean "tcp"?`},
		{"twice", "a.json", `{"service": {"name": "web", "Name": "web"}}`, `1:29: field "Name" is given twice`},
		{"meta twice", "a.json", `{"service": {"name": "web", "meta": {"a": "1", "a": "2"}}}`, `1:48: "a" is given twice`},
		{"no name", "a.json", `{"service": {"port": 80}}`, "1:13: service has no name"},
		{"bad name", "a.json", `{"service": {"name": "web shop"}}`, `1:13: service name "web shop" has ' '`},
		{"bad port", "a.json", `{"service": {"name": "web", "port": 70000}}`, `1:37: port: must be a whole number from 0 to 65535, not "70000"`},
		{"port as text", "a.json", `{"service": {"name": "web", "port": "80"}}`, `1:37: port: must be a whole number`},
		{"port without number", "a.yaml", "service: {name: web, ports: [{name: http}]}", "1:30: port has no number"},
		{"binding without port", "a.yaml", "service: {name: web, ports: [{number: 80, bindings: [192.0.2.1]}]}",
			`1:53: binding "192.0.2.1": write it as 192.0.2.1:8080 or [2001:db8::1]:8080`},
		{"binding to port 0", "a.yaml", "service: {name: web, ports: [{number: 80, bindings: ['192.0.2.1:0']}]}",
			`1:10: instance web has port 80 with the binding "192.0.2.1:0": write it as 192.0.2.1:8080 or [2001:db8::1]:8080`},
		{"two bindings to one address", "a.yaml", "service: {name: web, ports: [{number: 80, bindings: ['192.0.2.1:1', '[::ffff:192.0.2.1]:2']}]}",
			"1:10: instance web has port 80 with two bindings to ::ffff:192.0.2.1"},
		{"port in words", "a.yaml", "service: {name: web, ports: [http]}", `1:30: port must be a whole number`},
		{"ports no list", "a.yaml", "service: {name: web, ports: 80}", "1:29: ports: must be a list, not a number"},
		{"tags no list", "a.json", `{"service": {"name": "web", "tags": "a,b"}}`, "1:37: tags: must be a list, not text"},
		{"tag no text", "a.json", `{"service": {"name": "web", "tags": [["a"]]}}`, "1:38: must be text, not a list"},
		{"name no text", "a.json", `{"service": {"name": ["web"]}}`, "1:22: name: must be text, not a list"},
		{"meta no mapping", "a.json", `{"service": {"name": "web", "meta": "x"}}`, "1:37: meta: must be a mapping, not text"},
		{"meta no text", "a.json", `{"service": {"name": "web", "meta": {"a": {}}}}`, "1:43: a: must be text, not a mapping"},
		{"empty item", "a.yaml", "services:\n-\n", "2:2: list has an empty item"},
		{"address of nothing", "a.yaml", "service: {name: web, addresses: [{network: a}]}", "1:34: address names neither"},
		{"address no text", "a.yaml", "service: {name: web, addresses: [[]]}", "1:34: address must be text"},
		{"address is none", "a.yaml", "service: {name: web, address: 'a b'}", `1:10: instance web has address "a b"`},
		{"status", "a.json", `{"check": {"name": "c", "ttl": "1s", "status": "fine"}}`, `1:48: status: "fine" is not a status`},
		{"bool", "a.yaml", `check: {name: c, http: "http://a", tls_skip_verify: sometimes}`, "1:53: tls_skip_verify: must be true or false"},
		{"duration without a unit", "a.json", `{"check": {"name": "c", "ttl": 10}}`, `1:32: ttl: "10" is not a duration: write it as 10s`},
		{"negative duration", "a.json", `{"check": {"name": "c", "ttl": "-10s"}}`, `1:32: ttl: "-10s" is negative`},
		{"interval too short", "a.json", `{"check": {"name": "c", "tcp": "a:1", "interval": "1ms"}}`, `1:11: check c has the interval 1ms: at least 10ms is allowed`},
		{"no target", "a.json", `{"check": {"name": "c"}}`, "1:11: check does not say what to check: add one of http, tcp, udp"},
		{"two targets", "a.json", `{"check": {"name": "c", "ttl": "1s", "tcp": "a:1"}}`, "1:11: check names tcp and ttl: make a check of each"},
		{"script and args", "a.json", `{"check": {"name": "c", "script": "x", "args": ["y"]}}`, "1:11: check has both script and args"},
		{"docker type", "a.json", `{"check": {"name": "c", "type": "docker"}}`, "1:11: check is of type docker"},
		{"type and target differ", "a.json", `{"check": {"name": "c", "type": "http", "ttl": "1s"}}`, "1:11: check c is of type http but does not say"},
		{"http no url", "a.json", `{"check": {"name": "c", "http": "localhost/x"}}`, `1:11: http: "localhost/x" is not a URL`},
		{"tcp no port", "a.json", `{"check": {"name": "c", "tcp": "localhost"}}`, `1:11: tcp: "localhost" is not an address`},
		{"header no text", "a.json", `{"check": {"name": "c", "header": {"a": [{}]}}}`, `1:42: must be text`},
		{"header no list", "a.json", `{"check": {"name": "c", "header": {"a": {}}}}`, `1:41: a: must be a list`},
		{"grpc no port", "a.json", `{"check": {"name": "c", "grpc": "localhost/shop.Cart"}}`, `1:11: grpc: "localhost" is not an address`},
		{"udp no port", "a.json", `{"check": {"name": "c", "UDP": "localhost"}}`, `1:11: udp: "localhost" is not an address`},
		{"h2ping no port", "a.json", `{"check": {"name": "c", "H2PING": "localhost"}}`, `1:11: h2ping: "localhost" is not an address`},
		{"udp and tcp", "a.json", `{"check": {"name": "c", "udp": "a:1", "tcp": "a:1"}}`, "1:11: check names tcp and udp: make a check of each"},
		{"os service", "a.json", `{"check": {"name": "c", "os_service": "sshd"}}`, "1:39: os_service: services of the operating system cannot be checked: use args: [systemctl"},
		{"service at the top", "a.json", `{"Name": "web", "Port": 80, "Check": {"name": "up", "ttl": "1s"}}`, "1:10: Name: the fields of a service must not stand at the top of a file: put them under \"service\""},
		{"container without args", "a.json", `{"check": {"name": "c", "tcp": "a:1", "docker_container_id": "b"}}`, "1:11: check names a container, and no args"},
		{"alias with flap", "a.json", `{"check": {"name": "c", "alias_node": "b", "flap_threshold": 9}}`, "1:11: check c is of type alias, which has no flap_threshold"},
		{"deregister too soon", "a.json", `{"check": {"name": "c", "tcp": "a:1", "deregister_after": "10ms"}}`, "1:11: check c has a deregister_after of 10ms: at least 1s"},
		{"flap threshold", "a.json", `{"check": {"name": "c", "tcp": "a:1", "flap_threshold": 101}}`, "1:57: flap_threshold: must be a whole number from 0 to 100"},
		{"check without a name", "a.json", `{"check": {"ttl": "1s"}}`, "1:11: check has neither id nor name"},
		{"service_id inside", "a.json", `{"service": {"name": "web", "check": {"ttl": "1s", "service_id": "web"}}}`, "1:38: service_id is for checks"},
		{"ids twice", "a.json", `{"services": [{"name": "a", "id": "x"}, {"name": "b", "id": "x"}]}`, "1:41: instance x is declared twice"},
		{"default ids twice", "a.json", `{"services": [{"name": "a", "port": 1}, {"name": "a", "port": 1}, {"name": "a", "port": 1}]}`, "1:67: instance a-1 is declared twice"},
		{"check ids twice", "a.json", `{"services": [{"name": "a", "checks": [{"id": "c", "ttl": "1s"}, {"id": "c", "ttl": "1s"}]}]}`, "1:15: check c is declared twice"},
		{"top check ids twice", "a.json", `{"checks": [{"id": "c", "ttl": "1s"}, {"id": "c", "ttl": "1s"}]}`, "1:39: check c is declared twice"},
		{"three targets", "a.json", `{"check": {"name": "c", "ttl": "1s", "tcp": "a:1", "args": ["x"]}}`, "1:11: check names tcp, args or script and ttl"},
		{"hcl empty", "a.hcl", "# later\n", "1:0: is empty: write services = [] to declare nothing"},
		{"hcl colon", "a.hcl", "service {\n  name: \"web\"\n}", "2:7: a character that has no meaning in HCL: write name = value"},
		{"hcl single quotes", "a.hcl", "service {\n  name = 'web'\n}", "2:10: a character that has no meaning in HCL"},
		{"hcl word", "a.hcl", "service {\n  name = web\n}", "2:10: a value is expected here: put text in double quotes"},
		{"hcl no value", "a.hcl", "service {\n  name =\n}", "3:1: a value is expected here"},
		{"hcl no value at the end", "a.hcl", "service {\n  name = \"web\"\n}\nservices =", "4:10: a value is missing behind ="},
		{"hcl no equals", "a.hcl", "service {\n  name \"web\"\n}", "3:1: a value is missing: write name = value or name { … }"},
		{"hcl no name", "a.hcl", "= 1", "1:1: a field's name is missing before ="},
		{"hcl not closed", "a.hcl", "service {\n  name = \"web\"\n", "3:1: a closing brace is missing"},
		{"hcl list not closed", "a.hcl", "services = [\n  {name = \"web\"}\n", "3:1: a list is not closed"},
		{"hcl no comma", "a.hcl", "service { tags = [\"a\" \"b\"]\n}", "1:23: a list is not closed, or a comma is missing"},
		{"hcl word in a list", "a.hcl", "service { tags = [a]\n}", "1:19: a value is expected here"},
		{"hcl in a list", "a.hcl", "services = [{\n  name = \"web\",\n  port = eighty\n}]", "3:10: a value is expected here"},
		{"hcl text not closed", "a.hcl", "service {\n  name = \"web\n}", "2:14: text in quotes is not closed"},
		{"hcl escape", "a.hcl", "service {\n  name = \"w\\qb\"\n}", "2:13: text in quotes has an unknown escape"},
		{"hcl heredoc", "a.hcl", "service {\n  name = <<EOF\nweb\n}", "4:2: a heredoc is not closed"},
		{"hcl heredoc without a word", "a.hcl", "service {\n  name = <<\nweb\n}", "2:12: a heredoc must begin with a word"},
		{"hcl comment", "a.hcl", "service {}\n/* ", "2:4: a comment is not closed"},
		{"hcl slash", "a.hcl", "/ x\n", "1:1: a comment begins with"},
		{"hcl octal", "a.hcl", "service { port = 089\n}", "1:21: is not a number"},
		{"hcl sum", "a.hcl", "service { port = 80 + 1\n}", "1:21: a field's name is expected here"},
		{"hcl latin-1", "a.hcl", "service {\n name = \"\xe9\"\n}", "2:10: holds bytes that are not UTF-8"},
		{"hcl zero", "a.hcl", "service {\n name = \"\x00\"\n}", "2:10: holds a control character"},
		{"hcl label", "a.hcl", "service \"web\" {\n  port = 80\n}", `1:9: service has the label "web": write name = "web" between its braces`},
		{"hcl twice", "a.hcl", "service {\n  name = \"web\"\n  port = 1\n  port = 2\n}", `4:3: field "port" is given twice`},
		{"hcl twice in two spellings", "a.hcl", "service {\n  name = \"web\"\n}\nService {\n  name = \"db\"\n}", `4:1: field "Service" is given twice`},
		{"hcl block and value", "a.hcl", "service {\n  name = \"web\"\n  meta {}\n  meta = 1\n}", `4:3: field "meta" is given twice`},
		{"hcl meta twice", "a.hcl", "service {\n  name = \"web\"\n  meta {}\n  meta {}\n}", `3:8: meta: must be a mapping, not a list`},
		{"hcl unknown", "a.hcl", "service {\n  name = \"web\"\n  prot = 80\n}", `3:3: unknown field "prot" in service: did you mean "port"?`},
		{"hcl bad port", "a.hcl", "service {\n  name = \"web\"\n  port = 70000\n}", `3:10: port: must be a whole number from 0 to 65535, not "70000"`},
		{"hcl negative port", "a.hcl", "service {\n  name = \"web\"\n  port = -1\n}", `3:10: port: must be a whole number`},
		{"no limit", "a.json", `{"service": {"name": "web", "dns_limit": 0}}`, `1:42: dns_limit: must be a whole number from 1 to 4096, not "0"`},
		{"limit below 0", "a.yaml", "service: {name: web, dns_limit: -1}", `1:33: dns_limit: must be a whole number from 1 to 4096`},
		{"large limit", "a.yaml", "service: {name: web, dns_limit: 65537}", `1:33: dns_limit: must be a whole number from 1 to 4096`},
		{"limit in words", "a.hcl", "service {\n  name = \"web\"\n  dns_limit = \"one\"\n}", `3:15: dns_limit: must be a whole number from 1 to 4096, not "one"`},
		{"weights", "a.json", `{"service": {"name": "web", "weights": {"passing": -1}}}`, `1:52: passing: must be a whole number`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeText(tt.file, tt.data)
			list, ok := errors.AsType[problems](err)
			if !ok || len(list) != 1 {
				t.Fatalf("problems %v, want one", err)
			}
			p := list[0]
			got := fmt.Sprintf("%d:%d: %v", p.line, p.column, p)
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestEachErrorOfAFile holds that one service in error affects no other of its file.
func TestEachErrorOfAFile(t *testing.T) {
	c, err := decodeText("a.yaml", `
services:
  - name: web
    prot: 80
    tags: [a, [b]]
    meta: {a: 1, a: 2, b: []}
    check: {tcp: nowhere, ttl: 1}
  - {name: web, port: 81}
  - {name: db, port: 5432, checks: [{id: up, tcp: "a:1"}, {id: up, ttl: 1s}]}
  - {name: api, id: web}
  - {name: mq, port: 1}
  - {name: cache}
check: {service_id: mq, name: mq, port: 1}
checks: [{name: disk, ttl: 1s}, {name: load}]
whatever: 1
`)
	var got []string
	for _, p := range c.problems {
		got = append(got, fmt.Sprintf("%d:%d: %v", p.line, p.column, p))
	}
	want := []string{
		`4:5: unknown field "prot" in service: did you mean "port"?`,
		`5:15: must be text, not a list`,
		`6:18: "a" is given twice`,
		`6:27: b: must be text, not a list`,
		`7:32: ttl: "1" is not a duration: write it as 10s, 1m30s or 2h`,
		`9:5: check up is declared twice: give one of them another id`,
		`13:35: unknown field "port" in check`,
		`14:33: check does not say what to check: add one of http, tcp, udp, grpc, h2ping, args, script, alias_service, ` +
			`alias_node and ttl`,
		`15:1: unknown field "whatever" in definition file`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if err == nil {
		t.Error("no error")
	}
	var ids []string
	for _, u := range c.units() {
		ids = append(ids, u.keys()[0].String())
	}
	// web-81 would be the second web's ID if the first were in order; without its check, a failed mq would count as
	// healthy.
	if diff := cmp.Diff([]string{"instance web-81", "instance web", "instance cache", "check disk"}, ids); diff != "" {
		t.Errorf("in order (-want +got):\n%s", diff)
	}
}

func TestManyErrorsOfAFile(t *testing.T) {
	c, _ := decodeText("a.json", `{"services": [`+strings.Repeat("{},\n", 1000)+`{"name": "web"}]}`)
	if n := len(c.problems); n != maxProblems+1 || c.problems[maxProblems].reason != "has 980 more errors from here on" {
		t.Errorf("%d problems, the last %v", n, c.problems[n-1])
	}
	if len(c.services) != 1 {
		t.Errorf("services %v", c.services)
	}
	c, _ = decodeText("a.json", `{"service": {`+strings.Repeat("\"x\": 1,\n", 1000)+`"name": "web"}}`)
	if n := len(c.problems); n != maxProblems {
		t.Errorf("%d problems", n)
	}
}

func TestDecodeTooLarge(t *testing.T) {
	_, err := decodeText("a.json", `{"services": []}`+strings.Repeat(" ", maxFile))
	if err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestScriptsNeedTheFlag(t *testing.T) {
	for _, check := range []string{`{"script": "true"}`, `{"args": ["true"]}`} {
		d := &decoder{node: "n1"}
		err := d.decode("a.json", []byte(`{"service": {"name": "web", "check": `+check+`}}`)).problems.err()
		if err == nil || !strings.Contains(err.Error(), "--enable-script-checks") {
			t.Errorf("%s: got %v", check, err)
		}
	}
}

func TestNodeChecksNeedASink(t *testing.T) {
	d := &decoder{node: "n1"}
	err := d.decode("a.json", []byte(`{"check": {"name": "c", "ttl": "1s"}}`)).problems.err()
	if err == nil || !strings.Contains(err.Error(), "checks of the node are not supported") {
		t.Errorf("got %v", err)
	}
}

func TestTokenIsNotKept(t *testing.T) {
	c, err := decodeText("a.json", `{"service": {"name": "web", "token": "secret", "kind": "typical"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.services[0].Instance.Extras["consul"]); got != `{"kind":"typical"}` {
		t.Errorf("extras %s", got)
	}
	if diff := cmp.Diff([]warning{{1, "token"}, {1, "kind"}}, c.warnings, cmp.AllowUnexported(warning{})); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestNullLeavesOut(t *testing.T) {
	c, err := decodeText("a.yaml", `service: {name: web, id: ~, port: ~, ports: ~, tags: ~, meta: ~, weights: ~, locality: ~,
  address: ~, addresses: ~, check: ~, checks: ~, proxy: ~, enable_tag_override: ~}`)
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Instance{
		ID: "web", Node: "n1", Service: "web", Source: "file", Owner: catalog.Owner{Kind: catalog.OwnerSession},
	}
	if !c.services[0].Instance.Equal(&want) || len(c.warnings) > 0 {
		t.Errorf("got %+v, warnings %v", c.services[0].Instance, c.warnings)
	}
}
