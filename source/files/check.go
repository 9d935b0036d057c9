package files

import (
	"errors"
	"fmt"

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
		"tcp_use_tls": "tcp with TLS", "os_service": "os_service",
	}
}

// check reads one check.
func (d *decoder) check(n *node) (declaredCheck, error) {
	c := declaredCheck{line: n.line, column: n.column}
	def := &c.Definition
	words := scriptWords{shell: "sh"}
	if err := d.checkSchema(&c, &words).read("check", n); err != nil {
		return c, err
	}
	if words.script != "" {
		if def.Args != nil {
			return c, n.errorf("check has both script and args")
		}
		def.Args = []string{words.shell, "-c", words.script}
	}
	if err := d.settleCheck(&c.Check); err != nil {
		return c, n.errorf("%v", err)
	}
	return c, nil
}

// scriptWords are what a script in one text is made into a command of.
type scriptWords struct{ script, shell string }

// checkSchema returns the fields of a check, Koine's and Consul's.
func (d *decoder) checkSchema(c *declaredCheck, words *scriptWords) schema {
	def := &c.Definition
	s := schema{
		"id": setText(&c.ID), "check_id": setText(&c.ID), "name": setText(&c.Name), "service_id": setText(&c.service),
		"notes": setText(new(string)), "type": setText((*string)(&def.Type)),
		"http": setText(&def.HTTP), "method": setText(&def.Method), "body": setText(&def.Body),
		"header": setHeader(def), "tls_server_name": setText(&def.TLSServerName),
		"tls_skip_verify": setBool(&def.TLSSkipVerify),
		"tcp":             setText(&def.TCP), "ttl": setDuration(&def.TTL),
		"udp": setText(&def.UDP), "udp_payload": setText(&def.UDPPayload), "udp_reply": setBool(&def.UDPReply),
		"grpc": setText(&def.GRPC), "grpc_use_tls": setBool(&def.GRPCUseTLS),
		"h2ping": setText(&def.H2Ping), "h2ping_plain": setBool(&def.H2PingPlain), "h2ping_use_tls": setNot(&def.H2PingPlain),
		"alias_service": setText(&def.AliasService), "alias_node": setText(&def.AliasNode),
		"args": setTexts(&def.Args), "script_args": setTexts(&def.Args), "script": setText(&words.script),
		"container": setText(&def.Container), "docker_container_id": setText(&def.Container), "shell": setShell(&words.shell),
		"interval": setDuration(&def.Interval), "timeout": setDuration(&def.Timeout),
		"status": setStatus(&def.InitialStatus), "initial_status": setStatus(&def.InitialStatus),
		"success_before_passing":   setInt(&def.SuccessBeforePassing, maxThreshold),
		"failures_before_warning":  setInt(&def.FailuresBeforeWarning, maxThreshold),
		"failures_before_critical": setInt(&def.FailuresBeforeCritical, maxThreshold),
		"flap_threshold":           setInt(&def.FlapThreshold, 100),
	}
	// What a file declares is there while the file is: it would be back at once.
	for _, name := range []string{"deregister_after", "deregister_critical_service_after"} {
		s[name] = d.setAndWarn(name, setDuration(&def.DeregisterAfter))
	}
	for _, name := range []string{"output_max_size", "disable_redirects"} {
		s[name] = d.warn(name)
	}
	for name, kind := range unsupportedChecks() {
		s[name] = refuseKind(kind)
	}
	return s
}

const maxThreshold = 1000

// settleCheck works out the check's type and looks at its target.
func (d *decoder) settleCheck(c *catalog.Check) error {
	if t := c.Type; t == catalog.CheckDocker {
		return errors.New("check is of type docker, which only Docker's own HEALTHCHECK is")
	}
	targets := 0
	for _, set := range []bool{
		c.HTTP != "", c.TCP != "", c.UDP != "", c.GRPC != "", c.H2Ping != "", len(c.Args) > 0,
		c.AliasService != "" || c.AliasNode != "", c.TTL > 0,
	} {
		if set {
			targets++
		}
	}
	if targets != 1 {
		return fmt.Errorf("check names %d of http, tcp, udp, grpc, h2ping, args, script, alias and ttl: name one", targets)
	}
	if c.Container != "" && len(c.Args) == 0 {
		return errors.New("check names a container, and no args to run in it")
	}
	c.InferType()
	if !d.scripts {
		switch c.Type {
		case catalog.CheckScript:
			return errors.New("check runs a script: start koine with --enable-script-checks to allow that")
		case catalog.CheckExec:
			return errors.New("check runs a command in a container: start koine with --enable-script-checks to allow that")
		}
	}
	return c.ValidateTarget()
}

// setNot takes the opposite of a truth.
func setNot(to *bool) setter {
	return func(v *node) error {
		var is bool
		if err := setBool(&is)(v); err != nil || v.kind == null {
			return err
		}
		*to = !is
		return nil
	}
}

// setShell takes a shell, and keeps the one there is where the field is empty.
func setShell(to *string) setter {
	return func(v *node) error {
		var shell string
		if err := setText(&shell)(v); err != nil || shell == "" {
			return err
		}
		*to = shell
		return nil
	}
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
