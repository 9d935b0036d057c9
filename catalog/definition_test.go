package catalog

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDefinitionEqual sets each field in turn: the comparison must include every one.
func TestDefinitionEqual(t *testing.T) {
	fields := reflect.TypeFor[Definition]()
	for i := range fields.NumField() {
		var a, b Definition
		switch f := reflect.ValueOf(&a).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"x"}))
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string][]string{"x": {"y"}}))
		default:
			t.Fatalf("field %s is of kind %s", fields.Field(i).Name, f.Kind())
		}
		if a.Equal(&b) || b.Equal(&a) || !a.Equal(&a) {
			t.Errorf("field %s does not count", fields.Field(i).Name)
		}
	}
}

func TestDefinitionTargets(t *testing.T) {
	tests := []struct {
		d    Definition
		want CheckType
	}{
		{Definition{UDP: "a:1"}, CheckUDP}, {Definition{GRPC: "a:1"}, CheckGRPC}, {Definition{H2Ping: "a:1"}, CheckH2Ping},
		{Definition{Args: []string{"x"}, Container: "c"}, CheckExec}, {Definition{Container: "c"}, ""},
		{Definition{AliasService: "db"}, CheckAlias}, {Definition{AliasNode: "n"}, CheckAlias},
		{Definition{AliasService: "db", AliasNode: "n"}, CheckAlias}, {Definition{UDP: "a:1", TCP: "a:1"}, ""},
	}
	for _, test := range tests {
		d := test.d
		if d.InferType(); d.Type != test.want {
			t.Errorf("%+v: type %q, want %q", test.d, d.Type, test.want)
		}
		if err := d.validate("check"); (err == nil) != (test.want != "") {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// requested returns a check by HTTP with a header.
func requested(name string, values ...string) Definition {
	return Definition{Type: CheckHTTP, HTTP: "http://web/", Header: map[string][]string{name: values}}
}

func TestDefinitionIsRefused(t *testing.T) {
	tests := []struct {
		d    Definition
		want string
	}{
		{Definition{Type: CheckScript, Args: []string{"x"}, Container: "c"}, "does not say what to check"},
		{Definition{Type: CheckExec, Args: []string{"x"}}, "does not say what to check"},
		{Definition{Type: CheckUDP, TCP: "a:1"}, "does not say what to check"},
		{Definition{Type: CheckTCP, TCP: "a:1", FlapThreshold: 101}, "0 to 100"},
		{Definition{Type: CheckTCP, TCP: "a:1", FlapThreshold: -1}, "0 to 100"},
		{Definition{Type: CheckAlias, AliasNode: "n", FlapThreshold: 30}, "no flap_threshold"},
		{Definition{Type: CheckDocker, FlapThreshold: 30}, "no flap_threshold"},
		{Definition{Type: CheckTCP, TCP: "a:1", DeregisterAfter: Duration(time.Second - 1)}, "at least 1s"},
		{Definition{Type: CheckTCP, TCP: "a:1", DeregisterAfter: -1}, "at least 1s"},
		{Definition{Type: CheckUDP, UDP: "a:1", UDPPayload: "\xff"}, "UTF-8"},
		{Definition{Type: CheckGRPC, GRPC: strings.Repeat("x", MaxText+1)}, "are allowed"},
		{Definition{Type: CheckHTTP, HTTP: "ftp://web/"}, `check c: http: "ftp://web/" is not a URL: write it as http://host:port/path`},
		{Definition{Type: CheckHTTP, HTTP: "web:80/health"}, "is not a URL"},
		{Definition{Type: CheckHTTP, HTTP: "http:///health"}, "is not a URL"},
		{Definition{Type: CheckHTTP, HTTP: "http://:80/"}, "is not a URL"},
		{Definition{Type: CheckHTTP, HTTP: "http://web:99999/"}, "is not a URL"},
		{Definition{Type: CheckTCP, TCP: "web"}, `check c: tcp: "web" is not an address: write it as host:port`},
		{Definition{Type: CheckTCP, TCP: "web:"}, "tcp"}, {Definition{Type: CheckTCP, TCP: "web:0"}, "tcp"},
		{Definition{Type: CheckUDP, UDP: "web:65536"}, "udp"}, {Definition{Type: CheckH2Ping, H2Ping: "::1"}, "h2ping"},
		{Definition{Type: CheckGRPC, GRPC: "web/shop.Cart"}, `grpc: "web" is not an address`},
		{Definition{Type: CheckGRPC, GRPC: "/shop.Cart"}, "grpc"},
		{requested("Content-Length", "3"), "follows from its body"}, {requested("transfer-encoding", "chunked"), "follows from its body"},
		{requested("Host", "a", "b"), "not one host"}, {requested("host", "a/b"), "not one host"}, {requested("Host", ""), "not one host"},
		{requested("Host", "me@a"), "not one host"}, {requested("Host"), "not one host"},
		{Definition{Type: "h3"}, "set one of http, tcp, udp, grpc, h2ping"},
	}
	for _, test := range tests {
		err := test.d.validate("check c")
		if err == nil || KindOf(err) != KindInvalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.d, err, test.want)
		}
	}
	for _, fine := range []Definition{
		{Type: CheckTCP, TCP: "a:1", FlapThreshold: 100, DeregisterAfter: Duration(time.Second)},
		{Type: CheckTCP, TCP: ":22"}, {Type: CheckUDP, UDP: "[::1]:53"}, {Type: CheckTCP, TCP: "web:http"},
		{Type: CheckHTTP, HTTP: "https://me:secret@web.example/health?full"}, {Type: CheckHTTP, HTTP: "http://[::1]:8080"},
		{Type: CheckGRPC, GRPC: "web:1/shop.Cart"},
		requested("Host", "web.example:8080"), requested("HOST", "[::1]:80"), requested("host", "10.0.0.1"), requested("X-Token", "a", "b"),
	} {
		if err := fine.validate("check c"); err != nil {
			t.Error(err)
		}
	}
}
