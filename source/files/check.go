package files

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/koine-sd/koine/catalog"
)

// declaredCheck is a check as a file has it.
type declaredCheck struct {
	catalog.Check
	line, column int
	// service is the ID of the instance that a check at the file's top is for; empty means the node.
	service string
}

// unsupportedChecks returns the fields of Consul's checks that name a kind that Koine does not run, with that kind.
func unsupportedChecks() map[string]string {
	return map[string]string{
		"grpc": "grpc", "grpc_use_tls": "grpc", "udp": "udp", "h2ping": "h2ping", "h2ping_use_tls": "h2ping",
		"alias_node": "alias", "alias_service": "alias", "docker_container_id": "docker", "shell": "docker",
		"tcp_use_tls": "tcp with TLS", "os_service": "os_service",
	}
}

// check reads one check.
func (d *decoder) check(n *node) (declaredCheck, error) {
	c := declaredCheck{line: n.line, column: n.column}
	def := &c.Definition
	script := ""
	s := schema{
		"id": setText(&c.ID), "check_id": setText(&c.ID), "name": setText(&c.Name), "service_id": setText(&c.service),
		"notes": setText(new(string)), "type": setText((*string)(&def.Type)),
		"http": setText(&def.HTTP), "method": setText(&def.Method), "body": setText(&def.Body),
		"header": setHeader(def), "tls_server_name": setText(&def.TLSServerName),
		"tls_skip_verify": setBool(&def.TLSSkipVerify),
		"tcp":             setText(&def.TCP), "ttl": setDuration(&def.TTL),
		"args": setTexts(&def.Args), "script_args": setTexts(&def.Args), "script": setText(&script),
		"interval": setDuration(&def.Interval), "timeout": setDuration(&def.Timeout),
		"status": setStatus(&def.InitialStatus), "initial_status": setStatus(&def.InitialStatus),
		"success_before_passing":   setInt(&def.SuccessBeforePassing, maxThreshold),
		"failures_before_warning":  setInt(&def.FailuresBeforeWarning, maxThreshold),
		"failures_before_critical": setInt(&def.FailuresBeforeCritical, maxThreshold),
	}
	for _, name := range []string{"deregister_critical_service_after", "output_max_size", "disable_redirects"} {
		s[name] = d.warn(name)
	}
	for name, kind := range unsupportedChecks() {
		s[name] = refuseKind(kind)
	}
	if err := s.read("check", n); err != nil {
		return c, err
	}
	if script != "" {
		if def.Args != nil {
			return c, n.errorf("check has both script and args")
		}
		def.Args = []string{"sh", "-c", script}
	}
	if err := d.settleCheck(&c.Check); err != nil {
		return c, n.errorf("%v", err)
	}
	return c, nil
}

const maxThreshold = 1000

// settleCheck works out the check's type and looks at its target.
func (d *decoder) settleCheck(c *catalog.Check) error {
	if t := c.Type; t == catalog.CheckDocker {
		return errors.New("check is of type docker, which only Docker's own HEALTHCHECK is")
	}
	targets := 0
	for _, set := range []bool{c.HTTP != "", c.TCP != "", len(c.Args) > 0, c.TTL > 0} {
		if set {
			targets++
		}
	}
	if targets != 1 {
		return fmt.Errorf("check names %d of http, tcp, args, script and ttl: name one", targets)
	}
	c.InferType()
	if c.Type == catalog.CheckScript && !d.scripts {
		return errors.New("check runs a script: start koine with --enable-script-checks to allow that")
	}
	return checkTarget(&c.Definition)
}

func checkTarget(def *catalog.Definition) error {
	if def.HTTP != "" {
		if u, err := url.Parse(def.HTTP); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("http: %q is not a URL: write it as http://host:port/path", def.HTTP)
		}
	}
	if def.TCP != "" {
		if _, _, err := net.SplitHostPort(def.TCP); err != nil {
			return fmt.Errorf("tcp: %q is not an address: write it as host:port", def.TCP)
		}
	}
	return nil
}

func setHeader(def *catalog.Definition) setter {
	return setMap(func(name string, value *node) error {
		if def.Header == nil {
			def.Header = make(map[string][]string)
		}
		var values []string
		set := setTexts(&values)
		if value.scalar() {
			values = []string{value.text}
		} else if err := set(value); err != nil {
			return err
		}
		def.Header[name] = values
		return nil
	})
}

// refuseKind refuses a field that names a kind of check that is not run, unless it is empty or false.
func refuseKind(kind string) setter {
	return func(v *node) error {
		if v.kind == null || v.kind == text && v.text == "" || v.kind == boolean && v.text == "false" {
			return nil
		}
		return fmt.Errorf("checks of kind %s are not supported yet", kind)
	}
}
