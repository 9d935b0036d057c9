package docker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// wanted is one check as the settings describe it: by property, http, tcp, interval and so on.
type wanted struct {
	name  string
	props map[string]setting
}

// targets are the properties that name a check's target; the first one found counts.
var targets = [...]string{"http", "tcp", "udp", "grpc", "h2ping", "exec", "script", "ttl", "alias", "alias_node"}

// dockerCheck is the name of the check that Docker's HEALTHCHECK is.
const dockerCheck = "docker"

// memberChecks returns the checks of an instance: Docker's own, those of koine.check.*, and those of SERVICE_CHECK_*, which
// need the addresses to dial.
func (s *settings) memberChecks(
	c *container.InspectResponse, o options, i catalog.Instance, dial dialer, others func(dialer) []wanted,
) (checks []catalog.Check) {
	if check, ok := healthcheck(c, o.podman); ok {
		checks = append(checks, check)
	}
	all := s.koineChecks()
	for _, w := range others(dial) {
		if !slices.ContainsFunc(all, func(k wanted) bool { return k.name == w.name }) {
			all = append(all, w)
		}
	}
	for _, w := range all {
		if len(checks) == catalog.MaxChecks {
			s.warn("check "+w.name, "more than %d checks", catalog.MaxChecks)
			break
		}
		check, ok := s.check(w, dial, o)
		switch {
		case ok && len(i.ID)+1+len(check.ID) > catalog.MaxID:
			s.warn("check "+w.name, "longer than %d bytes with the instance's id", catalog.MaxID)
		case ok:
			checks = append(checks, check)
		}
	}
	return placeChecks(checks, &i)
}

// placeChecks assigns checks known by their names to an instance.
func placeChecks(checks []catalog.Check, i *catalog.Instance) []catalog.Check {
	for n := range checks {
		checks[n].ID = i.ID + ":" + checks[n].ID
		checks[n].Node, checks[n].Instance = i.Node, i.ID
	}
	return checks
}

// healthcheck returns Docker's HEALTHCHECK as a check with its status.
func healthcheck(c *container.InspectResponse, podman bool) (catalog.Check, bool) {
	health := c.State.Health
	if health == nil || health.Status == "" || health.Status == container.NoHealthcheck {
		return catalog.Check{}, false
	}
	check := catalog.Check{
		ID: dockerCheck, Name: "Docker HEALTHCHECK", Definition: catalog.Definition{Type: catalog.CheckDocker},
		Status: catalog.Critical,
	}
	if health.Status == container.Healthy {
		check.Status = catalog.Passing
	}
	if last := lastRun(c, health); last != nil {
		check.Output = cut(last.Output)
	}
	switch {
	case health.Status == container.Starting && check.Output == "":
		check.Output = catalog.OutputStarting
		if due := firstRun(c); !due.IsZero() && !podman {
			check.Output = catalog.OutputDue + due.UTC().Format(time.RFC3339)
		}
	case c.State.Paused && check.Status == catalog.Critical:
		check.Output = "paused: Docker does not run it" // Docker still shows the last outcome
	}
	return check, true
}

// probeInterval is Docker's interval between two runs of a HEALTHCHECK that names none.
const probeInterval = 30 * time.Second

// firstRun returns the time by which Docker runs a container's HEALTHCHECK first: after its interval, with a start period after the
// start interval, which engines before version 25 do not have. It is zero if it is not known. Koine does not run the command itself:
// it may take more than the container can spare at its start, and a socket proxy may refuse the call.
func firstRun(c *container.InspectResponse) time.Time {
	start, test := startTime(c), c.Config.Healthcheck
	if start.IsZero() || test == nil {
		return time.Time{}
	}
	if test.StartPeriod > 0 && test.StartInterval > 0 {
		return start.Add(test.StartInterval)
	}
	return start.Add(cmp.Or(test.Interval, probeInterval))
}

// lastRun returns the last run of a container's HEALTHCHECK; nil if there is none. Docker keeps the runs of before a restart, which say
// nothing of a container that is starting.
func lastRun(c *container.InspectResponse, health *container.Health) *container.HealthcheckResult {
	n := len(health.Log)
	if n == 0 || health.Log[n-1] == nil {
		return nil
	}
	last := health.Log[n-1]
	started, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if health.Status == container.Starting && err == nil && !last.Start.IsZero() && last.Start.Before(started) {
		return nil
	}
	return last
}

// cut shortens a check's output to what the catalog keeps and makes it UTF-8.
func cut(output string) string {
	return strings.ToValidUTF8(output[:min(len(output), catalog.MaxOutput)], "?")
}

