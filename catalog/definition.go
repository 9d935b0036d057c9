package catalog

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Definition defines how a check runs. Type decides which of the fields matter; a declaration may leave it out if the
// fields name exactly one target.
type Definition struct {
	Type CheckType `json:"type"`

	// HTTP is the URL to get: below 300 passes, 429 warns, all else is critical.
	HTTP string `json:"http,omitempty"`
	// Method is the HTTP method; empty means GET.
	Method string `json:"method,omitempty"`
	// Header is sent with the HTTP request.
	Header map[string][]string `json:"header,omitempty"`
	// Body is sent with the HTTP request.
	Body string `json:"body,omitempty"`

	// TCP is the host:port to connect to.
	TCP string `json:"tcp,omitempty"`
	// TCPUseTLS makes a TLS handshake with TCP, too, and verifies the server's certificate unless TLSSkipVerify is set.
	TCPUseTLS bool `json:"tcp_use_tls,omitempty"`
	// UDPReply makes silence critical; without it, a datagram that is not refused passes.
	UDPReply bool `json:"udp_reply,omitempty"`
	// GRPCUseTLS dials GRPC with TLS.
	GRPCUseTLS bool `json:"grpc_use_tls,omitempty"`
	// H2PingPlain speaks HTTP/2 to H2Ping without TLS.
	H2PingPlain bool `json:"h2ping_plain,omitempty"`

	// DisableRedirects makes a redirect the answer to an HTTP request.
	DisableRedirects bool `json:"disable_redirects,omitempty"`
	// TLSSkipVerify accepts any certificate of the server.
	TLSSkipVerify bool `json:"tls_skip_verify,omitempty"`
	// TLSServerName is the name expected in it; empty means the host that is dialled.
	TLSServerName string `json:"tls_server_name,omitempty"`

	// UDP is the host:port to send a datagram to: an answer passes, "port unreachable" is critical.
	UDP string `json:"udp,omitempty"`
	// UDPPayload is the content of the datagram; empty means one line feed.
	UDPPayload string `json:"udp_payload,omitempty"`

	// GRPC is the host:port of a server with gRPC's health service, or host:port/name for one service of it.
	GRPC string `json:"grpc,omitempty"`

	// H2Ping is the host:port of an HTTP/2 server that a PING is sent to.
	H2Ping string `json:"h2ping,omitempty"`

	// Args is the script's command: exit code 0 passes, 1 warns, all else is critical.
	Args []string `json:"args,omitempty"`
	// Container is the id or name of the container that Args run in; empty means the host.
	Container string `json:"container,omitempty"`

	// AliasService is the ID of the instance, or the name of the service, whose status the check takes.
	AliasService string `json:"alias_service,omitempty"`
	// AliasNode is the node that AliasService is on or, without AliasService, the node whose status the check takes.
	AliasNode string `json:"alias_node,omitempty"`

	// TTL is the time for which a status pushed by the application holds; after it the check turns critical.
	TTL Duration `json:"ttl,omitzero"`

	// Interval is the time between two runs; 0 means DefaultInterval. It does not apply to TTL, alias and Docker checks.
	Interval Duration `json:"interval,omitzero"`
	// Timeout bounds one run; 0 means DefaultTimeout.
	Timeout Duration `json:"timeout,omitzero"`
	// SuccessBeforePassing is the number of successes in a row that turn the check passing; 0 means 1.
	SuccessBeforePassing int `json:"success_before_passing,omitempty"`
	// FailuresBeforeWarning is the number of failures in a row that turn the check warning; 0 means never before critical.
	FailuresBeforeWarning int `json:"failures_before_warning,omitempty"`
	// FailuresBeforeCritical is the number of failures in a row that turn the check critical; 0 means 1.
	FailuresBeforeCritical int `json:"failures_before_critical,omitempty"`
	// InitialStatus is the status until the first run; empty means critical.
	InitialStatus Status `json:"initial_status,omitempty"`
	// FlapThreshold is the flap score in percent from which the check is held critical until the score has fallen below
	// half of it; 0 means never.
	FlapThreshold int `json:"flap_threshold,omitempty"`
	// DeregisterAfter is the time that the check is critical before its instance is deregistered; 0 means for ever.
	DeregisterAfter Duration `json:"deregister_after,omitzero"`
}

// targets returns the types whose targets are set, in the order of the constants. Those of script and exec exclude each
// other.
func (d *Definition) targets() (found []CheckType) {
	for _, t := range []struct {
		kind CheckType
		set  bool
	}{
		{CheckHTTP, d.HTTP != ""}, {CheckTCP, d.TCP != ""}, {CheckUDP, d.UDP != ""}, {CheckGRPC, d.GRPC != ""},
		{CheckH2Ping, d.H2Ping != ""}, {CheckScript, len(d.Args) > 0 && d.Container == ""},
		{CheckExec, len(d.Args) > 0 && d.Container != ""},
		{CheckAlias, d.AliasService != "" || d.AliasNode != ""}, {CheckTTL, d.TTL > 0},
	} {
		if t.set {
			found = append(found, t.kind)
		}
	}
	return found
}

// InferType sets Type where a declaration left it out and exactly one target is set.
func (d *Definition) InferType() {
	if found := d.targets(); d.Type == "" && len(found) == 1 {
		d.Type = found[0]
	}
}

