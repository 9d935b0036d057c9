package files

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// consulFields has the fields that Consul's documentation has for a service and for a check, each with a value.
func consulFields() map[string]map[string]string {
	return map[string]map[string]string{
		"service": {
			"name": `"api"`, "id": `"x"`, "address": `"10.0.0.1"`, "port": "80", "ports": `[{"name": "http", "port": 80, "default": true}]`,
			"tags": `["a"]`, "meta": `{"a": "b"}`, "tagged_addresses": `{"lan": {"address": "10.0.0.1", "port": 1}}`,
			"socket_path": `"/run/x"`, "enable_tag_override": "true", "check": `{"ttl": "1s"}`, "checks": `[{"ttl": "1s"}]`,
			"kind": `"connect-proxy"`, "proxy": `{"destination_service_name": "db"}`, "connect": `{"sidecar_service": {}}`,
			"locality": `{"region": "r", "zone": "z"}`, "weights": `{"passing": 3, "warning": 1}`, "token": `"t"`,
			"namespace": `"n"`, "partition": `"p"`,
		},
		"check": {
			"name": `"n"`, "id": `"x"`, "check_id": `"x"`, "notes": `"n"`, "service_id": `"web"`, "status": `"passing"`,
			"http": `"http://a"`, "method": `"PUT"`, "header": `{"a": ["b"]}`, "body": `"b"`, "disable_redirects": "true",
			"tls_server_name": `"a"`, "tls_skip_verify": "true", "tcp": `"a:1"`, "tcp_use_tls": "true", "udp": `"a:1"`,
			"grpc": `"a:1"`, "grpc_use_tls": "true", "h2ping": `"a:1"`, "h2ping_use_tls": "false", "ttl": `"9s"`,
			"args": `["a"]`, "script_args": `["a"]`, "script": `"a"`, "docker_container_id": `"c"`, "shell": `"bash"`,
			"os_service": `"sshd"`, "alias_service": `"db"`, "alias_node": `"n"`, "interval": `"9s"`, "timeout": `"9s"`,
			"success_before_passing": "2", "failures_before_warning": "2", "failures_before_critical": "3",
			"deregister_critical_service_after": `"9m"`, "output_max_size": "100", "exposed_port": "1", "token": `"t"`,
			"namespace": `"n"`, "partition": `"p"`,
		},
	}
}

// effectOf decodes a service or a check with and without a field, and describes the field's effect.
func effectOf(of, name, value string) string {
	fields := map[string]string{"name": `"web"`}
	if of == "check" {
		fields = map[string]string{"name": `"c"`, "ttl": `"1s"`}
	}
	switch name { // fields that it needs, and fields that it excludes
	case "http", "tcp", "udp", "grpc", "h2ping", "os_service", "alias_service", "alias_node", "args", "script_args", "script":
		delete(fields, "ttl")
	case "docker_container_id":
		delete(fields, "ttl")
		fields["args"] = `["a"]`
	case "shell":
		delete(fields, "ttl")
		fields["script"] = `"a"`
	}
	decode := func() *content {
		var list []string
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			list = append(list, fmt.Sprintf("%q: %s", field, fields[field]))
		}
		text := fmt.Sprintf(`{"service": {"name": "web"}, %q: {%s}}`, of, strings.Join(list, ", "))
		if of == "service" {
			text = fmt.Sprintf(`{"service": {%s}}`, strings.Join(list, ", "))
		}
		c, _ := decodeText("a.json", text)
		return c
	}
	without := decode()
	fields[name] = value
	return compareContents(without, decode())
}

func compareContents(without, with *content) string {
	if len(with.problems) > 0 {
		return "refused"
	}
	warning := ""
	if len(with.warnings) > 0 {
		warning = ", warning"
	}
	plain := func(c *content) string {
		list := registrations(c.units())
		for i := range list {
			list[i].Instance.Extras = nil
		}
		return fmt.Sprintf("%+v %+v", list, nodeChecks(c.units()))
	}
	kept := func(c *content) string { return fmt.Sprintf("%+v", registrations(c.units())) }
	switch {
	case kept(without) == kept(with) && plain(without) == plain(with):
		return "left out" + warning
	case warning != "" || plain(without) == plain(with):
		return "kept" + warning
	}
	return "used"
}

var fieldRow = regexp.MustCompile("(?m)^\\| (`[a-z].*?`) \\| (service|check|service, check) \\| ([a-z, ]+) \\|")

// TestConsulFields compares the effect of each of Consul's fields with the guide.
func TestConsulFields(t *testing.T) {
	guide, err := os.ReadFile("../../docs/definition-files.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range fieldRow.FindAllStringSubmatch(string(guide), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			for of := range strings.SplitSeq(row[2], ", ") {
				documented[of+" "+strings.Trim(name, "`")] = row[3]
			}
		}
	}
	got := make(map[string]string)
	for of, fields := range consulFields() {
		for name, value := range fields {
			got[of+" "+name] = effectOf(of, name, value)
		}
	}
	if diff := cmp.Diff(documented, got); diff != "" {
		t.Errorf("fields (-guide +code):\n%s", diff)
	}
}

func TestDefaultsAreNotWarnedOf(t *testing.T) {
	c, err := decodeText("a.json", `{"service": {"name": "web", "enable_tag_override": false, "token": "", "kind": "",
		"check": {"ttl": "1s", "disable_redirects": false, "os_service": "", "tcp_use_tls": false, "token": ""}}}`)
	if err != nil || len(c.warnings) > 0 {
		t.Errorf("warnings %v, %v", c.warnings, err)
	}
}

// TestAgentSettings reads files that also hold settings of Consul's agent.
func TestAgentSettings(t *testing.T) {
	c, err := decodeText("consul.hcl", `
datacenter = "dc-a"
data_dir   = "/opt/x"
server     = false
ports { http = 8500 }
watches = [{ type = "checks", handler = "/usr/bin/x" }]
service {
  name = "web"
}
`)
	if err != nil || len(c.services) != 1 {
		t.Fatalf("services %v, %v", c.services, err)
	}
	want := []warning{{2, "datacenter"}, {3, "data_dir"}, {5, "ports"}, {6, "watches"}}
	if diff := cmp.Diff(want, c.warnings, cmp.AllowUnexported(warning{})); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestOneForSeveral holds that a mapping may stand for a list of one, and a list for one mapping.
func TestOneForSeveral(t *testing.T) {
	for _, text := range []string{
		`{"service": [{"name": "web", "check": [{"ttl": "1s"}]}]}`, `{"services": {"name": "web", "checks": {"ttl": "1s"}}}`,
	} {
		c, err := decodeText("a.json", text)
		if err != nil || len(c.services) != 1 || len(c.services[0].Checks) != 1 {
			t.Errorf("%s: %+v, %v", text, c.services, err)
		}
	}
}

// TestServiceAtTheTop holds that a check next to the misplaced fields of a service is not taken for one of the node.
func TestServiceAtTheTop(t *testing.T) {
	c, err := decodeText("a.json", `{"Name": "web", "Port": 80, "Check": {"name": "up", "ttl": "1s"}}`)
	if err == nil || len(c.units()) > 0 {
		t.Errorf("%+v, %v", c.units(), err)
	}
}