// koineChecks sorts koine.check.<property> and koine.check.<name>.<property> by the check's name.
func (s *settings) koineChecks() (all []wanted) {
	byName := make(map[string]wanted)
	for _, key := range slices.Sorted(maps.Keys(s.koine)) {
		path, ok := strings.CutPrefix(key, "check.")
		if !ok {
			continue
		}
		name, property := "check", path
		if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
			name, property = path[:dot], path[dot+1:]
		}
		w, ok := byName[name]
		if !ok {
			w = wanted{name: name, props: make(map[string]setting)}
			byName[name] = w
		}
		w.props[property] = s.koine[key]
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if name == dockerCheck {
			s.warn("koine.check.docker", "the name is reserved for Docker's HEALTHCHECK")
			continue
		}
		all = append(all, byName[name])
	}
	return all
}

// registratorChecks returns the checks of SERVICE_CHECK_* for the main port and of SERVICE_<port>_CHECK_* for each port.
// The settings of a port take precedence over those of all ports.
func (s *settings) registratorChecks(ports []catalog.Port, dial dialer) (all []wanted) {
	if len(ports) == 0 {
		ports = []catalog.Port{{}}
	}
	done := make(map[uint16]bool)
	for n, p := range ports {
		own := checkSettings(s.ports[p.Number])
		if done[p.Number] || n > 0 && !hasTarget(own) {
			continue
		}
		done[p.Number] = true
		props := checkSettings(s.service)
		if hasTarget(own) {
			maps.DeleteFunc(props, func(key string, _ setting) bool { return registratorTarget(key) })
		}
		maps.Copy(props, own)
		name := "check"
		if n > 0 {
			name = "check-" + strconv.Itoa(int(p.Number))
		}
		if w, ok := s.registratorCheck(name, props, p.Number, dial); ok {
			all = append(all, w)
		}
	}
	return all
}

// checkSettings returns the check_* settings without that prefix.
func checkSettings(from map[string]setting) map[string]setting {
	props := make(map[string]setting)
	for key, v := range from {
		if name, ok := strings.CutPrefix(key, "check_"); ok {
			props[name] = v
		}
	}
	return props
}

// registratorTargets are listed in the order in which Registrator looks for them.
var registratorTargets = [...]string{"http", "https", "cmd", "script", "ttl", "tcp", "grpc"}

// registratorProperties are the properties besides the targets that mean the same in both.
var registratorProperties = [...]string{"interval", "timeout", "initial_status", "tls_skip_verify", "grpc_use_tls"}

func registratorTarget(key string) bool { return slices.Contains(registratorTargets[:], key) }

func hasTarget(props map[string]setting) bool {
	return slices.ContainsFunc(registratorTargets[:], func(key string) bool { return props[key].value != "" })
}

// registratorCheck translates Registrator's properties into koine's.
func (s *settings) registratorCheck(name string, props map[string]setting, port uint16, dial dialer) (wanted, bool) {
	w := wanted{name: name, props: make(map[string]setting)}
	set := func(key, value string, from setting) {
		from.value = value
		w.props[key] = from
	}
	for _, key := range registratorTargets {
		v := props[key]
		if v.value == "" {
			continue
		}
		at := ":" + strconv.Itoa(int(port))
		switch key {
		case "http", "https":
			set("http", key+"://"+at+"/"+strings.TrimPrefix(v.value, "/"), v)
			if method, ok := props[key+"_method"]; ok {
				w.props["method"] = method
			}
		case "tcp":
			if !truth(v.value) {
				return w, false
			}
			set("tcp", at, v)
		case "ttl":
			w.props["ttl"] = v
		case "cmd": // it runs in the container, where the port is the container's own
			set("exec", strings.ReplaceAll(v.value, "$SERVICE_PORT", at[1:]), v)
		case "script":
			set("script", dial.interpolate(v.value, port), v)
		case "grpc":
			if !truth(v.value) {
				return w, false
			}
			set("grpc", at, v)
		}
		for _, key := range registratorProperties {
			if v, ok := props[key]; ok {
				w.props[key] = v
			}
		}
		if _, ok := w.props["interval"]; !ok && s.registrator && key != "ttl" {
			set("interval", catalog.DefaultInterval.String(), v) // Registrator's default, too
		}
		return w, true
	}
	return w, false
}

// check makes a check of its wanted properties. A bad target drops the check, any other bad property only itself.
func (s *settings) check(w wanted, dial dialer, o options) (catalog.Check, bool) {
	check := catalog.Check{ID: w.name, Name: w.name}
	found := false
	for _, key := range targets {
		v, ok := w.props[key]
		if !ok || key == "alias_node" && check.AliasService != "" {
			continue
		}
		if found {
			s.warn(v.label, "check %s has another target already", w.name)
			continue
		}
		if err := setTarget(&check.Definition, key, v.value, dial, o); err != nil {
			s.warn(v.label, "%v", err)
			return check, false
		}
		found = true
	}
	for _, key := range slices.Sorted(maps.Keys(w.props)) {
		v := w.props[key]
		if err := setProperty(&check.Definition, key, v.value); errors.Is(err, errProperty) {
			s.warn(v.label, "%v%s", err, didYouMean("", key, properties))
		} else if err != nil {
			s.warn(v.label, "%v", err)
		}
	}
	if !found {
		if len(w.props) > 0 {
			s.warn("koine.check", "check %s does not say what to check: set one of %s", w.name, strings.Join(targets[:], ", "))
		}
		return check, false
	}
	if err := check.Validate(); err != nil {
		s.warn("check "+w.name, "%v", err)
		return check, false
	}
	return check, true
}

