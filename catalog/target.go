package catalog

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ValidateTarget reports whether a check's target can be dialled at all: a URL of HTTP with a host, or a host and a
// port. The error is of KindInvalid; it names the field, not the check.
func (d *Definition) ValidateTarget() error {
	if bad := d.badTarget(); bad != nil {
		return bad
	}
	return nil
}

func (d *Definition) badTarget() *Error {
	if d.HTTP != "" && !validURL(d.HTTP) {
		return Errorf(KindInvalid, "http: %q is not a URL", d.HTTP).WithHint("write it as http://host:port/path")
	}
	grpc, _, _ := strings.Cut(d.GRPC, "/")
	if d.GRPC != "" && grpc == "" {
		grpc = d.GRPC
	}
	for _, target := range []struct{ field, value string }{
		{"tcp", d.TCP}, {"udp", d.UDP}, {"grpc", grpc}, {"h2ping", d.H2Ping},
	} {
		if target.value != "" && !validHostPort(target.value) {
			return Errorf(KindInvalid, "%s: %q is not an address", target.field, target.value).WithHint("write it as host:port")
		}
	}
	return nil
}

func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") &&
		(u.Port() == "" || validPort(u.Port()))
}

// validHostPort accepts an empty host, which means the host that dials.
func validHostPort(text string) bool {
	_, port, err := net.SplitHostPort(text)
	return err == nil && validPort(port)
}

// validPort accepts a number, and any name: the host that dials may know it.
func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port != "" && (err != nil || n > 0 && n <= 65535)
}
