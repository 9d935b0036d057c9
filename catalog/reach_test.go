package catalog

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// pairs are bindings "address:port", separated by spaces.
func pairs(text string) (list []netip.AddrPort) {
	for _, pair := range strings.Fields(text) {
		list = append(list, netip.MustParseAddrPort(pair))
	}
	return list
}

// TestTarget holds that a client gets a port only beside an address at which it answers.
func TestTarget(t *testing.T) {
	outside := &Scope{}
	near := &Scope{Networks: []string{"A"}}
	self := &Scope{Host: true, Node: "n1"}
	split := []Port{{Number: 80, Bindings: pairs("192.0.2.10:8081 192.0.2.20:8082")}}
	families := []Port{{Number: 80, Bindings: pairs("0.0.0.0:8092 [::]:8091")}}
	v6 := []Port{{Number: 80, Bindings: pairs("[::]:8091")}}
	public := []Port{{Number: 80, Bindings: pairs("192.0.2.10:8443")}, {Number: 9090, Bindings: pairs("192.0.2.20:9100")}}
	local := []Port{{Number: 8080, Bindings: pairs("127.0.0.1:8080")}, {Number: 10000, Protocol: "udp", Published: 10000}}
	both := []Port{{Number: 53, Protocol: "tcp", Bindings: pairs("192.0.2.10:53")}, {Number: 53, Protocol: "udp", Bindings: pairs("192.0.2.20:5353")}}
	hosts := []Address{at("A/10.1.0.2"), at("host/192.0.2.20"), at("host/192.0.2.10")}
	dual := []Address{at("host/192.0.2.20"), at("host/2001:db8::20")}
	of := func(number uint16, protocol string) func(*Port) bool {
		return func(p *Port) bool { return p.Number == number && p.Transport() == protocol }
	}
	for _, test := range []struct {
		name      string
		scope     *Scope
		ports     []Port
		addresses []Address
		wanted    func(*Port) bool
		want      string
	}{
		{"each address with its number", outside, split, hosts, nil, "8082 192.0.2.20 192.0.2.10"},
		{"on a network of its own", near, split, hosts, nil, "80 10.1.0.2 192.0.2.20 192.0.2.10"},
		{"the address that is bound", outside, split, hosts[2:], nil, "8081 192.0.2.10 192.0.2.20"},
		{"all addresses of a family", outside, families, dual, nil, "8092 192.0.2.20 2001:db8::20"},
		{"all addresses of a family, IPv6 first", outside, families, []Address{dual[1], dual[0]}, nil, "8091 2001:db8::20 192.0.2.20"},
		{"IPv6 only", outside, v6, dual, nil, "8091 2001:db8::20"},
		{"IPv6 only, and no such address", outside, v6, dual[:1], nil, ""},
		{"a host known by its name", outside, v6, []Address{{Network: NetworkHost, Host: "box.lan"}}, nil, "8091 box.lan"},
		{"the first port, where it is", outside, public, hosts, nil, "8443 192.0.2.10"},
		{"the second port, where it is", outside, public, hosts, of(9090, "tcp"), "9100 192.0.2.20"},
		{"TCP of a number", outside, both, hosts, of(53, "tcp"), "53 192.0.2.10"},
		{"UDP of the same number", outside, both, hosts, of(53, "udp"), "5353 192.0.2.20"},
		{"at an address that the node does not list", outside, split[:1], nil, nil, "8081 192.0.2.10 192.0.2.20"},
		{"loopback is for the host", self, local, hosts[1:2], nil, "8080 127.0.0.1"},
		{"the first that is published", outside, local, hosts[1:2], nil, "10000 192.0.2.20"},
		{"loopback for another host", &Scope{Host: true, Node: "n2"}, local, hosts[1:2], nil, "10000 192.0.2.20"},
		{"loopback by name", outside, local, hosts[1:2], of(8080, "tcp"), ""},
		{"a named address and all others", outside, []Port{{Number: 80, Published: 80, Bindings: pairs("192.0.2.10:8081")}}, hosts, nil, "80 192.0.2.20 192.0.2.10"},
		{"no such port", outside, split, hosts, of(81, "tcp"), ""},
		{"everything", AllNetworks, public, hosts[1:], nil, "8443 192.0.2.10"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := scopedView(Change{Type: RecordInstance, Name: "n1", ID: "c", Instance: &Instance{
				ID: "c", Node: "n1", Service: "s", Ports: test.ports, Addresses: test.addresses,
			}})
			e := v.Instance("n1", "c")
			got := test.scope.Target(e, test.wanted)
			var text []string
			for _, a := range got.Addresses {
				text = append(text, a.String())
			}
			if text := strings.Join(text, " "); got.Port == nil && test.want != "" || got.Port != nil && test.want != fmt.Sprint(got.Number)+" "+text {
				t.Errorf("%d at %s, want %q", got.Number, text, test.want)
			}
		})
	}
}