// errProperty is the error of setProperty for a property that does not exist; properties are those that do.
var errProperty = errors.New("no such property of a check")

var properties = append(targets[:],
	"interval", "timeout", "method", "disable_redirects", "tls_server_name", "tls_skip_verify", "udp_payload", "udp_reply",
	"tcp_use_tls", "grpc_use_tls", "h2ping_plain", "initial_status", "success_before_passing", "failures_before_warning",
	"failures_before_critical", "flap_threshold",
)

var errScripts = errors.New("script checks of containers are not enabled: they would run on the host")

func setTarget(d *catalog.Definition, key, value string, dial dialer, o options) (err error) {
	value = strings.TrimSpace(value)
	d.Type = catalog.CheckType(key)
	switch key {
	case "http":
		d.HTTP, err = dial.url(value)
	case "tcp":
		d.TCP, err = dial.hostPort(value)
	case "udp":
		d.UDP, err = udpTarget(dial, value)
	case "grpc":
		address, service, named := strings.Cut(value, "/")
		if d.GRPC, err = dial.hostPort(address); named {
			d.GRPC += "/" + service
		}
	case "h2ping":
		d.H2Ping, err = dial.hostPort(value)
	case "exec":
		d.Container = o.container
		d.Args, err = command(value)
	case "alias", "alias_node":
		d.Type = catalog.CheckAlias
		if value == "" {
			return errors.New("it names nothing")
		}
		if key == "alias" {
			d.AliasService = value
		}
	case "script":
		switch {
		case value == "":
			return errors.New("the script is empty")
		case !o.scripts:
			return errScripts
		}
		d.Args = []string{"/bin/sh", "-c", value}
	case "ttl":
		d.TTL, err = duration(value)
	}
	return err
}

// udpTarget completes a port or nothing to host:port, nothing with the first port of UDP if there is one.
func udpTarget(dial dialer, value string) (string, error) {
	if value == "" || value == "true" {
		for _, p := range dial.ports {
			if p.Protocol == "udp" {
				return dial.at(p.Number)
			}
		}
	}
	return dial.hostPort(value)
}

// command returns the command to run in a container: the words of a JSON list, for images without a shell, or a line for
// its shell.
func command(value string) (args []string, err error) {
	if !strings.HasPrefix(value, "[") {
		args = []string{"/bin/sh", "-c", value}
	} else if err := json.Unmarshal([]byte(value), &args); err != nil {
		return nil, errors.New("begins like a JSON list but is no list of strings")
	}
	if value == "" || len(args) == 0 || args[0] == "" {
		return nil, errors.New("the command is empty")
	}
	return args, nil
}

func setProperty(d *catalog.Definition, key, value string) (err error) {
	value = strings.TrimSpace(value)
	switch key {
	case "http", "tcp", "udp", "grpc", "h2ping", "exec", "script", "ttl", "alias":
	case "alias_node":
		d.AliasNode = value
	case "udp_payload":
		d.UDPPayload = value
	case "udp_reply":
		d.UDPReply = truth(value)
	case "disable_redirects":
		d.DisableRedirects = truth(value)
	case "tcp_use_tls":
		d.TCPUseTLS = truth(value)
	case "grpc_use_tls":
		d.GRPCUseTLS = truth(value)
	case "h2ping_plain":
		d.H2PingPlain = truth(value)
	case "tls_server_name":
		d.TLSServerName = value
	case "flap_threshold":
		d.FlapThreshold, err = threshold(value)
	case "interval":
		d.Interval, err = duration(value)
	case "timeout":
		d.Timeout, err = duration(value)
	case "method":
		d.Method = strings.ToUpper(value)
	case "tls_skip_verify":
		d.TLSSkipVerify = truth(value)
	case "initial_status":
		if !catalog.Status(value).Valid() {
			return fmt.Errorf("%q is not a status: use passing, warning or critical", value)
		}
		d.InitialStatus = catalog.Status(value)
	case "success_before_passing":
		d.SuccessBeforePassing, err = threshold(value)
	case "failures_before_warning":
		d.FailuresBeforeWarning, err = threshold(value)
	case "failures_before_critical":
		d.FailuresBeforeCritical, err = threshold(value)
	default:
		return errProperty
	}
	return err
}

func duration(text string) (catalog.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < catalog.MinInterval {
		return 0, fmt.Errorf("%q is not a duration of at least %v: write it as 10s or 1m30s", text, catalog.MinInterval)
	}
	return catalog.Duration(d), nil
}

func threshold(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1000 {
		return 0, fmt.Errorf("%q is not a number of 0 to 1000", text)
	}
	return n, nil
}