func (d *Definition) validate(noun string) error {
	switch d.Type {
	case CheckHTTP, CheckTCP, CheckUDP, CheckGRPC, CheckH2Ping, CheckScript, CheckExec, CheckAlias, CheckTTL:
		if !slices.Contains(d.targets(), d.Type) {
			return Errorf(KindInvalid, "%s is of type %s but does not say what to check", noun, d.Type)
		}
	case CheckDocker:
	default:
		return Errorf(KindInvalid, "%s has type %q", noun, d.Type).
			WithHint("set one of http, tcp, udp, grpc, h2ping, args, alias_service, alias_node and ttl")
	}
	if err := d.validateTexts(noun); err != nil {
		return err
	}
	if bad := d.badTarget(); bad != nil {
		return Errorf(KindInvalid, "%s: %s", noun, bad.Message).WithHint("%s", bad.Hint)
	}
	if err := d.validateRequest(noun); err != nil {
		return err
	}
	if err := d.validateTimes(noun); err != nil {
		return err
	}
	return d.validateThresholds(noun)
}

// validateRequest checks the parts of an HTTP request, which would otherwise fail at each run.
func (d *Definition) validateRequest(noun string) error {
	if d.Method != "" && !isToken(d.Method) {
		return Errorf(KindInvalid, "%s has the method %.30q, which HTTP does not allow", noun, d.Method).WithHint("use GET, or another word")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Header)) {
		values := d.Header[name]
		if !isToken(name) {
			return Errorf(KindInvalid, "%s has the header %.60q, a name that HTTP does not allow", noun, name).
				WithHint("use letters, digits and '-'")
		}
		if slices.ContainsFunc(values, hasControl) {
			return Errorf(KindInvalid, "%s has header %s with a control character in its value", noun, name)
		}
		if err := validateHeader(noun, strings.ToLower(name), values); err != nil {
			return err
		}
	}
	return nil
}

// validateHeader checks a header that the request gives a meaning of its own. Its name is in lower case.
func validateHeader(noun, name string, values []string) error {
	switch name {
	case "content-length", "transfer-encoding", "trailer":
		return Errorf(KindInvalid, "%s has the header %s, which follows from its body", noun, name).WithHint("leave it out")
	case "host":
		if len(values) != 1 || !validURL("http://"+values[0]) || strings.ContainsAny(values[0], "/?#@") {
			return Errorf(KindInvalid, "%s has the header host with %.300q, which is not one host", noun, values).
				WithHint("give it one name or address, with a port if it needs one")
		}
	}
	return nil
}

// isToken reports whether text is a token, which methods and names of fields are (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool {
		return r > '~' || !nameByte(byte(r)) && !strings.ContainsRune("!#$%&'*+.^`|~", r)
	}) < 0
}

// hasControl reports whether the value of a field has a control character other than a tab (RFC 9110, section 5.5).
func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func (d *Definition) validateTimes(noun string) error {
	for _, t := range []struct {
		name              string
		is                Duration
		shortest, longest time.Duration
	}{
		{"interval", d.Interval, MinInterval, math.MaxInt64},
		{"timeout", d.Timeout, 1, MaxTimeout},
		{"ttl", d.TTL, 1, MaxCheckTTL},
	} {
		switch is := time.Duration(t.is); {
		case is < 0:
			return Errorf(KindInvalid, "%s has the %s %v, which is negative", noun, t.name, is)
		case is != 0 && is < t.shortest:
			return Errorf(KindInvalid, "%s has the %s %v: at least %v is allowed", noun, t.name, is, t.shortest)
		case is > t.longest:
			return Errorf(KindInvalid, "%s has the %s %v: at most %v is allowed", noun, t.name, is, t.longest)
		}
	}
	return nil
}

func (d *Definition) validateThresholds(noun string) error {
	if d.SuccessBeforePassing < 0 || d.FailuresBeforeWarning < 0 || d.FailuresBeforeCritical < 0 {
		return Errorf(KindInvalid, "%s has a negative threshold", noun)
	}
	if d.FlapThreshold < 0 || d.FlapThreshold > 100 {
		return Errorf(KindInvalid, "%s has a flap_threshold of %d: 0 to 100 percent are allowed", noun, d.FlapThreshold)
	}
	if d.FlapThreshold > 0 && (d.Type == CheckAlias || d.Type == CheckDocker) {
		return Errorf(KindInvalid, "%s is of type %s, which has no flap_threshold", noun, d.Type).
			WithHint("set it where the check is run")
	}
	if d.DeregisterAfter != 0 && d.DeregisterAfter < Duration(MinDeregisterAfter) {
		return Errorf(KindInvalid, "%s has a deregister_after of %v: at least %v is allowed", noun, d.DeregisterAfter,
			MinDeregisterAfter)
	}
	return nil
}

func (d *Definition) validateTexts(noun string) error {
	texts := append([]string{
		d.HTTP, d.Method, d.Body, d.TCP, d.UDP, d.UDPPayload, d.GRPC, d.H2Ping, d.TLSServerName, d.Container,
		d.AliasService, d.AliasNode,
	}, d.Args...)
	for key, values := range d.Header {
		texts = append(append(texts, key), values...)
	}
	size := 0
	for _, text := range texts {
		size += len(text)
		if !utf8.ValidString(text) {
			return Errorf(KindInvalid, "%s has a definition with %.20q, which is not UTF-8", noun, text)
		}
	}
	if size > MaxText {
		return Errorf(KindInvalid, "%s has a definition of %d bytes: %d are allowed", noun, size, MaxText)
	}
	return nil
}
