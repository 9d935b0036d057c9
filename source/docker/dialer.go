package docker

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// dialer completes the targets of checks with the address at which the host itself reaches the container.
type dialer struct {
	addresses []catalog.Address
	ports     []catalog.Port
	host      bool
}

var (
	errNoPort  = errors.New("the container has no port to check: name one, as in :8080")
	errURL     = errors.New("not a path, :port/path or an http URL")
	errURLUser = errors.New("a URL with a user and a password cannot be checked: everybody could read them")
)

// at returns the address and the port to dial for one of the container's ports; 0 stands for the main port.
func (d dialer) at(port uint16) (string, error) {
	if port == 0 {
		port = mainPort(d.ports)
	}
	if port == 0 {
		return "", errNoPort
	}
	address, number := d.published(port)
	return net.JoinHostPort(address.String(), strconv.Itoa(int(number))), nil
}

// published returns the first address at which a port answers, and its number there: its own if it is published nowhere.
func (d dialer) published(port uint16) (catalog.Address, uint16) {
	first := d.address()
	if first.Network != catalog.NetworkHost || d.host {
		return first, port
	}
	e := &catalog.Endpoint{Instance: &catalog.Instance{Addresses: d.addresses}}
	for _, a := range d.addresses {
		for _, p := range d.ports {
			if number, ok := e.PortAt(a, p); ok && p.Number == port && p.IsPublished() {
				return a, number
			}
		}
	}
	return first, port
}

// address returns the first address, the loopback address for a container in the host's network.
func (d dialer) address() catalog.Address {
	if len(d.addresses) == 0 {
		return catalog.Address{Network: catalog.NetworkHost, Host: "127.0.0.1"}
	}
	return d.addresses[0]
}

// url completes "/path", ":port/path" and URLs without a host.
func (d dialer) url(text string) (string, error) {
	switch {
	case strings.HasPrefix(text, "/"):
		text = "http://" + text
	case strings.HasPrefix(text, ":"):
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil: // a password in it must not reach the log
		return "", errURLUser
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return "", errURL
	}
	if u.Hostname() != "" {
		return u.String(), nil
	}
	port, err := parseNumber(cmp.Or(u.Port(), "0"))
	if err != nil {
		return "", err
	}
	if u.Host, err = d.at(port); err != nil {
		return "", err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}

// hostPort completes a port or nothing to host:port.
func (d dialer) hostPort(text string) (string, error) {
	if text == "" || text == "true" {
		return d.at(0)
	}
	if port, err := parseNumber(strings.TrimPrefix(text, ":")); err == nil {
		return d.at(port)
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", fmt.Errorf("%s is not a port or host:port", shown(text))
	}
	if _, err := parseNumber(port); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

func parseNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is not a port", shown(text))
	}
	return uint16(n), nil
}

// interpolate replaces Registrator's $SERVICE_IP and $SERVICE_PORT by the address.
func (d dialer) interpolate(script string, port uint16) string {
	address, number := d.address().String(), strconv.Itoa(int(port))
	if at, err := d.at(port); err == nil {
		_, number, _ = net.SplitHostPort(at)
	}
	return strings.NewReplacer("$SERVICE_IP", address, "$SERVICE_PORT", number).Replace(script)
}
