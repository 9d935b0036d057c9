package catalog

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func valid() NodeState {
	return NodeState{
		Node: Node{Name: "n1", Owner: Owner{Kind: OwnerSession, TTL: Duration(10 * time.Second)}},
		Registrations: []Registration{{
			Instance: Instance{
				ID: "web-1", Node: "n1", Service: "web", Ports: []Port{{Name: "http", Number: 80, Protocol: "tcp"}},
				Addresses: []Address{{IP: netip.MustParseAddr("10.0.0.1")}, {Host: "web.example.com."}},
				Tags:      []string{"blue"}, Meta: map[string]string{"k": "v"},
			},
			Checks: []Check{{ID: "c", Definition: Definition{Type: CheckHTTP, HTTP: "http://10.0.0.1/", Header: map[string][]string{"A": {"b"}}}}},
		}},
		Checks: []Check{{ID: "disk", Definition: Definition{Type: CheckScript, Args: []string{"df"}}}},
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	tests := []struct {
		name string
		edit func(s *NodeState, i *Instance, c *Check)
		want string // part of the error; empty if valid
	}{
		{"as it is", func(*NodeState, *Instance, *Check) {}, ""},
		{"underscore in a name", func(_ *NodeState, i *Instance, _ *Check) { i.Service = "my_web-2" }, ""},
		{"no service", func(_ *NodeState, i *Instance, _ *Check) { i.Service = "" }, "service has no name"},
		{"a dot in a name", func(_ *NodeState, i *Instance, _ *Check) { i.Service = "a.b" }, `has '.' at byte 1: use letters`},
		{"a name of a dash", func(_ *NodeState, i *Instance, _ *Check) { i.Service = "-" }, "begins or ends with '-'"},
		{"a long name", func(_ *NodeState, i *Instance, _ *Check) { i.Service = long[:64] }, "has 64 bytes: 63 are allowed"},
		{"no id", func(_ *NodeState, i *Instance, _ *Check) { i.ID = "" }, "instance has no id"},
		{"a long id", func(_ *NodeState, i *Instance, _ *Check) { i.ID = long[:256] }, "255 are allowed"},
		{"an id with a newline", func(_ *NodeState, i *Instance, _ *Check) { i.ID = "a\nb" }, "control character at byte 1"},
		{"an id that is not text", func(_ *NodeState, i *Instance, _ *Check) { i.ID = "\xff" }, "not UTF-8"},
		{"no node", func(_ *NodeState, i *Instance, _ *Check) { i.Node = "" }, "node has no name"},
		{"weight", func(_ *NodeState, i *Instance, _ *Check) { i.Weight = -1 }, "weight -1: 0 to 65535"},
		{"min_healthy", func(_ *NodeState, i *Instance, _ *Check) { i.MinHealthy = 101 }, "min_healthy of 101: 0 to 100 percent"},
		{"a limit", func(_ *NodeState, i *Instance, _ *Check) { i.DNSLimit = MaxDNSLimit }, ""},
		{"a limit below 0", func(_ *NodeState, i *Instance, _ *Check) { i.DNSLimit = -1 }, "dns_limit of -1: 1 to 4096 are allowed: leave it out"},
		{"a limit that is too large", func(_ *NodeState, i *Instance, _ *Check) { i.DNSLimit = 4097 }, "dns_limit of 4097: 1 to 4096"},
		{"long drain", func(_ *NodeState, i *Instance, _ *Check) { i.Drain = long }, "drain reason"},
		{"port 0", func(_ *NodeState, i *Instance, _ *Check) { i.Ports[0].Number = 0 }, "has port http without a number: give one from 1 to 65535"},
		{"unnamed port 0", func(_ *NodeState, i *Instance, _ *Check) { i.Ports[0] = Port{} }, "has a port without a number"},
		{"two ports of one name", func(_ *NodeState, i *Instance, _ *Check) {
			i.Ports = append(i.Ports, Port{Name: "HTTP", Number: 81})
		}, "two ports named HTTP"},
		{"two protocols of one name", func(_ *NodeState, i *Instance, _ *Check) {
			i.Ports = append(i.Ports, Port{Name: "http", Number: 80, Protocol: "udp"})
		}, ""},
		{"port protocol", func(_ *NodeState, i *Instance, _ *Check) { i.Ports[0].Protocol = "icmp" }, "use tcp, udp or sctp"},
		{"port name", func(_ *NodeState, i *Instance, _ *Check) { i.Ports[0].Name = "a b" }, "port name"},
		{"many ports", func(_ *NodeState, i *Instance, _ *Check) { i.Ports = make([]Port, 129) }, "129 ports: 128"},
		{"empty address", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0] = Address{} }, "neither or both"},
		{"bad host", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = "a..b" }, "not a host name"},
		{"long host", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = long }, "not a host name"},
		{"bad network", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].Network = "\x00" }, "control character"},
		{"many addresses", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses = make([]Address, 65) }, "65 addresses: 64"},
		{"many tags", func(_ *NodeState, i *Instance, _ *Check) { i.Tags = make([]string, 65) }, "65 tags: 64"},
		{"long tag", func(_ *NodeState, i *Instance, _ *Check) { i.Tags[0] = long }, "255 are allowed"},
		{"much meta", func(_ *NodeState, i *Instance, _ *Check) {
			for n := range 65 {
				i.Meta[fmt.Sprint(n)] = ""
			}
		}, "meta pairs: 64"},
		{"empty meta key", func(_ *NodeState, i *Instance, _ *Check) { i.Meta[""] = "" }, "empty meta key"},
		{"long meta key", func(_ *NodeState, i *Instance, _ *Check) { i.Meta[long] = "" }, "128 are allowed"},
		{"long meta value", func(_ *NodeState, i *Instance, _ *Check) { i.Meta["k"] = long }, "meta k of 100000 bytes: 4096 are allowed"},
		{"meta that is not text", func(_ *NodeState, i *Instance, _ *Check) { i.Meta["k"] = "\xff" }, "meta k that is not UTF-8"},
		{"no IPv4 address", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = "10.0.0.256" }, "neither an IP address nor a host name"},
		{"another", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = "999.1.1.1" }, "neither an IP address nor a host name"},
		{"a short one", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = "10.0.0" }, "neither an IP address nor a host name"},
		{"a hexadecimal one", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = "0x7f.1" }, "neither an IP address nor a host name"},
		{"a number", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[1].Host = "10" }, "neither an IP address nor a host name"},
		{"address 0.0.0.0", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("0.0.0.0") }, "no client can reach"},
		{"node at 0.0.0.0", func(s *NodeState, _ *Instance, _ *Check) {
			s.Node.Addresses = []Address{{IP: netip.MustParseAddr("0.0.0.0")}}
		}, "no client can reach"},
		{"address ::", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("::") }, "no client can reach"},
		{"address ::ffff:0.0.0.0", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("::ffff:0.0.0.0") }, "no client can reach"},
		{"address 255.255.255.255", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("255.255.255.255") }, "not that of one host"},
		{"address 224.0.0.1", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("224.0.0.1") }, "not that of one host"},
		{"address ff02::1", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("ff02::1") }, "not that of one host"},
		{"address ::1%eth0", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("::1%eth0") }, "zone eth0"},
		{"address 127.0.0.1", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("127.0.0.1") }, ""},
		{"address fe80::1", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].IP = netip.MustParseAddr("fe80::1") }, ""},
		{"a name beyond ASCII", func(_ *NodeState, i *Instance, _ *Check) { i.Service = "café" }, "has 'é' at byte 3"},
		{"id ..", func(_ *NodeState, i *Instance, _ *Check) { i.ID = ".." }, "another meaning in URLs"},
		{"id with a slash", func(_ *NodeState, i *Instance, _ *Check) { i.ID = "team/web" }, ""},
		{"id that turns its text around", func(_ *NodeState, i *Instance, _ *Check) { i.ID = "a\u202eb" }, "control character at byte 1"},
		{"id with what cannot be seen", func(_ *NodeState, i *Instance, _ *Check) { i.ID = "a\u200bb" }, "invisible character at byte 1"},
		{"tag with a control character of ISO 8859", func(_ *NodeState, i *Instance, _ *Check) { i.Tags[0] = "a\u009bb" }, "control character"},
		{"empty tag", func(_ *NodeState, i *Instance, _ *Check) { i.Tags[0] = "" }, "an empty tag"},
		{"tag twice", func(_ *NodeState, i *Instance, _ *Check) { i.Tags = []string{"a", "b", "a"} }, `tag "a" twice`},
		{"method", func(_ *NodeState, _ *Instance, c *Check) { c.Method = "A B" }, `method "A B"`},
		{"method of WebDAV", func(_ *NodeState, _ *Instance, c *Check) { c.Method = "M-SEARCH" }, ""},
		{"method beyond ASCII", func(_ *NodeState, _ *Instance, c *Check) { c.Method = "GÉT" }, "which HTTP does not allow"},
		{"header value with a tab", func(_ *NodeState, _ *Instance, c *Check) { c.Header = map[string][]string{"X-A_b.c": {"é\tb"}} }, ""},
		{"header name", func(_ *NodeState, _ *Instance, c *Check) { c.Header = map[string][]string{"A\r\nB": {"c"}} }, "a name that HTTP does not allow"},
		{"empty header name", func(_ *NodeState, _ *Instance, c *Check) { c.Header = map[string][]string{"": {"c"}} }, "a name that HTTP does not allow"},
		{"header value", func(_ *NodeState, _ *Instance, c *Check) { c.Header = map[string][]string{"A": {"b", "c\r\nd"}} }, "header A with a control character"},
		{"short interval", func(_ *NodeState, _ *Instance, c *Check) { c.Interval = 1 }, "the interval 1ns: at least 10ms"},
		{"negative ttl", func(_ *NodeState, _ *Instance, c *Check) { c.TTL = -1 }, "the ttl -1ns, which is negative"},
		{"long timeout", func(_ *NodeState, _ *Instance, c *Check) { c.Timeout = Duration(1000 * time.Hour) }, "the timeout 1000h0m0s: at most 1h0m0s"},
		{"much extra", func(_ *NodeState, i *Instance, _ *Check) {
			i.Extras = map[string]json.RawMessage{"x": json.RawMessage(long)}
		}, "bytes of extras"},
		{"extra that is not JSON", func(_ *NodeState, i *Instance, _ *Check) {
			i.Extras = map[string]json.RawMessage{"x": json.RawMessage("{")}
		}, "extra x that is not JSON"},
		{"long source", func(_ *NodeState, i *Instance, _ *Check) { i.Source = long }, "255 are allowed"},
		{"long owner", func(_ *NodeState, i *Instance, _ *Check) { i.Owner.ID = long }, "255 are allowed"},
		{"zone that is not text", func(_ *NodeState, i *Instance, _ *Check) { i.Locality.Zone = "\xff" }, "not UTF-8"},
		{"long network", func(_ *NodeState, i *Instance, _ *Check) { i.Addresses[0].NetworkID = long }, "255 are allowed"},
		{"check without id", func(_ *NodeState, _ *Instance, c *Check) { c.ID = "" }, "check has no id"},
		{"check type", func(_ *NodeState, _ *Instance, c *Check) { c.Type = "" }, "set one of http, tcp, udp"},
		{"check target", func(_ *NodeState, _ *Instance, c *Check) { c.HTTP = "" }, "does not say what to check"},
		{"check status", func(_ *NodeState, _ *Instance, c *Check) { c.Status = "up" }, "use passing, warning or critical"},
		{"check initial status", func(_ *NodeState, _ *Instance, c *Check) { c.InitialStatus = "up" }, "use passing, warning or critical"},
		{"check output", func(_ *NodeState, _ *Instance, c *Check) { c.Output = long }, "bytes of output"},
		{"check name", func(_ *NodeState, _ *Instance, c *Check) { c.Name = "\x01" }, "control character"},
		{"check definition", func(_ *NodeState, _ *Instance, c *Check) { c.Args = []string{long} }, "definition of"},
		{"check definition that is not text", func(_ *NodeState, _ *Instance, c *Check) { c.Args = []string{"\xff"} }, "not UTF-8"},
		{"check header that is not text", func(_ *NodeState, _ *Instance, c *Check) { c.Header["A"][0] = "\xff" }, "not UTF-8"},
		{"check interval", func(_ *NodeState, _ *Instance, c *Check) { c.Interval = 1 }, "at least 10ms"},
		{"check threshold", func(_ *NodeState, _ *Instance, c *Check) { c.FailuresBeforeCritical = -1 }, "negative threshold"},
		{"many checks", func(s *NodeState, _ *Instance, _ *Check) { s.Checks = make([]Check, 33) }, "33 checks: 32"},
		{"check twice", func(s *NodeState, _ *Instance, c *Check) { s.Checks[0].ID = c.ID }, "check c twice"},
		{"instance twice", func(s *NodeState, _ *Instance, _ *Check) {
			s.Registrations = append(s.Registrations, s.Registrations[0])
		}, "web-1 twice"},
		{"many instances", func(s *NodeState, _ *Instance, _ *Check) { s.Registrations = make([]Registration, 10_001) }, "10001 instances: 10000"},
		{"node name", func(s *NodeState, _ *Instance, _ *Check) { s.Node.Name = "a b" }, "node name"},
		{"node owner", func(s *NodeState, _ *Instance, _ *Check) { s.Node.Owner.Kind = OwnerLease }, "only a session or permanent"},
		{"node session", func(s *NodeState, _ *Instance, _ *Check) { s.Node.Owner.TTL = 0 }, "session of 0s: 1s to 24h"},
		{"node id", func(s *NodeState, _ *Instance, _ *Check) { s.Node.ID = long }, "255 are allowed"},
		{"node region", func(s *NodeState, _ *Instance, _ *Check) { s.Node.Locality.Region = long }, "255 are allowed"},
		{"node purge", func(s *NodeState, _ *Instance, _ *Check) { s.Node.PurgeAfter = -1 }, "purge_after of -1ns"},
		{"node address", func(s *NodeState, _ *Instance, _ *Check) { s.Node.Addresses = []Address{{}} }, "neither or both"},
		{"permanent node", func(s *NodeState, _ *Instance, _ *Check) { s.Node.Owner = Owner{Kind: OwnerPermanent} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := valid()
			tt.edit(&s, &s.Registrations[0].Instance, &s.Registrations[0].Checks[0])
			err := s.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || KindOf(err) != KindInvalid || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestSanitizeName(t *testing.T) {
	for text, want := range map[string]string{
		"web": "web", "my.web/app": "my-web-app", "..a..": "a", "": "", "---": "", "Ü": "", "a_b-": "a_b",
		strings.Repeat("x", 70): strings.Repeat("x", 63), strings.Repeat("y", 62) + "..": strings.Repeat("y", 62),
	} {
		got := SanitizeName(text)
		if got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if got != "" && ValidateName("x", got) != nil {
			t.Errorf("%q becomes %q, which is not valid", text, got)
		}
	}
}

func FuzzSanitizeName(f *testing.F) {
	f.Add("my.web/app")
	f.Fuzz(func(t *testing.T, text string) {
		if name := SanitizeName(text); name != "" {
			if err := ValidateName("service", name); err != nil {
				t.Errorf("%q becomes %q: %v", text, name, err)
			}
		}
	})
}

func TestInferType(t *testing.T) {
	for _, tt := range []struct {
		d    Definition
		want CheckType
	}{
		{Definition{HTTP: "x"}, CheckHTTP}, {Definition{TCP: "x"}, CheckTCP}, {Definition{Args: []string{"x"}}, CheckScript},
		{Definition{TTL: 1}, CheckTTL}, {Definition{TTL: 1, TCP: "x"}, ""}, {Definition{}, ""},
		{Definition{Type: CheckDocker, TCP: "x"}, CheckDocker},
	} {
		tt.d.InferType()
		if tt.d.Type != tt.want {
			t.Errorf("%+v, want type %q", tt.d, tt.want)
		}
	}
}

func TestJSONForms(t *testing.T) {
	i := valid().Registrations[0].Instance
	i.Owner = Owner{Kind: OwnerLease, ID: "7", TTL: Duration(90 * time.Second)}
	raw, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"ttl":"1m30s"`, `"ip":"10.0.0.1"`, `"host":"web.example.com."`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("%s lacks %s", raw, part)
		}
	}
	if strings.Contains(string(raw), "locality") || strings.Contains(string(raw), `"ip":""`) {
		t.Errorf("%s holds empty fields", raw)
	}
	var back Instance
	if err := json.Unmarshal(raw, &back); err != nil || !back.Equal(&i) {
		t.Errorf("comes back as %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"owner":{"ttl":"soon"}}`), &back); err == nil || !strings.Contains(err.Error(), "10s") {
		t.Errorf("bad duration: %v, want an example", err)
	}
}

