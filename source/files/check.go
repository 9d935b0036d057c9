package files

import (
	"errors"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// declaredCheck is a check as a file declares it.
type declaredCheck struct {
	catalog.Check
	line, column int
	// service is the ID of the instance that a check at the file's top is for; empty means the node.
	service string
	// bad reports that it is in error and does not come into force.
	bad bool
}

// check reads one check. With an error it returns what could be read.
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
		return c, placed(n.line, n.column, err)
	}
	return c, nil
}

// scriptWords are the command for a script given as one text.
type scriptWords struct{ script, shell string }

// checkSchema returns the fields of a check, Koine's and Consul's.
func (d *decoder) checkSchema(c *declaredCheck, words *scriptWords) schema {
	def := &c.Definition
	s := schema{
		"id": setText(&c.ID), "check_id": setText(&c.ID), "name": setText(&c.Name), "service_id": setText(&c.service),
		"notes": setText(new(string)), "type": setText((*string)(&def.Type)),
		"http": setText(&def.HTTP), "method": setText(&def.Method), "body": setText(&def.Body),
		"header": setHeader(def), "tls_server_name": setText(&def.TLSServerName),
		"tls_skip_verify": setBool(&def.TLSSkipVerify), "disable_redirects": setBool(&def.DisableRedirects),
		"tcp": setText(&def.TCP), "tcp_use_tls": setBool(&def.TCPUseTLS), "ttl": setDuration(&def.TTL),
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
	// A check that a file declares exists while the file does: after a deregistration it would be back at once.
	for _, name := range []string{"deregister_after", "deregister_critical_service_after"} {
		s[name] = d.setAndWarn(name, setDuration(&def.DeregisterAfter))
	}
	for _, name := range []string{"output_max_size", "exposed_port", "token", "namespace", "partition"} {
		s[name] = d.warn(name)
	}
	s["os_service"] = refuseOSService
	for _, names := range [...][2]string{{"id", "check_id"}, {"args", "script_args"}, {"status", "initial_status"}, {"container", "docker_container_id"}} {
		s.oneOf(names[0], names[1])
	}
	return s
}

const maxThreshold = 1000

// settleCheck determines the check's type and validates its target.
func (d *decoder) settleCheck(c *catalog.Check) error {
	if t := c.Type; t == catalog.CheckDocker {
		return errors.New("check is of type docker, which only Docker's own HEALTHCHECK is")
	}
	if err := oneTarget(c); err != nil {
		return err
	}
	if c.Container != "" && len(c.Args) == 0 {
		return errors.New("check names a container, and no args to run in it")
	}
	c.InferType()
	if !d.scripts {
		switch c.Type {
		case catalog.CheckScript:
			return hinted(allowScripts, "check runs a script")
		case catalog.CheckExec:
			return hinted(allowScripts, "check runs a command in a container")
		}
	}
	return c.ValidateTarget()
}

const allowScripts = "start koine with --enable-script-checks to allow that"

// oneTarget returns an error unless the check has exactly one target.
func oneTarget(c *catalog.Check) error {
	var named []string
	for _, target := range []struct {
		field string
		set   bool
	}{
		{"http", c.HTTP != ""}, {"tcp", c.TCP != ""}, {"udp", c.UDP != ""}, {"grpc", c.GRPC != ""}, {"h2ping", c.H2Ping != ""},
		{"args or script", len(c.Args) > 0}, {"alias", c.AliasService != "" || c.AliasNode != ""}, {"ttl", c.TTL > 0},
	} {
		if target.set {
			named = append(named, target.field)
		}
	}
	switch len(named) {
	case 0:
		return hinted("add one of http, tcp, udp, grpc, h2ping, args, script, alias_service, alias_node and ttl",
			"check does not say what to check")
	case 1:
		return nil
	}
	return hinted("make a check of each", "check names %s and %s", strings.Join(named[:len(named)-1], ", "), named[len(named)-1])
}

// setNot takes the opposite of a boolean.
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

// setShell takes a shell, and keeps the default if the field is empty.
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

// refuseOSService refuses Consul's check of a service of the operating system, unless it names none: without the check,
// a failed service would count as healthy.
func refuseOSService(v *node) error {
	if v.unset() {
		return nil
	}
	return hinted("use args: [systemctl, is-active, --quiet, NAME] and --enable-script-checks",
		"services of the operating system cannot be checked")
}