func TestErrors(t *testing.T) {
	err := Errorf(KindConflict, "instance %s is taken", "a").WithHint("choose %s", "b")
	if got := err.Error(); got != "instance a is taken: choose b" {
		t.Error(got)
	}
	if got := KindOf(fmt.Errorf("register: %w", err)); got != KindConflict {
		t.Errorf("kind %v", got)
	}
	if got := KindOf(fmt.Errorf("plain")); got != KindInternal {
		t.Errorf("kind %v", got)
	}
	seen := make(map[string]bool)
	for kind := KindInternal; kind <= KindUnavailable; kind++ {
		seen[kind.String()] = true
	}
	if len(seen) != 7 {
		t.Errorf("kinds are called %v, want 7 names", seen)
	}
}

func TestSmallValues(t *testing.T) {
	if got := (Port{Number: 1}).Transport(); got != "tcp" {
		t.Error(got)
	}
	if got := (Port{Number: 1, Protocol: "udp"}).Transport(); got != "udp" {
		t.Error(got)
	}
	if got := (Address{}).String(); got != "" {
		t.Error(got)
	}
	if got := (Address{IP: netip.MustParseAddr("::1")}).String(); got != "::1" {
		t.Error(got)
	}
	if Passing.Worse(Warning) != Warning || Warning.Worse(Passing) != Warning || Passing.Worse("odd").Worse(Warning) != "odd" {
		t.Error("the worse status is not the worse one")
	}
	if !(Owner{Kind: OwnerContainer}).Declared() || (Owner{Kind: OwnerLease}).Declared() {
		t.Error("wrong owners are declared")
	}
	if got := Duration(0).Or(time.Second); got != time.Second {
		t.Error(got)
	}
}
